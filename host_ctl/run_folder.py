"""Where a run keeps its sockets and logs, and the lock that keeps two runs out of one report folder."""

from __future__ import annotations

import atexit
import contextlib
import datetime
import errno
import fcntl
import json
import os
import re
import secrets
import shutil
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

from host_ctl.errors import AnotherRun, HostError, SocketPathTooLong

SOCKET_PATH_LIMIT = 107
"""Bytes of a path in sockaddr_un without the terminator (unix(7))."""

_NAME = re.compile(r"vdsa-(\d+)-(\d+)-[0-9a-f]{4}")
_LONGEST_SOCKET_NAME = 48
_LOCK_NAME = ".lock"


def check_socket_path(path: Path) -> Path:
    """`path`, if a UNIX socket can have it. Raises SocketPathTooLong."""
    if len(bytes(path)) > SOCKET_PATH_LIMIT:
        raise SocketPathTooLong(path, SOCKET_PATH_LIMIT)
    return path


def start_time(pid: int) -> int | None:
    """When the process began, in clock ticks since boot (proc(5), field 22 of stat); None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The second field is the command's name in brackets and may hold anything, brackets too.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


class RunFolder:
    """A private folder (mode 0700) with a short path, gone at close() and, at the latest, when Python exits.

    What a killed run left behind is removed by the next one: the folder's name has the owner's pid and start time, and
    the owner holds a lock on it, which also tells the runs of another pid namespace alive.
    """

    def __init__(self, base: Path | None = None) -> None:
        """Makes the folder in `base` (default: XDG_RUNTIME_DIR, else /tmp). Raises HostError, SocketPathTooLong."""
        base = base or _default_base()
        remove_leftovers(base)
        self.path = _make(base)
        self._owner = os.getpid()
        self._fd = _lock_folder(self.path)
        atexit.register(self.close)

    def socket_path(self, name: str) -> Path:
        """Path for a UNIX socket. Raises SocketPathTooLong, ValueError for a name with a slash."""
        return check_socket_path(self._inside(name))

    def log_path(self, name: str) -> Path:
        """Path for a log file. Raises ValueError for a name with a slash."""
        return self._inside(f"{name}.log")

    def close(self) -> None:
        """Removes the folder and all in it. Idempotent; does nothing in a forked child."""
        if self._fd is None or os.getpid() != self._owner:
            return
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._fd)
        self._fd = None
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _inside(self, name: str) -> Path:
        if not name or "/" in name or name in (".", ".."):
            raise ValueError(f"{name!r} is not a file name")
        return self.path / name


def remove_leftovers(base: Path) -> list[Path]:
    """Removes the run folders in `base` that are ours (same user) and whose owner is dead; returns what it removed."""
    removed = []
    with contextlib.suppress(OSError):
        for path in base.iterdir():
            if _NAME.fullmatch(path.name) and _is_left_over(path):
                shutil.rmtree(path, ignore_errors=True)
                removed.append(path)
    return removed


def _is_left_over(path: Path) -> bool:
    match = _NAME.fullmatch(path.name)
    if match is None or start_time(int(match[1])) == int(match[2]):
        return False
    try:
        about = path.lstat()
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():
            return False
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _default_base() -> Path:
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    if given.startswith("/") and os.access(given, os.W_OK | os.X_OK):
        longest = Path(given) / f"vdsa-{2**22}-{2**40}-0000" / ("x" * _LONGEST_SOCKET_NAME)
        if len(bytes(longest)) <= SOCKET_PATH_LIMIT:
            return Path(given)
    return Path("/tmp")


def _make(base: Path) -> Path:
    pid = os.getpid()
    for _ in range(16):
        path = base / f"vdsa-{pid}-{start_time(pid)}-{secrets.token_hex(2)}"
        check_socket_path(path / ("x" * _LONGEST_SOCKET_NAME))
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            continue
        except OSError as error:
            raise HostError(
                f"no run folder in {base} ({error.strerror}): set XDG_RUNTIME_DIR to a folder of yours"
            ) from error
        return path
    raise HostError(f"no free name for a run folder in {base}: remove the vdsa-* folders there")


def _lock_folder(path: Path) -> int | None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(fd, fcntl.LOCK_SH)
    return fd


class RunLock:
    """The right to write to a report folder, for one run at a time; held until close() or the process's end."""

    def __init__(self, folder: Path) -> None:
        """Takes the lock of `folder`, which is made if need be. Raises AnotherRun with the holder's pid and start."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._fd: int | None = os.open(folder / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _holder(self._fd)
            os.close(self._fd)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise AnotherRun(folder, holder) from None
            raise
        _write_holder(self._fd)

    def close(self) -> None:
        """Lets the next run in. Idempotent. The lock file stays: removing it would let two runs lock two files."""
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _write_holder(fd: int) -> None:
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    os.ftruncate(fd, 0)
    os.pwrite(fd, json.dumps({"pid": os.getpid(), "started": now}).encode(), 0)


def _holder(fd: int) -> str:
    try:
        about = json.loads(os.pread(fd, 4096, 0))
        return f"pid {about['pid']}, started {about['started']}"
    except (ValueError, KeyError, TypeError):
        return "just starting or ending"
