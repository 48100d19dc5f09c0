"""Validation of descriptors, where results and errors go, Memory Move (DSA specification 5.4, 5.7, 5.8.1, 8.1 - 8.3)."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device_model.config import DeviceConfig
from device_model.tests.core_rig import (
    CRAV,
    MEMMOVE,
    NOOP,
    RAM,
    RAM_SIZE,
    RCI,
    RCR,
    RECORDS,
    SUCCESS,
    SWERROR,
    GuestView,
    Machine,
    descriptor,
    firing,
    move,
)
from device_model.tests.operation_cases import OPCODES

DATA = bytes(range(256)) * 40
END = RAM + RAM_SIZE


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with Machine(tmp_path_factory.mktemp("m"), config=DeviceConfig(num_wqs=64, total_wq_size=1024, num_ims=512)) as machine:
        machine.started()  # a bystander
        yield machine


@pytest.fixture
def guest(machine: Machine) -> Iterator[GuestView]:
    guest = machine.started()
    yield guest
    guest.client.close()
    guest.mdev.close()
    machine.guests.remove(guest)


def changed(desc: bytes, offset: int, value: int) -> bytes:
    """The descriptor with one byte replaced."""
    return desc[:offset] + bytes([value]) + desc[offset + 1 :]


# ---- where results go (5.8.1) ----


def test_record_is_written_as_a_whole_with_its_status(guest: GuestView) -> None:
    guest.put(RECORDS, b"\xee" * 32)
    guest.run(move(RAM, RAM + 0x1000, 100))

    assert guest.get(RECORDS, 32) == bytes([1]) + bytes(31)


def test_without_rcr_success_writes_no_record_and_still_interrupts(guest: GuestView) -> None:
    assert guest.status(descriptor(NOOP, flags=CRAV | RCI, record=RECORDS, handle=guest.handle)) == 0
    assert guest.vectors() == [1]


def test_without_rcr_a_failure_writes_the_record(guest: GuestView) -> None:
    assert guest.status(move(RAM, RAM, 0, flags=CRAV)) == 0x13


def test_without_a_record_address_success_is_silent(guest: GuestView) -> None:
    before = bytes(guest.memory)
    guest.run(descriptor(NOOP, flags=0), descriptor(NOOP, flags=RCI, handle=guest.handle))

    assert guest.vectors() == [1]
    assert bytes(guest.memory) == before
    assert not guest.swerror().valid


def test_without_a_record_address_a_failure_goes_to_swerror_and_still_interrupts(guest: GuestView) -> None:
    guest.run(move(RAM, RAM, 0, record=0, flags=RCI, handle=guest.handle))

    assert guest.swerror().code == 0x13
    assert guest.vectors() == [1]


def test_failure_with_a_record_does_not_touch_swerror(guest: GuestView) -> None:
    assert guest.status(move(RAM, RAM, 0)) == 0x13
    assert not guest.swerror().valid


@pytest.mark.parametrize("offset", [1, 8, 16, 31])
def test_misaligned_record_is_0x1b_and_the_descriptor_is_discarded(guest: GuestView, offset: int) -> None:
    guest.put(RAM, DATA[1:65])
    before = bytes(guest.memory)
    guest.run(move(RAM, RAM + 0x1000, 64, record=RECORDS + offset, flags=CRAV | RCR | RCI, handle=guest.handle))
    error = guest.swerror()

    assert (error.code, error.address) == (0x1B, RECORDS + offset)
    assert bytes(guest.memory) == before
    assert guest.vectors() == []


@pytest.mark.parametrize("address", [END, 0, RAM - 32, 2**64 - 32, 0xFEE0_0000, 0xFEE0_1000])
def test_record_that_is_no_memory_is_0x1a_without_an_interrupt(guest: GuestView, address: int) -> None:
    guest.run(firing(address, guest.handle))
    error = guest.swerror()

    assert (error.code, error.address) == (0x1A, address)
    assert guest.vectors() == []
    assert guest.client.interrupts == []


@pytest.mark.parametrize("flags", [CRAV, CRAV | RCR, CRAV | RCI, CRAV | RCR | RCI], ids=hex)
@pytest.mark.parametrize("address", [END, RAM - 32, 0x4000_0000])
def test_record_that_cannot_be_written_discards_the_descriptor_before_it_is_executed(
    guest: GuestView, address: int, flags: int
) -> None:
    guest.client.dma_map(0x4000_0000, 0x1000, flags=1)
    guest.put(RAM, DATA[1:65])
    before = bytes(guest.memory)
    handle = guest.handle if flags & RCI else 0
    guest.run(move(RAM, RAM + 0x1000, 64, record=address, flags=flags, handle=handle))
    error = guest.swerror()

    assert (error.valid, error.code, error.operation, error.address) == (True, 0x1A, MEMMOVE, address)
    assert bytes(guest.memory) == before
    assert guest.vectors() == []


def test_fault_at_a_record_is_told_as_a_write(guest: GuestView) -> None:
    guest.run(firing(END, guest.handle))

    assert guest.swerror().words[0] >> 5 & 1 == 1


def test_overflow_stays_when_only_valid_is_cleared_and_another_error_comes(guest: GuestView) -> None:
    guest.run(firing(END, guest.handle), firing(END, guest.handle))
    guest.write(SWERROR, 1)
    cleared = guest.swerror()
    guest.run(firing(END + 32, guest.handle))
    again = guest.swerror()

    assert (cleared.valid, cleared.overflow) == (False, True)
    assert (again.valid, again.overflow, again.address) == (True, True, END + 32)


def test_refused_handle_with_a_record_that_is_no_memory_is_0x1a(guest: GuestView) -> None:
    guest.run(firing(END, 0xFFFF))

    assert guest.swerror().code == 0x1A
    assert guest.vectors() == []


def test_record_in_read_only_memory_is_0x1a(guest: GuestView) -> None:
    guest.client.dma_map(0x4000_0000, 0x1000, flags=1)
    guest.run(firing(0x4000_0000, guest.handle))

    assert guest.swerror().code == 0x1A
    assert guest.vectors() == []


def test_record_over_the_destination_wins(guest: GuestView) -> None:
    guest.put(RAM, DATA[1:129])
    guest.run(move(RAM, RECORDS - 32, 128))

    assert guest.get(RECORDS - 32, 32) == DATA[1:33]
    assert guest.record().status == SUCCESS
    assert guest.get(RECORDS + 32, 64) == DATA[65:129]


# ---- what a descriptor may hold (8.1) ----


@pytest.mark.parametrize("opcode", sorted({*range(256)} - {NOOP, 0x01, 0x02, MEMMOVE, *OPCODES}))
def test_operation_that_is_not_in_opcap_is_0x10(guest: GuestView, opcode: int) -> None:
    assert guest.status(descriptor(opcode, record=RECORDS)) == 0x10


@pytest.mark.parametrize("bit", sorted({*range(24)} - {2, 3, 4, 12}))
def test_flag_that_a_noop_does_not_take_is_0x11_and_named(guest: GuestView, bit: int) -> None:
    assert guest.status(descriptor(NOOP, flags=CRAV | RCR | 1 << bit, record=RECORDS)) == 0x11
    assert guest.record().invalid_flags == 1 << bit


@pytest.mark.parametrize("bit", sorted({*range(24)} - {2, 3, 4, 8, 9, 10, 12, 13}))
def test_flag_that_a_move_does_not_take_is_0x11_and_nothing_moves(guest: GuestView, bit: int) -> None:
    guest.put(RAM, DATA[1:65])

    assert guest.status(move(RAM, RAM + 0x1000, 64, flags=CRAV | RCR | 1 << bit)) == 0x11
    assert guest.record().invalid_flags == 1 << bit
    assert guest.get(RAM + 0x1000, 64) == bytes(64)


@pytest.mark.parametrize("bit", [8, 9, 10, 12, 13])
def test_flag_that_drivers_set_on_a_move_is_taken(guest: GuestView, bit: int) -> None:
    assert guest.status(move(RAM, RAM + 0x1000, 64, flags=CRAV | RCR | 1 << bit)) == SUCCESS


@pytest.mark.parametrize("flags", [RCR, 1 << 12, RCR | 1 << 12])
def test_flags_about_a_record_without_one_are_0x11_in_swerror(guest: GuestView, flags: int) -> None:
    guest.run(descriptor(NOOP, flags=flags))
    error = guest.swerror()

    assert (error.code, error.info_valid, error.info) == (0x11, True, flags)


@pytest.mark.parametrize("offset", [*range(16, 36), *range(38, 64)])
def test_reserved_byte_of_a_noop_is_0x12(guest: GuestView, offset: int) -> None:
    assert guest.status(changed(descriptor(NOOP, record=RECORDS), offset, 1)) == 0x12


@pytest.mark.parametrize("offset", range(38, 64))
def test_reserved_byte_of_a_move_is_0x12(guest: GuestView, offset: int) -> None:
    assert guest.status(changed(move(RAM, RAM + 64, 8), offset, 0x80)) == 0x12


def test_handle_without_interrupt_request_is_0x12(guest: GuestView) -> None:
    assert guest.status(descriptor(NOOP, record=RECORDS, handle=1)) == 0x12
    assert guest.vectors() == []


def test_record_address_without_crav_is_0x12(guest: GuestView) -> None:
    guest.run(descriptor(NOOP, flags=0, record=RECORDS))

    assert guest.swerror().code == 0x12
    assert guest.record().status == 0


@pytest.mark.parametrize(
    ("size", "status"), [(0, 0x13), (1, SUCCESS), ((1 << 21) + 1, 0x13), (1 << 31, 0x13), (2**32 - 1, 0x13)]
)
def test_size_is_one_byte_to_the_queues_limit(guest: GuestView, size: int, status: int) -> None:
    assert guest.status(move(RAM, RAM + 0x1000, size)) == status


def test_largest_size_is_taken(guest: GuestView) -> None:
    guest.client.dma_map(0x1_0000_0000, 1 << 21)
    guest.client.dma_map(0x2_0000_0000, 1 << 21)

    assert guest.status(move(0x1_0000_0000, 0x2_0000_0000, 1 << 21)) == SUCCESS
    assert guest.record().bytes_completed == 0


# ---- faults ----


@pytest.mark.parametrize("before_end", [1, 100, 4096, 5000])
def test_source_that_ends_early_faults_at_its_first_missing_byte(guest: GuestView, before_end: int) -> None:
    assert guest.status(move(END - before_end, RAM, 8192)) == 0x20
    assert guest.record().fault_address == END
    assert guest.record()[1] == 0
    assert guest.record().bytes_completed == before_end


@pytest.mark.parametrize("before_end", [1, 100, 4096, 5000])
def test_destination_that_ends_early_faults_at_its_first_missing_byte(guest: GuestView, before_end: int) -> None:
    assert guest.status(move(RAM, END - before_end, 8192)) == 0x21
    assert guest.record().fault_address == END
    assert guest.record()[1] == 0
    assert guest.record().bytes_completed == before_end


@pytest.mark.parametrize("size", [1, 4096, 65536])
@pytest.mark.parametrize("address", [0, 0xFEE0_0000, 1 << 52, 2**64 - 65536])
def test_address_that_is_no_memory_faults_there_and_nothing_else_changes(guest: GuestView, address: int, size: int) -> None:
    guest.put(RAM, DATA)
    before = guest.get(RAM, RAM_SIZE // 2)

    assert guest.status(move(address, RAM, size)) == 0x20
    assert (guest.record().fault_address, guest.record().bytes_completed) == (address, 0)
    assert guest.status(move(RAM, address, size)) == 0x21
    assert (guest.record().fault_address, guest.record().bytes_completed) == (address, 0)
    assert guest.get(RAM, RAM_SIZE // 2) == before
    assert guest.vectors() == []


def test_move_from_the_end_says_so_when_it_faults(guest: GuestView) -> None:
    """Two chunks from the end are moved before the source's hole is met."""
    low = guest.client.dma_map(0x4000_1000, 0x4_0000).memory
    low[:0x3_0000] = DATA[:0x1000] * 0x30

    assert guest.status(move(0x4000_0800, 0x4000_0900, 0x3_0000)) == 0x20
    assert (guest.record()[1], guest.record().bytes_completed) == (1, 0x2_0000)
    assert guest.record().fault_address == 0x4000_0800


def test_failed_move_interrupts_once(guest: GuestView) -> None:
    guest.run(move(0, RAM, 8, flags=CRAV | RCR | RCI, handle=guest.handle))

    assert guest.record().status == 0x20
    assert guest.vectors() == [1]


@pytest.mark.parametrize(("distance", "size"), [(0x1000, 0x4000), (0x1800, 0x4000), (8, 0x2001)])
def test_range_that_wraps_faults_and_touches_no_low_memory(guest: GuestView, distance: int, size: int) -> None:
    """Overlapping, so that an engine that works from the end would begin behind the wrap."""
    low = guest.client.dma_map(0, 0x1_0000).memory
    pattern = bytes((i * 7 + (i >> 8)) & 0xFF for i in range(0x1_0000))
    low[:] = pattern
    source = 2**64 - 0x2000

    assert guest.status(move(source, source + distance, size)) in (0x20, 0x21)
    assert guest.status(move(RAM, source, size)) == 0x21
    assert guest.status(move(source, RAM, size)) == 0x20
    assert bytes(low) == pattern


def test_last_byte_below_2_to_the_64_is_no_wrap(guest: GuestView) -> None:
    top = guest.client.dma_map(2**64 - 0x1000, 0x1000).memory
    top[:] = DATA[:0x1000]

    assert guest.status(move(2**64 - 0x1000, RAM, 0x1000)) == SUCCESS
    assert guest.get(RAM, 0x1000) == DATA[:0x1000]


def test_move_crosses_mappings_that_touch_and_stops_at_a_hole(guest: GuestView) -> None:
    first = guest.client.dma_map(0x4000_0000, 0x1000).memory
    second = guest.client.dma_map(0x4000_1000, 0x1000).memory
    first[:], second[:] = DATA[:0x1000], DATA[1:0x1001]

    assert guest.status(move(0x4000_0000, RAM, 0x2000)) == SUCCESS
    assert guest.get(RAM, 0x2000) == DATA[:0x1000] + DATA[1:0x1001]
    guest.client.dma_unmap(0x4000_1000, 0x1000)
    assert guest.status(move(0x4000_0000, RAM, 0x2000)) == 0x20
    assert guest.record().fault_address == 0x4000_1000


def test_memory_is_gone_when_its_unmapping_is_answered(guest: GuestView) -> None:
    guest.submit(move(RAM, RAM + 0x1000, 64))
    kept = guest.client.ranges.pop(RAM)
    guest.client.dma_unmap(RAM, RAM_SIZE)
    guest.machine.step_all()

    assert bytes(kept.memory) == bytes(RAM_SIZE)
    assert guest.swerror().code == 0x1A
    kept.close()


def test_moves_reach_no_other_guests_memory(machine: Machine, guest: GuestView) -> None:
    other = machine.started()
    guest.put(RAM, b"\xaa" * 0x1000)
    before = bytes(other.memory)
    guest.run(*(move(RAM, RAM + 0x1000 * i, 0x1000, record=RECORDS + 32 * i) for i in range(1, 9)))

    assert guest.get(RAM + 0x8000, 0x1000) == b"\xaa" * 0x1000
    assert bytes(other.memory) == before


# ---- overlap (8.3.4) ----


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    source=st.integers(0, 0x5000),
    destination=st.integers(0, 0x5000),
    size=st.one_of(st.integers(1, 300), st.integers(4090, 4100), st.integers(1, 0x3000)),
)
def test_overlapping_move_is_as_by_way_of_a_third_buffer(guest: GuestView, source: int, destination: int, size: int) -> None:
    pattern = bytes((i * 7 + (i >> 8)) & 0xFF for i in range(0x8000))
    expected = ctypes.create_string_buffer(pattern, len(pattern))
    ctypes.memmove(ctypes.addressof(expected) + destination, ctypes.addressof(expected) + source, size)
    guest.put(RAM, pattern)

    assert guest.status(move(RAM + source, RAM + destination, size)) == SUCCESS
    assert guest.record().bytes_completed == 0
    assert guest.get(RAM, len(pattern)) == expected.raw


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(desc=st.binary(min_size=64, max_size=64), keep=st.integers(0, 3))
def test_no_descriptor_whatever_stops_the_device_or_reaches_another(
    machine: Machine, guest: GuestView, desc: bytes, keep: int
) -> None:
    """Random bytes; to get beyond the first check, the opcode, flags and record are made good in some of them."""
    plausible = firing(RECORDS, guest.handle)
    mixed = plausible[: 16 if keep & 1 else 0] + desc[16 if keep & 1 else 0 :]
    mixed = mixed[:36] + (plausible[36:] if keep & 2 else mixed[36:])
    bystander = machine.guests[0]
    before = bytes(bystander.memory)
    guest.run(mixed)
    guest.vectors()

    assert guest.status(firing(RECORDS, guest.handle)) == SUCCESS
    assert guest.vectors() == [1]
    assert (bystander.vectors(), bytes(bystander.memory)) == ([], before)
