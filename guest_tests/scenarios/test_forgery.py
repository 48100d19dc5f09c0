"""A guest fires with interrupt handles that are not its own: refused with 0x19, nothing executed, the victim silent."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from guest_tests.descriptors import WITH_RECORD, Flag, Opcode, Status, descriptor
from guest_tests.handles import disowned, each, handle_bound, unused_handles
from guest_tests.member import Member
from guest_tests.rig import Rig, assert_refused

EXHAUSTIVE_GUESTS = 8
"""Up to so many guests every combination is tried, above them a sample by seed."""
SAMPLE = 64
"""Handles a guest tries in each scenario of a larger run."""
_REQUEST_HANDLE, _RELEASE_HANDLE = 13 << 20, 14 << 20


def _chosen(rig: Rig, handles: Sequence[int]) -> list[int]:
    if len(rig.members) <= EXHAUSTIVE_GUESTS or len(handles) <= SAMPLE:
        return list(handles)
    return rig.random.sample(handles, SAMPLE)


async def _all_try(rig: Rig, handles: dict[int, list[int]]) -> None:
    async def attack(member: Member) -> None:
        async with disowned(rig, member, handles[member.index]):
            assert_refused(await rig.attempt_handles(member, handles[member.index]))

    await each(rig, rig.members, attack)


@pytest.mark.shared
async def test_handles_of_other_guests_are_refused_and_their_owners_stay_silent(rig: Rig) -> None:
    handles = {member.index: _chosen(rig, rig.foreign_handles(member)) for member in rig.members}

    async with rig.silence("foreign handles"):
        await _all_try(rig, handles)

    assert not any(interrupt.pending for member in rig.members for interrupt in member.device.interrupts)


@pytest.mark.shared
async def test_handles_that_nobody_was_given_are_refused(rig: Rig) -> None:
    handles = {member.index: _chosen(rig, unused_handles(rig)) for member in rig.members}

    async with rig.silence("handles never given"):
        await _all_try(rig, handles)


def _aliases(member: Member, size: int) -> list[int]:
    """Handles that are the guest's own but for one bit that puts them out of range."""
    return [h for own in member.device.handles for bit in range(16) if (h := own | 1 << bit) >= size]


async def test_handles_out_of_range_are_refused(rig: Rig) -> None:
    size = handle_bound(rig)
    edges = [size, size + 1, 2 * size, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF]
    handles = {m.index: edges + rig.random.sample(range(size, 0x10000), 25) + _aliases(m, size) for m in rig.members}

    async with rig.silence("handles out of range"):
        await _all_try(rig, handles)


@pytest.mark.shared
async def test_released_handle_is_refused_until_it_is_requested_again(rig: Rig) -> None:
    member, neighbour = rig.random.sample(rig.members, 2)
    vector = rig.random.choice(member.vectors)
    handle = rig.handle(member, vector)

    async with rig.silence("released handle", among=[member, neighbour]):
        released = await member.link.command(0, _RELEASE_HANDLE | vector)
        await neighbour.link.command(
            0, _REQUEST_HANDLE | handle
        )  # an index of its own table, if any: not another's entry
        refused = await rig.attempt_handles(member, [handle])
        async with disowned(rig, neighbour, [handle]):
            refused += await rig.attempt_handles(neighbour, [handle])
        requested = await member.link.command(0, _REQUEST_HANDLE | vector)
        await rig.fire(member, [vector])

    assert released == 0
    assert_refused(refused)
    assert requested == handle << 8


@pytest.mark.shared
async def test_refused_memmove_writes_nothing(rig: Rig) -> None:
    attacker, victim = rig.random.sample(rig.members, 2)
    base, _ = attacker.link.scratch
    source, destination, size = base, base + 8192, 4096
    attacker.link.memory(source, size)[:] = bytes([0xA5]) * size
    attacker.link.memory(destination, size)[:] = bytes([0x5A]) * size

    async with rig.silence("refused memmove", among=[attacker, victim]):
        async with disowned(rig, attacker, victim.device.handles):
            refused = await rig.attempt(attacker, [_move(source, destination, size, h) for h in victim.device.handles])
        untouched = bytes(attacker.link.memory(destination, size))
        moved = await rig.attempt(attacker, [_plain_move(source, destination, size)])

    assert_refused(refused)
    assert untouched == bytes([0x5A]) * size, "the refused descriptor wrote to its destination"
    assert [outcome.status for outcome in moved] == [Status.SUCCESS]
    assert bytes(attacker.link.memory(destination, size)) == bytes([0xA5]) * size


def _move(source: int, destination: int, size: int, handle: int) -> bytes:
    flags = WITH_RECORD | Flag.RCI
    return descriptor(Opcode.MEMMOVE, flags=flags, source=source, destination=destination, size=size, handle=handle)


def _plain_move(source: int, destination: int, size: int) -> bytes:
    return descriptor(Opcode.MEMMOVE, source=source, destination=destination, size=size)


@pytest.mark.shared
async def test_disarmed_entry_refuses_its_owner_and_strangers(rig: Rig) -> None:
    """The state between the two halves of taking interrupts away: masked and nobody's, as without PASID Enable (5.4)."""
    owner, stranger = rig.random.sample(rig.members, 2)
    vector = rig.random.choice(owner.vectors)
    interrupt = owner.device.interrupts[vector - 1]
    handle = rig.handle(owner, vector)

    async with rig.silence("disarmed entry", among=[owner, stranger]):
        interrupt.disarm()
        refused = await rig.attempt_handles(owner, [handle])
        async with disowned(rig, stranger, [handle]):
            refused += await rig.attempt_handles(stranger, [handle])
        pending = interrupt.pending
        interrupt.unmask()
        await owner.link.command(0, _REQUEST_HANDLE | vector)  # where disarming has released the handle

    assert_refused(refused)
    assert not pending
