"""Foreign handles in descriptors of every shape: whatever else is wrong or odd about one, its interrupt stays refused.

A check that is made only for some descriptors is as good as none: the attacker picks the others.
"""

from __future__ import annotations

import pytest

from guest_tests.agent_results import Item
from guest_tests.batches import assert_batch, run_batch
from guest_tests.descriptors import WITH_RECORD, Flag, Opcode, Status, descriptor, firing_noop
from guest_tests.handles import disowned
from guest_tests.member import SLOT, Member
from guest_tests.rig import PORTAL, Rig, assert_refused

_GENCTRL, _SWERROR = 0x88, 0xC0
_PORTAL_PAGES = (0x0000, 0x1000)
"""The unlimited and the limited MSI-X portal: both reach the work queue (DSA specification 9.3)."""
_OPCODES = range(0x100)
"""Those that exist, and all others."""
_FLAG_BITS = tuple(bit for bit in range(24) if 1 << bit not in (Flag.CRAV, Flag.RCI))
_UNRECORDED = (0x00, 0x01, 0x02, 0x03, 0x7F)
"""No-op, Batch, Drain, Memmove of size 0, and an opcode that does not exist, with each handle of a victim."""
_CHUNK = 30
"""Forged members of one batch."""
_NO_MEMORY = 0x1_0000_0000_0000
_MISALIGNED = 0x1B
_QUEUE_COMMANDS = (7 << 20, 8 << 20, 9 << 20, 10 << 20)
"""Disable, Drain, Abort and Reset WQ."""


def _with(handle: int, extra: int = 0, opcode: int = Opcode.NOOP, asked: Flag = WITH_RECORD | Flag.RCI) -> bytes:
    return descriptor(opcode, flags=Flag(asked | extra), handle=handle)


def _shapes(handle: int, pasid: int) -> list[bytes]:
    """Each opcode, flag and reserved byte, a size, the PASID of the handle's owner; with interrupt and record asked for."""
    plain = [_with(handle, opcode=opcode) for opcode in _OPCODES]
    flagged = [_with(handle, 1 << bit) for bit in _FLAG_BITS if bit != 0]
    unrequested = [_with(handle, opcode=opcode, asked=Flag.CRAV | Flag.RCI) for opcode in _UNRECORDED]
    reserved = [plain[0][:byte] + bytes([1]) + plain[0][byte + 1 :] for byte in range(38, 64)]
    named = [
        descriptor(Opcode.NOOP, flags=WITH_RECORD | Flag.RCI, handle=handle, size=2, pasid=one, privileged=privileged)
        for one in (0, pasid)
        for privileged in (False, True)
    ]
    return plain + flagged + unrequested + reserved + named


def _fenced(handle: int) -> list[bytes]:
    """With each pair of flags. In a batch a fence behind a failure ends it: these are for portals."""
    bits = [1 << bit for bit in _FLAG_BITS]
    return [_with(handle, one | other) for one in bits for other in bits if one <= other]


@pytest.mark.shared
async def test_foreign_handle_is_refused_in_descriptors_of_every_shape(rig: Rig) -> None:
    attacker, victim = rig.random.sample(rig.members, 2)
    handle = rig.handle(victim, rig.random.choice(victim.vectors))
    shapes = _shapes(handle, victim.device.pasid) + _fenced(handle)

    async with rig.silence("odd descriptors", among=[attacker, victim]), disowned(rig, attacker, [handle]):
        refused = [one for page in _PORTAL_PAGES for one in await rig.attempt(attacker, shapes, portal=page)]

    assert_refused(refused)


@pytest.mark.shared
async def test_foreign_handle_is_refused_without_a_completion_record(rig: Rig) -> None:
    """Nothing tells the attacker then; the error goes to SWERROR of its own device."""
    attacker, victim = rig.random.sample(rig.members, 2)
    handles = victim.device.handles
    unrecorded = [descriptor(op, flags=Flag.RCI, handle=handle) for handle in handles for op in _UNRECORDED]
    unrecorded += [_with(handles[0], 1 << bit, asked=Flag.RCI) for bit in _FLAG_BITS]

    async with rig.silence("no record asked for", among=[attacker, victim]), disowned(rig, attacker, handles):
        await attacker.link.mmio_write(SLOT, 0, _GENCTRL, 0)
        for page in _PORTAL_PAGES:
            await rig.attempt_unrecorded(attacker, unrecorded, portal=page)
        error = await _take_error(attacker)
        victims_error = await _take_error(victim)

    assert error >> 8 & 0xFF == Status.HANDLE
    assert (error >> 16 & 0xFF, error >> 40 & 0xFFFFF) == (0, 0), "SWERROR shows the host's work queue or PASID"
    assert victims_error == 0


@pytest.mark.shared
async def test_foreign_handle_is_refused_in_members_of_every_shape(rig: Rig) -> None:
    """A member is parsed elsewhere than a descriptor from a portal; what is wrong with it must not matter there either."""
    attacker, victim = rig.random.sample(rig.members, 2)
    handle = rig.handle(victim, rig.random.choice(victim.vectors))
    shapes = _shapes(handle, victim.device.pasid)
    good = descriptor(Opcode.NOOP)

    async with rig.silence("odd members", among=[attacker, victim]), disowned(rig, attacker, [handle]):
        for start in range(0, len(shapes), _CHUNK):
            members = [good, *shapes[start : start + _CHUNK], good]
            outcome = await run_batch(rig, attacker, members)
            assert_batch(outcome, [Status.SUCCESS, *[Status.HANDLE] * (len(members) - 2), Status.SUCCESS])
        fenced = await run_batch(rig, attacker, [good, _with(handle, Flag.FENCE)])

    assert_batch(fenced, [Status.SUCCESS, Status.HANDLE])


@pytest.mark.shared
async def test_foreign_handle_is_refused_in_members_without_a_completion_record(rig: Rig) -> None:
    attacker, victim = rig.random.sample(rig.members, 2)
    forged = [descriptor(op, flags=Flag.RCI, handle=h) for h in victim.device.handles for op in _UNRECORDED]
    good = descriptor(Opcode.NOOP)

    silence = rig.silence("members without a record", among=[attacker, victim])
    async with silence, disowned(rig, attacker, victim.device.handles):
        await attacker.link.mmio_write(SLOT, 0, _GENCTRL, 0)
        outcome = await run_batch(rig, attacker, [good, *forged[:_CHUNK], good])
        error = await _take_error(attacker)

    assert outcome.status == Status.BATCH
    assert outcome.statuses[0] == outcome.statuses[-1] == Status.SUCCESS
    assert error >> 8 & 0xFF == Status.HANDLE


@pytest.mark.shared
async def test_descriptor_whose_record_cannot_be_written_interrupts_nobody(rig: Rig) -> None:
    """Misaligned, or at no memory: discarded (5.4). Neither a forged handle nor the guest's own may be heard of."""
    attacker, victim = rig.random.sample(rig.members, 2)
    base, _ = attacker.link.scratch
    handles = [*victim.device.handles, *attacker.device.handles]
    unusable = [firing_noop(record, handle) for record in (base + 4, _NO_MEMORY) for handle in handles]

    async with rig.silence("records that cannot be written", among=[attacker, victim]):
        await attacker.link.mmio_write(SLOT, 0, _GENCTRL, 0)
        await attacker.link.submit(SLOT, [Item(one, wait_completion=False) for one in unusable], portal=PORTAL)
        await rig.attempt(attacker, [descriptor(Opcode.NOOP)])
        error = await _take_error(attacker)

    assert error >> 8 & 0xFF == _MISALIGNED


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


@pytest.mark.shared
async def test_commands_that_name_queues_of_others_stop_none_of_them(rig: Rig) -> None:
    """A guest's queue is its number 0, and the only one: every other bit and block is refused (9.2.12)."""
    attacker = rig.random.choice(rig.members)
    operands = [*(1 << bit for bit in range(1, 16)), 0xFFFF, 1 << 16 | 1]

    async with rig.silence("queues of others"):
        statuses = [
            await attacker.link.command(SLOT, code | operand) for code in _QUEUE_COMMANDS for operand in operands
        ]

    assert 0 not in statuses
