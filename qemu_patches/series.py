"""Our patches, in the order of series/series, and putting them on a source tree."""

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

from qemu_patches.capability import KNOWN
from qemu_patches.errors import QemuUnavailable

FOLDER = Path(__file__).parent / "series"

_SECONDS = 60.0


class SeriesError(QemuUnavailable):
    """The series is not what it should be, or a source tree is none that it was made for."""


@dataclass(frozen=True, slots=True)
class Patch:
    """One change. gives: the capability a QEMU has by it, None if it has none of its own."""

    file: Path
    gives: str | None


@dataclass(frozen=True, slots=True)
class Series:
    """All changes, first to last."""

    patches: tuple[Patch, ...]

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset(patch.gives for patch in self.patches if patch.gives)

    def digest(self) -> str:
        """Changes with every byte of every patch, their names, order and capabilities; 64 hexadecimal digits."""
        digest = hashlib.sha256()
        for patch in self.patches:
            digest.update(f"{patch.file.name}\0{patch.gives}\0".encode())
            digest.update(hashlib.sha256(patch.file.read_bytes()).digest())
        return digest.hexdigest()


def read_series(folder: Path = FOLDER) -> Series:
    """The series in `folder`. Raises SeriesError if its list names what is not there, or leaves out what is."""
    patches = []
    for line in (folder / "series").read_text().splitlines():
        words = line.partition("#")[0].split()
        if not words:
            continue
        name, gives = words if len(words) == 2 else (words[0], "")
        if gives != "-" and gives not in KNOWN:
            raise SeriesError(f"{folder}/series: {name} needs a capability of capability.py, or -")
        patches.append(Patch(folder / name, None if gives == "-" else gives))
    listed, there = {patch.file.name for patch in patches}, {file.name for file in folder.glob("*.patch")}
    if listed != there:
        raise SeriesError(f"{folder}/series does not fit the folder: look at {', '.join(sorted(listed ^ there))}")
    return Series(tuple(patches))


def apply(series: Series, tree: Path) -> list[Patch]:
    """Put the series on a QEMU source tree; returns the patches that the tree has had already.

    No fuzz: a patch fits exactly or not at all. Raises SeriesError naming the first that does not; the tree is spoilt then.
    """
    had = []
    for patch in series.patches:
        if _patch(tree, patch, "--dry-run") is None:
            _patch(tree, patch)
        elif _patch(tree, patch, "--dry-run", "--reverse") is None:
            had.append(patch)
        else:
            complaint = _patch(tree, patch, "--dry-run")
            raise SeriesError(f"{patch.file.name} does not fit this QEMU: {complaint}")
    return had


def _patch(tree: Path, patch: Patch, *options: str) -> str | None:
    """Run patch(1): None if it succeeded, else what it complained of."""
    command = ["patch", "-p1", "--force", "--fuzz=0", "--silent", "--no-backup-if-mismatch", *options]
    try:
        ended = subprocess.run(
            [*command, "-r", "-", "-d", str(tree), "-i", str(patch.file)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", timeout=_SECONDS, check=False,
        )  # fmt: skip
    except OSError as error:
        raise SeriesError(f"patch(1) does not run: {error.strerror}. Install the package patch.") from error
    return None if ended.returncode == 0 else " ".join(ended.stdout.split())[:300] or f"status {ended.returncode}"
