"""What each operation refuses before it does anything (DSA specification 5.4, tables 5-3 to 5-6, 8.3)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from device_model.config import DeviceConfig
from device_model.tests.core_rig import CRAV, RAM, RAM_SIZE, RCI, RCR, RECORDS, GuestView, Machine
from device_model.tests.operation_cases import OPCODES, raw_descriptor
from device_model.tests.reference_operations import (
    APPLY_DELTA,
    CACHE_FLUSH,
    COMPARE,
    COMPARE_PATTERN,
    COPY_CRC,
    CRC,
    CREATE_DELTA,
    DIF_CHECK,
    DIF_INSERT,
    DIF_STRIP,
    DIF_UPDATE,
    DUALCAST_COPY,
    FILL,
    READ_SEED,
)

SRC, DST, OTHER = RAM, RAM + 0x1_0000, RAM + 0x2_0000
END = RAM + RAM_SIZE
COMMON = {2, 3, 4, 12}
WRITES = {8, 13}
CRC_BITS = {16, 17, 18}
TAKEN = {
    FILL: WRITES | {10},
    COMPARE: {7, 9, 10},
    COMPARE_PATTERN: {7, 9},
    CREATE_DELTA: WRITES | {7, 9, 10, 11},
    APPLY_DELTA: WRITES | {9, 10},
    DUALCAST_COPY: WRITES | {9, 10, 11},
    CRC: CRC_BITS | {9},
    COPY_CRC: CRC_BITS | WRITES | {9, 10},
    DIF_CHECK: {9},
    DIF_INSERT: WRITES | {9, 10},
    DIF_STRIP: WRITES | {9, 10},
    DIF_UPDATE: WRITES | {9, 10},
    CACHE_FLUSH: {13, 10},
}
"""Flags besides those that every operation takes; 11 of the CRCs only with 16."""
RESERVED = {
    FILL: [(38, 63)],
    COMPARE: [(38, 39), (41, 63)],
    COMPARE_PATTERN: [(38, 39), (41, 63)],
    CREATE_DELTA: [(38, 39), (52, 55), (57, 63)],
    APPLY_DELTA: [(38, 39), (44, 63)],
    DUALCAST_COPY: [(38, 39), (48, 63)],
    CRC: [(24, 31), (38, 39), (44, 63)],
    COPY_CRC: [(38, 39), (44, 63)],
    DIF_CHECK: [(24, 31), (38, 39), (41, 41), (43, 47), (56, 63)],
    DIF_INSERT: [(38, 40), (43, 55)],
    DIF_STRIP: [(38, 39), (41, 41), (43, 47), (56, 63)],
    DIF_UPDATE: [(38, 39), (43, 47)],
    CACHE_FLUSH: [(16, 23), (38, 63)],
}
YIELDING = (COMPARE, COMPARE_PATTERN, CREATE_DELTA, CRC, COPY_CRC, DIF_CHECK)
"""Their results are in the record, so they need one."""
DIFS = (DIF_CHECK, DIF_INSERT, DIF_STRIP, DIF_UPDATE)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with Machine(tmp_path_factory.mktemp("m"), config=DeviceConfig(num_wqs=4, total_wq_size=64, num_ims=256)) as machine:
        yield machine


@pytest.fixture
def guest(machine: Machine) -> Iterator[GuestView]:
    guest = machine.started()
    yield guest
    guest.client.close()
    guest.mdev.close()
    machine.guests.remove(guest)


@pytest.fixture(scope="module")
def shared(machine: Machine) -> GuestView:
    """Of tests that need nothing but a status."""
    return machine.started()


TAILS = {
    CREATE_DELTA: struct.pack("<QI", OTHER, 80),
    APPLY_DELTA: struct.pack("<I", 10),
    DUALCAST_COPY: struct.pack("<Q", OTHER),
    DIF_CHECK: bytes([0x60, 0, 0]).ljust(8, b"\0") + struct.pack("<IHH", 0, 0xFFFF, 0),
    DIF_STRIP: bytes([0x60, 0, 0]).ljust(8, b"\0") + struct.pack("<IHH", 0, 0xFFFF, 0),
    DIF_UPDATE: bytes([0x60, 0, 0]).ljust(8, b"\0") + struct.pack("<IHH", 0, 0xFFFF, 0),
}
SIZES = {DIF_INSERT: 512, DIF_CHECK: 520, DIF_STRIP: 520, DIF_UPDATE: 520}


def good(opcode: int, **changes: int | bytes) -> bytes:
    """A descriptor that succeeds in memory of zeros, with fields of `raw_descriptor` changed."""
    fields: dict[str, int | bytes] = {
        "flags": CRAV | RCR,
        "record": RECORDS,
        "source": 0 if opcode == CACHE_FLUSH else SRC,
        "destination": 0 if opcode in (COMPARE_PATTERN, CRC, DIF_CHECK) else DST,
        "size": SIZES.get(opcode, 64),
        "tail": TAILS.get(opcode, b""),
    }
    return raw_descriptor(opcode, **(fields | changes))  # type: ignore[arg-type]


def changed(desc: bytes, offset: int, value: int) -> bytes:
    return desc[:offset] + bytes([value]) + desc[offset + 1 :]


def delta_tail(record: int, size: int) -> bytes:
    return struct.pack("<QI", record, size)


# ---- flags and fields ----


@pytest.mark.parametrize("opcode", OPCODES, ids=hex)
def test_plain_descriptor_of_each_operation_succeeds(guest: GuestView, opcode: int) -> None:
    assert guest.status(good(opcode)) == 0x01
    assert guest.record()[1:8] == bytes(7)


@pytest.mark.parametrize(
    ("opcode", "bit"), [(o, b) for o in OPCODES for b in sorted({*range(24)} - COMMON - TAKEN[o])], ids=str
)
def test_flag_that_an_operation_does_not_take_is_0x11_and_named(shared: GuestView, opcode: int, bit: int) -> None:
    assert shared.status(good(opcode, flags=CRAV | RCR | 1 << bit)) == 0x11
    assert shared.record().invalid_flags == 1 << bit


@pytest.mark.parametrize(
    ("opcode", "bit"), [(o, b) for o in OPCODES for b in sorted((TAKEN[o] | {12}) - {7})], ids=str
)
def test_flag_that_an_operation_takes_is_taken(shared: GuestView, opcode: int, bit: int) -> None:
    tail = struct.pack("<QQ", 0, SRC) if opcode in (CRC, COPY_CRC) and bit == 16 else TAILS.get(opcode, b"")

    assert shared.status(good(opcode, flags=CRAV | RCR | 1 << bit, tail=tail)) == 0x01


@pytest.mark.parametrize("opcode", [CRC, COPY_CRC], ids=hex)
def test_traffic_class_of_the_seed_is_taken_with_a_seeds_address(guest: GuestView, opcode: int) -> None:
    assert guest.status(good(opcode, flags=CRAV | RCR | READ_SEED | 1 << 11, tail=struct.pack("<QQ", 0, SRC))) == 0x01


@pytest.mark.parametrize("opcode", YIELDING, ids=hex)
def test_operation_that_yields_a_result_needs_rcr(guest: GuestView, opcode: int) -> None:
    assert guest.status(good(opcode, flags=CRAV)) == 0x11
    assert guest.record().invalid_flags == RCR


@pytest.mark.parametrize("opcode", YIELDING, ids=hex)
def test_operation_that_yields_a_result_needs_a_record(guest: GuestView, opcode: int) -> None:
    guest.run(good(opcode, flags=0, record=0))
    error = guest.swerror()

    assert (error.code, error.info_valid, error.info) == (0x11, True, CRAV | RCR)


@pytest.mark.parametrize("opcode", sorted({*OPCODES} - {*YIELDING}), ids=hex)
def test_operation_that_yields_none_needs_no_record(guest: GuestView, opcode: int) -> None:
    guest.run(good(opcode, flags=RCI, record=0)[:36] + struct.pack("<H", guest.handle) + good(opcode)[38:])

    assert guest.vectors() == [1]
    assert not guest.swerror().valid


@pytest.mark.parametrize(
    ("opcode", "offset"),
    [(o, b) for o in OPCODES for first, last in RESERVED[o] for b in range(first, last + 1)],
    ids=str,
)
def test_reserved_byte_is_0x12(shared: GuestView, opcode: int, offset: int) -> None:
    assert shared.status(changed(good(opcode), offset, 0x80)) == 0x12


@pytest.mark.parametrize("opcode", [CRC, COPY_CRC], ids=hex)
@pytest.mark.parametrize("offset", [*range(40, 48), *range(56, 64)])
def test_seed_in_a_descriptor_that_reads_it_from_memory_is_0x12(shared: GuestView, opcode: int, offset: int) -> None:
    desc = good(opcode, flags=CRAV | RCR | READ_SEED, tail=struct.pack("<QQ", 0, SRC))

    assert shared.status(changed(desc, offset, 1)) == 0x12


@pytest.mark.parametrize("opcode", DIFS, ids=hex)
@pytest.mark.parametrize("bit", [4, 5, 6, 7])
def test_reserved_dif_flag_is_0x12(shared: GuestView, opcode: int, bit: int) -> None:
    assert shared.status(changed(good(opcode), 42, 1 << bit)) == 0x12


@pytest.mark.parametrize("opcode", [DIF_INSERT, DIF_UPDATE], ids=hex)
@pytest.mark.parametrize("bit", [0, 1, 2])
def test_reserved_destination_dif_flag_is_0x12(shared: GuestView, opcode: int, bit: int) -> None:
    assert shared.status(changed(good(opcode), 41, 1 << bit)) == 0x12


# ---- sizes ----


@pytest.mark.parametrize("opcode", OPCODES, ids=hex)
@pytest.mark.parametrize("size", [0, (1 << 21) + 1, 1 << 31, (1 << 32) - 8])
def test_transfer_size_of_0_or_beyond_the_queues_limit_is_0x13(shared: GuestView, opcode: int, size: int) -> None:
    assert shared.status(good(opcode, size=size)) == 0x13


@pytest.mark.parametrize("opcode", [CREATE_DELTA, APPLY_DELTA], ids=hex)
def test_delta_of_more_than_512_kib_is_0x13(guest: GuestView, opcode: int) -> None:
    assert guest.status(good(opcode, size=0x8_0008)) == 0x13


@pytest.mark.parametrize("opcode", [CREATE_DELTA, APPLY_DELTA], ids=hex)
def test_delta_of_512_kib_is_taken(guest: GuestView, opcode: int) -> None:
    for base in (0x1_0000_0000, 0x2_0000_0000):
        guest.client.dma_map(base, 0x8_0000)
    source = {CREATE_DELTA: 0x1_0000_0000, APPLY_DELTA: SRC}[opcode]

    assert guest.status(good(opcode, source=source, destination=0x2_0000_0000, size=0x8_0000)) == 0x01


@pytest.mark.parametrize("opcode", DIFS, ids=hex)
@pytest.mark.parametrize("by", [-1, 1, 8, 256])
def test_size_that_is_no_multiple_of_the_blocks_is_0x13(shared: GuestView, opcode: int, by: int) -> None:
    assert shared.status(good(opcode, size=4 * SIZES[opcode] + by)) == 0x13


@pytest.mark.parametrize(("size", "status"), [(0, 0x15), (79, 0x15), (80, 1), (89, 1), (1 << 21, 1), ((1 << 21) + 1, 0x15)])
def test_maximum_delta_record_has_80_bytes_up_to_the_queues_limit(guest: GuestView, size: int, status: int) -> None:
    guest.client.dma_map(0x1_0000_0000, 1 << 22)

    assert guest.status(good(CREATE_DELTA, tail=delta_tail(0x1_0000_0000, size))) == status


@pytest.mark.parametrize("size", [0, 9, 11, 15, (1 << 21) + 8, (1 << 32) - 6])
def test_delta_record_that_is_not_made_of_deltas_or_too_long_is_0x15(shared: GuestView, size: int) -> None:
    assert shared.status(good(APPLY_DELTA, tail=struct.pack("<I", size))) == 0x15


# ---- alignment ----


@pytest.mark.parametrize("by", [1, 2, 4])
@pytest.mark.parametrize(
    ("opcode", "name"),
    [
        *[(CREATE_DELTA, "source"), (CREATE_DELTA, "destination"), (CREATE_DELTA, "size")],
        *[(APPLY_DELTA, "destination"), (APPLY_DELTA, "size")],
    ],
)
def test_delta_field_that_is_no_multiple_of_8_is_0x1c(shared: GuestView, opcode: int, name: str, by: int) -> None:
    value = {"source": SRC, "destination": DST, "size": 64}[name]

    assert shared.status(good(opcode, **{name: value + by})) == 0x1C


def test_delta_records_lie_anywhere(guest: GuestView) -> None:
    assert guest.status(good(CREATE_DELTA, tail=delta_tail(OTHER + 1, 80))) == 0x01
    assert guest.status(good(APPLY_DELTA, source=SRC + 1)) == 0x01


@pytest.mark.parametrize("opcode", [CRC, COPY_CRC], ids=hex)
@pytest.mark.parametrize("by", [1, 2, 3])
def test_seeds_address_that_is_no_multiple_of_4_is_0x1c(guest: GuestView, opcode: int, by: int) -> None:
    desc = good(opcode, flags=CRAV | RCR | READ_SEED, tail=struct.pack("<QQ", 0, OTHER + by))

    assert guest.status(desc) == 0x1C


@pytest.mark.parametrize("bit", range(12))
def test_dualcast_destinations_that_differ_in_bits_11_to_0_are_0x17(shared: GuestView, bit: int) -> None:
    assert shared.status(good(DUALCAST_COPY, tail=struct.pack("<Q", OTHER + (1 << bit)))) == 0x17


# ---- overlap ----

APART = [(DUALCAST_COPY, 64, 64), (COPY_CRC, 64, 64), (DIF_INSERT, 512, 520), (DIF_STRIP, 520, 512), (DIF_UPDATE, 520, 520)]
"""Opcode, bytes read, bytes written."""


@pytest.mark.parametrize(("opcode", "read", "written"), APART, ids=str)
def test_destination_over_the_source_is_0x16_and_changes_nothing(
    guest: GuestView, opcode: int, read: int, written: int
) -> None:
    base = RAM + 0x3_0000
    guest.put(base, bytes(range(256)) * 16)
    before = guest.get(base, 4096)
    offsets = (-(written - 1), 0, read - 1)
    statuses = [guest.status(good(opcode, source=base + 0x1000 - by, destination=base + 0x1000)) for by in offsets]

    assert statuses == [0x16] * 3
    assert guest.get(base, 4096) == before


@pytest.mark.parametrize(("opcode", "read", "written"), APART, ids=str)
def test_destination_next_to_the_source_is_no_overlap(guest: GuestView, opcode: int, read: int, written: int) -> None:
    base = RAM + 0x3_0000

    assert guest.status(good(opcode, source=base - read, destination=base)) == 0x01
    assert guest.status(good(opcode, source=base + written, destination=base)) == 0x01


def test_dualcast_destinations_that_overlap_are_0x16(guest: GuestView) -> None:
    assert guest.status(good(DUALCAST_COPY, tail=struct.pack("<Q", DST))) == 0x16
    assert guest.status(good(DUALCAST_COPY, size=4097, tail=struct.pack("<Q", DST + 4096))) == 0x16
    assert guest.status(good(DUALCAST_COPY, size=4096, tail=struct.pack("<Q", DST + 4096))) == 0x01


def test_second_dualcast_destination_over_the_source_is_0x16(guest: GuestView) -> None:
    assert guest.status(good(DUALCAST_COPY, source=OTHER + 63)) == 0x16
    assert guest.status(good(DUALCAST_COPY, source=OTHER - 63)) == 0x16


@pytest.mark.parametrize(("base", "by"), [(SRC, -79), (SRC, 0), (SRC, 63), (DST, -79), (DST, 63)])
def test_delta_record_of_maximum_size_over_a_source_is_0x16(guest: GuestView, base: int, by: int) -> None:
    desc = good(CREATE_DELTA, source=SRC + 0x100, destination=DST + 0x100, tail=delta_tail(base + 0x100 + by, 80))

    assert guest.status(desc) == 0x16


@pytest.mark.parametrize("by", [-9, 0, 63])
def test_delta_record_over_what_it_is_applied_to_is_0x16(guest: GuestView, by: int) -> None:
    assert guest.status(good(APPLY_DELTA, source=DST + by)) == 0x16


@pytest.mark.parametrize("opcode", [COMPARE, CREATE_DELTA], ids=hex)
def test_sources_may_overlap(guest: GuestView, opcode: int) -> None:
    assert guest.status(good(opcode, destination=SRC + 8)) == 0x01


def test_overlap_is_seen_across_the_end_of_the_address_space(guest: GuestView) -> None:
    assert guest.status(good(COPY_CRC, source=2**64 - 32, destination=16)) == 0x16


# ---- ranges that wrap: nothing comes after the last address ----


def wrapping() -> list[tuple[str, bytes, int]]:
    top = 2**64 - 0x800
    return [
        ("fill", good(FILL, destination=top, size=0x1000), 0x21),
        ("compare 1", good(COMPARE, source=top, size=0x1000), 0x20),
        ("compare 2", good(COMPARE, destination=top, size=0x1000), 0x20),
        ("pattern", good(COMPARE_PATTERN, source=top, destination=0, size=0x1000), 0x20),
        ("delta 1", good(CREATE_DELTA, source=top, size=0x1000), 0x20),
        ("delta 2", good(CREATE_DELTA, destination=top, size=0x1000), 0x20),
        ("delta record", good(CREATE_DELTA, tail=delta_tail(top, 0x1000)), 0x21),
        ("apply record", good(APPLY_DELTA, source=top, tail=struct.pack("<I", 4000)), 0x20),
        ("apply", good(APPLY_DELTA, destination=top, size=0x1000), 0x21),
        ("dualcast", good(DUALCAST_COPY, source=top, size=0x1000), 0x20),
        ("dualcast 1", good(DUALCAST_COPY, destination=top, size=0x1000, tail=struct.pack("<Q", OTHER + 0x800)), 0x21),
        ("dualcast 2", good(DUALCAST_COPY, destination=DST + 0x800, size=0x1000, tail=struct.pack("<Q", top)), 0x21),
        ("crc", good(CRC, source=top, size=0x1000), 0x20),
        ("copy crc", good(COPY_CRC, destination=top, size=0x1000), 0x21),
        ("dif check", good(DIF_CHECK, source=top, size=5200), 0x20),
        ("dif insert", good(DIF_INSERT, destination=top, size=5120), 0x21),
        ("flush", good(CACHE_FLUSH, destination=top, size=0x1000), 0x21),
    ]


@pytest.mark.parametrize(("name", "desc", "status"), wrapping(), ids=[name for name, _, _ in wrapping()])
def test_range_that_wraps_faults_at_its_start_and_touches_nothing(
    guest: GuestView, name: str, desc: bytes, status: int
) -> None:
    low = guest.client.dma_map(0, 0x1_0000).memory
    high = guest.client.dma_map(2**64 - 0x1000, 0x1000).memory
    low[:], high[:] = b"\x11" * 0x1_0000, b"\x22" * 0x1000

    assert guest.status(desc) == status
    assert (guest.record().fault_address, guest.record().bytes_completed) == (2**64 - 0x800, 0)
    assert bytes(low) == b"\x11" * 0x1_0000
    assert bytes(high) == b"\x22" * 0x1000
