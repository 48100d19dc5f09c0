"""Starts the Linux guests of a run."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from guest_tests.linux.guest import LinuxGuest, linux_guest
from guest_tests.linux.interrupts import HandlerRuns
from guest_tests.linux.victim import Victim

if TYPE_CHECKING:
    from guest_tests.session import Session

BOOT_LIMIT_S = 240.0
"""Bound on the boot of all: each takes 4 to 6 s of a CPU."""


@contextlib.asynccontextmanager
async def running_victims(session: Session) -> AsyncIterator[list[Victim]]:
    """As many as were asked for, booted. Raises what linux_guest() and LinuxGuest.ready() raise."""
    options = session.options
    assert session.linux is not None
    session.progress.phase("Booting Linux guests")
    async with contextlib.AsyncExitStack() as stack:
        begin = time.perf_counter()
        guests = [
            await stack.enter_async_context(
                linux_guest(session.linux, session.qemu, session.folder.path, name=f"linux{number}", reboots=True)
            )
            for number in range(options.guests)
        ]
        booted = await asyncio.gather(*(_booted(guest, begin) for guest in guests))
        yield [
            Victim(options.agents + number, guest, HandlerRuns(guest), booted_s=seconds)
            for number, (guest, seconds) in enumerate(zip(guests, booted, strict=True))
        ]


async def _booted(guest: LinuxGuest, begin: float) -> float:
    await guest.ready(BOOT_LIMIT_S)
    return time.perf_counter() - begin
