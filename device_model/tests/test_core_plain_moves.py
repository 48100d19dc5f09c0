"""Members of a batch that go the short way (plain.h): what comes of them is what comes of each alone (DSA specification 3.8)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device_model.config import DeviceConfig
from device_model.ledger import Kind, LedgerRecord
from device_model.tests.batch_rig import (
    BATCH,
    DATA,
    FENCE,
    LARGE,
    MEMBERS,
    RECORD,
    TURN,
    at,
    batch_of,
    lay,
    map_large,
)
from device_model.tests.core_rig import CRAV, RAM, RAM_SIZE, RCI, RCR, SUCCESS, GuestView, Machine, descriptor, move

FILL = 0x04
BLOCK_ON_FAULT = 1 << 1
ROM, ROM_SIZE = 0x4000_0000, 0x1000
"""Mapped for reading only."""
MOST = 32
"""Members of a batch, and of a turn."""
MEMBER = 1 << 5
"""A record's flag in the ledger: of a member."""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with Machine(tmp_path_factory.mktemp("m"), config=DeviceConfig(num_wqs=4, total_wq_size=128, num_ims=256)) as machine:
        yield machine


@pytest.fixture(scope="module")
def guest(machine: Machine) -> GuestView:
    guest = machine.started()
    guest.client.dma_map(ROM, ROM_SIZE, flags=1)
    return guest


@dataclass(frozen=True)
class Ended:
    """What came of descriptors, as guest and host can see it: memory, records of the ledger, interrupts, SWERROR's code."""

    memory: bytes
    records: list[tuple[int, ...]]
    vectors: list[int]
    error: int


def _essence(record: LedgerRecord) -> tuple[int, ...]:
    detail = 0 if record.kind == Kind.FIRED else record.detail  # of a time
    return record.kind, record.status, record.opcode, record.handle, detail, record.reason, record.flags & ~MEMBER


def _ended(guest: GuestView, *, opcode_left_out: int | None = None) -> Ended:
    """Since the last call; what the batch itself led to is left out."""
    memory = bytearray(guest.memory) + bytes(guest.client.ranges[ROM].memory)
    memory[RECORD - RAM : RECORD - RAM + 32] = bytes(32)
    ledger = guest.machine.ledger()
    records = [_essence(one) for one in ledger if one.opcode != opcode_left_out and one.requester == guest.mdev.id]
    error = guest.swerror()
    guest.write(0xC0, 3, 8)  # valid and overflow are cleared
    return Ended(bytes(memory), records, guest.vectors(), error.code if error.valid else 0)


def _lay_out(guest: GuestView, members: list[bytes]) -> None:
    guest.memory[:] = (bytes(range(251)) * (RAM_SIZE // 251 + 1))[:RAM_SIZE]
    lay(guest, *members)
    guest.machine.ledger()


def one_by_one(guest: GuestView, members: list[bytes]) -> Ended:
    """Each from a portal: the long way."""
    _lay_out(guest, members)
    for member in members:
        guest.run(member)
    return _ended(guest)


def as_a_batch(guest: GuestView, members: list[bytes]) -> Ended:
    _lay_out(guest, members)
    guest.run(batch_of(len(members)))
    return _ended(guest, opcode_left_out=BATCH)


def plain(index: int, *, size: int = 64, flags: int = CRAV | RCR, handle: int = 0) -> bytes:
    record = at(index)
    return move(DATA + 64 * index, DATA + 0x8000 + 64 * index, size, record=record, flags=flags, handle=handle)


def with_bytes(raw: bytes, offset: int, value: bytes) -> bytes:
    return raw[:offset] + value + raw[offset + len(value) :]


def addresses() -> st.SearchStrategy[int]:
    """Of data, in memory mostly: also across its end, beyond it, and beyond 2^64."""
    inside = [DATA + offset for offset in (0, 1, 64, 100, 300, 0x200, 0x3FF, 0x400)]
    return st.sampled_from([*inside * 3, ROM, ROM + 0x400, RAM + RAM_SIZE - 32, RAM + RAM_SIZE, RAM - 1, 0, 2**64 - 16])


@st.composite
def members(draw: st.DrawFn, handle: int) -> list[bytes]:
    """Mostly plain moves, which overlap as they like, and now and then something that is none."""
    list_ = []
    for index in range(draw(st.integers(2, 12))):
        record = at(index)
        raw = move(draw(addresses()), draw(addresses()), draw(st.sampled_from([1, 64, 300])), record=record)
        changed = draw(st.sampled_from(["", "", "", "", "", "size", "reserved", "record", "flags", "fill", "handle"]))
        match changed:
            case "size":
                raw = with_bytes(raw, 32, struct.pack("<I", draw(st.sampled_from([0, 0xFFFF_FFFF, (1 << 21) + 1]))))
            case "reserved":
                raw = with_bytes(raw, draw(st.integers(36, 63)), bytes([draw(st.sampled_from([1, 0x80]))]))
            case "record":
                place = draw(st.sampled_from([record + 8, record + 1, RAM + RAM_SIZE, RAM + RAM_SIZE - 16, DATA + 0x20, ROM]))
                raw = with_bytes(raw, 8, struct.pack("<Q", place))
            case "flags":
                others = [0, CRAV, RCR, CRAV | RCR | BLOCK_ON_FAULT, 0xFF & ~RCI & ~FENCE]
                raw = with_bytes(raw, 4, bytes([draw(st.sampled_from(others))]))
            case "fill":
                raw = descriptor(FILL, record=record, source=0x0123_4567_89AB_CDEF, destination=DATA, size=24)
            case "handle":
                asked = draw(st.sampled_from([handle, handle + 9]))
                raw = move(DATA, DATA + 512, 8, record=record, flags=CRAV | RCR | RCI, handle=asked)
        list_.append(raw)
    return list_


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_batch_of_moves_does_what_the_same_moves_do_one_by_one(guest: GuestView, data: st.DataObject) -> None:
    drawn = data.draw(members(guest.handle))

    apart = one_by_one(guest, drawn)
    together = as_a_batch(guest, drawn)

    assert together.records == apart.records
    assert together == apart


@pytest.mark.parametrize("offset", range(36, 64))
def test_reserved_byte_of_a_move_among_plain_ones_is_refused(guest: GuestView, offset: int) -> None:
    bad = with_bytes(plain(2), offset, b"\x01")

    as_a_batch(guest, [plain(0), plain(1), bad, plain(3)])

    assert [guest.record(at(index)).status for index in range(4)] == [SUCCESS, SUCCESS, 0x12, SUCCESS]
    assert guest.get(DATA + 0x8000 + 128, 64) != guest.get(DATA + 128, 64)


@pytest.mark.parametrize("offset", [1, 8, 16])
def test_misaligned_record_of_a_move_among_plain_ones_is_not_written(guest: GuestView, offset: int) -> None:
    bad = with_bytes(plain(2), 8, struct.pack("<Q", MEMBERS + 64 + offset))
    moves = [plain(0), plain(1), bad, plain(3)]
    _lay_out(guest, moves)
    guest.put(MEMBERS, bytes(32 * 5))
    before = guest.get(DATA + 0x8000 + 128, 64)

    guest.run(batch_of(4))

    assert guest.get(MEMBERS + 64, 32) == bytes(32)
    assert guest.get(DATA + 0x8000 + 128, 64) == before
    assert _ended(guest).error == 0x1B


def test_moves_with_interrupts_are_checked_and_interrupt_however_alike_they_are(guest: GuestView) -> None:
    moves = [plain(index, flags=CRAV | RCR | RCI, handle=guest.handle) for index in range(4)]
    moves[2] = plain(2, flags=CRAV | RCR | RCI, handle=guest.handle + 9)

    ended = as_a_batch(guest, moves)

    assert [guest.record(at(index)).status for index in range(4)] == [SUCCESS, SUCCESS, 0x19, SUCCESS]
    assert ended.vectors == [1, 1, 1]


def test_fence_among_plain_moves_ends_the_batch_after_a_failure(guest: GuestView) -> None:
    fenced = [plain(index, size=0 if index == 2 else 64, flags=CRAV | RCR | FENCE) for index in range(4)]
    _lay_out(guest, [*fenced, plain(4)])
    guest.put(MEMBERS, bytes(32 * 5))
    before = guest.get(DATA + 0x8000 + 192, 128)

    guest.run(batch_of(5))

    assert [guest.record(at(index)).status for index in range(5)] == [SUCCESS, SUCCESS, 0x13, 0, 0]
    assert guest.record(RECORD).bytes_completed == 3
    assert guest.get(DATA + 0x8000 + 192, 128) == before


def test_record_of_a_plain_move_in_memory_for_reading_is_a_fault(guest: GuestView) -> None:
    reading = move(ROM, DATA, 64, record=MEMBERS)
    into_rom = move(DATA + 64, DATA + 128, 64, record=ROM + 64)

    ended = as_a_batch(guest, [reading, reading, into_rom, into_rom, plain(1)])

    assert ended.error == 0x1A
    assert [record[1] for record in ended.records if record[0] == Kind.COMPLETED] == [SUCCESS, SUCCESS, 0x1A, 0x1A, SUCCESS]


def test_turn_of_plain_moves_is_as_long_as_any_other(guest: GuestView) -> None:
    """It ends with the member that reaches TURN bytes, however often the memory was entered in it."""
    map_large(guest)
    sizes = [kib << 10 for kib in (800, 200, 16, 400, 400, 16)]
    assert sum(sizes[:3]) < TURN < sum(sizes[:4])
    large = [move(LARGE, LARGE + TURN, size, record=at(index)) for index, size in enumerate(sizes)]
    lay(guest, *large)
    guest.put(MEMBERS, bytes(32 * len(large)))
    guest.submit(batch_of(len(large)))
    done = []

    while guest.machine.device.step():
        done.append(sum(guest.record(at(index)).status == SUCCESS for index in range(len(large))))

    assert done == [4, 6]


def test_each_plain_move_is_counted_and_has_a_cause_of_its_own(guest: GuestView) -> None:
    _lay_out(guest, [plain(index) for index in range(MOST)])
    before = guest.mdev.vdev.stats()

    guest.run(batch_of(MOST))

    now, records = guest.mdev.vdev.stats(), guest.machine.ledger()
    ends = [record for record in records if record.kind == Kind.COMPLETED]
    assert now.accepted - before.accepted == now.completions.success - before.completions.success == MOST + 1
    assert now.bytes_read - before.bytes_read == 2 * 64 * MOST
    assert now.bytes_written - before.bytes_written == (64 + 32) * MOST + 32
    assert [record.seq for record in records] == list(range(records[0].seq, records[0].seq + 2 * (MOST + 1)))
    batch = records[0].cause
    assert [record.cause for record in ends] == [*range(batch + 1, batch + MOST + 1), batch]
    assert [record.detail for record in ends[:MOST]] == [at(index) for index in range(MOST)]
