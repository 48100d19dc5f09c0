"""Starting guests with the agent, and finding out whether KVM can run one."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from guest_tests.agent_build import AgentImage
from guest_tests.agent_link import AgentLink
from guest_tests.member import Member
from host_ctl.errors import GuestDied
from host_ctl.guest import start_guests
from host_ctl.guest_command import GuestSpec
from qemu_patches import QemuBinary

VECTORS_PER_SLOT = 64
"""CPU vectors for the one mdev of a guest: vector 0 and up to 63 that are backed by the IMS."""
READY_LIMIT_S = 60.0
"""Bound on the boot of all guests; one needs about 50 ms, 128 on two busy cores some seconds."""


@contextlib.asynccontextmanager
async def running_guests(
    count: int,
    image: AgentImage,
    qemu: QemuBinary,
    folder: Path,
    *,
    accelerator: str,
    ready: Callable[[int, int], None] = lambda ready, total: None,
) -> AsyncIterator[list[Member]]:
    """`count` guests whose agents obey, closed at the end whatever happens. ready: told how many of how many are up.

    Raises what Guest.start() and AgentLink.ready() raise.
    """
    specs = [GuestSpec(f"g{index}", image=image, accelerator=accelerator) for index in range(count)]
    guests = await start_guests(specs, qemu, folder)
    members: list[Member] = []
    try:
        for index, guest in enumerate(guests):
            link = AgentLink(guest.ram.map, guest.serial, image.elf, name=guest.name, vectors_per_slot=VECTORS_PER_SLOT)
            guest.died.add_done_callback(partial(_tell, link))
            members.append(Member(index, guest, link))
        await _all_ready(members, ready)
        yield members
    finally:
        for member in members:
            member.link.close()
        await _to_its_end(asyncio.gather(*(guest.close() for guest in guests)))


async def _to_its_end(under_way: asyncio.Future[Any]) -> None:
    """A Ctrl-C in the midst of it waits: it must not leave half of it behind. A second one does not."""
    try:
        await asyncio.shield(under_way)
    except asyncio.CancelledError:
        await under_way
        raise


def _tell(link: AgentLink, died: asyncio.Future[GuestDied]) -> None:
    link.connection_lost(died.result().reason)


async def _all_ready(members: Sequence[Member], ready: Callable[[int, int], None]) -> None:
    waits = [asyncio.create_task(member.link.ready(READY_LIMIT_S)) for member in members]
    try:
        for number, wait in enumerate(asyncio.as_completed(waits), start=1):
            await wait
            ready(number, len(members))
    finally:
        for task in waits:
            task.cancel()


async def boots(accelerator: str, image: AgentImage, qemu: QemuBinary, folder: Path) -> bool:
    """True if a guest with this accelerator reaches READY; the caller bounds the time."""
    async with running_guests(1, image, qemu, folder, accelerator=accelerator):
        return True


async def first_sign_of_life_ms(image: AgentImage, qemu: QemuBinary, folder: Path, *, accelerator: str) -> float:
    """Milliseconds from before exec to READY of one guest that is started alone."""
    begin = time.perf_counter()
    async with running_guests(1, image, qemu, folder, accelerator=accelerator):
        return (time.perf_counter() - begin) * 1e3
