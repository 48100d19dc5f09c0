"""Guests with mapped portals (docs/mapped-portal.md) in a real QEMU: their stores do not trap, and the device finds them."""

from __future__ import annotations

from guest_tests.agent_results import Item
from guest_tests.descriptors import Opcode, Status, descriptor, firing_noop
from guest_tests.member import SLOT
from guest_tests.rig import PORTAL, assert_refused
from guest_tests.session import Session
from guest_tests.tests.own_rig import own_rig

VECTORS = 3
BURST = 512


async def test_every_vector_arrives_and_forged_handles_are_refused_by_mapped_portals(session: Session) -> None:
    async with own_rig(session, mapped_portal=True) as rig:
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
    async with own_rig(session, mapped_portal=True) as rig:
        member = rig.members[0]
        items = [Item(rig.with_record(member, place, descriptor(Opcode.NOOP))) for place in range(BURST)]
        submission = await member.link.submit(SLOT, items, portal=PORTAL, window=32, timeout_s=rig.patience_s)

    assert [outcome.status for outcome in submission.items] == [Status.SUCCESS] * BURST


async def test_unplug_and_plug_leave_nothing_of_the_old_portal(session: Session) -> None:
    async with own_rig(session, mapped_portal=True) as rig:
        old, other = rig.members
        stale = list(old.device.handles)
        await rig.unplug(old)
        refused = await rig.attempt(other, [firing_noop(0, handle) for handle in stale])
        await rig.plug(old)
        await rig.fire(old, old.vectors)
        audit = rig.host.audit()

    assert_refused(refused)
    assert audit.mdevs == 2
