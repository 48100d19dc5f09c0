"""Interrupts that are due arrive: once, at the vector they are due at, in the guest that fired them."""

from __future__ import annotations

import asyncio

import pytest

from guest_tests.descriptors import Flag, Opcode, Status, descriptor, firing_noop
from guest_tests.handles import disowned
from guest_tests.rig import Rig, assert_refused


async def test_every_vector_reaches_its_owner_and_nobody_else(rig: Rig) -> None:
    async with rig.silence("every vector in turn"):
        for member in rig.members:
            await rig.fire(member, member.vectors)


async def test_guests_that_fire_all_at_once_stay_apart(rig: Rig) -> None:
    rounds = {m.index: rig.random.choices(m.vectors, k=4 * rig.vectors) for m in rig.members}

    async with rig.silence("all guests at once"):
        await asyncio.gather(*(rig.fire(member, rounds[member.index]) for member in rig.members))


@pytest.mark.shared
async def test_pasid_bytes_in_a_descriptor_change_nothing(rig: Rig) -> None:
    """A dedicated queue runs with the PASID of its WQCFG, whatever the descriptor says (8.1.1)."""
    attacker, victim = rig.random.sample(rig.members, 2)
    pasids = [victim.device.pasid, 0, 0xFFFFF]

    async with rig.silence("forged PASIDs", among=[attacker, victim]):
        async with disowned(rig, attacker, victim.device.handles):
            stolen = await rig.attempt(
                attacker, [firing_noop(0, handle, pasid=pasid) for pasid in pasids for handle in victim.device.handles]
            )
        masked = [descriptor(Opcode.NOOP, flags=Flag.CRAV | Flag.RCR, pasid=pasid, privileged=True) for pasid in pasids]
        own = await rig.attempt(attacker, masked)

    assert_refused(stolen)
    assert [outcome.status for outcome in own] == [Status.SUCCESS] * len(pasids)
