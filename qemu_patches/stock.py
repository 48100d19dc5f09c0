"""A stock QEMU out of Debian's packages, unpacked into the cache without installing anything."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from qemu_patches import apt
from qemu_patches.apt import AptError, PrivateApt
from qemu_patches.binary import MINIMUM_VERSION, PROGRAM, QemuBinary, version_text
from qemu_patches.errors import QemuUnavailable
from qemu_patches.probe import ProbeError, probe
from qemu_patches.sources import debian_mirrors, read_sources
from qemu_patches.store import Stamp, Store, library_folder, unpacked_qemu

PACKAGE = "qemu-system-x86"
SUITES = (("trixie", "trixie-backports"), ("forky",), ("sid",))
NEEDED_BYTES = 400 << 20  # lists 60 MB, packages 40 MB, unpacked 180 MB, and some room

_MOST_MIRRORS = 3
_KEPT = ("usr/share/qemu", "usr/share/seabios", "usr/share/doc")
_OWN_QEMU = (
    f"install a QEMU {version_text(MINIMUM_VERSION)} or later with its vfio-user-pci device, "
    f"or set QEMU to the path of such a {PROGRAM}."
)

Progress = Callable[[str], None]


def fetch(store: Store, progress: Progress) -> QemuBinary:
    """Download, unpack, prove and keep a stock QEMU. Needs the store's lock. Raises QemuUnavailable."""
    _require_tools()
    mirrors = debian_mirrors_here()
    keyring = debian_keyring()
    _require_space(store.folder)
    failures: list[str] = []
    with store.unfinished() as work:
        for number, archive in enumerate(_archives(work, mirrors, keyring, failures, progress)):
            tree = work / f"tree{number}"
            try:
                return _from_archive(archive, tree, store, progress)
            except (AptError, ProbeError) as error:
                failures.append(f"{_name(archive)}: {error}")
    raise QemuUnavailable(_all_failed(failures, mirrors))


def _archives(
    work: Path, mirrors: list[str], keyring: Path, failures: list[str], progress: Progress
) -> Iterator[PrivateApt]:
    """Archives whose lists could be fetched, best first; a mirror that cannot be reached is not asked again."""
    for mirror in mirrors[:_MOST_MIRRORS]:
        for suites in SUITES:
            folder = work / f"apt-{len(failures)}"
            folder.mkdir()
            archive = PrivateApt(folder, mirror, suites, keyring)
            progress(f"reading the package lists of Debian {suites[-1]} at {public_address(mirror)}")
            try:
                archive.update()
            except AptError as error:
                failures.append(f"{_name(archive)}: {error}")
                if error.network:
                    break
                continue
            yield archive


def _from_archive(archive: PrivateApt, tree: Path, store: Store, progress: Progress) -> QemuBinary:
    planned = archive.plan(PACKAGE)
    package_version = next((entry.version for entry in planned if entry.package == PACKAGE), "")
    version = apt.upstream_version(package_version)
    if version < MINIMUM_VERSION:
        raise AptError(f"it has QEMU {package_version or 'not at all'}, older than {version_text(MINIMUM_VERSION)}")
    megabytes = sum(entry.size for entry in planned) / 1e6
    progress(f"downloading QEMU {package_version}: {len(planned)} packages, {megabytes:.0f} MB")
    packages = archive.download(PACKAGE)
    progress("unpacking")
    everything = tree.with_name(f"{tree.name}-all")
    everything.mkdir()
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        list(pool.map(lambda package: apt.unpack(package, everything), packages))
    libraries = _keep_needed(everything, tree)
    qemu = unpacked_qemu(tree, libraries, version)
    answers = probe(qemu.argv, qemu.env)
    lacking = answers.shortcoming()
    if lacking is not None:
        raise AptError(f"its {PROGRAM} {lacking}")
    size = (tree / "usr/bin" / PROGRAM).stat().st_size
    return store.adopt(tree, Stamp(answers.version, package_version, libraries, size))


def _keep_needed(everything: Path, tree: Path) -> str:
    """Move the binary, its libraries, modules, firmware and licences to `tree`; returns the library folder's name."""
    libraries = library_folder(everything)
    if libraries is None:
        raise AptError("the packages hold no dynamic loader")
    for name in (f"usr/bin/{PROGRAM}", libraries, *_KEPT):
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (everything / name).rename(target)
    return libraries


def _require_tools() -> None:
    missing = apt.missing_tools()
    if missing:
        raise QemuUnavailable(
            f"no QEMU {version_text(MINIMUM_VERSION)} or later is installed, and it cannot be taken from Debian's "
            f"packages because this machine lacks {', '.join(missing)}. To go on, {_OWN_QEMU}"
        )


def debian_keyring() -> Path:
    """The keyring that checks Debian's archives. Raises QemuUnavailable."""
    for keyring in apt.KEYRINGS:
        if keyring.is_file():
            return keyring
    raise QemuUnavailable(
        "Debian's packages cannot be checked: the keyring is missing. "
        f"Install the package debian-archive-keyring and try again. Or {_OWN_QEMU}"
    )


def debian_mirrors_here() -> list[str]:
    """Addresses of Debian mirrors, $VDSA_DEBIAN_MIRROR or else the machine's, likeliest first. Raises QemuUnavailable."""
    named = os.environ.get("VDSA_DEBIAN_MIRROR")
    if named:
        return [named.rstrip("/")]
    try:
        mirrors = debian_mirrors(read_sources(*apt.source_lists()))
    except AptError as error:
        raise QemuUnavailable(f"this machine's apt cannot be asked for its sources: {error}. Or {_OWN_QEMU}") from error
    if not mirrors:
        raise QemuUnavailable(
            "none of this machine's apt sources serves Debian's main archive (on Ubuntu none does), so QEMU cannot be "
            "taken from there. Set VDSA_DEBIAN_MIRROR to the address of a Debian mirror (the folder that holds dists/ "
            f"and pool/; the package debian-archive-keyring must be installed). Or {_OWN_QEMU}"
        )
    return mirrors


def _require_space(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        raise QemuUnavailable(
            f"unpacking QEMU needs {NEEDED_BYTES >> 20} MB and {folder} has {free >> 20} MB left. "
            "Make room, or set VDSA_CACHE to a folder elsewhere."
        )


def _name(archive: PrivateApt) -> str:
    return f"{archive.suites[-1]} at {public_address(archive.mirror)}"


def public_address(mirror: str) -> str:
    """An address without the user and password it may hold."""
    return re.sub(r"//[^/@]*@", "//", mirror)


def _all_failed(failures: list[str], mirrors: list[str]) -> str:
    told = "\n".join(f"  {failure}".replace("\n", "\n    ") for failure in failures)
    text = f"no QEMU could be taken from Debian's packages:\n{told}\n"
    if "NO_PUBKEY" in told or "not signed" in told:
        text += "Debian's keyring here is older than the archive's keys: update the package debian-archive-keyring.\n"
    if "No space left" in told:
        text += "The disk is full: make room, or set VDSA_CACHE to a folder elsewhere.\n"
    asked = ", ".join(map(public_address, mirrors[:_MOST_MIRRORS]))
    return (
        f"{text}Check that `apt-get update` works on this machine (network, proxy, certificates), "
        f"or set VDSA_DEBIAN_MIRROR to a mirror other than {asked}. Or {_OWN_QEMU}"
    )
