"""A Linux guest as the rig holds it: its devices, its queue for copies, and what it counted."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from guest_tests.linux.guest import LinuxGuest, LinuxTrouble
from guest_tests.linux.idxd import IdxdDevice, Names
from guest_tests.linux.interrupts import READ_COUNTS, HandlerRuns
from guest_tests.linux.kernel_log import reported_errors, unexpected_warnings
from host_ctl.mdev import Mdev

PORT = 0
"""Root port of the mdev that the guest has all the time."""


SECOND = 1
"""Where a further one comes and goes."""


@dataclass(slots=True)
class Plugged:
    """An mdev that is in the guest."""

    mdev: Mdev
    device: IdxdDevice
    device_id: str
    names: Names
    mapped_portal: bool = False
    used: bool = False
    """Its queue has had its copies: newer drivers want it enabled anew before others."""

    @property
    def wqs(self) -> int:
        """Queues that completion interrupts have vectors for."""
        return self.mdev.vectors


@dataclass(slots=True)
class Victim:
    """A guest with Linux in a run. `index`: as in the report."""

    index: int
    linux: LinuxGuest
    runs: HandlerRuns
    ports: dict[int, Plugged] = field(default_factory=dict)
    plugged: int = 0
    booted_s: float = 0.0
    log_lines: int = 0
    """Lines of the kernel's log that have been looked at."""

    @property
    def mdevs(self) -> list[Mdev]:
        return [plugged.mdev for plugged in self.ports.values()]

    @property
    def main(self) -> Plugged:
        """The mdev it has all the time. KeyError: not now."""
        return self.ports[PORT]

    def snapshot(self) -> None:
        """Its counts begin at zero with the run."""

    def counts_since(self, before: Any) -> dict[int, int]:
        """MSI-X vector -> runs of the driver's handlers, as of the last look(); without zeros."""
        return {vector: count for vector, count in self.runs.counts.items() if count}

    def strays_since(self, before: Any) -> int:
        """Runs of the driver's handlers for interrupts of no device that it has."""
        return self.runs.unknown

    def problem(self) -> str | None:
        """Dead, or its kernel is in trouble."""
        if self.linux.guest.died.done():
            return self.linux.guest.died.result().reason
        with contextlib.suppress(LinuxTrouble):
            self.linux.check()
            return None
        return self.linux.log.trouble.result()

    async def renew(self, port: int = PORT) -> None:
        """Makes the queues fit for new copies, if they have had some and the driver needs it.

        From Linux 7 on a channel that is given back loses its interrupt until its queue is enabled anew; and a queue that the
        host has configured can only be enabled once for each time its driver is bound.
        """
        plugged = self.ports[port]
        if plugged.used and int(self.linux.image.release.split(".")[0]) >= 7:
            await self.enable_again(port)
        plugged.used = True

    async def enable_again(self, port: int = PORT) -> None:
        """Disables device and queues and enables them again, binding the driver anew where there is no other way."""
        plugged = self.ports[port]
        if not plugged.names.configurable:
            await self.rebind(port)
            return
        await plugged.device.disable(plugged.names, plugged.wqs)
        await plugged.device.enable(plugged.names, plugged.wqs)

    async def prepare_removal(self, port: int = PORT) -> None:
        """Disables a device that its driver would not survive to lose enabled: one that it has configured (Linux 6.1 frees its
        queues, then cleans their configuration up).
        """
        plugged = self.ports[port]
        if plugged.names.configurable:
            await plugged.device.disable(plugged.names, plugged.wqs)

    async def rebind(self, port: int = PORT) -> None:
        """Disables all, takes the PCI device from its driver, gives it back and enables all."""
        plugged = self.ports[port]
        counts, plugged.names = await plugged.device.rebind(plugged.names, plugged.wqs, READ_COUNTS)
        self.runs.detached(plugged.device, counts)
        self.runs.attach(plugged.device, plugged.names)
        await plugged.device.enable(plugged.names, plugged.wqs)

    async def reload_module(self) -> None:
        """Unloads the driver under an enabled device, loads it again and enables all."""
        plugged = self.main
        await self.prepare_removal()
        await self.linux.run("rmmod idxd")
        await self.runs.detach(plugged.device)
        await self.linux.run("insmod /modules/idxd.ko")
        plugged.names = await plugged.device.names()
        self.runs.attach(plugged.device, plugged.names)
        await plugged.device.enable(plugged.names, plugged.wqs)

    async def reported_errors(self) -> list[tuple[int, int]]:
        """Status and operation of the errors that the driver has written down since the last look at the log."""
        await self.linux.kernel_log()
        return reported_errors(self._fresh_lines())

    async def look(self) -> list[str]:
        """Brings the counts up to date. Warnings that the kernel has written since the last time, but for those that say what a
        device does not have.
        """
        self.runs.take(await self.linux.run_and_read_log(READ_COUNTS))
        return unexpected_warnings(self._fresh_lines())

    def _fresh_lines(self) -> Sequence[str]:
        lines = self.linux.lines
        fresh, self.log_lines = lines[self.log_lines :], len(lines)
        return fresh
