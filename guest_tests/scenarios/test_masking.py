"""Masked vectors: nothing arrives while masked, nothing is lost, and a forged attempt leaves no trace in a victim."""

from __future__ import annotations

import pytest

from guest_tests.descriptors import Status
from guest_tests.handles import disowned
from guest_tests.member import Member
from guest_tests.rig import Rig, assert_refused

SLOT = 0
_OFFSETS, _IGNORE = 0x60, 1 << 2


def _has_pending(member: Member) -> bool:
    """Whether the host sees an interrupt pending at an entry of this guest."""
    return any(interrupt.pending for interrupt in member.device.interrupts)


async def test_vector_masked_by_its_guest_keeps_one_interrupt_until_unmasked(rig: Rig) -> None:
    member = rig.random.choice(rig.members)
    vector = rig.random.choice(member.vectors)
    handle = rig.handle(member, vector)

    async with rig.silence("masked by the guest"):
        await member.link.mask(SLOT, vector, masked=True)
        before = rig.record.counts(member).get(vector, 0)
        fired = await rig.attempt_handles(member, [handle] * rig.unpaced(3))
        pending = await rig.becomes_pending(member, vector)
        seen_masked = rig.record.counts(member).get(vector, 0)
        rig.record.is_due(member, vector)
        await member.link.mask(SLOT, vector, masked=False)
        await rig.arrived(member, vector)
        pending_after = await member.link.pending(SLOT, vector)

    assert {outcome.status for outcome in fired} == {Status.SUCCESS}
    assert pending
    assert not pending_after
    assert seen_masked == before


@pytest.mark.shared
async def test_entry_masked_by_the_host_keeps_one_interrupt_until_unmasked(rig: Rig) -> None:
    member = rig.random.choice(rig.members)
    vector = rig.random.choice(member.vectors)
    interrupt = member.device.interrupts[vector - 1]

    async with rig.silence("masked by the host"):
        interrupt.mask()
        before = rig.record.counts(member).get(vector, 0)
        fired = await rig.attempt_handles(member, [rig.handle(member, vector)] * 3)
        pending = interrupt.pending
        shown = await rig.shows_pending(member, vector)
        seen_masked = rig.record.counts(member).get(vector, 0)
        rig.record.is_due(member, vector)
        interrupt.unmask()
        await rig.arrived(member, vector)

    assert [outcome.status for outcome in fired] == [Status.SUCCESS] * 3
    assert pending
    assert shown, "the guest's PBA does not show what is pending in the IMS"
    assert not interrupt.pending
    assert seen_masked == before


@pytest.mark.shared
async def test_forged_handle_leaves_a_victim_masked_by_its_guest_without_pending(rig: Rig) -> None:
    attacker, victim = rig.random.sample(rig.members, 2)
    vector = rig.random.choice(victim.vectors)

    async with rig.silence("victim masked by its guest"):
        await victim.link.mask(SLOT, vector, masked=True)
        async with disowned(rig, attacker, [rig.handle(victim, vector)]):
            refused = await rig.attempt_handles(attacker, [rig.handle(victim, vector)] * 4)
            pending = await victim.link.pending(SLOT, vector) or _has_pending(attacker)
        await victim.link.mask(SLOT, vector, masked=False)

    assert_refused(refused)
    assert not pending


@pytest.mark.shared
async def test_forged_handle_leaves_a_victim_masked_by_the_host_without_pending(rig: Rig) -> None:
    attacker, victim = rig.random.sample(rig.members, 2)
    vector = rig.random.choice(victim.vectors)
    interrupt = victim.device.interrupts[vector - 1]

    async with rig.silence("victim masked by the host"):
        interrupt.mask()
        async with disowned(rig, attacker, [rig.handle(victim, vector)]):
            refused = await rig.attempt_handles(attacker, [rig.handle(victim, vector)] * 4)
            pending = interrupt.pending or _has_pending(attacker)
        interrupt.unmask()

    assert_refused(refused)
    assert not pending


async def test_function_mask_keeps_one_interrupt_a_vector_until_it_is_lifted(rig: Rig) -> None:
    member = rig.random.choice(rig.members)

    async with rig.silence("function mask"):
        await member.link.mask_function(SLOT, masked=True)
        before = rig.record.counts(member)
        fired = await rig.attempt_handles(
            member, [rig.handle(member, vector) for vector in member.vectors] * rig.unpaced(2)
        )
        seen_masked = rig.record.counts(member)
        pending = [await rig.becomes_pending(member, vector) for vector in member.vectors]
        for vector in member.vectors:
            rig.record.is_due(member, vector)
        await member.link.mask_function(SLOT, masked=False)
        for vector in member.vectors:
            await rig.arrived(member, vector)

    assert {outcome.status for outcome in fired} == {Status.SUCCESS}
    assert seen_masked == before
    assert all(pending)


@pytest.mark.shared
async def test_forged_handle_is_refused_at_an_entry_with_an_interrupt_pending(rig: Rig) -> None:
    attacker, victim = rig.random.sample(rig.members, 2)
    vector = rig.random.choice(victim.vectors)
    interrupt = victim.device.interrupts[vector - 1]

    async with rig.silence("victim with an interrupt pending", among=[attacker, victim]):
        interrupt.mask()
        await rig.attempt_handles(victim, [rig.handle(victim, vector)])
        async with disowned(rig, attacker, [rig.handle(victim, vector)]):
            refused = await rig.attempt_handles(attacker, [rig.handle(victim, vector)] * 4)
        pending = interrupt.pending
        rig.record.is_due(victim, vector)
        interrupt.unmask()
        await rig.arrived(victim, vector)

    assert_refused(refused)
    assert pending


@pytest.mark.shared
async def test_ignored_interrupts_are_dropped_and_forged_handles_refused_all_the_same(rig: Rig) -> None:
    """Ignore of a vector: its owner's interrupts are neither sent nor pending; to others nothing changes (9.2.25)."""
    attacker, victim = rig.random.sample(rig.members, 2)
    vector = rig.random.choice(victim.vectors)
    handle = rig.handle(victim, vector)
    permissions = (await victim.link.mmio_read(SLOT, 0, _OFFSETS, 8) >> 32 & 0xFFFF) * 0x100

    async with rig.silence("victim that ignores", among=[attacker, victim]):
        await victim.link.mmio_write(SLOT, 0, permissions + 8 * vector, _IGNORE)
        fired = await rig.attempt_handles(victim, [handle] * 3)
        async with disowned(rig, attacker, [handle]):
            refused = await rig.attempt_handles(attacker, [handle] * 3)
        pending = victim.device.interrupts[vector - 1].pending
        await victim.link.mmio_write(SLOT, 0, permissions + 8 * vector, 0)

    assert [outcome.status for outcome in fired] == [Status.SUCCESS] * 3
    assert_refused(refused)
    assert not pending
