"""What scenarios are written with: windows of silence between canaries, and a background of guests that fire."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from guest_tests.background import BURST, Background
from guest_tests.descriptors import Opcode, descriptor
from guest_tests.guests import running_guests
from guest_tests.member import Member
from guest_tests.rig import NotArrived, Rig, make_host
from guest_tests.session import Session

GUESTS, VECTORS = 3, 2


@pytest.fixture
async def own_rig(session: Session) -> AsyncIterator[Rig]:
    """Guests of the test's own, each with an mdev."""
    folder = Path(tempfile.mkdtemp(dir=session.folder.path))  # the session has mdevs of its own
    host = await asyncio.to_thread(make_host, GUESTS, VECTORS)
    try:
        async with running_guests(GUESTS, session.image, session.qemu, folder, accelerator="tcg") as members:
            rig = Rig(host, members, folder, vectors=VECTORS, seed=3)
            for member in members:
                await rig.plug(member)
            yield rig
    finally:
        await asyncio.to_thread(host.close)


async def canaries(rig: Rig, member: Member, work: bytes | None = None) -> int:
    """How many canaries a window around nothing costs a guest, if it does `work` before it."""
    if work is not None:
        await rig.attempt(member, [work])
    before = rig.record.due[member.index, 1]
    async with rig.silence("around nothing", among=[member]):
        pass
    return rig.record.due[member.index, 1] - before


async def test_canaries_that_end_a_window_begin_the_next_if_nothing_is_done_between(own_rig: Rig) -> None:
    member, other, _ = own_rig.members
    noop = descriptor(Opcode.NOOP)
    first, second, third = [await canaries(own_rig, member, work) for work in (None, None, noop)]
    elsewhere, back = await canaries(own_rig, other), await canaries(own_rig, member)

    assert (first, second, third) == (2, 1, 2)
    assert (elsewhere, back) == (2, 2)
    assert all(window.canaries_before == window.canaries_after for window in own_rig.record.windows)


async def test_every_guest_of_a_background_fires_again_before_the_next_look(own_rig: Rig) -> None:
    first, *others = own_rig.members
    before = own_rig.record.due.copy()
    async with Background(own_rig, others) as background:
        looks = [await background.all_fire() for _ in range(3)]
        await own_rig.fire(first, [1] * 100)
    due = own_rig.record.due - before

    assert all(look[member.index] >= BURST * (1 + i) for i, look in enumerate(looks) for member in others)
    assert due.pop((first.index, 1)) == 100
    assert {guest: count for (guest, _), count in due.items()} == background.shots


async def test_guest_of_a_background_that_is_not_heard_ends_it(own_rig: Rig) -> None:
    own_rig.patience_s = 0.3
    await own_rig.mute(own_rig.members[1])
    with pytest.raises(NotArrived, match=r"guest 1, vector \d: no interrupt came"):
        async with Background(own_rig, own_rig.members) as background:
            await background.all_fire()
