"""What a guest image is put together from, made once for each kernel: the kernel, its modules, dmatest.ko, the programs.

CACHE/linux/lock                          held (flock) while one is made
CACHE/linux/<kernel>-<key>/               the parts; made under another name and renamed when they are complete
CACHE/linux/<kernel>-<key>/parts.json     the manifest, written last
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from guest_tests.linux.dmatest_build import ModuleBuildError, build_dmatest, extract_source, require_tools
from guest_tests.linux.kernel_file import unpacked
from guest_tests.linux.kernels import PROGRAMS, Kernel
from guest_tests.linux.libraries import LOADER, LibraryMissing, find_loader, needed_libraries
from guest_tests.linux.modules import ModuleError, ModuleTree, read_module
from guest_tests.linux.packages import Archive, KernelUnavailable, open_archive
from qemu_patches.apt import AptError
from qemu_patches.errors import QemuUnavailable
from qemu_patches.store import Store

MODULES = {
    "virtio_pci": "CONFIG_VIRTIO_PCI",
    "virtio_console": "CONFIG_VIRTIO_CONSOLE",
    "idxd": "CONFIG_INTEL_IDXD",
    "dmatest": "CONFIG_DMATEST",
}
"""What a guest loads, by the option of the kernel: some kernels have it built in. What these need comes with them."""
NEEDED_BYTES = 1800 << 20
"""Packages 400 MB, unpacked 500 MB, and some room."""

_FORMAT = 2
_PROGRAMS = {"bin/busybox": ("bin/busybox", "usr/bin/busybox"), "usr/bin/accel-config": ("usr/bin/accel-config",)}
_LIBRARIES = "usr/lib/x86_64-linux-gnu"

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is true of complete parts. release: as uname -r says. digest: of all files, in hexadecimal."""

    release: str
    packages: tuple[str, ...]
    modules: tuple[str, ...]
    digest: str
    format: int = _FORMAT


@dataclass(frozen=True, slots=True)
class Parts:
    """Complete parts in `folder`: vmlinuz, modules/*.ko, root/ with the programs at their places."""

    folder: Path
    kernel: Kernel
    manifest: Manifest

    @property
    def vmlinuz(self) -> Path:
        return self.folder / "vmlinuz"


def find_parts(kernel: Kernel, cache: Path) -> Parts | None:
    """Those in the cache, if they are complete. Fetches nothing."""
    folder = cache / "linux" / f"{kernel.name}-{_key(kernel)}"
    try:
        manifest = msgspec.json.decode((folder / "parts.json").read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError):
        return None
    return Parts(folder, kernel, manifest) if manifest.format == _FORMAT else None


def make_parts(kernel: Kernel, cache: Path, progress: Progress) -> Parts:
    """Those in the cache, or new ones out of Debian's packages: a minute or two. KernelUnavailable: the reason."""
    store = Store(cache / "linux")
    try:
        with store.locked(lambda: progress(f"waiting for another run that is busy in {store.folder}")):
            return find_parts(kernel, cache) or _make(kernel, store, progress)
    except QemuUnavailable as error:
        raise KernelUnavailable(f"Linux {kernel.name}: {error}") from error


def _make(kernel: Kernel, store: Store, progress: Progress) -> Parts:
    free = shutil.disk_usage(store.folder).free
    if free < NEEDED_BYTES:
        raise KernelUnavailable(
            f"Linux {kernel.name} needs {NEEDED_BYTES >> 20} MB while it is made, {store.folder} has {free >> 20} MB left: "
            "make room, or set VDSA_CACHE to a folder elsewhere"
        )
    with store.unfinished() as work:
        try:
            require_tools()
            archive = open_archive(kernel, work, progress)
            made = work / "made"
            manifest = _assemble(archive, work, made, progress)
        except (AptError, ModuleBuildError, ModuleError, LibraryMissing, OSError) as error:
            raise KernelUnavailable(f"Linux {kernel.name} cannot be made: {error}") from error
        (made / "parts.json").write_bytes(msgspec.json.encode(manifest))
        folder = store.folder / f"{kernel.name}-{_key(kernel)}"
        if folder.exists():
            folder.rename(work / "replaced")
        made.rename(folder)
    return Parts(folder, kernel, manifest)


def _assemble(archive: Archive, work: Path, made: Path, progress: Progress) -> Manifest:
    tree = work / "tree"
    progress(f"downloading and unpacking Linux {archive.wanted.version}")
    archive.unpack(tree)
    made.mkdir()
    release, vmlinuz = _find_kernel(tree)
    (made / "vmlinuz").write_bytes(unpacked(vmlinuz.read_bytes()))
    progress("taking dmatest.c out of the kernel's source")
    source = extract_source(archive.source())
    progress("building dmatest.ko")
    (work / "module").mkdir()
    dmatest = read_module(build_dmatest(tree, source, work / "module"))
    if dmatest.vermagic.split()[:1] != [release]:
        raise ModuleBuildError(f"dmatest.ko is for {dmatest.vermagic!r}, the kernel is {release}")
    modules = ModuleTree(tree, [dmatest]).in_order(_not_built_in(tree))
    (made / "modules").mkdir()
    for module in modules:
        (made / "modules" / f"{module.name}.ko").write_bytes(module.content)
    _copy_programs(tree, made / "root")
    names = tuple(archive.wanted.names())
    return Manifest(release, names, tuple(module.name for module in modules), _digest(made))


def _not_built_in(tree: Path) -> list[str]:
    configuration = next(tree.glob("usr/src/linux-headers-*-amd64/.config")).read_text().splitlines()
    return [module for module, option in MODULES.items() if f"{option}=y" not in configuration]


def _find_kernel(tree: Path) -> tuple[str, Path]:
    """Release and file; newer packages keep the kernel beside its modules."""
    found = [*tree.glob("boot/vmlinuz-*"), *tree.glob("usr/lib/modules/*/vmlinuz"), *tree.glob("lib/modules/*/vmlinuz")]
    if not found:
        raise ModuleError("the packages hold no vmlinuz")
    path = found[0]
    return (path.parent.name if path.name == "vmlinuz" else path.name.removeprefix("vmlinuz-")), path


def _copy_programs(tree: Path, root: Path) -> None:
    for place, names in _PROGRAMS.items():
        found = next((tree / name for name in names if (tree / name).is_file()), None)
        if found is None:
            raise LibraryMissing(f"none of the packages {', '.join(PROGRAMS)} holds {names[0]}")
        _copy(found, root / place)
        for name, library in needed_libraries(tree, found).items():
            _copy(library, root / _LIBRARIES / name)
    _copy(find_loader(tree), root / LOADER)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)  # the content, also where the source is a link
    target.chmod(0o755)


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _key(kernel: Kernel) -> str:
    """Changes with what the parts are made of and with how dmatest.ko is built."""
    recipe = repr((_FORMAT, kernel.suites, sorted(MODULES), PROGRAMS, sorted(_PROGRAMS)))
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]
