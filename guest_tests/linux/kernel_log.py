"""The log of a guest's kernel, as it comes over the serial line, and what in it ends a run."""

from __future__ import annotations

import asyncio
import re
import socket

TROUBLE = re.compile(
    rb"^.*(?:Oops|BUG: |Kernel panic|WARNING: |general protection fault|unable to handle|rcu: INFO: .*stall|"
    rb"blocked for more than|soft lockup|UBSAN|KASAN).*$",
    re.MULTILINE,
)
"""Lines that a healthy kernel never writes."""
_KEPT = 1 << 20


class KernelLog:
    """Reads the serial line of a guest for as long as it lives. `trouble` is done with the first line that is TROUBLE."""

    def __init__(self, serial: socket.socket) -> None:
        self._serial = serial
        self._loop = asyncio.get_running_loop()
        self._text = bytearray()
        self._looked = 0
        self.trouble: asyncio.Future[str] = self._loop.create_future()
        serial.setblocking(False)
        self._fd = serial.fileno()
        self._loop.add_reader(self._fd, self._read)

    def close(self) -> None:
        """Stops reading. Idempotent."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._fd = -1

    def tail(self, lines: int = 60) -> str:
        """The last lines that came."""
        return "\n".join(bytes(self._text).decode(errors="replace").splitlines()[-lines:])

    def _read(self) -> None:
        try:
            data = self._serial.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._text += data
        del self._text[:-_KEPT]
        self._look(len(data))

    def _look(self, fresh: int) -> None:
        """From the beginning of the line that the fresh bytes have gone on with."""
        start = self._text.rfind(b"\n", 0, max(0, len(self._text) - fresh)) + 1
        found = TROUBLE.search(self._text, start)
        if found and not self.trouble.done():
            self.trouble.set_result(found[0].decode(errors="replace").strip())
