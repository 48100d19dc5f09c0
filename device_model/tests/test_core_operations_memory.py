"""Every operation against the reference, through portal, engine and sockets, in memory that a VM has mapped."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from mmap import mmap

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from device_model.config import DeviceConfig
from device_model.tests import reference_operations as ref
from device_model.tests.core_rig import RECORDS, GuestView, Machine, descriptor, move
from device_model.tests.operation_cases import OPCODES, Case, Layout, cases

LAYOUT: Layout = (
    ((0x4000_0000, 0x1000, True), (0x4000_1000, 0x2000, True), (0x4000_4000, 0x2000, True), (0x4000_6000, 0x1000, False)),
    ((0x5000_0000, 0x1000, True), (0x5000_1000, 0x1000, True), (0x5000_2000, 0x3000, True)),
    ((0x6000_0000, 0x4000, True),),
)


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuestView]:
    with Machine(tmp_path_factory.mktemp("m"), config=DeviceConfig(num_wqs=4, total_wq_size=64, num_ims=256)) as machine:
        guest = machine.started()
        for start, size, writable in (region for island in LAYOUT for region in island):
            guest.client.dma_map(start, size, flags=3 if writable else 1)
        yield guest


def run(guest: GuestView, case: Case) -> ref.Outcome:
    """Puts the case's memory and descriptor in place, and runs it."""
    for region in case.regions:
        guest.client.ranges[region.start].memory[:] = bytes(region.data)
    desc = case.desc[:8] + struct.pack("<Q", RECORDS) + case.desc[16:]
    guest.put(RECORDS, bytes(32))
    guest.run(desc)
    status, result, completed, fault, tail = struct.unpack("<BB2xIQ16s", guest.record())
    return ref.Outcome(status, result, completed, fault, tail)


@pytest.mark.parametrize("opcode", OPCODES, ids=hex)
@settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
@given(data=st.data())
def test_operation_does_to_a_vms_memory_what_the_specification_says(
    guest: GuestView, opcode: int, data: st.DataObject
) -> None:
    case = data.draw(cases(LAYOUT, opcode))
    memory = case.memory()
    expected = ref.execute(case.desc, memory)
    # When a destination of a Dualcast is found to be missing while writing, the first may have got more bytes than are counted.
    assume((opcode, expected.status) != (ref.DUALCAST_COPY, ref.WRITE_ERROR))
    outcome = run(guest, case)
    after = [bytes(guest.client.ranges[region.start].memory) for region in case.regions]

    assert outcome == expected
    assert memory.differences(after) == []
    assert guest.vectors() == []
    assert not guest.swerror().valid


LONG, LONG_SIZE = 0x7000_0000, 4 << 20
"""Memory for operations that enter it several times: longer than a lease."""
SIZE = (1 << 21) - 13


@pytest.fixture(scope="module")
def long(guest: GuestView) -> mmap | bytearray:
    return guest.client.dma_map(LONG, LONG_SIZE).memory


def _numbered() -> bytes:
    """Different in each place."""
    return b"".join(number.to_bytes(4, "little") for number in range(LONG_SIZE // 4))


@pytest.mark.parametrize("shift", [-(1 << 20), -5, 5, 1 << 20], ids=["far down", "down", "up", "far up"])
def test_move_longer_than_a_lease_moves_all_wherever_it_overlaps(guest: GuestView, long: mmap | bytearray, shift: int) -> None:
    at = 1 << 20
    expected = bytearray(_numbered())
    long[:] = expected
    expected[at + shift : at + shift + SIZE] = expected[at : at + SIZE]

    status = guest.status(move(LONG + at, LONG + at + shift, SIZE))

    assert status == 1
    assert bytes(long) == expected


def test_fill_longer_than_a_lease_fills_all_and_no_more(guest: GuestView, long: mmap | bytearray) -> None:
    long[:] = bytes(LONG_SIZE)
    pattern = bytes(range(1, 9))

    status = guest.status(
        descriptor(ref.FILL, record=RECORDS, source=int.from_bytes(pattern, "little"), destination=LONG + 3, size=SIZE)
    )

    assert status == 1
    assert bytes(long) == bytes(3) + (pattern * (SIZE // 8 + 1))[:SIZE] + bytes(LONG_SIZE - 3 - SIZE)


@pytest.mark.parametrize("different", [0, 1 << 20, SIZE - 1])
def test_compare_longer_than_a_lease_finds_the_byte_that_differs(
    guest: GuestView, long: mmap | bytearray, different: int
) -> None:
    long[:] = bytes(LONG_SIZE)
    long[LONG_SIZE // 2 + different] = 1

    status = guest.status(
        descriptor(ref.COMPARE, record=RECORDS, source=LONG, destination=LONG + LONG_SIZE // 2, size=SIZE)
    )

    assert (status, guest.record()[1], guest.record().bytes_completed) == (1, 1, different)
