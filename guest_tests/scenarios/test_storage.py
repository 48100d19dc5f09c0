"""A guest's storage is taken away, is another's, or there is none left: whoever has no right to an interrupt gets none."""

from __future__ import annotations

import asyncio

import pytest

from device_model.errors import DeviceError
from guest_tests.agent_results import Item
from guest_tests.batches import forge_in_batch
from guest_tests.descriptors import Flag, Opcode, descriptor
from guest_tests.hold import Hold
from guest_tests.member import SLOT
from guest_tests.rig import PORTAL, Rig, assert_refused
from guest_tests.storage import taken_away, used_up
from host_ctl.errors import HostError
from host_ctl.interrupts import StoreExhausted
from host_ctl.mdev import Mdev

_GENCTRL = 0x88
_IN_BATCH = 15


@pytest.mark.shared
async def test_guest_is_refused_at_storage_that_is_not_its_own_any_more(rig: Rig) -> None:
    """Its entries have another's PASID, or the VM object that its queue leads to is not Valid: its own handles or not."""
    member, other = rig.random.sample(rig.members, 2)
    handles = member.device.handles

    async with rig.silence("storage taken away", among=[member, other]), taken_away(rig, member, other):
        refused = await rig.attempt_handles(member, handles)
        await forge_in_batch(rig, member, handles[:_IN_BATCH])
        pending = [interrupt.pending for interrupt in member.device.interrupts]

    assert_refused(refused)
    assert not any(pending)


@pytest.mark.shared
async def test_descriptors_in_flight_at_unplug_interrupt_nobody_else(rig: Rig) -> None:
    """Where the build can hold engines, one of them is between its check and its message until the next owner is there."""
    old, new = rig.random.sample(rig.members, 2)
    hold = Hold(rig)

    async with rig.silence("in flight at unplug"):
        await rig.unplug(new)
        await old.link.mmio_write(SLOT, 0, _GENCTRL, 0)
        await rig.mute(old)
        hold.begin()
        in_flight = [descriptor(Opcode.NOOP, flags=Flag.RCI, handle=handle) for handle in old.device.handles]
        await old.link.submit(SLOT, [Item(one, wait_completion=False) for one in in_flight], portal=PORTAL)
        await hold.unplug(old)
        await rig.create(new)
        await rig.attach(new)
        hold.end()
        await rig.fire(new, new.vectors)
        await rig.plug(old)


@pytest.mark.shared
async def test_mdev_that_finds_no_room_is_refused_and_nobody_loses_an_interrupt(rig: Rig) -> None:
    """Where nothing but memory bounds the store, there is room for one more."""
    with used_up(rig.host, rig.vectors) as is_bounded:
        made = await _create(rig)
        async with rig.silence("no room"):
            for member in rig.members:
                await rig.fire(member, member.vectors)
        if isinstance(made, Mdev):
            await asyncio.to_thread(rig.host.destroy, made)

    assert isinstance(made, StoreExhausted if is_bounded else Mdev), f"the host answered {made!r}"


async def _create(rig: Rig) -> Mdev | HostError | DeviceError:
    try:
        return await asyncio.to_thread(rig.host.create, rig.mdev_type, rig.vectors, rig.folder)
    except (HostError, DeviceError) as error:
        return error
