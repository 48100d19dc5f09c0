"""The agent brings a real virtual DSA into service, fires its interrupts and tells what the device refused."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from guest_tests.agent_errors import AgentCommandFailed
from guest_tests.agent_numbers import ItemResult, Result, SlotState, Step
from guest_tests.agent_results import EnableReport, Item
from guest_tests.descriptors import Opcode as DsaOpcode
from guest_tests.descriptors import Status, descriptor, firing_noop
from guest_tests.tests.agent_guests import AgentGuest
from host_ctl.host import Host
from host_ctl.mdev import Mdev

pytest_plugins = ["host_ctl.tests.qemu_fixtures", "guest_tests.tests.agent_guests"]

VECTORS = 4
PORTAL = 0x1000
RELEASE_HANDLE = 14 << 20
REQUEST_HANDLE = 13 << 20


@dataclass(frozen=True, slots=True)
class Plugged:
    """A guest with an mdev in slot 0, not enabled yet."""

    agent: AgentGuest
    host: Host
    mdev: Mdev

    def item(self, place: int, vector: int, handle: int, expect: bool = True) -> Item:
        """A No-op at `place` that requests a record and an interrupt."""
        record = self.agent.link.completion_address(place)
        cpu_vector = self.agent.link.slot(0).vector_base + vector
        return (
            Item(firing_noop(record, handle), expect_vector=cpu_vector) if expect else Item(firing_noop(record, handle))
        )

    async def enable(self) -> EnableReport:
        return await self.agent.link.enable(0, VECTORS)


@pytest.fixture
async def plugged(agent: AgentGuest, folder: Path) -> AsyncIterator[Plugged]:
    host = Host()
    try:
        mdev = await asyncio.to_thread(host.create, "dsa-1dwq-v1", VECTORS, folder)
        await agent.guest.plug("mdev", mdev.socket, 0)
        await agent.link.wait_slot(0, SlotState.PRESENT)
        yield Plugged(agent, host, mdev)
    finally:
        await asyncio.to_thread(host.close)


async def test_device_is_recognised_and_its_registers_are_read(plugged: Plugged) -> None:
    slot = plugged.agent.link.slot(0)
    assert (slot.vendor, slot.device, slot.is_idxd, slot.class_revision >> 8) == (0x8086, 0x0B25, True, 0x088000)
    assert slot.msix_count == VECTORS + 1
    assert slot.version == await plugged.agent.link.mmio_read(0, 0, 0x00)
    assert slot.gencap == await plugged.agent.link.mmio_read(0, 0, 0x10, 8)
    assert slot.cmdcap == await plugged.agent.link.mmio_read(0, 0, 0xB0)


async def test_enable_goes_through_every_step(plugged: Plugged) -> None:
    report = await plugged.enable()
    assert (report.device_status, report.wq_status) == (0, 0)
    assert [report.handles[i] for i in range(1, VECTORS + 1)] == list(plugged.mdev.handles)
    assert {status & 0xFF for status in report.handle_status.values()} == {0}
    assert await plugged.agent.link.mmio_read(0, 0, 0x90) & 3 == 1
    assert await plugged.agent.link.mmio_read(0, 0, 0x88) == 3


async def test_every_descriptor_completes_and_interrupts_once(plugged: Plugged) -> None:
    link = plugged.agent.link
    report = await plugged.enable()
    before = link.counters()
    vectors = [1 + place % VECTORS for place in range(100)]
    items = [plugged.item(place, vector, report.handles[vector]) for place, vector in enumerate(vectors)]
    done = await link.submit(0, items, portal=PORTAL)
    assert (done.result, done.retired) == (Result.OK, 100)
    assert {(i.result, i.status, i.interrupts) for i in done.items} == {(ItemResult.DONE, Status.SUCCESS, 1)}
    assert not any(item.interrupt_came_first for item in done.items)
    fired = link.counters().since(before)
    base = link.slot(0).vector_base
    assert [fired.get(base + vector, 0) for vector in range(VECTORS + 1)] == [0, 25, 25, 25, 25]
    assert link.counters().stray_total == 0


async def test_submissions_of_many_tasks_do_not_mix(plugged: Plugged) -> None:
    link = plugged.agent.link
    report = await plugged.enable()
    wanted = [1 + task % VECTORS for task in range(8)]
    lists = [[plugged.item(place, vector, report.handles[vector]) for place in range(5)] for vector in wanted]
    before, base = link.counters(), link.slot(0).vector_base
    done = await asyncio.gather(*(link.submit(0, items, portal=PORTAL) for items in lists))
    fired = link.counters().since(before)

    assert {(item.result, item.interrupts) for submission in done for item in submission.items} == {(ItemResult.DONE, 1)}
    assert [fired[base + vector] for vector in range(1, VECTORS + 1)] == [10] * VECTORS


async def test_data_lands_where_the_descriptor_says(plugged: Plugged) -> None:
    link = plugged.agent.link
    await plugged.enable()
    source = link.scratch[0]
    target = source + 0x10000
    link.memory(source, 4096)[:] = bytes(range(256)) * 16
    copy = descriptor(
        DsaOpcode.MEMMOVE, record=link.completion_address(0), source=source, destination=target, size=4096
    )
    done = await link.submit(0, [Item(copy)], portal=PORTAL)
    assert done.items[0].status == Status.SUCCESS
    assert bytes(link.memory(target, 4096)) == bytes(range(256)) * 16


async def test_refused_handles_complete_with_their_status_and_no_interrupt(plugged: Plugged) -> None:
    link = plugged.agent.link
    report = await plugged.enable()
    before = link.counters()
    items = [plugged.item(place, 1, 0xFFF0, expect=False) for place in range(64)]
    done = await link.submit(0, items, portal=PORTAL, window=16)
    assert {item.status for item in done.items} == {Status.HANDLE}
    await link.submit(0, [plugged.item(0, 2, report.handles[2])], portal=PORTAL)
    base = link.slot(0).vector_base
    assert {v: n for v, n in link.counters().since(before).items() if v >= base} == {base + 2: 1}


async def test_masked_vector_pends_and_fires_once_when_opened(plugged: Plugged) -> None:
    link = plugged.agent.link
    report = await plugged.enable()
    vector = link.slot(0).vector_base + 3
    assert await link.mask(0, 3, True) & 1 == 1
    silent = [plugged.item(place, 3, report.handles[3], expect=False) for place in range(3)]
    done = await link.submit(0, silent, portal=PORTAL)
    assert [item.status for item in done.items] == [Status.SUCCESS] * 3
    await link.submit(0, [plugged.item(4, 1, report.handles[1])], portal=PORTAL, first=4)
    assert await link.pending(0, 3)
    assert link.counters().count[vector] == 0

    assert await link.mask(0, 3, False) & 1 == 0
    await link.wait_count(vector, 1)
    await link.submit(0, [plugged.item(4, 1, report.handles[1])], portal=PORTAL, first=4)

    assert not await link.pending(0, 3)
    assert link.counters().count[vector] == 1


async def test_raw_command_returns_the_devices_status(plugged: Plugged) -> None:
    link = plugged.agent.link
    await plugged.enable()
    assert await link.command(0, RELEASE_HANDLE | 2) & 0xFF == 0
    assert await link.command(0, REQUEST_HANDLE | 0xFFF) & 0xFF == 0x41


async def test_step_that_the_device_refuses_is_named_with_its_status(plugged: Plugged) -> None:
    await plugged.enable()
    with pytest.raises(AgentCommandFailed, match=r"DEVICE_ERROR in step DEVICE \(detail 0x10\)") as caught:
        await plugged.enable()
    assert (caught.value.step, caught.value.detail) == (Step.DEVICE, 0x10)
    assert plugged.agent.link.last_enable().device_status == 0x10
    assert plugged.agent.link.last_enable().wq_status is None


async def test_device_can_be_disabled_and_enabled_again(plugged: Plugged) -> None:
    link = plugged.agent.link
    await plugged.enable()
    report = await link.disable(0)
    assert (report.wq_status, report.device_status) == (0, 0)
    assert link.slot(0).vector_count == 0
    again = await plugged.enable()
    done = await link.submit(0, [plugged.item(0, 1, again.handles[1])], portal=PORTAL)
    assert done.items[0].result is ItemResult.DONE


async def test_unplug_under_fire_ends_the_firing(plugged: Plugged) -> None:
    link = plugged.agent.link
    report = await plugged.enable()
    firing = asyncio.create_task(link.spin(0, plugged.item(0, 1, report.handles[1]), portal=PORTAL, maximum=2**40))
    await link.wait_progress(50)
    await plugged.agent.guest.unplug("mdev")
    done = await firing
    assert done.result is Result.GONE
    assert done.fired >= 50
    assert link.slot(0).state is SlotState.EMPTY
    assert link.counters().stray_total == 0


async def test_device_whose_server_has_died_reads_as_gone(plugged: Plugged) -> None:
    link = plugged.agent.link
    await plugged.enable()
    await asyncio.to_thread(plugged.host.destroy, plugged.mdev)
    with pytest.raises(AgentCommandFailed, match="GONE") as caught:
        await link.command(0, RELEASE_HANDLE)
    assert caught.value.result is Result.GONE
    await plugged.agent.guest.unplug("mdev")
    await link.wait_slot(0, SlotState.EMPTY)
