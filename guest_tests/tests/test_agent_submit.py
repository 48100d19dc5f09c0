"""Descriptors go out as a device expects them, and an item ends with what it waited for or says what was missing.

The device's memory BAR stands in for a portal, and the test for the engine: it completes items by hand.
"""

import asyncio

import pytest

from guest_tests.agent_errors import AgentCommandFailed
from guest_tests.agent_items import read_items
from guest_tests.agent_numbers import ItemResult, Result, Step
from guest_tests.agent_results import Item
from guest_tests.tests.agent_guests import PAGE, AgentGuest, Doorbells

pytest_plugins = ["host_ctl.tests.qemu_fixtures", "guest_tests.tests.agent_guests"]


def descriptor(number: int) -> bytes:
    """64 bytes that differ from each other and from other descriptors'."""
    return bytes((number * 7 + i) & 0xFF for i in range(64))


def complete(agent: AgentGuest, place: int, status: int = 1) -> None:
    """Writes an item's completion record, as the engine would."""
    agent.link.memory(agent.link.completion_address(place), 1)[0] = status


async def until_interrupt_noticed(agent: AgentGuest) -> None:
    """Returns when the agent, which waits for the item at place 0, has noticed its interrupt; the test's own limit bounds it."""
    while read_items(agent.link._items(0, 1), 1, 1)[0].interrupt_us is None:  # noqa: ASYNC110 (it tells nobody)
        await asyncio.sleep(0.0003)


async def until_sent(bells: Doorbells, place: int) -> None:
    """Looks into the portal until a descriptor is there; the test's own limit bounds it."""
    while bells.memory[place * 64 : place * 64 + 64] != descriptor(place):  # noqa: ASYNC110 (a guest's store wakes nobody)
        await asyncio.sleep(0.0003)


@pytest.fixture
async def bells(agent: AgentGuest, doorbells: Doorbells) -> Doorbells:
    await doorbells.plug(agent, 0)
    await agent.link.enable(0, 7, steps=(Step.MSIX,))
    return doorbells


async def test_descriptors_walk_through_the_slots_of_the_portal_page(agent: AgentGuest, bells: Doorbells) -> None:
    items = [Item(descriptor(i), wait_completion=False) for i in range(66)]
    done = await agent.link.submit(0, items, portal=PAGE)
    assert (done.result, done.step, done.sent, done.retired) == (Result.OK, Step.DONE, 66, 66)
    assert {item.result for item in done.items} == {ItemResult.SENT}
    page = bells.memory[PAGE : 2 * PAGE]
    expected = [items[i].descriptor for i in (64, 65, *range(2, 64))]
    assert [page[at : at + 64] for at in range(0, PAGE, 64)] == expected
    assert bells.memory[:PAGE] == bytes(PAGE)


async def test_all_1024_items_can_be_submitted_at_once(agent: AgentGuest, bells: Doorbells) -> None:
    items = [Item(descriptor(i), wait_completion=False) for i in range(1024)]
    done = await agent.link.submit(0, items, portal=0, window=16)
    assert (done.result, done.retired) == (Result.OK, 1024)


async def test_item_ends_when_its_record_is_written(agent: AgentGuest, bells: Doorbells) -> None:
    submitting = asyncio.create_task(agent.link.submit(0, [Item(descriptor(0))], portal=0, first=5))
    await agent.link.wait_step(Step.COMPLETION)
    assert not submitting.done()
    complete(agent, 5, 0x2A)
    done = await submitting
    item = done.items[0]
    assert (item.result, item.status, item.completion[0]) == (ItemResult.DONE, 0x2A, 0x2A)
    assert item.completion_us is not None and item.completion_us > 0
    assert item.interrupt_us is None


async def test_window_of_one_waits_for_the_interrupt_too(agent: AgentGuest, bells: Doorbells) -> None:
    vector = agent.link.slot(0).vector_base + 3
    submitting = asyncio.create_task(agent.link.submit(0, [Item(descriptor(0), expect_vector=vector)], portal=0))
    await agent.link.wait_step(Step.COMPLETION)
    complete(agent, 0)
    await agent.link.wait_step(Step.INTERRUPT)
    assert agent.link.progress == 0
    bells.ring(3)
    item = (await submitting).items[0]
    assert (item.result, item.interrupts, item.interrupt_came_first) == (ItemResult.DONE, 1, False)
    assert item.interrupt_us is not None and item.completion_us is not None
    assert item.interrupt_us > item.completion_us


async def test_interrupt_before_the_record_is_noted(agent: AgentGuest, bells: Doorbells) -> None:
    vector = agent.link.slot(0).vector_base + 3
    submitting = asyncio.create_task(agent.link.submit(0, [Item(descriptor(0), expect_vector=vector)], portal=0))
    await agent.link.wait_step(Step.COMPLETION)
    bells.ring(3)
    await until_interrupt_noticed(agent)
    complete(agent, 0)
    item = (await submitting).items[0]
    assert (item.result, item.interrupt_came_first) == (ItemResult.DONE, True)


async def test_item_without_record_ends_the_list(agent: AgentGuest, bells: Doorbells) -> None:
    items = [Item(descriptor(0), wait_completion=False), Item(descriptor(1)), Item(descriptor(2))]
    done = await agent.link.submit(0, items, portal=0, timeout_s=0.05)
    assert (done.result, done.step, done.sent, done.retired) == (Result.TIMEOUT, Step.COMPLETION, 2, 1)
    results = [item.result for item in done.items]
    assert results == [ItemResult.SENT, ItemResult.NO_COMPLETION, ItemResult.UNTOUCHED]


async def test_item_without_interrupt_says_so(agent: AgentGuest, bells: Doorbells) -> None:
    vector = agent.link.slot(0).vector_base + 3
    item = Item(descriptor(0), wait_completion=False, expect_vector=vector)
    bells.ring(2)
    done = await agent.link.submit(0, [item], portal=0, timeout_s=0.05)
    assert (done.result, done.items[0].result) == (Result.TIMEOUT, ItemResult.NO_INTERRUPT)
    assert await agent.link.wait_count(vector - 1, 1) == 1


async def test_window_bounds_what_is_outstanding(agent: AgentGuest, bells: Doorbells) -> None:
    items = [Item(descriptor(i)) for i in range(6)]
    submitting = asyncio.create_task(agent.link.submit(0, items, portal=0, window=3))
    await agent.link.wait_step(Step.COMPLETION)
    assert bells.memory[: 4 * 64] == b"".join(descriptor(i) for i in range(3)) + bytes(64)
    complete(agent, 0)
    await agent.link.wait_progress(1)
    for place in range(1, 6):
        await until_sent(bells, place)
        complete(agent, place)
    done = await submitting
    assert (done.result, done.retired) == (Result.OK, 6)


async def test_spin_fires_until_it_is_stopped(agent: AgentGuest, bells: Doorbells) -> None:
    item = Item(descriptor(9), wait_completion=False)
    spinning = asyncio.create_task(agent.link.spin(0, item, portal=0, maximum=2**40))
    await agent.link.wait_progress(200)
    agent.link.stop_spin()
    done = await spinning
    assert done.result is Result.OK
    assert done.fired >= 200
    assert bells.memory[:PAGE] == descriptor(9) * 64


async def test_spin_ends_at_its_maximum_and_at_a_timeout(agent: AgentGuest, bells: Doorbells) -> None:
    silent = Item(descriptor(9), wait_completion=False)
    assert (await agent.link.spin(0, silent, portal=0, maximum=7)).fired == 7
    done = await agent.link.spin(0, Item(descriptor(9)), portal=0, maximum=7, timeout_s=0.05)
    assert (done.result, done.step, done.fired) == (Result.TIMEOUT, Step.COMPLETION, 0)


async def test_every_firing_of_a_spin_waits_for_a_record_of_its_own(agent: AgentGuest, bells: Doorbells) -> None:
    item = Item(descriptor(9))
    spinning = asyncio.create_task(agent.link.spin(0, item, portal=0, maximum=3, timeout_s=60))
    await agent.link.wait_step(Step.COMPLETION)
    complete(agent, 0)
    await agent.link.wait_progress(1)
    await agent.guest.unplug("bells")
    done = await spinning
    assert (done.result, done.fired) == (Result.GONE, 1)


async def test_cancelled_spin_stops(agent: AgentGuest, bells: Doorbells) -> None:
    spinning = asyncio.create_task(
        agent.link.spin(0, Item(descriptor(9), wait_completion=False), portal=0, maximum=2**40)
    )
    await agent.link.wait_progress(1)
    spinning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await spinning
    await agent.link.nop()


@pytest.mark.parametrize(("bar", "portal"), [(2, 64), (2, 4 * PAGE), (0, PAGE), (5, 0), (6, 0), (2, 2**64 - PAGE)])
async def test_portal_outside_a_bar_is_refused(agent: AgentGuest, bells: Doorbells, bar: int, portal: int) -> None:
    with pytest.raises(AgentCommandFailed, match="BAD_ARGUMENT"):
        await agent.link.submit(0, [Item(descriptor(0))], bar=bar, portal=portal)


async def test_places_that_do_not_exist_are_refused(agent: AgentGuest, bells: Doorbells) -> None:
    with pytest.raises(ValueError, match="there are 1024 places"):
        await agent.link.submit(0, [Item(descriptor(0))] * 2, portal=0, first=1023)
    with pytest.raises(ValueError, match="60 bytes instead of 64"):
        await agent.link.submit(0, [Item(bytes(60))], portal=0)
