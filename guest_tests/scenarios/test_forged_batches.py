"""Handles that are not the guest's, from inside a batch: a member is checked like any descriptor (DSA specification 3.8, 5.4).

A member is fetched from memory by an engine, long after the portal has taken the batch: a check that is made where descriptors
are stored does not see it. The attacker's choice is sampled by seed: what one handle of a kind does, all of it do.
"""

from __future__ import annotations

import pytest

from guest_tests.batches import BatchOutcome, assert_batch, assert_batch_is_refused, forge_in_batch, run_batch
from guest_tests.descriptors import WITH_RECORD, Flag, Opcode, Status, descriptor, firing_noop
from guest_tests.handles import disowned, each, handle_bound, never_own, unused_handles
from guest_tests.member import SLOT, Member
from guest_tests.rig import Rig

GROUP = 8
"""Guests that attack each other at once, however many there are."""
FOREIGN, FREE, OUTSIDE = 10, 4, 12
"""Handles of each kind that a guest tries in one batch."""
_REQUEST_HANDLE, _RELEASE_HANDLE = 13 << 20, 14 << 20


def _nobody_is_pending(rig: Rig) -> bool:
    return not any(interrupt.pending for member in rig.members for interrupt in member.device.interrupts)


@pytest.mark.shared
async def test_forged_handles_in_a_batch_are_refused_and_its_other_members_run(rig: Rig) -> None:
    """Handles of other guests, and such that nobody was given; up to eight guests at once."""
    group = rig.random.sample(rig.members, min(GROUP, len(rig.members)))
    free = unused_handles(rig)
    handles = {m.index: _sample(rig, _others(group, m), FOREIGN) + _sample(rig, free, FREE) for m in group}

    async def attack(member: Member) -> None:
        async with disowned(rig, member, handles[member.index]):
            await forge_in_batch(rig, member, handles[member.index])

    async with rig.silence("forged handles in batches", among=group):
        await each(rig, group, attack)

    assert _nobody_is_pending(rig)


def _others(group: list[Member], attacker: Member) -> list[int]:
    return list(dict.fromkeys(h for member in group if member is not attacker for h in member.device.handles))


def _sample(rig: Rig, handles: list[int], count: int) -> list[int]:
    return rig.random.sample(handles, min(count, len(handles)))


async def test_handles_out_of_range_in_a_batch_are_refused_and_its_other_members_run(rig: Rig) -> None:
    size = handle_bound(rig)
    member = rig.random.choice(rig.members)
    handles = [size, 0x8000, 0xFFFF, *rig.random.sample(range(size, 0x10000), OUTSIDE)]

    async with rig.silence("handles out of range in a batch", among=[member]):
        await forge_in_batch(rig, member, handles)


@pytest.mark.shared
async def test_stale_handle_in_a_batch_is_refused_until_it_is_requested_again(rig: Rig) -> None:
    """Its owner has released it: it is refused to the owner and to others, and works again when it is the owner's again."""
    owner, other = rig.random.sample(rig.members, 2)
    vector = rig.random.choice(owner.vectors)
    handle = rig.handle(owner, vector)

    async with rig.silence("stale handle in a batch", among=[owner, other]):
        await owner.link.command(SLOT, _RELEASE_HANDLE | vector)
        await forge_in_batch(rig, owner, [handle])
        async with disowned(rig, other, [handle]):
            await forge_in_batch(rig, other, [handle])
        requested = await owner.link.command(SLOT, _REQUEST_HANDLE | vector)
        outcome = await _fire_own_beside_forged(rig, owner, vector, never_own(rig, other))

    assert requested == handle << 8
    assert_batch(outcome, [Status.SUCCESS, Status.HANDLE, Status.SUCCESS])


async def _fire_own_beside_forged(rig: Rig, member: Member, vector: int, foreign: int) -> BatchOutcome:
    """One batch: a No-op, a forged handle, and an interrupt of the guest's own, which arrives."""
    rig.record.is_due(member, vector)
    members = [descriptor(Opcode.NOOP), firing_noop(0, foreign), firing_noop(0, rig.handle(member, vector))]
    outcome = await run_batch(rig, member, members)
    await rig.arrived(member, vector)
    return outcome


@pytest.mark.shared
async def test_forged_handle_in_a_batch_leaves_a_victim_masked_by_its_guest_without_pending(rig: Rig) -> None:
    attacker, victim = rig.random.sample(rig.members, 2)
    vector = rig.random.choice(victim.vectors)

    async with rig.silence("batch at a victim masked by its guest", among=[attacker, victim]):
        await victim.link.mask(SLOT, vector, masked=True)
        async with disowned(rig, attacker, [rig.handle(victim, vector)]):
            await forge_in_batch(rig, attacker, [rig.handle(victim, vector)] * 4)
        pending = await victim.link.pending(SLOT, vector)
        await victim.link.mask(SLOT, vector, masked=False)

    assert not pending


@pytest.mark.shared
async def test_forged_handle_in_a_batch_leaves_a_victim_masked_by_the_host_without_pending(rig: Rig) -> None:
    attacker, victim = rig.random.sample(rig.members, 2)
    vector = rig.random.choice(victim.vectors)
    interrupt = victim.device.interrupts[vector - 1]

    async with rig.silence("batch at a victim masked by the host", among=[attacker, victim]):
        interrupt.mask()
        async with disowned(rig, attacker, [rig.handle(victim, vector)]):
            await forge_in_batch(rig, attacker, [rig.handle(victim, vector)] * 4)
        pending = interrupt.pending
        interrupt.unmask()

    assert not pending


@pytest.mark.shared
async def test_batch_with_a_forged_handle_of_its_own_is_refused_before_its_first_member(rig: Rig) -> None:
    attacker, victim = rig.random.sample(rig.members, 2)

    async with rig.silence("batch with a forged handle", among=[attacker, victim]):
        for vector in victim.vectors:
            async with disowned(rig, attacker, [rig.handle(victim, vector)]):
                await assert_batch_is_refused(rig, attacker, rig.handle(victim, vector))


@pytest.mark.shared
async def test_member_that_is_refused_moves_nothing(rig: Rig) -> None:
    attacker, victim = rig.random.sample(rig.members, 2)
    base, _ = attacker.link.scratch
    attacker.link.memory(base, 128)[:] = bytes([0xA5]) * 64 + bytes([0x5A]) * 64
    flags = WITH_RECORD | Flag.RCI
    stolen = [
        descriptor(Opcode.MEMMOVE, flags=flags, source=base, destination=base + 64, size=64, handle=handle)
        for handle in (rig.handle(victim, vector) for vector in (1, victim.vectors[-1]))
    ]

    silence = rig.silence("refused members", among=[attacker, victim])
    async with silence, disowned(rig, attacker, victim.device.handles):
        outcome = await run_batch(rig, attacker, stolen)

    assert_batch(outcome, [Status.HANDLE] * 2)
    assert bytes(attacker.link.memory(base + 64, 64)) == bytes([0x5A]) * 64


@pytest.mark.shared
async def test_fence_behind_a_refused_member_ends_the_batch_without_an_interrupt(rig: Rig) -> None:
    """A refusal is a failure (3.9): what is fenced behind it is not carried out, and nothing behind that."""
    member, other = rig.random.sample(rig.members, 2)
    own = descriptor(Opcode.NOOP, flags=WITH_RECORD | Flag.RCI | Flag.FENCE, handle=rig.handle(member, 1))

    async with rig.silence("fence behind a refusal", among=[member, other]):
        outcome = await run_batch(rig, member, [firing_noop(0, never_own(rig, other)), own, descriptor(Opcode.NOOP)])

    assert outcome.statuses == [Status.HANDLE, Status.NONE, Status.NONE]
    assert (outcome.status, outcome.processed) == (Status.BATCH, 1)


@pytest.mark.shared
async def test_pasid_bytes_in_a_member_change_nothing(rig: Rig) -> None:
    """Members run with the PASID of the queue, like the batch, whatever they say: their records and data stay at home."""
    attacker, victim = rig.random.sample(rig.members, 2)
    pasids = [victim.device.pasid, attacker.device.pasid ^ 1, 0xFFFFF]
    own = [descriptor(Opcode.NOOP, pasid=pasid) for pasid in pasids]
    stolen = [firing_noop(0, handle, pasid=pasid) for handle in victim.device.handles[:2] for pasid in pasids]

    silence = rig.silence("forged PASIDs in a batch", among=[attacker, victim])
    async with silence, disowned(rig, attacker, victim.device.handles[:2]):
        outcome = await run_batch(rig, attacker, [*own, *stolen])

    assert_batch(outcome, [*[Status.SUCCESS] * len(own), *[Status.HANDLE] * len(stolen)])
