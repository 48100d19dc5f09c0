"""The log of a guest's kernel, as it comes over the serial line, and what in it ends a run."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterable

TROUBLE = re.compile(
    rb"^.*(?:Oops|BUG: |Kernel panic|WARNING: |general protection fault|unable to handle|UBSAN|KASAN).*$", re.MULTILINE
)
"""Lines that a healthy kernel never writes. Not among them: that something took long, which on a busy machine it does."""
_LEVEL = re.compile(r"^<(\d+)>")
_WARNING = 4
EXPECTED = (
    # of the device: features that it does not have, each of which the driver says it goes without
    "Unable to turn on user SVA feature",
    "No in-kernel DMA with PASID",
    "No PMU support",
    "Platform does not have ENQCMD(S) support",
    # of the driver: Linux 6.1 offers a queue of fixed configuration to its user driver, which declines
    "user: probe of wq",
    # of dmatest.ko, built here
    "loading out-of-tree module taints kernel",
    "module verification failed",
    # of the machine, not of the device: what a guest says whose host is busy
    "calibrat",
    "amd_pstate",
    "clocksource",
    "TSC found unstable",
    "tsc=unstable",
    "hrtimer: interrupt took",
    "hpet: Lost",
    "increased min_delta_ns",
    "hogged CPU for",
    "perf: interrupt took",
    "sched: RT throttling",
)
"""Warnings that are none of ours, by a part of their text."""
_SWERROR = re.compile(r"idxd \S+: err\[0\]: 0x([0-9a-f]+)")
_EVENT = re.compile(r"idxd \S+: Device error 0x([0-9a-f]+) operation: 0x([0-9a-f]+)")
_TOLD = re.compile(rb"end trace|end Kernel panic")
_KEPT = 1 << 20


class KernelLog:
    """Reads the serial line of a guest for as long as it lives. `trouble` is done with the first line that is TROUBLE."""

    def __init__(self, serial: socket.socket) -> None:
        self._serial = serial
        self._loop = asyncio.get_running_loop()
        self._text = bytearray()
        self._looked = 0
        self.trouble: asyncio.Future[str] = self._loop.create_future()
        self.told = asyncio.Event()
        """Set when a kernel in trouble has written its trace."""
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
        if self.trouble.done() and _TOLD.search(self._text, start):
            self.told.set()


def unexpected_warnings(lines: Iterable[str]) -> list[str]:
    """Of lines of `dmesg -r`, those of level warning and worse that are not EXPECTED."""
    found = []
    for line in lines:
        level = _LEVEL.match(line)
        # The levels of what programs write to /dev/kmsg have the facility above them.
        if level and int(level[1]) <= _WARNING and not any(part in line for part in EXPECTED):
            found.append(line)
    return found


def reported_errors(lines: Iterable[str]) -> list[tuple[int, int]]:
    """Status and operation of each error that the driver writes down: of SWERROR (9.2.16), or of an entry of the event log."""
    found = []
    for line in lines:
        if swerror := _SWERROR.search(line):
            value = int(swerror[1], 16)
            found.append((value >> 8 & 0xFF, value >> 32 & 0xFF))
        if event := _EVENT.search(line):
            found.append((int(event[1], 16), int(event[2], 16)))
    return found
