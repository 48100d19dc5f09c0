"""The order in which QEMUs are considered: yours, the system's, Debian's."""

import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

from qemu_patches.binary import PROGRAM, QemuBinary
from qemu_patches.errors import QemuUnavailable
from qemu_patches.memory import Memory
from qemu_patches.patched import find_patched, make_patched
from qemu_patches.probe import ProbeError, probe
from qemu_patches.stock import fetch
from qemu_patches.store import Store, default_folder

PATCHED = "patched"
"""What $QEMU is set to for the patched QEMU of the cache; a file of that name has to be given with its path."""

_OWN_ADVICE = f"Set QEMU to another {PROGRAM}, or unset it to let one be found."


def _quiet(_line: str) -> None:
    pass


def find_qemu(*, cache: Path | None = None, progress: Callable[[str], None] = _quiet) -> QemuBinary:
    """A QEMU that is new enough and has the vfio-user client.

    $QEMU, if set, is the one or an error; the word `patched` means the one that build_patched() made. Else the system's
    qemu-system-x86_64, if it will do; else a stock one out of Debian's packages, unpacked below `cache` (default: see
    store.default_folder) the first time and found there after. A QEMU that is installed or unpacked is not run again to
    be asked what it has answered before; $QEMU always is.
    `progress` gets a line for each step that takes seconds.
    Raises QemuUnavailable, whose message says what to do.
    """
    own = os.environ.get("QEMU")
    if own == PATCHED:
        return find_patched((cache or default_folder()).absolute())
    if own:
        return named_qemu(own)
    return _found(cache, progress)


def build_patched(*, cache: Path | None = None, progress: Callable[[str], None] = _quiet) -> QemuBinary:
    """The patched QEMU below `cache`, built there the first time: some minutes. Raises QemuUnavailable."""
    return make_patched((cache or default_folder()).absolute(), lambda: _found(cache, progress), progress)


def _found(cache: Path | None, progress: Callable[[str], None]) -> QemuBinary:
    """One that is not the user's own: the system's or a stock one of Debian's."""
    folder = (cache or default_folder()).absolute() / "qemu"
    system = _system(Memory(folder / "probes.json"))
    if system is not None:
        return system
    store = Store(folder)
    found = store.find()
    if found is not None:
        return found
    with store.locked(lambda: progress(f"waiting for another run that is busy in {store.folder}")):
        return store.find() or fetch(store, progress)


def named_qemu(named: str) -> QemuBinary:
    """The QEMU that the user named in $QEMU. Raises QemuUnavailable."""
    argv = _words(named)
    try:
        answers = probe(argv, {})
    except ProbeError as error:
        raise QemuUnavailable(f"$QEMU ({named}) {error}. {_OWN_ADVICE}") from error
    lacking = answers.shortcoming()
    if lacking is not None:
        raise QemuUnavailable(f"$QEMU ({named}) {lacking}. {_OWN_ADVICE}")
    return QemuBinary(argv, {}, answers.version, "$QEMU", answers.capabilities)


def _words(named: str) -> tuple[str, ...]:
    """The command $QEMU stands for: a path (blanks and all), a name to be looked up, or either with arguments."""
    try:
        words = [named] if Path(named).is_file() else shlex.split(named)
    except ValueError as error:
        raise QemuUnavailable(f"$QEMU ({named}) cannot be split into words: {error}. {_OWN_ADVICE}") from error
    program = shutil.which(words[0]) if words else None
    if program is None:
        reason = "is not executable" if words and Path(words[0]).is_file() else "does not exist"
        raise QemuUnavailable(f"$QEMU ({named}) {reason}. {_OWN_ADVICE}")
    return (str(Path(program).absolute()), *words[1:])


def _system(memory: Memory) -> QemuBinary | None:
    program = shutil.which(PROGRAM)
    if program is None:
        return None
    argv = (str(Path(program).absolute()),)
    try:
        answers = memory.recall(Path(program), lambda: probe(argv, {}))
    except ProbeError:
        return None
    if answers.shortcoming() is not None:
        return None
    return QemuBinary(argv, {}, answers.version, "system", answers.capabilities)
