"""Attack and fault cases of descriptors, records, addresses and batches (docs/cases.md), by a guest in a real QEMU."""

from __future__ import annotations

import pytest

from guest_tests.descriptors import WITH_RECORD, Flag, Opcode, Status, descriptor, firing_noop
from guest_tests.tests.case_guests import MSI_WINDOW, NO_MEMORY, Attendant, Pair, move, unrecorded

pytest_plugins = ["host_ctl.tests.qemu_fixtures", "guest_tests.tests.agent_guests", "guest_tests.tests.case_guests"]

RCI = WITH_RECORD | Flag.RCI
DRAIN = 0x02
SUCCESS, READ_FAULT, WRITE_FAULT = 0x01, 0x20, 0x21
OPCODE, FLAGS, RESERVED, TRANSFER, COUNT, ALIGN, LIST_FAULT = 0x10, 0x11, 0x12, 0x13, 0x14, 0x18, 0x06
RECORD_FAULT, RECORD_ALIGN = 0x1A, 0x1B
MIB = 1 << 20
TOP = 1 << 64


# ---- handles: 1 to 9 are scenarios, in guest_tests/scenarios ----


async def test_handle_0_belongs_to_the_guest_that_has_the_first_entry(pair: Pair) -> None:
    """Case 7."""
    refused = await pair.attacker.status(firing_noop(0, 0))

    assert pair.victim.handle() == 0
    assert refused == Status.HANDLE
    assert await pair.attacker.all_counted() == {}
    assert await pair.victim_is_untouched()


# ---- addresses: 15, 16, 21, 26 ----


@pytest.mark.parametrize(
    ("outside", "status"), [("source", READ_FAULT), ("destination", WRITE_FAULT)], ids=["source", "destination"]
)
@pytest.mark.parametrize("address", [NO_MEMORY, MSI_WINDOW, TOP - 4096], ids=["beyond", "msi window", "top"])
async def test_move_outside_the_guests_memory_faults_at_its_first_byte(
    pair: Pair, outside: str, status: int, address: int
) -> None:
    """Case 15."""
    addresses = {"source": pair.attacker.data, "destination": pair.attacker.data + MIB} | {outside: address}
    (item,) = await pair.attacker.submit(move(addresses["source"], addresses["destination"], 4096))

    assert item.status & 0x3F == status
    assert int.from_bytes(item.completion[4:8], "little") == 0
    assert int.from_bytes(item.completion[8:16], "little") == address
    assert await pair.attacker.all_counted() == {}
    assert await pair.victim_is_untouched()


async def test_move_across_the_end_of_memory_ends_there(attacker: Attendant) -> None:
    """Case 15: bytes completed are those that were there."""
    start, size = attacker.link.scratch
    end = start + size
    (item,) = await attacker.submit(move(end - 512, attacker.data, 1024))

    assert item.status & 0x3F == READ_FAULT
    assert int.from_bytes(item.completion[4:8], "little") <= 512
    assert int.from_bytes(item.completion[8:16], "little") == end


async def test_range_that_wraps_faults_and_writes_nothing_at_zero(attacker: Attendant) -> None:
    """Case 16."""
    low = attacker.get(0, 4096)
    attacker.put(attacker.data, bytes([0xA5]) * 8192)
    status = await attacker.status(move(attacker.data, TOP - 4096, 8192))

    assert status & 0x3F == WRITE_FAULT
    assert attacker.get(0, 4096) == low


@pytest.mark.parametrize("distance", [-100, 100])
async def test_overlapping_move_is_as_by_way_of_a_third_buffer(attacker: Attendant, distance: int) -> None:
    """Case 21."""
    pattern = bytes(range(256)) * 16
    attacker.put(attacker.data + 4096, pattern)
    status = await attacker.status(move(attacker.data + 4096, attacker.data + 4096 + distance, len(pattern)))

    assert status == SUCCESS
    assert attacker.get(attacker.data + 4096 + distance, len(pattern)) == pattern


@pytest.mark.parametrize("size", [0, 2 * MIB + 1, 2**32 - 1])
async def test_size_of_0_or_beyond_the_queues_limit_is_0x13(attacker: Attendant, size: int) -> None:
    """Case 26."""
    assert await attacker.status(move(attacker.data, attacker.data + MIB, size)) == TRANSFER


# ---- records: 17 to 20 ----


@pytest.mark.parametrize("address", [NO_MEMORY, MSI_WINDOW, TOP - 32], ids=["beyond", "msi window", "top"])
async def test_record_that_is_no_memory_is_0x1a_in_swerror_and_no_interrupt(pair: Pair, address: int) -> None:
    """Cases 17 and 20: a record written to the MSI window would be an interrupt of the attacker's choice."""
    await pair.attacker.post_and_drain(unrecorded(firing_noop(0, pair.attacker.handle()), address))
    error = await pair.attacker.swerror()

    assert (error.valid, error.code, error.address) == (True, RECORD_FAULT, address)
    assert await pair.attacker.all_counted() == {}
    assert await pair.victim_is_untouched()


async def test_record_in_a_devices_bar_is_0x1a_and_changes_no_register(attacker: Attendant) -> None:
    """Case 20: BAR0 of the guest's own device, where its MSI-X table is."""
    slot = attacker.link.slot(0)
    table = slot.bar_address[slot.msix_table[0]] + slot.msix_table[1]
    before = [await attacker.read(slot.msix_table[1] + offset) for offset in range(0, 32, 8)]
    await attacker.post_and_drain(unrecorded(firing_noop(0, attacker.handle()), table))
    error = await attacker.swerror()

    assert (error.valid, error.code, error.address) == (True, RECORD_FAULT, table)
    assert [await attacker.read(slot.msix_table[1] + offset) for offset in range(0, 32, 8)] == before
    assert await attacker.all_counted() == {}


@pytest.mark.parametrize("offset", [1, 8, 16, 31])
async def test_misaligned_record_is_0x1b_and_the_descriptor_is_discarded(attacker: Attendant, offset: int) -> None:
    """Case 18."""
    attacker.put(attacker.records, bytes(96))
    attacker.put(attacker.data, b"moved")
    attacker.put(attacker.data + MIB, bytes(5))
    flags = RCI
    moving = move(attacker.data, attacker.data + MIB, 5, flags=flags, handle=attacker.handle())
    await attacker.post_and_drain(unrecorded(moving, attacker.records + offset))
    error = await attacker.swerror()

    assert (error.code, error.address) == (RECORD_ALIGN, attacker.records + offset)
    assert attacker.get(attacker.records, 96) == bytes(96)
    assert attacker.get(attacker.data + MIB, 5) == bytes(5)
    assert await attacker.all_counted() == {}


async def test_record_over_the_destination_is_written_over_the_data(attacker: Attendant) -> None:
    """Case 19."""
    attacker.put(attacker.data, bytes([0x55]) * 256)
    raw = move(attacker.data, attacker.records, 256)
    await attacker.post_and_drain(unrecorded(raw, attacker.records + 64))
    written = attacker.get(attacker.records, 256)

    assert written[64] == SUCCESS
    assert written[:64] + written[96:] == bytes([0x55]) * 224


async def test_of_two_records_at_one_address_the_last_stays(attacker: Attendant) -> None:
    """Case 19."""
    failing = unrecorded(move(attacker.data, attacker.data, 0), attacker.records)
    await attacker.post_and_drain(failing, unrecorded(descriptor(Opcode.NOOP), attacker.records))

    assert attacker.get(attacker.records, 1)[0] == SUCCESS


# ---- fields: 25 ----


@pytest.mark.parametrize("bit", [0, 1, 5, 6, 7, 10, 11, 14, 15, 23])
async def test_flag_that_a_noop_does_not_take_is_0x11_and_named(attacker: Attendant, bit: int) -> None:
    """Case 25."""
    (item,) = await attacker.submit(descriptor(Opcode.NOOP, flags=Flag(WITH_RECORD | 1 << bit)))

    assert item.status == FLAGS
    assert int.from_bytes(item.completion[16:20], "little") == 1 << bit


@pytest.mark.parametrize("offset", [16, 24, 32, 38, 63])
async def test_reserved_byte_of_a_noop_is_0x12(attacker: Attendant, offset: int) -> None:
    """Case 25."""
    raw = descriptor(Opcode.NOOP)

    assert await attacker.status(raw[:offset] + b"\x01" + raw[offset + 1 :]) == RESERVED


# ---- batches: 2, 3 are scenarios; 22, 23, 27 ----


@pytest.mark.parametrize("inner", [Opcode.BATCH, DRAIN])
async def test_batch_or_drain_in_a_batch_is_0x10_in_its_own_record(attacker: Attendant, inner: int) -> None:
    """Case 22."""
    nested = descriptor(inner, source=attacker.batch_list, size=3)
    item = await attacker.batch(descriptor(Opcode.NOOP), nested, descriptor(Opcode.NOOP))

    assert (item.status, int.from_bytes(item.completion[4:8], "little")) == (Status.BATCH, 3)
    assert attacker.member_records(3) == [SUCCESS, OPCODE, SUCCESS]


@pytest.mark.parametrize("count", [0, 1, 33, 2**32 - 1])
async def test_count_out_of_range_is_0x14_and_nothing_of_the_list_is_done(attacker: Attendant, count: int) -> None:
    """Case 23."""
    item = await attacker.batch(descriptor(Opcode.NOOP), descriptor(Opcode.NOOP), count=count)

    assert item.status == COUNT
    assert attacker.member_records(2) == [0, 0]


@pytest.mark.parametrize(
    ("offset", "status"), [(32, ALIGN), (1, ALIGN), (NO_MEMORY, LIST_FAULT)], ids=["half", "byte", "no memory"]
)
async def test_list_that_is_not_aligned_or_no_memory_is_refused(attacker: Attendant, offset: int, status: int) -> None:
    """Case 23."""
    noops = [descriptor(Opcode.NOOP)] * 2
    item = await attacker.batch(*noops, list_at=attacker.batch_list + offset)

    assert item.status & 0x3F == status
    assert attacker.member_records(2) == [0, 0]


async def test_list_that_a_member_rewrites_is_used_as_it_was_read(pair: Pair) -> None:
    """Case 23: what was fetched is used, though the list then names the victim's handle."""
    attacker = pair.attacker
    attacker.put(attacker.data, firing_noop(attacker.records + 32, pair.victim.handle()))
    rewriting = move(attacker.data, attacker.batch_list + 64, 64)
    item = await attacker.batch(rewriting, descriptor(Opcode.NOOP))

    assert item.status == SUCCESS
    assert attacker.member_records(2) == [SUCCESS, SUCCESS]
    assert attacker.get(attacker.batch_list + 64 + 36, 2) == pair.victim.handle().to_bytes(2, "little")
    assert await pair.victim_is_untouched()


async def test_fence_after_a_failure_abandons_the_rest_without_records_and_interrupts(attacker: Attendant) -> None:
    """Case 27."""
    failing = move(attacker.data, attacker.data, 0)
    own = descriptor(Opcode.NOOP, flags=RCI, handle=attacker.handle())
    fenced = descriptor(Opcode.NOOP, flags=RCI | Flag.FENCE, handle=attacker.handle())
    item = await attacker.batch(descriptor(Opcode.NOOP), failing, fenced, own)

    assert (item.status, int.from_bytes(item.completion[4:8], "little")) == (Status.BATCH, 2)
    assert attacker.member_records(4) == [SUCCESS, TRANSFER, 0, 0]
    assert await attacker.all_counted() == {}
