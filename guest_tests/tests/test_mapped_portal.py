"""Guests with mapped portals (docs/mapped-portal.md) in a real QEMU: their stores do not trap, and the device finds them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from guest_tests.agent_results import Item
from guest_tests.descriptors import Opcode, Status, descriptor, firing_noop
from guest_tests.guests import running_guests
from guest_tests.member import SLOT
from guest_tests.rig import PORTAL, Rig, assert_refused, make_host
from guest_tests.session import Session

VECTORS = 3
BURST = 512


@asynccontextmanager
async def a_rig(session: Session) -> AsyncIterator[Rig]:
    """Two guests of their own with mapped portals."""
    folder = Path(tempfile.mkdtemp(dir=session.folder.path))
    host = await asyncio.to_thread(make_host, 2, VECTORS)
    try:
        async with running_guests(2, session.image, session.qemu, folder, accelerator="tcg") as members:
            rig = Rig(host, members, folder, vectors=VECTORS, seed=3, mapped_portal=True)
            for member in members:
                await rig.plug(member)
            yield rig
    finally:
        await asyncio.to_thread(host.close)


async def test_every_vector_arrives_and_forged_handles_are_refused_by_mapped_portals(session: Session) -> None:
    async with a_rig(session) as rig:
        trapped = [member.device.vdev.stats().writes.bar2 for member in rig.members]
        async with rig.silence("mapped portals"):
            for member in rig.members:
                await rig.fire(member, member.vectors)
            refused = await rig.attempt_handles(rig.members[0], rig.foreign_handles(rig.members[0]))
        summary = rig.record.summary()

    assert_refused(refused)
    assert trapped == [0, 0]
    assert {way[:2] for way, count in summary.injected.items() if count} == {(0, 0), (1, 1)}


async def test_burst_through_a_mapped_portal_is_taken_whole_and_in_order(session: Session) -> None:
    async with a_rig(session) as rig:
        member = rig.members[0]
        items = [Item(rig._with_record(member, place, descriptor(Opcode.NOOP))) for place in range(BURST)]
        submission = await member.link.submit(SLOT, items, portal=PORTAL, window=32, timeout_s=rig.patience_s)

    assert [outcome.status for outcome in submission.items] == [Status.SUCCESS] * BURST


async def test_unplug_and_plug_leave_nothing_of_the_old_portal(session: Session) -> None:
    async with a_rig(session) as rig:
        old, other = rig.members
        stale = list(old.device.handles)
        await rig.unplug(old)
        refused = await rig.attempt(other, [firing_noop(0, handle) for handle in stale])
        await rig.plug(old)
        await rig.fire(old, old.vectors)
        audit = rig.host.audit()

    assert_refused(refused)
    assert audit.mdevs == 2
