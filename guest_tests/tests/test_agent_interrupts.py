"""An interrupt is counted at its vector, once; what nobody owns is stray; masks hold interrupts back and lose none."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from guest_tests.agent_errors import AgentCommandFailed, AgentCrashed
from guest_tests.agent_numbers import SlotState, Step, Vector
from guest_tests.tests.agent_guests import AgentGuest, Doorbells

pytest_plugins = ["host_ctl.tests.qemu_fixtures", "guest_tests.tests.agent_guests"]

MSIX_ONLY = (Step.MSIX,)


@pytest.fixture
async def bells(agent: AgentGuest, doorbells: Doorbells) -> Doorbells:
    """Doorbells in slot 0, entries 0 to 7 enabled."""
    await doorbells.plug(agent, 0)
    await agent.link.enable(0, 7, steps=MSIX_ONLY)
    return doorbells


@pytest.fixture
async def four(agent: AgentGuest, folder: Path) -> AsyncIterator[list[Doorbells]]:
    """Four devices of 32 vectors each, one in each slot, enabled in the default layout."""
    async with AsyncExitStack() as stack:
        devices = [Doorbells(f"bells{i}", folder / f"bells{i}.sock", 32) for i in range(4)]
        for slot, device in enumerate(devices):
            stack.callback(device.close)
            await device.plug(agent, slot)
            await agent.link.enable(slot, 31, steps=MSIX_ONLY)
        yield devices


async def fire(agent: AgentGuest, device: Doorbells, entry: int, slot: int = 0) -> None:
    """Rings for one entry and waits until the guest has counted it."""
    vector = agent.link.slot(slot).vector_base + entry
    seen = agent.link.counters().count[vector]
    device.ring(entry)
    await agent.link.wait_count(vector, seen + 1)


async def canary(agent: AgentGuest, device: Doorbells) -> None:
    """Fires entry 7 of slot 0: what was sent before it has arrived by then, if it ever will."""
    await fire(agent, device, 7)


async def until_pending(agent: AgentGuest, entry: int) -> None:
    """Reads the PBA until an entry's bit is set; the test's own limit bounds it."""
    while not await agent.link.pending(0, entry):
        pass


def device_interrupts(fired: dict[int, int]) -> dict[int, int]:
    """Without the agent's own: hotplug, serial line, timer."""
    return {vector: count for vector, count in fired.items() if vector >= Vector.DEVICE}


async def test_each_interrupt_arrives_at_its_own_vector(agent: AgentGuest, bells: Doorbells) -> None:
    base = agent.link.slot(0).vector_base
    before = agent.link.counters()
    for entry in (3, 0, 7, 3):
        await fire(agent, bells, entry)
    after = agent.link.counters()
    assert device_interrupts(after.since(before)) == {base: 1, base + 3: 2, base + 7: 1}
    assert after.stray_total == 0


async def test_ring_shows_the_order(agent: AgentGuest, bells: Doorbells) -> None:
    base = agent.link.slot(0).vector_base
    start = agent.link.counters().ring_head
    order = [5, 1, 6, 1, 0]
    for entry in order:
        await fire(agent, bells, entry)
    entries = agent.link.ring(start)
    assert [entry.vector - base for entry in entries] == order
    assert [entry.tsc for entry in entries] == sorted(entry.tsc for entry in entries)


async def test_four_slots_of_32_vectors_do_not_mix(agent: AgentGuest, four: list[Doorbells]) -> None:
    before = agent.link.counters()
    for slot, device in enumerate(four):
        for entry in range(32):
            await fire(agent, device, entry, slot)
    fired = device_interrupts(agent.link.counters().since(before))
    assert fired == dict.fromkeys(range(0x30, 0x30 + 128), 1)


async def test_one_slot_can_have_64_vectors(agent: AgentGuest, folder: Path) -> None:
    device = Doorbells("many", folder / "many.sock", 64)
    await device.plug(agent, 2)
    await agent.link.enable(2, 63, base=0x60, steps=MSIX_ONLY)
    for entry in range(64):
        device.ring(entry)
        await agent.link.wait_count(0x60 + entry, 1)
    device.close()


async def test_masked_interrupt_is_pending_and_arrives_once_when_opened(agent: AgentGuest, bells: Doorbells) -> None:
    vector = agent.link.slot(0).vector_base + 2
    assert await agent.link.mask(0, 2, True) == 1
    bells.ring(2)
    bells.ring(2)
    await canary(agent, bells)
    assert await agent.link.pending(0, 2)
    assert agent.link.counters().count[vector] == 0

    assert await agent.link.mask(0, 2, False) == 0
    await agent.link.wait_count(vector, 1)
    await canary(agent, bells)

    assert not await agent.link.pending(0, 2)
    assert agent.link.counters().count[vector] == 1


async def test_function_mask_holds_all_back(agent: AgentGuest, bells: Doorbells) -> None:
    base = agent.link.slot(0).vector_base
    assert await agent.link.mask_function(0, True) & 0xC000 == 0xC000
    for entry in range(3):
        bells.ring(entry)
    await until_pending(agent, 2)
    assert agent.link.counters().count[base : base + 3] == (0, 0, 0)

    assert await agent.link.mask_function(0, False) & 0xC000 == 0x8000
    for entry in range(3):
        await agent.link.wait_count(base + entry, 1)
    await canary(agent, bells)
    assert agent.link.counters().count[base : base + 3] == (1, 1, 1)


async def test_interrupt_on_a_vector_without_owner_is_stray(agent: AgentGuest, bells: Doorbells) -> None:
    bar, table = agent.link.slot(0).msix_table
    await agent.link.mmio_write(0, bar, table + 8, 0xF3)
    bells.ring(0)
    await agent.link.wait_count(0xF3, 1)
    counters = agent.link.counters()
    assert (counters.stray[0xF3], counters.stray_total) == (1, 1)
    assert agent.link.ring()[-1].stray


async def test_message_with_the_spurious_vector_is_stray_and_blocks_nothing(
    agent: AgentGuest, bells: Doorbells
) -> None:
    bar, table = agent.link.slot(0).msix_table
    await agent.link.mmio_write(0, bar, table + 8, Vector.SPURIOUS)
    for number in (1, 2):
        bells.ring(0)
        await agent.link.wait_count(Vector.SPURIOUS, number)
    await canary(agent, bells)
    assert agent.link.counters().stray[Vector.SPURIOUS] == 2


async def test_message_with_the_vector_of_an_exception_is_told_apart(agent: AgentGuest, bells: Doorbells) -> None:
    bar, table = agent.link.slot(0).msix_table
    await agent.link.mmio_write(0, bar, table + 8, 16)
    bells.ring(0)
    with pytest.raises(AgentCrashed, match="interrupt message came with vector 16") as caught:
        await agent.link.wait_slot(0, SlotState.EMPTY)
    assert caught.value.report.was_message
    assert agent.link.counters().stray[16] == 1


async def test_vectors_of_a_disabled_slot_are_free_again(agent: AgentGuest, bells: Doorbells) -> None:
    base = agent.link.slot(0).vector_base
    await agent.link.disable(0, steps=MSIX_ONLY)
    assert agent.link.slot(0).vector_count == 0
    assert await agent.link.config_read(0, agent.link.slot(0).msix_capability + 2, 2) & 0x8000 == 0
    await agent.link.enable(0, 7, base=base + 4, steps=MSIX_ONLY)
    bells.ring(0)
    await agent.link.wait_count(base + 4, 1)


async def test_vectors_of_an_unplugged_device_are_free_again(agent: AgentGuest, bells: Doorbells, folder: Path) -> None:
    base = agent.link.slot(0).vector_base
    await agent.guest.unplug("bells")
    await agent.link.wait_slot(0, SlotState.EMPTY)
    other = Doorbells("other", folder / "other.sock", 4)
    await other.plug(agent, 1)
    await agent.link.enable(1, 3, base=base, steps=MSIX_ONLY)
    other.ring(2)
    await agent.link.wait_count(base + 2, 1)
    other.close()


@pytest.mark.parametrize(
    ("vectors", "base", "why"),
    [
        (7, 0x34, "VECTORS_TAKEN"),
        (7, 0x28, "VECTORS_TAKEN"),
        (7, 0xF8, "VECTORS_TAKEN"),
        (7, 2**64 - 4, "VECTORS_TAKEN"),
        (8, 0x80, "BAD_ARGUMENT"),
        (2**32, 0x80, "BAD_ARGUMENT"),
    ],
)
async def test_vectors_that_cannot_be_had_are_refused(
    agent: AgentGuest, bells: Doorbells, vectors: int, base: int, why: str
) -> None:
    other = Doorbells("other", bells.path.with_name("other.sock"), 8)
    await other.plug(agent, 1)
    with pytest.raises(AgentCommandFailed, match=why):
        await agent.link.enable(1, vectors, base=base, steps=MSIX_ONLY)
    await canary(agent, bells)
    other.close()


async def test_device_steps_are_refused_on_a_device_that_is_no_idxd(agent: AgentGuest, bells: Doorbells) -> None:
    with pytest.raises(AgentCommandFailed, match="BAD_ARGUMENT"):
        await agent.link.enable(0, 7)
    with pytest.raises(AgentCommandFailed, match="BAD_ARGUMENT"):
        await agent.link.command(0, 5 << 20)
