"""A guest brings an mdev of each type into service: configures it where it may, fires, is refused what is not its own."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from device_model.ledger import Kind
from guest_tests.agent_numbers import ItemResult, SlotState
from guest_tests.agent_results import EnableReport, Item
from guest_tests.descriptors import Opcode, Status, descriptor, firing_noop
from guest_tests.tests.agent_guests import AgentGuest
from host_ctl.account import LedgerAccount
from host_ctl.host import Host
from host_ctl.mdev import Mdev
from host_ctl.mdev_type import TYPES

pytest_plugins = ["host_ctl.tests.qemu_fixtures", "guest_tests.tests.agent_guests"]

LIMITED_PORTAL, WQ_STRIDE = 0x1000, 0x4000
VECTORS = {"dsa-1dwq-v1": 3, "dsa-1dwq-cfg-v1": 3, "dsa-pf-v1": 4, "iax-1dwq-v1": 1}


@dataclass(frozen=True, slots=True)
class Plugged:
    """A guest with an mdev of a type in slot 0, enabled, beside an mdev that belongs to nobody."""

    agent: AgentGuest
    host: Host
    mdev: Mdev
    report: EnableReport

    def fire(self, place: int, handle: int, vector: int | None = None) -> Item:
        noop = firing_noop(self.agent.link.completion_address(place), handle)
        return Item(noop) if vector is None else Item(noop, expect_vector=self.agent.link.slot(0).vector_base + vector)


@pytest.fixture(params=list(TYPES))
async def plugged(request: pytest.FixtureRequest, agent: AgentGuest, folder: Path) -> AsyncIterator[Plugged]:
    name, vectors = request.param, VECTORS[request.param]
    host = Host()
    try:
        await asyncio.to_thread(host.create, "dsa-1dwq-v1", 8, folder)
        mdev = await asyncio.to_thread(host.create, name, vectors, folder)
        await agent.guest.plug("mdev", mdev.socket, 0)
        await agent.link.wait_slot(0, SlotState.PRESENT)
        yield Plugged(agent, host, mdev, await agent.link.enable(0, vectors))
    finally:
        await asyncio.to_thread(host.close)


async def test_every_vector_arrives_once_and_foreign_handles_are_refused(plugged: Plugged) -> None:
    link, vectors = plugged.agent.link, range(1, plugged.mdev.vectors + 1)
    before, base = link.counters(), link.slot(0).vector_base
    own = [plugged.fire(place, plugged.report.handles[vector], vector) for place, vector in enumerate(vectors)]
    done = await link.submit(0, own, portal=LIMITED_PORTAL)
    foreign = [plugged.fire(place, handle) for place, handle in enumerate((5, 7, 0xFF, 0xFFFF))]
    refused = await link.submit(0, foreign, portal=LIMITED_PORTAL)
    seen = {vector - base: count for vector, count in link.counters().since(before).items() if vector >= base}

    assert (plugged.report.device_status, plugged.report.wq_status) == (0, 0)
    assert [plugged.report.handles[vector] for vector in vectors] == plugged.mdev.handles
    assert {(item.result, item.status, item.interrupts) for item in done.items} == {(ItemResult.DONE, Status.SUCCESS, 1)}
    assert [item.status for item in refused.items] == [Status.HANDLE] * 4
    assert seen == dict.fromkeys(vectors, 1)


async def test_ledger_explains_what_the_guest_counted(plugged: Plugged) -> None:
    link, vectors = plugged.agent.link, range(1, plugged.mdev.vectors + 1)
    masked = plugged.mdev.vectors
    await link.mask(0, masked, True)
    handles = plugged.report.handles
    await link.submit(0, [plugged.fire(place, handles[masked]) for place in range(3)], portal=LIMITED_PORTAL)
    assert await link.pending(0, masked)
    await link.mask(0, masked, False)
    await link.wait_count(link.slot(0).vector_base + masked, 1)
    await link.submit(0, [plugged.fire(i, handles[v], v) for i, v in enumerate(vectors)], portal=LIMITED_PORTAL)
    records, lost = plugged.host.read_ledger()
    account = LedgerAccount()
    account.feed(records)
    summary = account.summary(lambda mdev: mdev)
    mdev = plugged.mdev.id

    assert (lost, summary.violations) == (0, ())
    assert {way: count for way, count in summary.injected.items() if way[2]} == {
        (mdev, mdev, vector): 1 + (vector == masked) for vector in vectors
    }
    assert sum(record.kind == Kind.FIRED for record in records) >= plugged.mdev.vectors + 1


async def test_every_queue_takes_work_from_its_own_portal(plugged: Plugged) -> None:
    link = plugged.agent.link
    queues = (link.slot(0).wqcap >> 16) & 0xFF
    for wq in range(1, queues):
        assert await link.command(0, 6 << 20 | wq) == 0
    statuses = []
    for wq in range(queues):
        noop = Item(descriptor(Opcode.NOOP, record=link.completion_address(0)))
        done = await link.submit(0, [noop], portal=wq * WQ_STRIDE + LIMITED_PORTAL)
        statuses.append(done.items[0].status)

    assert queues == {"dsa-pf-v1": 4}.get(plugged.mdev.type.name, 1)
    assert statuses == [Status.SUCCESS] * queues


async def test_plugging_out_leaves_nothing(plugged: Plugged) -> None:
    await plugged.agent.guest.unplug("mdev")
    await asyncio.to_thread(plugged.host.destroy, plugged.mdev)

    assert plugged.host.audit().counts()["mdevs"] == 1
    assert plugged.host.audit().dirty_interrupt_entries == 0
    assert plugged.host.audit().iommu_remapping_entries == 8
