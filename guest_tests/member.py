"""A guest as the rig holds it: the QEMU, the link to its agent, and the mdev it has now."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from dataclasses import dataclass

from device_model.device import DeviceError
from guest_tests.agent_errors import AgentError, AgentLost
from guest_tests.agent_link import AgentLink
from host_ctl.guest import Guest
from host_ctl.mdev import Mdev

SLOT = 0
"""Every guest has one root port, and its mdev lies behind it."""
DEATH_NOTICE_S = 5.0
"""How long the end of a process may take to become known after its sockets have closed."""


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
