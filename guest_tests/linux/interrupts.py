"""What a Linux guest counted of its devices' interrupts: runs of handlers, as the kernel's own tracepoint counts them.

/proc/interrupts forgets an interrupt when its driver gives it back; the histogram of irq_handler_entry (see init.sh) does not.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from guest_tests.linux.guest import LinuxGuest, LinuxTrouble
from guest_tests.linux.idxd import IdxdDevice, Names

READ_COUNTS = "cat /sys/kernel/tracing/events/irq/irq_handler_entry/hist"
_ENTRY = re.compile(r"\{ irq:\s*(\d+), name: (\S+)\s*\} hitcount:\s*(\d+)")
_END = "Totals:"
DRIVER = "idxd"
"""What the names of the driver's handlers begin with."""


@dataclass(slots=True)
class HandlerRuns:
    """Counts by MSI-X vector, over all devices that were attached. look() brings them up to date.

    An interrupt's number is used again: before a driver gives numbers back for good, detach() what had them.
    """

    guest: LinuxGuest
    counts: Counter[int] = field(default_factory=Counter)
    unknown: int = 0
    """Runs of the driver's handlers for interrupts that no attached device has."""
    _vector_of: dict[int, int] = field(default_factory=dict)
    _seen: dict[int, int] = field(default_factory=dict)
    _lines: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def attach(self, device: IdxdDevice, names: Names) -> None:
        """From now on the numbers that the device has are those of its vectors, also for what has come already."""
        self._lines[device.port] = names.interrupts
        self._vector_of |= {line: vector for vector, line in enumerate(names.interrupts)}

    def line(self, device: IdxdDevice, vector: int) -> int:
        """The interrupt's number in the guest, of a device that is attached."""
        return self._lines[device.port][vector]

    async def detach(self, device: IdxdDevice) -> None:
        """The device's driver has given the interrupts back."""
        self.detached(device, await self.guest.run(READ_COUNTS))

    def detached(self, device: IdxdDevice, histogram: str) -> None:
        """The same, with what READ_COUNTS wrote after that."""
        self.take(histogram)
        for line in self._lines.pop(device.port, ()):
            del self._vector_of[line]

    async def look(self) -> None:
        """Reads the guest's counts."""
        self.take(await self.guest.run(READ_COUNTS))

    def take(self, histogram: str) -> None:
        """Brings the counts up to date with what READ_COUNTS wrote. LinuxTrouble: that is no whole histogram."""
        unknown = 0
        for line, name, count in parse_histogram(histogram):
            vector = self._vector_of.get(line)
            if vector is not None:
                self.counts[vector] += count - self._seen.get(line, 0)
                self._seen[line] = count
            elif name.startswith(DRIVER):
                unknown += count - self._seen.get(line, 0)
        self.unknown = unknown

    def rebooted(self, commands: int) -> None:
        """The guest's own counts begin at zero again, and no device is attached.

        commands: those that its driver sent as it went down. It waits for the interrupt of each with no bound in time, so it took
        them all, or the guest would not have come back; what its kernel counted of them went with it.
        """
        self.counts[0] += commands
        self._seen.clear()
        self._vector_of.clear()
        self._lines.clear()


def parse_histogram(text: str) -> list[tuple[int, str, int]]:
    """Number, handler and count of each interrupt; one number may stand there with several names. LinuxTrouble: it has no end."""
    if _END not in text:
        raise LinuxTrouble(f"no whole histogram of interrupts: {text!r}")
    by_line: Counter[int] = Counter()
    names: dict[int, str] = {}
    for line, name, count in _ENTRY.findall(text):
        by_line[int(line)] += int(count)
        if name.startswith(DRIVER) or int(line) not in names:
            names[int(line)] = name
    return [(line, names[line], count) for line, count in sorted(by_line.items())]
