"""What operations answer: known values, predicates, interrupts, and how to go on after a fault (DSA specification 8.3)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from device_model.config import DeviceConfig
from device_model.tests import reference_operations as ref
from device_model.tests.core_rig import CRAV, RAM, RAM_SIZE, RCI, RCR, RECORDS, GuestView, Machine
from device_model.tests.operation_cases import OPCODES, raw_descriptor

SRC, DST, OTHER, END = RAM, RAM + 0x1_0000, RAM + 0x2_0000, RAM + RAM_SIZE
FLAGS = CRAV | RCR
DIGITS = b"123456789"


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


def desc(opcode: int, **fields: int | bytes) -> bytes:
    return raw_descriptor(opcode, **({"flags": FLAGS, "record": RECORDS} | fields))  # type: ignore[arg-type]


def value(guest: GuestView) -> int:
    """The CRC value, or the delta record's size."""
    return int.from_bytes(guest.record()[16:24], "little")


def test_opcap_of_the_chip_names_every_operation(machine: Machine) -> None:
    opcap = machine.device.read(0x40, 8)

    assert [opcode for opcode in OPCODES if not opcap >> opcode & 1] == []
    assert [machine.device.read(0x40 + offset, 8) for offset in (8, 16, 24)] == [0, 0, 0]


# ---- fill, flush ----


def test_fill_repeats_8_bytes_and_cuts_the_last(guest: GuestView) -> None:
    assert guest.status(desc(0x04, source=0x0807060504030201, destination=DST + 1, size=19)) == 1
    assert guest.get(DST, 21) == b"\0" + bytes(range(1, 9)) * 2 + b"\1\2\3" + b"\0"


def test_flush_changes_nothing(guest: GuestView) -> None:
    guest.put(DST, DIGITS)
    before = bytes(guest.memory)
    guest.put(RECORDS, bytes(32))
    guest.run(desc(0x20, flags=0, record=0, destination=DST, size=0x1000))

    assert bytes(guest.memory) == before
    assert not guest.swerror().valid


# ---- predicates ----


@pytest.mark.parametrize("opcode", [0x05, 0x06], ids=["compare", "pattern"])
@pytest.mark.parametrize(
    ("check", "expected", "differs", "status"),
    [
        *[(0, 0, 0, 1), (0, 1, 0, 1), (0, 0, 1, 1), (0, 1, 1, 1), (1, 0, 0, 1)],
        *[(1, 0, 1, 2), (1, 1, 0, 2), (1, 1, 1, 1), (1, 0xFE, 0, 1), (1, 0xFF, 0, 2)],
    ],
)
def test_comparison_is_judged_by_its_expected_result(
    guest: GuestView, opcode: int, check: int, expected: int, differs: int, status: int
) -> None:
    guest.put(SRC + 700, bytes([differs]))
    second = {0x05: DST, 0x06: 0}[opcode]
    flags = FLAGS | RCI | check << 7
    raw = desc(opcode, flags=flags, source=SRC, destination=second, size=1000, tail=bytes([expected]))

    assert guest.status(raw[:36] + struct.pack("<H", guest.handle) + raw[38:]) == status
    assert (guest.record()[1], guest.record().bytes_completed) == (differs, 700 * differs)
    assert guest.vectors() == [1]


@pytest.mark.parametrize("mask", range(8))
@pytest.mark.parametrize(("changes", "result"), [(0, 0), (8, 1), (9, 2)])
def test_delta_is_judged_by_the_mask_of_expected_results(guest: GuestView, mask: int, changes: int, result: int) -> None:
    for i in range(changes):
        guest.put(DST + 40 * i, b"\1")
    tail = struct.pack("<QIIB", OTHER, 80, 0, mask | 0xF8)
    status = guest.status(desc(0x07, flags=FLAGS | 1 << 7, source=SRC, destination=DST, size=4096, tail=tail))

    assert status == 2 - (mask >> result & 1)
    assert guest.record()[1] == result
    assert value(guest) == 10 * min(changes, 8)
    assert guest.record().bytes_completed == {0: 0, 1: 0, 2: 320}[result]


# ---- delta records ----


def test_delta_record_has_offsets_in_words_and_the_second_sources_data(guest: GuestView) -> None:
    guest.put(DST + 16, b"ABCDEFGH")
    guest.put(DST + 0x7FFF8 % 0x8000, b"IJKLMNOP")
    guest.status(desc(0x07, source=SRC, destination=DST, size=0x8000, tail=struct.pack("<QI", OTHER, 80)))

    assert guest.get(OTHER, 21) == b"\x02\x00ABCDEFGH" + b"\xff\x0fIJKLMNOP" + b"\0"


def test_delta_record_makes_the_first_source_the_second(guest: GuestView) -> None:
    old, new = bytes(i * 7 & 0xFF for i in range(0x8000)), bytearray(i * 7 & 0xFF for i in range(0x8000))
    for at in range(0, 0x8000, 0x18):
        new[at] ^= 0x55
    guest.put(SRC, old)
    guest.put(DST, bytes(new))
    guest.status(desc(0x07, source=SRC, destination=DST, size=0x8000, tail=struct.pack("<QI", OTHER, 0x8000)))
    size = value(guest)

    assert (guest.record()[1], size) == (1, 10 * 1366)
    assert guest.status(desc(0x08, source=OTHER, destination=SRC, size=0x8000, tail=struct.pack("<I", size))) == 1
    assert guest.get(SRC, 0x8000) == new


@pytest.mark.parametrize(
    ("words", "status", "applied"),
    [([3, 3], 0x07, 1), ([5, 4], 0x07, 1), ([0, 1, 2, 1], 0x07, 3), ([512], 0x08, 0), ([1, 0xFFFF], 0x08, 1)],
)
def test_delta_record_that_is_wrong_is_applied_up_to_there(
    guest: GuestView, words: list[int], status: int, applied: int
) -> None:
    record = b"".join(struct.pack("<H8s", word, b"\xaa" * 8) for word in words)
    guest.put(OTHER, record)

    assert guest.status(desc(0x08, source=OTHER, destination=DST, size=4096, tail=struct.pack("<I", len(record)))) == status
    assert guest.record().bytes_completed == 10 * applied
    assert guest.get(DST, 8192).count(b"\xaa") == 8 * applied


def test_creation_of_a_delta_record_that_faults_can_be_gone_on_with(guest: GuestView) -> None:
    """The record's memory ends within the third delta."""
    for i in range(5):
        guest.put(DST + 80 * i, bytes([i + 1]))

    assert guest.status(desc(0x07, source=SRC, destination=DST, size=4096, tail=struct.pack("<QI", END - 25, 80))) == 0x21
    assert (guest.record().fault_address, guest.record()[1], value(guest)) == (END, 1, 20)
    assert guest.record().bytes_completed == 160


# ---- CRC ----


@pytest.mark.parametrize(
    ("data", "flags", "seed", "crc"),
    [
        (DIGITS, 0, 0, 0xE3069283),  # CRC-32/ISCSI
        (bytes(32), 0, 0, 0x8A9136AA),  # RFC 3720, B.4
        (b"\xff" * 32, 0, 0, 0x62A8AB43),
        (bytes(range(32)), 0, 0, 0x46DD794E),
        (DIGITS, 2, 0xFFFFFFFF, 0x3EB69F38),  # the first one's complement, its bits the other way round
        (b"\x00", 6, 0, 0),
        (b"\x01", 6, 0, 0x1EDC6F41),  # the polynomial itself, bit 7 first
        (b"\x80", 2, 0, 0x1EDC6F41),  # bit 0 first
    ],
)
def test_crc_has_its_published_value(guest: GuestView, data: bytes, flags: int, seed: int, crc: int) -> None:
    guest.put(SRC, data)
    tail = struct.pack("<I", seed)

    assert guest.status(desc(0x10, flags=FLAGS | flags << 16, source=SRC, size=len(data), tail=tail)) == 1
    assert value(guest) == crc == ref.crc32c(data, seed, flags << 16)


@pytest.mark.parametrize("flags", [0, 2, 4, 6])
def test_crc_of_a_part_is_the_seed_for_the_next(guest: GuestView, flags: int) -> None:
    data = bytes(i * 11 & 0xFF for i in range(1001))
    guest.put(SRC, data)
    bits = FLAGS | flags << 16
    guest.status(desc(0x10, flags=bits, source=SRC, size=495))
    guest.status(desc(0x10, flags=bits, source=SRC + 495, size=506, tail=struct.pack("<I", value(guest))))

    assert value(guest) == ref.crc32c(data, 0, flags << 16)


@pytest.mark.parametrize("flags", [0, 2, 4, 6])
@pytest.mark.parametrize("opcode", [0x10, 0x11], ids=["crc", "copy"])
def test_crc_after_a_fault_is_the_seed_for_the_rest(guest: GuestView, flags: int, opcode: int) -> None:
    data = bytes(i * 11 & 0xFF for i in range(1500))
    hole = 0x4000_1000
    guest.client.dma_map(0x4000_0000, 0x1000).memory[-501:] = data[:501]
    fields: dict[str, int | bytes] = {"flags": FLAGS | flags << 16, "source": hole - 501, "size": 1500}
    fields["destination"] = {0x10: 0, 0x11: DST}[opcode]
    assert guest.status(desc(opcode, **fields)) == 0x20
    completed = guest.record().bytes_completed
    guest.put(OTHER, guest.record()[16:20])
    guest.client.dma_map(hole, 0x1000).memory[:999] = data[501:]
    rest: dict[str, int | bytes] = {"source": hole, "size": 999, "flags": FLAGS | (flags | 1) << 16}
    rest["tail"] = struct.pack("<QQ", 0, OTHER)

    assert completed == 501
    assert guest.status(desc(opcode, **(fields | rest))) == 1
    assert value(guest) == ref.crc32c(data, 0, flags << 16)


def test_seed_that_is_no_memory_is_0x20_with_nothing_done(guest: GuestView) -> None:
    guest.put(SRC, DIGITS)
    raw = desc(0x11, flags=FLAGS | 1 << 16, source=SRC, destination=DST, size=9, tail=struct.pack("<QQ", 0, END))

    assert guest.status(raw) == 0x20
    assert (guest.record().fault_address, guest.record().bytes_completed) == (END, 0)
    assert guest.get(DST, 9) == bytes(9)


# ---- dualcast ----


def test_dualcast_writes_both(guest: GuestView) -> None:
    guest.put(SRC + 3, DIGITS * 1000)

    assert guest.status(desc(0x09, source=SRC + 3, destination=DST + 5, size=9000, tail=struct.pack("<Q", OTHER + 5))) == 1
    assert guest.get(DST, 9010) == guest.get(OTHER, 9010) == bytes(5) + DIGITS * 1000 + bytes(5)


@pytest.mark.parametrize("missing", [0, 1])
def test_dualcast_whose_destination_ends_counts_what_both_have(guest: GuestView, missing: int) -> None:
    data = bytes(range(1, 251)) * 20
    guest.put(SRC, data)
    pair = [OTHER + 0x1000 - 100, END - 100]
    first, second = pair[missing], pair[1 - missing]

    assert guest.status(desc(0x09, source=SRC, destination=first, size=5000, tail=struct.pack("<Q", second))) == 0x21
    assert (guest.record().fault_address, guest.record().bytes_completed) == (END, 100)
    assert guest.get(first, 100) == guest.get(second, 100) == data[:100]


# ---- DIF ----


def test_guard_of_the_reference_has_its_published_value() -> None:
    assert ref.guard_tag(DIGITS, 0) == 0xD0DB  # CRC-16/T10-DIF


def dif_tail(source_flags: int, dest_flags: int, flags: int, *tags: tuple[int, int, int]) -> bytes:
    """Tags: reference, mask, application; of the source and of the destination."""
    first, second = (struct.pack("<IHH", *tag) for tag in tags)
    return bytes([source_flags, dest_flags, flags, 0, 0, 0, 0, 0]) + first + second


NONE = (0, 0, 0)


def insert(guest: GuestView, size: int, block_code: int, blocks: int) -> bytes:
    """Blocks with fields from reference tag 0x11223344 and application tag 0x5566 on, at OTHER; what is there."""
    guest.put(SRC, bytes(i * 13 + (i >> 8) & 0xFF for i in range(size * blocks)))
    tail = dif_tail(0, 0x10, block_code, NONE, (0x11223344, 0xF000, 0x5566))
    if guest.status(desc(0x13, source=SRC, destination=OTHER, size=size * blocks, tail=tail)) != 1:
        raise AssertionError("DIF Insert failed")
    return guest.get(OTHER, (size + 8) * blocks)


@pytest.mark.parametrize(("code", "size"), list(enumerate(ref.BLOCK_SIZES)))
def test_fields_are_big_endian_and_count(guest: GuestView, code: int, size: int) -> None:
    blocks = insert(guest, size, code, 3)
    fields = [struct.unpack_from(">HHI", blocks, (size + 8) * i + size) for i in range(3)]
    data = [blocks[(size + 8) * i : (size + 8) * i + size] for i in range(3)]

    assert b"".join(data) == guest.get(SRC, 3 * size)
    assert fields == [(ref.guard_tag(data[i], 0), 0x566 + i, 0x11223344 + i) for i in range(3)]
    assert guest.record()[16:] == bytes(8) + struct.pack("<IHH", 0x11223347, 0xF000, 0x5569)


@pytest.mark.parametrize("opcode", [0x12, 0x14, 0x15], ids=["check", "strip", "update"])
@pytest.mark.parametrize(
    ("offset", "data", "status"),
    [
        (512, b"\xee\xee", 0x01),
        (514, b"\xee\xee", 0x02),
        (516, b"\xee\xee\xee\xee", 0x04),
        (512, b"\xee" * 8, 0x07),
        (3, b"\xee", 0x01),
        (512, b"\xff" * 8, 0x08),
    ],
)
def test_dif_error_is_named_and_stops_before_its_block(
    guest: GuestView, opcode: int, offset: int, data: bytes, status: int
) -> None:
    blocks = insert(guest, 512, 0, 4)
    guest.put(OTHER + 2 * 520 + offset, data)
    tail = dif_tail(0x13, 0, 0, (0x11223344, 0xF000, 0x5566), NONE)
    out = {0x12: 0, 0x14: 512, 0x15: 520}[opcode]

    assert guest.status(desc(opcode, source=OTHER, destination=DST if out else 0, size=4 * 520, tail=tail)) == 0x09
    assert (guest.record()[1], guest.record().bytes_completed) == (status, 2 * 520)
    assert guest.record()[16:24] == struct.pack("<IHH", 0x11223346, 0xF000, 0x5568)
    assert guest.get(DST, 512 * bool(out)) == blocks[: 512 * bool(out)]
    assert guest.get(DST + 2 * out, 1040) == bytes(1040)


@pytest.mark.parametrize(
    ("flags", "found"),
    [(0x02, b"\xff" * 8), (0x04, b"\0\0\xff\xff\0\0\0\0"), (0x08, b"\0\0" + b"\xff" * 6), (0x20 | 0x40, b"\0\0\x05\x66\0\0\0\0")],
    ids=["all", "application", "tags", "disabled"],
)
def test_escape_in_a_field_or_a_disabled_check_lets_it_pass(guest: GuestView, flags: int, found: bytes) -> None:
    insert(guest, 512, 0, 1)
    guest.put(OTHER + 512, found)

    for taken, status in ((flags, 0x01), (0, 0x09)):
        tail = dif_tail(taken | 0x10, 0, 0, (0x11223344, 0xF000, 0x5566), NONE)
        assert guest.status(desc(0x12, source=OTHER, size=520, tail=tail)) == status


def test_strip_gives_back_what_insert_was_given(guest: GuestView) -> None:
    insert(guest, 520, 1, 5)

    tail = dif_tail(0x10, 0, 1, (0x11223344, 0xF000, 0x5566), NONE)
    assert guest.status(desc(0x14, source=OTHER, destination=DST, size=5 * 528, tail=tail)) == 1
    assert guest.get(DST, 5 * 520) == guest.get(SRC, 5 * 520)


@pytest.mark.parametrize("passed", [0, 0x08, 0x20, 0x40, 0x68])
def test_update_passes_on_or_replaces_each_field(guest: GuestView, passed: int) -> None:
    insert(guest, 512, 0, 1)
    guest.put(OTHER + 512, b"\xab\xcd\xef\x01\x23\x45\x67\x89")
    guard = ref.guard_tag(guest.get(SRC, 512), 0)
    tail = dif_tail(0x60, passed, 0, (0, 0xFFFF, 0), (0xCAFEBABE, 0, 0xBEEF))
    status = guest.status(desc(0x15, source=OTHER, destination=DST, size=520, tail=tail))
    made = struct.unpack(">HHI", guest.get(DST + 512, 8))
    expected = zip((0x20, 0x08, 0x40), (guard, 0xBEEF, 0xCAFEBABE), (0xABCD, 0xEF01, 0x23456789), strict=True)

    assert status == 1
    assert made == tuple(old if passed & bit else new for bit, new, old in expected)
    assert guest.record()[16:] == struct.pack("<IHHIHH", 1, 0xFFFF, 0, 0xCAFEBABF, 0, 0xBEEF)


# ---- interrupts ----


@pytest.mark.parametrize("opcode", OPCODES, ids=hex)
def test_operation_that_fails_interrupts_once(guest: GuestView, opcode: int) -> None:
    raw = desc(opcode, flags=FLAGS | RCI, source=0, destination=0, size=0)

    assert guest.status(raw[:36] + struct.pack("<H", guest.handle) + raw[38:]) == 0x13
    assert guest.vectors() == [1]


@pytest.mark.parametrize("opcode", OPCODES, ids=hex)
def test_operation_with_a_handle_that_is_refused_touches_nothing(guest: GuestView, opcode: int) -> None:
    guest.put(SRC, bytes(range(256)) * 8)
    raw = desc(opcode, flags=FLAGS | RCI, source=SRC, destination=DST, size=520, tail=struct.pack("<Q", OTHER))
    guest.put(RECORDS, bytes(32))
    before = bytes(guest.memory[: RECORDS - RAM])

    assert guest.status(raw[:36] + struct.pack("<H", 0xFFFF) + raw[38:]) == 0x19
    assert bytes(guest.memory[: RECORDS - RAM]) == before
    assert guest.vectors() == []
