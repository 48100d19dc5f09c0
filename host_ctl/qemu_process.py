"""One QEMU process: started fast, never left behind, always reaped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOG_LIMIT = 4 << 20
"""Bytes of QEMU's log that are kept: the first ones. A dead device makes QEMU write two lines per access."""

CLOSE_LIMIT_S = 5.0
_TAIL_BYTES = 8192

# setpriv makes the kernel kill the process when the thread that forked it ends, which survives exec. Should the parent
# have died before that took effect, nobody would ever send the signal: hence the look at the parent afterwards.
# A preexec_fn would do the same, but costs a fork of the whole interpreter (5 ms against 0.2 ms in the parent).
_GUARD = ("setpriv", "--pdeathsig", "KILL", "--", "/bin/sh", "-c")
_SCRIPT = '[ "$PPID" = "$0" ] || exit 125; {limit}exec "$@"'
_BLOCK = 512

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a process ended: `code` as subprocess has it, negative for a signal."""

    code: int

    def __str__(self) -> str:
        if self.code >= 0:
            return f"exit status {self.code}"
        try:
            return f"killed by {signal.Signals(-self.code).name}"
        except ValueError:
            return f"killed by signal {-self.code}"


class QemuProcess:
    """A running QEMU, owned by whoever holds this object.

    Ctrl-C in the terminal does not reach the process (it is not in its parent's process group), it has no standard
    input, and the kernel kills it when the thread that called start() ends: call that from the main thread, or one that
    lives as long.
    """

    def __init__(
        self, popen: subprocess.Popen[bytes], argv: tuple[str, ...], log_path: Path, log_limit: int | None
    ) -> None:
        self.argv = argv
        self.log_path = log_path
        self.pid = popen.pid
        self._popen = popen
        self._log_limit = log_limit
        self._pidfd: int | None = os.pidfd_open(popen.pid)

    @classmethod
    def start(
        cls,
        argv: Sequence[str],
        *,
        log_path: Path,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        log_limit: int | None = LOG_LIMIT,
    ) -> QemuProcess:
        """Starts `argv` in the caller's environment with `env` added; its output goes to a new file `log_path`.

        `pass_fds` keep their numbers. `log_limit` is in bytes and is the kernel's limit on every file the process
        writes or enlarges (RLIMIT_FSIZE; mapped memory does not count): None lifts it, for a QEMU with a writable disk
        image or a memory-backend-memfd.
        Raises OSError when no process can be made or the log cannot be written, FileNotFoundError without setpriv.
        """
        limit = "" if log_limit is None else f'trap "" XFSZ; ulimit -f {-(-log_limit // _BLOCK)}; '
        guard = (*_GUARD, _SCRIPT.format(limit=limit), str(os.getpid()))
        log_fd = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            popen = subprocess.Popen(
                (*guard, *argv),
                stdin=subprocess.DEVNULL,
                stdout=log_fd,
                stderr=log_fd,
                env={**os.environ, **(env or {})},
                pass_fds=tuple(pass_fds),
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise FileNotFoundError(error.errno, "setpriv is missing: install util-linux", "setpriv") from error
        finally:
            os.close(log_fd)
        return cls(popen, tuple(argv), log_path, log_limit)

    @property
    def status(self) -> ExitStatus | None:
        """How the process ended, None while it runs. Looking reaps it."""
        code = self._popen.poll()
        if code is None:
            return None
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        return ExitStatus(code)

    async def wait(self) -> ExitStatus:
        """Waits until the process has ended, and reaps it. Any number of tasks may wait."""
        if (status := self.status) is not None:
            return status
        assert self._pidfd is not None
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        # A descriptor of this waiter's own: a loop takes one reader each, and the other may be closed meanwhile.
        watch = os.dup(self._pidfd)
        loop.add_reader(watch, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(watch)
            os.close(watch)
        status = self.status
        assert status is not None
        return status

    def kill(self) -> None:
        """Sends SIGKILL, unless the process is known to have ended; does not wait."""
        if self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def close(self, limit_s: float = CLOSE_LIMIT_S) -> bool:
        """Kills, waits at most `limit_s` and reaps; needs no event loop. Idempotent.

        False when the kernel has not let the process go by then (as in a hung KVM ioctl): SIGKILL stays pending, and
        the process is reaped as soon as somebody looks at `status` again.
        """
        self.kill()
        if self.status is None and self._pidfd is not None:
            poller = select.poll()
            poller.register(self._pidfd, select.POLLIN)
            poller.poll(limit_s * 1000)
        if self.status is None:
            _log.warning("QEMU process %d does not end after SIGKILL: the kernel holds it", self.pid)
            return False
        return True

    def log_tail(self, lines: int = 20) -> tuple[str, ...]:
        """The last `lines` lines of the log, as far as the log was kept."""
        try:
            with self.log_path.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(0, size - _TAIL_BYTES))
                text = log.read(_TAIL_BYTES).decode(errors="replace")
        except OSError as error:
            return (f"(no log: {error})",)
        tail = tuple(text.splitlines()[-lines:])
        if self._log_limit is not None and size >= self._log_limit:
            return (*tail, f"(the log is full at {self._log_limit} bytes, what came later was dropped)")
        return tail
