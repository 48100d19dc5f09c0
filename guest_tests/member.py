"""A guest as the rig holds it: the QEMU, the link to its agent, and the mdev it has now."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from dataclasses import dataclass
from typing import Any, Protocol

from device_model.errors import DeviceError
from guest_tests.agent_errors import AgentError, AgentLost
from guest_tests.agent_link import AgentLink
from guest_tests.agent_results import Counters
from host_ctl.guest import Guest
from host_ctl.mdev import Mdev

SLOT = 0
"""Every guest has one root port, and its mdev lies behind it."""
DEATH_NOTICE_S = 5.0
"""How long the end of a process may take to become known after its sockets have closed."""


class Counted(Protocol):
    """Whoever takes part in a run and counts its interrupts itself: a guest with an agent, or one with Linux."""

    index: int

    @property
    def mdevs(self) -> list[Mdev]:
        """The mdevs that are plugged into it now."""

    def snapshot(self) -> Any:
        """What it has counted so far, for counts_since() and strays_since()."""

    def counts_since(self, before: Any) -> dict[int, int]:
        """MSI-X vector -> interrupts; without zeros."""

    def strays_since(self, before: Any) -> int:
        """Interrupts that came where nobody expected one."""

    def problem(self) -> str | None:
        """What has happened to the guest; None: it lives."""


@dataclass(slots=True, weakref_slot=True)
class Member:
    """A guest of the rig, and the mdev it has now."""

    index: int
    guest: Guest
    link: AgentLink
    mdev: Mdev | None = None
    plugged: int = 0
    """Times an mdev was plugged: makes device ids fresh."""

    def __post_init__(self) -> None:
        itself = weakref.ref(self)  # what is hung into them must not keep them and their RAM alive

        def hint() -> str:
            member = itself()
            return member.keeps_reading() if member is not None else ""

        self.link.hint = self.guest.hint = hint

    def keeps_reading(self) -> str:
        """`keeps reading GENSTS (0x90), value 0x1 = Enabled, 812,345 times in 9.8 s`; empty: it does not."""
        with contextlib.suppress(DeviceError):
            polling = self.mdev.vdev.polling() if self.mdev is not None else None
            return f"keeps reading {polling}" if polling else ""
        return ""

    @property
    def device(self) -> Mdev:
        """The mdev; RuntimeError if there is none now."""
        if self.mdev is None:
            raise RuntimeError(f"guest {self.index} has no mdev")
        return self.mdev

    @property
    def mdevs(self) -> list[Mdev]:
        """The mdev, if there is one now."""
        return [] if self.mdev is None else [self.mdev]

    def snapshot(self) -> Counters:
        """All counters of its agent."""
        return self.link.counters()

    def counts_since(self, before: Counters) -> dict[int, int]:
        """MSI-X vector -> interrupts that its handlers counted; without zeros."""
        base = self.link.vector_base(SLOT)
        top = base + self.link.vectors_per_slot
        seen = self.link.counters().since(before)
        return {vector - base: count for vector, count in seen.items() if base <= vector < top}

    def strays_since(self, before: Counters) -> int:
        """Interrupts at CPU vectors that nobody owned."""
        return self.link.counters().stray_total - before.stray_total

    @property
    def vectors(self) -> range:
        """MSI-X vectors that completion interrupts can be sent to: all but vector 0."""
        return range(1, self.device.vectors + 1)

    def problem(self) -> str | None:
        """What has happened to the guest: dead or crashed, and where. None: it lives."""
        if self.guest.died.done():
            return self.guest.died.result().reason
        try:
            self.link.check()
        except AgentError as error:
            return error.what
        return None

    async def diagnosis(self) -> str | None:
        """problem(), after a moment in which QEMU's own end may become known: its serial line ends first."""
        try:
            self.link.check()
        except AgentLost:
            await asyncio.wait({self.guest.died}, timeout=DEATH_NOTICE_S)
        except AgentError:
            pass
        return self.problem()

    def cpu_vector(self, vector: int) -> int:
        """The CPU's vector of an MSI-X vector."""
        return self.link.vector_base(SLOT) + vector
