"""Devices come and go while the guest runs, and the agent takes each into service and lets go of it at once."""

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from guest_tests.agent_build import AgentImage
from guest_tests.agent_errors import SlotFailed
from guest_tests.agent_numbers import ConfigFlag, ItemResult, Result, SlotState, Step
from guest_tests.agent_results import Item
from guest_tests.tests.agent_guests import PAGE, AgentGuest, Doorbells, agent_guest
from host_ctl.errors import GuestDidNotEject
from qemu_patches import QemuBinary

pytest_plugins = ["host_ctl.tests.qemu_fixtures", "guest_tests.tests.agent_guests"]


@pytest.mark.parametrize(
    ("driver", "identity", "bars", "vectors"),
    [
        ("virtio-rng-pci", (0x1AF4, 0x1044), (0, 0x1000, 0, 0, 0x4000, 0), 2),
        ("edu", (0x1234, 0x11E8), (0x100000, 0, 0, 0, 0, 0), 0),
        ("pvpanic-pci", (0x1B36, 0x0011), (0x10, 0, 0, 0, 0, 0), 0),
    ],
)
async def test_device_is_taken_into_service_and_given_back(
    agent: AgentGuest, driver: str, identity: tuple[int, int], bars: tuple[int, ...], vectors: int
) -> None:
    slot = await agent.plug(driver, "dev", 1)
    assert ((slot.vendor, slot.device), slot.bar_size, slot.msix_count) == (identity, bars, vectors)
    assert await agent.link.config_read(1, 4, 2) & 6 == 6
    assert [await agent.link.config_read(1, 0x10 + 4 * i) & ~0xF for i in range(6) if bars[i]] == [
        address for address in slot.bar_address if address
    ]

    await agent.guest.unplug("dev")

    empty = await agent.link.wait_slot(1, SlotState.EMPTY)
    assert (empty.vendor, empty.bar_size, empty.msix_count) == (0, (0,) * 6, 0)


async def test_slot_takes_one_device_after_another(agent: AgentGuest) -> None:
    for number in range(10):
        await agent.plug("virtio-rng-pci", f"rng{number}", 0)
        await agent.guest.unplug(f"rng{number}")
        await agent.link.wait_slot(0, SlotState.EMPTY)
        await agent.plug("edu", f"edu{number}", 0)
        await agent.guest.unplug(f"edu{number}")
        await agent.link.wait_slot(0, SlotState.EMPTY)
    assert agent.link.slot(0).generation == 40
    assert agent.link.counters().stray_total == 0


async def test_slots_are_independent(agent: AgentGuest) -> None:
    await asyncio.gather(*(agent.plug("edu", f"edu{i}", i) for i in range(4)))
    ranges = sorted((agent.link.slot(i).bar_address[0], agent.link.slot(i).bar_size[0]) for i in range(4))
    assert all(address + size <= after for (address, size), (after, _) in pairwise(ranges))
    await agent.guest.unplug("edu2")
    await agent.link.wait_slot(2, SlotState.EMPTY)
    assert [agent.link.slot(i).state for i in (0, 1, 3)] == [SlotState.PRESENT] * 3
    assert await agent.link.mmio_read(3, 0, 0) == 0x010000ED


async def test_device_of_the_command_line_is_found_at_boot(
    qemu: QemuBinary, folder: Path, agent_image: AgentImage
) -> None:
    extra = ("-device", "edu,bus=port0,id=edu0")
    async with agent_guest(qemu, folder, agent_image, ports=2, extra=extra) as agent:
        await agent.link.ready()
        assert agent.link.slot(0).state is SlotState.PRESENT
        assert await agent.link.mmio_read(0, 0, 0) == 0x010000ED
        await agent.guest.unplug("edu0")
        await agent.link.wait_slot(0, SlotState.EMPTY)


async def test_device_added_before_the_guest_runs_is_found_at_boot(agent: AgentGuest) -> None:
    await agent.guest.execute("stop")
    await agent.guest.reset()
    await agent.guest.add_device("edu", "edu1", 1)
    await agent.guest.execute("cont")
    await agent.link.ready(after_boot=1)
    assert agent.link.slot(1).state is SlotState.PRESENT
    assert await agent.link.mmio_read(1, 0, 0) == 0x010000ED


async def test_guest_that_ignores_the_button_keeps_its_device(agent: AgentGuest) -> None:
    agent.link.configure(ConfigFlag.IGNORE_ATTENTION)
    await agent.plug("edu", "edu0", 0)
    with pytest.raises(GuestDidNotEject):
        await agent.guest.unplug("edu0", 0.2)
    assert agent.link.slot(0).state is SlotState.PRESENT
    with agent.guest.monitor.expect("DEVICE_DELETED", device="edu0") as gone:
        await agent.link.eject(0)
        await gone.wait(10)
    assert agent.link.slot(0).state is SlotState.EMPTY


async def test_unplug_that_a_guest_ignored_is_done_by_its_next_boot(agent: AgentGuest) -> None:
    agent.link.configure(ConfigFlag.IGNORE_ATTENTION)
    await agent.plug("edu", "edu0", 0)
    with pytest.raises(GuestDidNotEject):
        await agent.guest.unplug("edu0", 0.2)
    await agent.guest.reset()
    await agent.link.ready(after_boot=1)
    with agent.guest.monitor.expect("DEVICE_DELETED", device="edu0") as gone:
        await agent.link.eject(0)
        await gone.wait(10)


async def test_guest_that_ignores_new_devices_leaves_them_without_power(agent: AgentGuest) -> None:
    agent.link.configure(ConfigFlag.IGNORE_PRESENCE)
    before = agent.link.counters().count[0x20]
    await agent.guest.add_device("edu", "edu0", 0)
    await agent.link.wait_count(0x20, before + 1)
    await agent.link.nop()
    assert agent.link.slot(0).state is SlotState.EMPTY
    await agent.guest.unplug("edu0")


async def test_guest_may_give_a_device_up_unasked(agent: AgentGuest) -> None:
    left: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    agent.guest.on_detached.append(left.set_result)
    await agent.plug("edu", "edu0", 0)
    await agent.link.eject(0)
    assert await asyncio.wait_for(left, 10) == "edu0"
    assert agent.link.slot(0).state is SlotState.EMPTY


async def test_device_too_large_for_its_slot_fails_and_can_be_taken_out(agent: AgentGuest) -> None:
    await agent.guest.add_device("pci-testdev", "big", 0, membar=64 << 20)
    with pytest.raises(SlotFailed, match="BAR_SIZE"):
        await agent.link.wait_slot(0, SlotState.PRESENT)
    await agent.guest.unplug("big")
    await agent.link.wait_slot(0, SlotState.EMPTY)
    await agent.plug("edu", "edu0", 0)


async def test_device_that_leaves_in_the_middle_of_a_wait_ends_it(agent: AgentGuest, doorbells: Doorbells) -> None:
    await doorbells.plug(agent, 0)
    waiting = asyncio.create_task(agent.link.submit(0, [Item(bytes(64))], portal=0, timeout_s=60))
    await agent.link.wait_step(Step.COMPLETION)
    await agent.guest.unplug("bells")
    done = await waiting
    assert (done.result, done.sent, done.retired) == (Result.GONE, 1, 0)
    assert done.items[0].result is ItemResult.GONE


async def test_other_slots_are_served_while_one_spins(agent: AgentGuest, doorbells: Doorbells) -> None:
    await doorbells.plug(agent, 0)
    item = Item(bytes(range(64)), wait_completion=False)
    spinning = asyncio.create_task(agent.link.spin(0, item, portal=PAGE, maximum=2**60))
    await agent.link.wait_progress(100)
    await agent.plug("edu", "edu1", 1)
    await agent.guest.unplug("edu1")
    await agent.link.wait_slot(1, SlotState.EMPTY)
    agent.link.stop_spin()
    done = await spinning
    assert done.result is Result.OK
    assert done.fired >= 100
