"""Handles that are not a guest's own, in every organisation of the message store.

Where handles are numbered in the whole device, a foreign one is one that the host gave to another. Where each owner's are
numbered by themselves, two guests have the same numbers: there a guest gives up its own of those numbers first, and then what it
names can be nobody's but the victim's, if anybody's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

from guest_tests.member import SLOT, Member
from guest_tests.rig import Rig
from host_ctl.interrupts import Organisation
from host_ctl.interrupts.organisation import MAX_TABLE, PAGE_ENTRIES

_REQUEST_HANDLE, _RELEASE_HANDLE = 13 << 20, 14 << 20


def are_local(rig: Rig) -> bool:
    """Whether each owner's handles are numbered by themselves."""
    return rig.host.parts.domain.store.facts.local_handles


def handle_bound(rig: Rig) -> int:
    """The first handle that leads to no entry at all: behind the array, the MSI-X table, a guest's own table, its only page."""
    store = rig.host.parts.domain.store
    return {
        Organisation.ARRAY: store.chip.num_ims,
        Organisation.TABLE: rig.vectors,
        Organisation.QUEUE: PAGE_ENTRIES,
        Organisation.MSIX: store.chip.num_msix,
    }[store.ORGANISATION]


def unused_handles(rig: Rig) -> list[int]:
    """Handles that nobody was given: of entries that are free, of a page; where tables are exact, those behind them."""
    bound = MAX_TABLE if rig.host.parts.domain.store.ORGANISATION is Organisation.TABLE else handle_bound(rig)
    given = {handle for mdev in rig.host.mdevs.values() for handle in mdev.handles}
    return [handle for handle in range(bound) if handle not in given]


def never_own(rig: Rig, other: Member) -> int:
    """A handle that is refused beside a guest's own ones, which stay: another's, or where all have the same, nobody's."""
    return handle_bound(rig) if are_local(rig) else rig.handle(other, 1)


@contextlib.asynccontextmanager
async def disowned(rig: Rig, member: Member, handles: Iterable[int]) -> AsyncIterator[None]:
    """Within, none of `handles` is the guest's own: it has released those that it had, and requests them again afterwards."""
    named = set(handles)
    own = dict(enumerate(member.device.handles, start=1)) if are_local(rig) else {}
    vectors = [vector for vector, handle in own.items() if handle in named]
    for vector in vectors:
        assert await member.link.command(SLOT, _RELEASE_HANDLE | vector) == 0, f"vector {vector}: not released"
    try:
        yield
    finally:
        answers = [await member.link.command(SLOT, _REQUEST_HANDLE | vector) for vector in vectors]
    assert answers == [own[vector] << 8 for vector in vectors], f"requested again, CMDSTATUS {answers}"


async def each(rig: Rig, members: Sequence[Member], attack: Callable[[Member], Awaitable[None]]) -> None:
    """All attack at once; where attackers give up their own handles, one after the other: the victims' are live meanwhile."""
    if not are_local(rig):
        await asyncio.gather(*(attack(member) for member in members))
        return
    for member in members:
        await attack(member)
