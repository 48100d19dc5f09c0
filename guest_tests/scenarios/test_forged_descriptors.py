"""Foreign handles in descriptors of every shape: whatever else is wrong or odd about one, its interrupt stays refused.

A check that is made only for some descriptors is as good as none: the attacker picks the others.
"""

from __future__ import annotations

import pytest

from guest_tests.descriptors import WITH_RECORD, Flag, descriptor
from guest_tests.member import SLOT, Member
from guest_tests.rig import Rig, assert_refused

_GENCTRL, _SWERROR = 0x88, 0xC0
_PORTAL_PAGES = (0x0000, 0x1000)
"""The unlimited and the limited MSI-X portal: both reach the work queue (DSA specification 9.3)."""
_OPCODES = (0x00, 0x01, 0x02, 0x03, 0x7F)
"""No-op, Batch, Drain, Memmove of size 0, and one that does not exist."""
_FLAG_BITS = tuple(bit for bit in range(24) if 1 << bit not in (Flag.CRAV, Flag.RCI))


def _shapes(handle: int) -> list[bytes]:
    """Each opcode, each single flag bit added, a reserved byte set: all with interrupt and record requested."""
    asked = WITH_RECORD | Flag.RCI
    plain = [descriptor(opcode, flags=asked, handle=handle) for opcode in _OPCODES]
    flagged = [descriptor(0, flags=Flag(asked | 1 << bit), handle=handle) for bit in _FLAG_BITS]
    reserved = [descriptor(0, flags=asked, handle=handle)[:40] + bytes([1]) + bytes(23)]
    return plain + flagged + reserved


@pytest.mark.shared
async def test_foreign_handle_is_refused_in_descriptors_of_every_shape(rig: Rig) -> None:
    attacker, victim = rig.random.sample(rig.members, 2)
    shapes = _shapes(rig.handle(victim, rig.random.choice(victim.vectors)))

    async with rig.silence("odd descriptors", among=[attacker, victim]):
        refused = [one for page in _PORTAL_PAGES for one in await rig.attempt(attacker, shapes, portal=page)]

    assert_refused(refused)


@pytest.mark.shared
async def test_foreign_handle_is_refused_without_a_completion_record(rig: Rig) -> None:
    """Nothing tells the attacker then; the error goes to SWERROR of its own device."""
    attacker, victim = rig.random.sample(rig.members, 2)
    unrecorded = [descriptor(op, flags=Flag.RCI, handle=handle) for handle in victim.device.handles for op in _OPCODES]

    async with rig.silence("no record asked for", among=[attacker, victim]):
        await attacker.link.mmio_write(SLOT, 0, _GENCTRL, 0)
        for page in _PORTAL_PAGES:
            await rig.attempt_unrecorded(attacker, unrecorded, portal=page)
        error = await _take_error(attacker)
        victims_error = await _take_error(victim)

    assert error >> 8 & 0xFF == 0x19
    assert victims_error == 0


async def _take_error(member: Member) -> int:
    """SWERROR's first word, which is cleared, and its interrupt enabled again."""
    error = await member.link.mmio_read(SLOT, 0, _SWERROR, 8)
    await member.link.mmio_write(SLOT, 0, _SWERROR, 3)
    await member.link.mmio_write(SLOT, 0, _GENCTRL, 3)
    return error


@pytest.mark.shared
async def test_commands_with_foreign_handles_change_nothing_for_their_owner(rig: Rig) -> None:
    """Release of a handle that is not one's own, by its value, and requests beyond one's own table (9.2.12)."""
    attacker, victim = rig.random.sample(rig.members, 2)
    own = set(attacker.device.handles) | set(range(len(attacker.device.handles) + 1))
    foreign = [handle for handle in victim.device.handles if handle not in own]
    release, request = 14 << 20, 13 << 20

    async with rig.silence("foreign handles in commands", among=[attacker, victim]):
        released = [await attacker.link.command(SLOT, release | handle) for handle in foreign]
        requested = [await attacker.link.command(SLOT, request | handle) for handle in foreign]
        ims = await attacker.link.command(SLOT, request | 1 << 16 | victim.device.handles[0])
        await rig.fire(victim, victim.vectors)

    assert set(released) | set(requested) | {ims} == {0x41}
