"""The source a patched QEMU is made from: yours ($QEMU_SRC), or Debian's, with Debian's own patches."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from qemu_patches.apt import AptError, SourceApt, upstream_version
from qemu_patches.binary import Version, version_text
from qemu_patches.errors import QemuUnavailable
from qemu_patches.stock import debian_keyring, debian_mirrors_here, public_address

OLDEST: Version = (10, 2, 0)
"""The series was made on 10.2.2; the vfio-user client before 10.2 is another."""

_SUITES = (("trixie-backports", "forky", "sid"), ("sid",))
_UNPACK_SECONDS = 300.0
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")

Progress = Callable[[str], None]


class SourceUnavailable(QemuUnavailable):
    """No QEMU source could be had; the message says from where it was tried, why not, and what else to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """An unpacked source tree, ours to change. name: where it is from, the same for the same source."""

    tree: Path
    version: Version
    name: str


def own_source_name() -> str | None:
    """The name that the source in $QEMU_SRC has; None if that is not set."""
    own = os.environ.get("QEMU_SRC")
    return str(Path(own).absolute()) if own else None


def sources(work: Path, progress: Progress, failures: list[str]) -> Iterator[Source]:
    """Sources that could be unpacked in `work`, best first; reasons why others could not are added to `failures`.

    $QEMU_SRC, if set, is the only one. Raises SourceUnavailable for a $QEMU_SRC that will not do.
    """
    own = own_source_name()
    if own is not None:
        yield _own(Path(own), work, progress)
        return
    try:
        mirrors, keyring = debian_mirrors_here(), debian_keyring()
    except QemuUnavailable as error:
        failures.append(str(error).partition(". ")[0])
        return
    for mirror in mirrors:
        for number, suites in enumerate(_SUITES):
            folder = work / f"apt-{len(failures)}-{number}"
            folder.mkdir()
            archive = SourceApt(folder, mirror, suites, keyring)
            progress(f"reading the source lists of Debian {', '.join(suites)} at {public_address(mirror)}")
            try:
                archive.update()
                versions = archive.source_versions("qemu")
            except AptError as error:
                failures.append(f"{', '.join(suites)} at {public_address(mirror)}: {error}")
                continue
            yield from _served(archive, versions, work, progress, failures)
            break


def nothing_served(failures: list[str]) -> SourceUnavailable:
    """What to raise when none of sources() would do."""
    told = "\n".join(f"  {failure}".replace("\n", "\n    ") for failure in failures) or "  it lists none"
    return SourceUnavailable(
        f"no source of QEMU {version_text(OLDEST)} or later that our patches fit could be had from Debian's mirror:\n{told}\n"
        "Set QEMU_SRC to a source tree or tarball of QEMU 10.2, or VDSA_DEBIAN_MIRROR to a mirror that serves its source."
    )


def tree_version(tree: Path) -> Version:
    """By the tree's VERSION file. Raises SourceUnavailable if it is no QEMU source, or older than OLDEST."""
    try:
        found = _VERSION.match((tree / "VERSION").read_text())
    except OSError:
        found = None
    if found is None or not (tree / "configure").is_file():
        raise SourceUnavailable(f"{tree} is no QEMU source tree: it lacks VERSION or configure")
    version = int(found[1]), int(found[2]), int(found[3])
    if version < OLDEST:
        raise SourceUnavailable(
            f"{tree} is QEMU {version_text(version)}; our patches are for {version_text(OLDEST)} on"
        )
    return version


def _served(
    archive: SourceApt, versions: list[str], work: Path, progress: Progress, failures: list[str]
) -> Iterator[Source]:
    for package_version in versions:
        version = upstream_version(package_version)
        if version < OLDEST:
            continue
        progress(f"downloading the source of QEMU {package_version}")
        try:
            description = archive.download_source("qemu", package_version)
        except AptError as error:
            failures.append(f"qemu {package_version}: {str(error).splitlines()[0]}")
            continue
        tree = work / f"tree-{len(failures)}"
        _run(["dpkg-source", "--no-check", "--extract", str(description), str(tree)])
        yield Source(tree, version, f"Debian {package_version}")
        shutil.rmtree(tree, ignore_errors=True)


def _own(named: Path, work: Path, progress: Progress) -> Source:
    progress(f"taking the source from {named}")
    tree = work / "tree"
    if named.is_dir():
        tree_version(named)
        shutil.copytree(named, tree, symlinks=True, ignore=shutil.ignore_patterns(".git", "build"))
    elif named.suffix == ".dsc":
        _run(["dpkg-source", "--no-check", "--extract", str(named), str(tree)])
    elif named.is_file():
        tree.mkdir()
        _run(["tar", "-xf", str(named), "-C", str(tree), "--strip-components=1"])
    else:
        raise SourceUnavailable(f"$QEMU_SRC ({named}) does not exist")
    return Source(tree, tree_version(tree), str(named))


def _run(command: list[str]) -> None:
    try:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", timeout=_UNPACK_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SourceUnavailable(f"{command[0]} does not do its work: {error}") from error
    if ended.returncode != 0:
        told = "\n".join(ended.stdout.strip().splitlines()[-4:])
        raise SourceUnavailable(f"{command[0]} ended with status {ended.returncode}: {told}")
