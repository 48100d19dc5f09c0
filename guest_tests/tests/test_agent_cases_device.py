"""Attack and fault cases of portals, commands, registers and MSI-X (docs/cases.md), by a guest in a real QEMU."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from guest_tests.agent_numbers import SlotState
from guest_tests.descriptors import WITH_RECORD, Flag, Opcode, descriptor, firing_noop
from guest_tests.tests.agent_guests import AgentGuest
from guest_tests.tests.case_guests import (
    CMD,
    GENCTRL,
    GENSTS,
    NO_MEMORY,
    PORTAL,
    PORTALS,
    SLOT,
    SWERROR,
    Attendant,
    Pair,
    move,
    unrecorded,
)
from host_ctl.host import Host

pytest_plugins = ["host_ctl.tests.qemu_fixtures", "guest_tests.tests.agent_guests", "guest_tests.tests.case_guests"]

RCI = WITH_RECORD | Flag.RCI
CRC = 0x10
MEMBERS = 32
MIB = 1 << 20
SUCCESS = 0x01
GENCFG, OFFSETS, GRPCFG, WQCFG, MSIXPERM = 0x80, 0x60, 0x400, 0x600, 0x800
ENABLE_WQ, DISABLE_WQ, DRAIN_WQ, ABORT_WQ, RESET_WQ = 6 << 20, 7 << 20, 8 << 20, 9 << 20, 10 << 20
REQUEST, RELEASE = 13 << 20, 14 << 20
INTERRUPT = 1 << 31
IGNORE = 4
PCI_COMMAND, DEVICE_CONTROL, FLR = 0x04, 0x48, 1 << 15


def firing(guest: Attendant, vector: int = 1) -> bytes:
    return unrecorded(firing_noop(0, guest.handle(vector)), guest.records)


def long_work(guest: Attendant) -> bytes:
    """A batch that takes an engine a millisecond or more; each member asks for an interrupt."""
    flags = RCI
    member = descriptor(CRC, flags=flags, record=guest.records, source=guest.data, size=2 * MIB, handle=guest.handle())
    guest.put(guest.batch_list, member * MEMBERS)
    return descriptor(
        Opcode.BATCH, flags=flags, record=guest.records, source=guest.batch_list, size=MEMBERS, handle=guest.handle()
    )


async def portal_store(guest: Attendant, raw: bytes, size: int, order: list[int]) -> None:
    """Pieces of `size` bytes of a descriptor, in this order."""
    for piece in order:
        value = int.from_bytes(raw[piece * size : (piece + 1) * size], "little")
        await guest.link.mmio_write(SLOT, PORTALS, PORTAL + piece * size, value, size)


async def runs_nothing(guest: Attendant) -> bool:
    """What was stored has left no record and no interrupt when a descriptor behind it has ended."""
    status = await guest.status(descriptor(Opcode.NOOP))
    return status == SUCCESS and guest.get(guest.records, 32) == bytes(32) and guest.counted() == {}


# ---- portals: 11 to 13 ----


@pytest.mark.parametrize("portal", [0x2000, 0x3000])
async def test_portals_that_are_not_its_own_take_nothing(pair: Pair, portal: int) -> None:
    """Case 11."""
    guest = pair.attacker
    guest.put(guest.records, bytes(32))
    await guest.post(firing(guest), firing(guest), portal=portal)

    assert await runs_nothing(guest)
    assert await pair.victim_is_untouched()


@pytest.mark.parametrize(
    ("size", "order"),
    [
        (8, [*range(7)]),
        (8, [1, 0, *range(2, 8)]),
        (8, [*range(7, -1, -1)]),
        (8, [0] * 8),
        (4, [*range(16)]),
        (2, [*range(32)]),
        (1, [*range(64)]),
    ],
    ids=["seven", "swapped", "backwards", "the first only", "4 bytes", "2 bytes", "1 byte"],
)
async def test_stores_that_are_no_descriptor_do_nothing(attacker: Attendant, size: int, order: list[int]) -> None:
    """Case 12."""
    attacker.put(attacker.records, bytes(32))
    await portal_store(attacker, firing(attacker), size, order)

    assert await runs_nothing(attacker)
    assert await attacker.fires()


async def test_flood_is_dropped_with_swerror_0x53_and_its_neighbour_works_on(pair: Pair) -> None:
    """Case 13."""
    guest = pair.attacker
    _, untouched = await asyncio.gather(guest.post(*[long_work(guest)] * 512), pair.victim_is_untouched())
    error = await guest.swerror()
    aborted = await guest.link.command(SLOT, ABORT_WQ | 1)

    assert (error.valid, error.overflow, error.code) == (True, True, 0x53)
    assert untouched
    assert aborted == 0
    assert set(guest.counted()) <= {1}
    assert await guest.fires()


# ---- commands: 28, 29, 30, 42 ----


async def test_command_while_one_is_active_is_discarded_with_swerror_0x52(attacker: Attendant) -> None:
    """Case 28."""
    await attacker.post(*[long_work(attacker)] * 60)
    await attacker.write(CMD, DRAIN_WQ | 1)
    await attacker.write(CMD, DISABLE_WQ | 1)
    error = await attacker.swerror()
    drained = await attacker.link.command(SLOT, DRAIN_WQ | 1, 30.0)

    assert (error.valid, error.code) == (True, 0x52)
    assert drained == 0
    assert await attacker.fires()


@pytest.mark.parametrize("command", [ENABLE_WQ, DISABLE_WQ, DRAIN_WQ, ABORT_WQ, RESET_WQ])
async def test_queues_of_others_cannot_be_named(pair: Pair, command: int) -> None:
    """Case 29: as a bit, as a bit beside its own, in another block; Enable WQ takes a number."""
    statuses = [await pair.attacker.link.command(SLOT, command | operand) for operand in (2, 3, 0x8001, 0x10001)]

    assert 0 not in statuses
    assert await pair.attacker.fires()
    assert await pair.victim_is_untouched()


@pytest.mark.parametrize("command", [ABORT_WQ, RESET_WQ, 4 << 20, 5 << 20])
async def test_nothing_is_written_or_signalled_after_what_drops(pair: Pair, command: int) -> None:
    """Case 30."""
    guest = pair.attacker
    await guest.post(*[long_work(guest)] * 32)
    status = await guest.link.command(SLOT, command | (1 if command >= ABORT_WQ else 0))
    seen = guest.counted()
    guest.put(guest.records, bytes(32))
    untouched = await pair.victim_is_untouched()

    assert status == 0
    assert untouched
    assert guest.get(guest.records, 32) == bytes(32)
    assert guest.counted() == seen


@pytest.mark.parametrize("operand", [0, 3, 0xFFFF, 1 << 16 | 1])
async def test_handle_of_an_index_beyond_its_table_or_of_an_ims_is_refused(pair: Pair, operand: int) -> None:
    """Case 42."""
    assert await pair.attacker.link.command(SLOT, REQUEST | operand) == 0x41
    assert await pair.attacker.link.command(SLOT, RELEASE | 1 << 16 | 1) == 0x41
    assert await pair.attacker.fires()
    assert await pair.victim_is_untouched()


# ---- the function: 31, 39 ----


async def test_function_level_reset_during_dma_touches_nobody_else(pair: Pair) -> None:
    """Case 31."""
    guest = pair.attacker
    await guest.post(*[long_work(guest)] * 32)
    await guest.link.config_write(SLOT, DEVICE_CONTROL, FLR, 2)
    state = await guest.read(GENSTS, 4)
    seen = guest.counted()
    guest.put(guest.records, bytes(32))
    untouched = await pair.victim_is_untouched()

    assert state & 3 == 0
    assert untouched
    assert guest.get(guest.records, 32) == bytes(32)
    assert guest.counted() == seen


async def test_without_bus_mastering_there_is_neither_a_record_nor_an_interrupt(pair: Pair) -> None:
    """Case 39, of a device over a work queue: it stops, and does not halt."""
    guest = pair.attacker
    guest.put(guest.records, bytes(32))
    await guest.link.config_write(SLOT, PCI_COMMAND, 2, 2)
    await guest.post(firing(guest))
    untouched = await pair.victim_is_untouched()
    written, seen = guest.get(guest.records, 32), guest.counted()
    await guest.link.config_write(SLOT, PCI_COMMAND, 6, 2)

    assert untouched
    assert (written, seen) == (bytes(32), {})


async def test_device_of_its_own_halts_without_bus_mastering(agent: AgentGuest, folder: Path) -> None:
    """Case 39."""
    host = Host()
    try:
        mdev = await asyncio.to_thread(host.create, "dsa-pf-v1", 4, folder)
        await agent.guest.plug("mdev", mdev.socket, SLOT)
        await agent.link.wait_slot(SLOT, SlotState.PRESENT)
        await agent.link.enable(SLOT, 4)
        await agent.link.config_write(SLOT, PCI_COMMAND, 2, 2)
        state = await agent.link.mmio_read(SLOT, 0, GENSTS)
        error = await agent.link.mmio_read(SLOT, 0, SWERROR, 8)
    finally:
        await asyncio.to_thread(host.close)

    assert state & 3 == 3
    assert (error & 1, error >> 8 & 0xFF) == (1, 0x51)


# ---- MSI-X: 32, 34, 35 ----


async def test_rewritten_msix_entry_leads_to_another_vector_of_the_same_guest(pair: Pair) -> None:
    """Case 32: the new data is that of vector 2; what the store of the host holds is not the guest's to change."""
    guest = pair.attacker
    table = guest.link.slot(SLOT).msix_table[1]
    messages = [i.message for i in guest.mdev.interrupts]
    await guest.link.mask(SLOT, 1, True)
    await guest.write(table + 16 + 8, await guest.read(table + 32 + 8, 4))
    await guest.link.mask(SLOT, 1, False)
    await guest.post_and_drain(firing(guest))
    await guest.link.wait_count(
        guest.link.slot(SLOT).vector_base + 2, guest.before.count[guest.link.slot(SLOT).vector_base + 2] + 1
    )

    assert guest.counted() == {2: 1}
    assert [i.message for i in guest.mdev.interrupts] == messages
    assert await pair.victim_is_untouched()


async def test_ignored_interrupt_is_dropped_without_pending(attacker: Attendant) -> None:
    """Case 34."""
    await attacker.write(MSIXPERM + 8, IGNORE)
    await attacker.post_and_drain(firing(attacker))
    pending = await attacker.link.pending(SLOT, 1)
    await attacker.write(MSIXPERM + 8, 0)

    assert not pending
    assert attacker.counted() == {}
    assert await attacker.fires()
    assert attacker.counted() == {1: 1}


async def test_ignore_set_while_pending_does_not_stop_the_message(attacker: Attendant) -> None:
    """Case 34."""
    await attacker.link.mask(SLOT, 1, True)
    await attacker.post_and_drain(firing(attacker))
    await attacker.write(MSIXPERM + 8, IGNORE)
    await attacker.link.mask(SLOT, 1, False)
    base = attacker.link.slot(SLOT).vector_base
    await attacker.link.wait_count(base + 1, attacker.before.count[base + 1] + 1)
    await attacker.write(MSIXPERM + 8, 0)

    assert attacker.counted() == {1: 1}


@pytest.mark.parametrize("control", [0x0000, 0xC000], ids=["disabled", "function mask"])
async def test_interrupts_while_msix_is_off_are_one_when_it_is_on(attacker: Attendant, control: int) -> None:
    """Cases 33 and 35."""
    register = attacker.link.slot(SLOT).msix_capability + 2
    await attacker.link.config_write(SLOT, register, control, 2)
    await attacker.post_and_drain(*[firing(attacker)] * 3)
    pending, seen = await attacker.link.pending(SLOT, 1), attacker.counted()
    await attacker.link.config_write(SLOT, register, 0x8000, 2)
    base = attacker.link.slot(SLOT).vector_base
    await attacker.link.wait_count(base + 1, attacker.before.count[base + 1] + 1)

    assert (pending, seen) == (True, {})
    assert not await attacker.link.pending(SLOT, 1)
    assert attacker.counted() == {1: 1}


# ---- registers: 36, 40, 41, 43, 44 ----


async def test_guest_has_no_message_store(pair: Pair) -> None:
    """Case 36: no offset of one, and what is written where one might be reaches none."""
    guest = pair.attacker
    both = [*guest.mdev.interrupts, *pair.victim.mdev.interrupts]
    before = [(i.message, i.control) for i in both]
    offset = await guest.read(OFFSETS) >> 48 & 0xFFFF
    for place in (0x4000, 0x6000, 0x8000, 0xC000, 0xF000):
        await guest.write(place, 0xFEE0_0000, 8)
        await guest.write(place + 8, 0xFFFF_FFFF, 8)

    assert offset == 0
    assert [(i.message, i.control) for i in both] == before
    assert await pair.victim_is_untouched()


async def test_each_completion_of_a_command_interrupts_though_intcause_is_not_acknowledged(attacker: Attendant) -> None:
    """Case 40."""
    base = attacker.link.slot(SLOT).vector_base
    first = attacker.before.count[base]
    for number in range(1, 4):
        await attacker.link.command(SLOT, INTERRUPT | DRAIN_WQ | 1)
        await attacker.link.wait_count(base, first + number)

    assert attacker.counted() == {0: 3}


@pytest.mark.parametrize("offset", [GENCFG, GRPCFG, GRPCFG + 32, GRPCFG + 40, WQCFG, WQCFG + 8, WQCFG + 12, WQCFG + 16])
async def test_configuration_written_while_enabled_is_ignored(pair: Pair, offset: int) -> None:
    """Case 41."""
    before = await pair.attacker.read(offset, 4)
    for value in (0xFFFF_FFFF, 0):
        await pair.attacker.write(offset, value)

    assert await pair.attacker.read(offset, 4) == before
    assert await pair.attacker.fires()
    assert await pair.victim_is_untouched()


async def test_second_error_only_overflows_and_does_not_interrupt(attacker: Attendant) -> None:
    """Case 43."""
    base = attacker.link.slot(SLOT).vector_base
    await attacker.write(GENCTRL, 1)
    bad = [unrecorded(descriptor(Opcode.NOOP), NO_MEMORY + 0x1000 * number) for number in range(3)]
    await attacker.post_and_drain(bad[0])
    await attacker.link.wait_count(base, attacker.before.count[base] + 1)
    first = await attacker.swerror()
    await attacker.post_and_drain(bad[1], bad[2])
    second = await attacker.swerror()

    assert (first.valid, first.overflow, first.address) == (True, False, NO_MEMORY)
    assert (second.valid, second.overflow, second.address) == (True, True, NO_MEMORY)
    assert attacker.counted() == {0: 1}


async def test_moves_over_its_own_registers_are_no_way_to_them(attacker: Attendant) -> None:
    """Case 20: a destination in the BAR of the guest's own device, where its MSI-X table is."""
    slot = attacker.link.slot(SLOT)
    table = slot.msix_table[1]
    before = [await attacker.read(table + offset) for offset in range(0, 48, 8)]
    status = await attacker.status(move(attacker.data, slot.bar_address[slot.msix_table[0]] + table, 48))

    assert status & 0x3F == 0x21
    assert [await attacker.read(table + offset) for offset in range(0, 48, 8)] == before
