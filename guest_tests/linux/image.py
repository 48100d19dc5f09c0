"""The image of a Linux guest: the kernel, and a first root file system with modules, programs and one init script."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from guest_tests.linux.cpio import CpioArchive
from guest_tests.linux.kernels import Kernel
from guest_tests.linux.parts import Parts, find_parts, make_parts

INIT = Path(__file__).parent / "init.sh"


@dataclass(frozen=True, slots=True)
class LinuxImage:
    """What a guest is booted from. release: as uname -r says. packages: name=version of what it was made of."""

    kernel: Kernel
    release: str
    packages: tuple[str, ...]
    vmlinuz: Path
    initrd: Path


def find_image(kernel: Kernel, cache: Path) -> LinuxImage | None:
    """The image, if its parts are in the cache. Fetches nothing."""
    parts = find_parts(kernel, cache)
    return None if parts is None else _image(parts)


def make_image(kernel: Kernel, cache: Path, progress: Callable[[str], None]) -> LinuxImage:
    """The image; its parts are fetched and built where they are missing. KernelUnavailable: the reason."""
    return _image(make_parts(kernel, cache, progress))


def _image(parts: Parts) -> LinuxImage:
    manifest = parts.manifest
    init = INIT.read_bytes()
    key = hashlib.sha256(manifest.digest.encode() + hashlib.sha256(init).digest()).hexdigest()[:12]
    initrd = parts.folder / f"initrd-{key}"
    if not initrd.is_file():
        _write(initrd, bytes(_root(parts, init)))
    return LinuxImage(parts.kernel, manifest.release, manifest.packages, parts.vmlinuz, initrd)


def _root(parts: Parts, init: bytes) -> CpioArchive:
    archive = CpioArchive()
    for folder in ("dev", "proc", "sys", "tmp", "run", "etc"):
        archive.folder(folder)
    archive.device("dev/console", 5, 1)
    archive.file("init", init, mode=0o755)
    root = parts.folder / "root"
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        archive.file(str(path.relative_to(root)), path.read_bytes(), mode=0o755)
    for name in parts.manifest.modules:
        archive.file(f"modules/{name}.ko", (parts.folder / "modules" / f"{name}.ko").read_bytes())
    archive.file("modules/at-boot", "".join(f"{name}\n" for name in parts.manifest.modules).encode())
    return archive


def _write(path: Path, content: bytes) -> None:
    """As a whole or not at all, also when two processes do it at once."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    Path(file.name).replace(path)
