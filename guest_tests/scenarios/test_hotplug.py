"""Plugging and unplugging one guest's mdev touches no other, and hands nothing of the old owner to the new one."""

from __future__ import annotations

from itertools import pairwise

import pytest

from guest_tests.agent_numbers import Step
from guest_tests.agent_results import Item
from guest_tests.background import Background
from guest_tests.descriptors import Flag, Opcode, Status, descriptor, firing_noop
from guest_tests.handles import disowned
from guest_tests.member import SLOT, Member
from guest_tests.rig import PORTAL, Rig, assert_refused

CYCLES = 3
_MOVE_BYTES = 1 << 20
_GENCTRL = 0x88
_PCI_COMMAND, _MEMORY_AND_MASTER = 0x04, 6
_DEVICE_CONTROL, _FLR = 0x48, 1 << 15
_RESET_DEVICE, _ENABLE_WQ, _DISABLE_WQ, _REQUEST_HANDLE = 5 << 20, 6 << 20, 7 << 20, 13 << 20


@pytest.mark.shared
async def test_entries_of_an_unplugged_neighbour_serve_only_their_new_owner(rig: Rig) -> None:
    """Descriptors of the old owner are in flight when it is unplugged; its entries go to another guest at once."""
    old, new = rig.random.sample(rig.members, 2)
    entries, stale = _entries(old), list(old.device.handles)
    base, _ = old.link.scratch

    async with rig.silence("entries change hands"):
        await rig.unplug(new)
        await _silence_own_interrupts(rig, old)
        in_flight = [_firing_move(base, base + 2 * _MOVE_BYTES, handle) for handle in stale]
        await old.link.submit(SLOT, [Item(one, wait_completion=False) for one in in_flight], portal=PORTAL)
        await rig.unplug(old)
        await rig.plug(new)
        await rig.plug(old)
        async with disowned(rig, old, stale):
            refused = await rig.attempt_handles(old, stale)
        await rig.fire(new, new.vectors)

    assert _entries(new) == entries
    assert_refused(refused)


def _entries(member: Member) -> set[int]:
    return {interrupt.entry for interrupt in member.device.interrupts}


async def _silence_own_interrupts(rig: Rig, member: Member) -> None:
    """What is in flight may complete or fail while the device leaves: whether its guest still hears of it is chance."""
    await member.link.mmio_write(SLOT, 0, _GENCTRL, 0)
    await rig.mute(member)


def _firing_move(source: int, destination: int, handle: int) -> bytes:
    return descriptor(
        Opcode.MEMMOVE, flags=Flag.RCI, source=source, destination=destination, size=_MOVE_BYTES, handle=handle
    )


async def test_plug_and_unplug_while_all_others_fire(rig: Rig) -> None:
    """Each of the others fires before, in the midst of each unplug and plug, between them, and after."""
    moving, *others = rig.random.sample(rig.members, len(rig.members))

    async with rig.silence("plug and unplug under fire"), Background(rig, others) as background:
        shots = [background.shots, await background.all_fire()]

        async def all_fire() -> None:
            shots.append(await background.all_fire())

        for _ in range(CYCLES):
            await rig.unplug(moving, meanwhile=all_fire)
            await all_fire()
            await rig.plug(moving, meanwhile=all_fire)
            await all_fire()

    assert len(shots) == 2 + 4 * CYCLES
    assert all(now[member.index] > then[member.index] for then, now in pairwise(shots) for member in others)


@pytest.mark.shared
async def test_unplugged_guest_keeps_no_way_to_fire(rig: Rig) -> None:
    gone, stays = rig.random.sample(rig.members, 2)
    stale = list(gone.device.handles)

    async with rig.silence("stale handles", among=[gone, stays]):
        await rig.unplug(gone)
        async with disowned(rig, stays, stale):
            refused = await rig.attempt(stays, [firing_noop(0, handle) for handle in stale])
        await rig.plug(gone)

    assert_refused(refused)


@pytest.mark.shared
async def test_interrupt_pending_at_unplug_does_not_come_to_the_next_owner(rig: Rig) -> None:
    old, new = rig.random.sample(rig.members, 2)
    entries = _entries(old)

    async with rig.silence("pending at unplug"):
        await rig.unplug(new)
        for interrupt in old.device.interrupts:
            interrupt.mask()
        fired = await rig.attempt_handles(old, old.device.handles)
        await rig.attempt(old, [descriptor(Opcode.NOOP)])  # Pending follows the record, and comes before the next
        pending = [interrupt.pending for interrupt in old.device.interrupts]
        await rig.unplug(old)
        await rig.plug(new)
        inherited = [interrupt.pending for interrupt in new.device.interrupts]
        await rig.plug(old)

    assert all(pending)
    assert [outcome.status for outcome in fired] == [Status.SUCCESS] * len(pending)
    assert _entries(new) == entries
    assert not any(inherited)


@pytest.mark.shared
async def test_device_that_its_guest_has_reset_fires_nothing_until_it_is_set_up_again(rig: Rig) -> None:
    """Reset Device disables the work queue and ends all handles (9.2.12); what is stored to the portal then is ignored."""
    member, neighbour = rig.random.sample(rig.members, 2)
    handles = list(member.device.handles)

    async with rig.silence("guest's reset", among=[neighbour]):
        before = rig.record.counts(member)
        reset = await member.link.command(SLOT, _RESET_DEVICE)
        ignored = [
            Item(firing_noop(member.link.completion_address(0), handle), wait_completion=False) for handle in handles
        ]
        await member.link.submit(SLOT, ignored, portal=PORTAL)
        report = await member.link.enable(SLOT, rig.vectors, steps=[Step.DEVICE, Step.WQ])
        refused = await rig.attempt_handles(member, handles)
        async with disowned(rig, neighbour, handles):
            stolen = await rig.attempt_handles(neighbour, handles)
        after = rig.record.counts(member)
        requested = [await member.link.command(SLOT, _REQUEST_HANDLE | vector) for vector in member.vectors]
        await member.link.mmio_write(SLOT, 0, _GENCTRL, 3)
        await rig.fire(member, member.vectors)

    assert [reset, report.device_status, report.wq_status] == [0, 0, 0]
    assert_refused(refused + stolen)
    assert after == before
    assert requested == [handle << 8 for handle in handles]


@pytest.mark.shared
async def test_function_level_reset_ends_handles_and_queue_until_they_are_set_up_again(rig: Rig) -> None:
    """Power-on state (PCI Express 6.6.2): what is stored to the portal is ignored, and no handle is anybody's."""
    member, neighbour = rig.random.sample(rig.members, 2)
    handles = list(member.device.handles)

    async with rig.silence("function-level reset", among=[neighbour]):
        before = rig.record.counts(member)
        await member.link.config_write(SLOT, _DEVICE_CONTROL, _FLR, 2)
        await member.link.config_write(SLOT, _PCI_COMMAND, _MEMORY_AND_MASTER, 2)
        ignored = [Item(firing_noop(member.link.completion_address(0), one), wait_completion=False) for one in handles]
        await member.link.submit(SLOT, ignored, portal=PORTAL)
        report = await member.link.enable(SLOT, rig.vectors, steps=[Step.MSIX, Step.DEVICE, Step.WQ])
        refused = await rig.attempt_handles(member, handles)
        async with disowned(rig, neighbour, handles):
            stolen = await rig.attempt_handles(neighbour, handles)
        after = rig.record.counts(member)
        requested = [await member.link.command(SLOT, _REQUEST_HANDLE | vector) for vector in member.vectors]
        await member.link.mmio_write(SLOT, 0, _GENCTRL, 3)
        await rig.fire(member, member.vectors)

    assert [report.device_status, report.wq_status] == [0, 0]
    assert_refused(refused + stolen)
    assert after == before
    assert requested == [handle << 8 for handle in handles]


async def test_disabled_work_queue_takes_nothing(rig: Rig) -> None:
    """Stores to the portal of a disabled queue are ignored (9.3), the guest's own and valid handles notwithstanding."""
    member = rig.random.choice(rig.members)
    fires = [
        Item(firing_noop(member.link.completion_address(0), handle), wait_completion=False)
        for handle in member.device.handles
    ]

    async with rig.silence("disabled queue"):
        disabled = await member.link.command(SLOT, _DISABLE_WQ | 1)
        before = rig.record.counts(member)
        await member.link.submit(SLOT, fires, portal=PORTAL)
        enabled = await member.link.command(SLOT, _ENABLE_WQ)
        await rig.attempt(member, [descriptor(Opcode.NOOP)])
        after = rig.record.counts(member)

    assert (disabled, enabled) == (0, 0)
    assert after == before
