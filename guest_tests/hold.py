"""Engines that wait with an interrupt that has been granted: what is in flight then does not depend on the machine.

Only the build with planted faults can do that (core/fault.h). With the one that ships, everything here does nothing, and what is
in flight at some moment is up to chance.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from guest_tests.member import Member
from guest_tests.planted import HOLD_MESSAGES
from guest_tests.rig import Rig

_TICK_S = 0.0003
_DRAINING = 2
"""WQCFG's state of a work queue that is on its way to disabled."""


async def until(true: Callable[[], bool], limit_s: float, otherwise: str) -> None:
    """Returns when something that the device does is so; TimeoutError, with the words of `otherwise`: it never is."""
    deadline = time.monotonic() + limit_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{otherwise} after {limit_s:g} s")
        await asyncio.sleep(_TICK_S)


class Hold:
    """From begin() to end(), the first interrupt that is granted waits, and with it everything behind it in any queue."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig

    def begin(self) -> None:
        """Nothing is in flight yet."""
        self._plant(HOLD_MESSAGES)

    def end(self) -> None:
        """Idempotent."""
        self._plant(self._rig.core_fault)

    def _plant(self, what: int) -> None:
        with contextlib.suppress(AttributeError):  # the build that ships has no such function
            self._rig.host.device.plant_fault(what)

    async def until_draining(self, member: Member) -> None:
        """Returns when somebody waits for the guest's work queue to become quiet; at most as long as the rig is patient."""
        waiting = f"nobody waits for the work queue of guest {member.index}"
        await until(lambda: self._drains(member.device.wq), self._rig.patience_s, waiting)

    async def unplug(self, member: Member) -> None:
        """Takes a guest's mdev away. If the host waits for what is held, as it should, that is let go."""
        wq = member.device.wq
        task = asyncio.create_task(self._rig.unplug(member))
        while not task.done():
            if self._drains(wq):
                self.end()
            await asyncio.wait({task}, timeout=_TICK_S)
        await task

    def _drains(self, wq: int) -> bool:
        return self._rig.host.parts.chip.wq_state(wq) == _DRAINING
