"""The private folder that holds an unpacked QEMU.

FOLDER/lock             held (flock) while anything here is changed
FOLDER/stock/           the QEMU; made under another name and renamed when it was seen to run
FOLDER/stock/qemu.json  its stamp, written last
"""

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from qemu_patches.binary import PROGRAM, QemuBinary, Version
from qemu_patches.capability import capabilities
from qemu_patches.errors import QemuUnavailable

_FORMAT = 1
_UNFINISHED = "unfinished-"


def default_folder() -> Path:
    """$VDSA_CACHE, else $XDG_CACHE_HOME/vdsa, else ~/.cache/vdsa."""
    named = os.environ.get("VDSA_CACHE")
    if named:
        return Path(named).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(base, "vdsa").absolute() if base else Path.home() / ".cache" / "vdsa"


@dataclass(frozen=True, slots=True)
class Stamp:
    """What is true of a complete unpacked QEMU; `libraries` and `size` (bytes, of the binary) let it be checked."""

    version: Version
    package_version: str
    libraries: str
    size: int
    format: int = _FORMAT


@dataclass(frozen=True, slots=True)
class Store:
    """The QEMU part of the cache."""

    folder: Path

    @property
    def stock(self) -> Path:
        return self.folder / "stock"

    def find(self) -> QemuBinary | None:
        """The unpacked QEMU if there is a complete one. Runs nothing."""
        try:
            stamp = Stamp(**json.loads((self.stock / "qemu.json").read_text()))
            size = (self.stock / "usr/bin" / PROGRAM).stat().st_size
        except (OSError, ValueError, TypeError):
            return None
        if stamp.format != _FORMAT or stamp.size != size or not _loader(self.stock, stamp.libraries).is_file():
            return None
        major, minor, micro = stamp.version
        return unpacked_qemu(self.stock, stamp.libraries, (major, minor, micro))

    @contextlib.contextmanager
    def locked(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the folder's lock, making the folder if need be; calls `waiting` once if another run has the lock.

        Raises QemuUnavailable if the folder cannot be made or written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / "lock").open("w")
        except OSError as error:
            raise QemuUnavailable(
                f"the cache folder {self.folder} cannot be written: {error.strerror}. "
                "Set VDSA_CACHE to a folder that can."
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def unfinished(self) -> Iterator[Path]:
        """A new folder beside the QEMU, gone at the end; what earlier runs left unfinished goes too. Needs the lock."""
        for left in self.folder.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(left, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.folder))
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def adopt(self, tree: Path, stamp: Stamp) -> QemuBinary:
        """Make an unpacked and proven tree, which lies in this folder, the QEMU. Needs the lock.

        A broken one in its place is moved out first, so that no moment shows a mixture of the two.
        """
        (tree / "qemu.json").write_text(json.dumps(asdict(stamp)))
        if self.stock.exists():
            self.stock.rename(tree.parent / "replaced")
        tree.rename(self.stock)
        return unpacked_qemu(self.stock, stamp.libraries, stamp.version)


def unpacked_qemu(tree: Path, libraries: str, version: Version) -> QemuBinary:
    """How a QEMU unpacked into `tree` is run: by the loader and with the libraries it was unpacked with.

    QEMU_MODULE_DIR keeps it from loading modules of an installed QEMU, which would abort it.
    """
    folder = tree / libraries
    argv = (
        str(_loader(tree, libraries)),
        "--inhibit-cache",
        "--library-path",
        str(folder),
        str(tree / "usr/bin" / PROGRAM),
        "-L",
        str(tree / "usr/share/qemu"),
        "-L",
        str(tree / "usr/share/seabios"),
    )
    able = capabilities(version, "")
    return QemuBinary(argv, {"QEMU_MODULE_DIR": str(folder / "qemu")}, version, "cache", able)


def library_folder(tree: Path) -> str | None:
    """Where in an unpacked tree the C library lies, such as usr/lib/x86_64-linux-gnu; None if there is none."""
    found = sorted(tree.glob("usr/lib/*/ld-linux*.so.*"))
    return str(found[0].parent.relative_to(tree)) if found else None


def _loader(tree: Path, libraries: str) -> Path:
    return next((tree / libraries).glob("ld-linux*.so.*"), tree / libraries / "ld-linux.so")
