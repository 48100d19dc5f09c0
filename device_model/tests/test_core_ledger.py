"""The ledger: complete, in order, and honest about what it lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from device_model.config import DeviceConfig
from device_model.device import Device
from device_model.errors import DeviceError
from device_model.ledger import NO_ENTRY, RECORD_SIZE, Kind, LedgerRecord, decode
from device_model.tests.core_rig import (
    CRAV,
    NOOP,
    RAM,
    RCI,
    RCR,
    RECORDS,
    GuestView,
    Machine,
    descriptor,
    firing,
    make_device,
)

SMALL = DeviceConfig(num_wqs=1, total_wq_size=1, num_ims=256)
BATCH, LIST, MEMBERS = 0x01, RAM + 0x1_0000, RAM + 0x2_0000
TOLD_OF_A_MEMBER = [Kind.ACCEPTED, Kind.COMPLETED]


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[GuestView]:
    with Machine(tmp_path) as machine:
        yield machine.started()


def test_way_of_an_interrupt_is_told_in_order_under_one_cause(guest: GuestView) -> None:
    guest.machine.ledger()
    guest.run(firing(RECORDS, guest.handle))
    records = guest.machine.ledger()

    assert [record.kind for record in records] == [
        Kind.ACCEPTED, Kind.GRANTED, Kind.COMPLETED, Kind.FIRED, Kind.REMAPPED, Kind.INJECTED,
    ]  # fmt: skip
    assert len({record.cause for record in records}) == 1
    assert {record.requester for record in records} == {guest.mdev.id}
    assert {record.pasid for record in records} == {guest.mdev.pasid}
    assert {record.handle for record in records} == {guest.handle}
    assert [record.entry for record in records if record.entry != NO_ENTRY] == [guest.entry.entry] * 4
    assert [(record.target, record.vector) for record in records[-2:]] == [(guest.mdev.id, 1)] * 2


def test_refused_interrupt_ends_with_the_refusal(guest: GuestView) -> None:
    guest.machine.ledger()
    guest.run(firing(RECORDS, 0xFFFF))

    assert [record.kind for record in guest.machine.ledger()] == [Kind.ACCEPTED, Kind.REFUSED, Kind.COMPLETED]


def test_each_descriptor_has_a_cause_of_its_own(guest: GuestView) -> None:
    guest.machine.ledger()
    guest.run(*[descriptor(NOOP, flags=CRAV | RCR | RCI, record=RECORDS, handle=guest.handle)] * 5)
    causes = [record.cause for record in guest.machine.ledger(Kind.ACCEPTED)]

    assert causes == sorted(set(causes))
    assert len(causes) == 5
    assert 0 not in causes


def test_sequence_has_no_gap_over_several_reads(guest: GuestView) -> None:
    seen = [record.seq for record in guest.machine.ledger()]
    for _ in range(3):
        guest.run(*[firing(RECORDS, guest.handle)] * 10)
        seen += [record.seq for record in guest.machine.ledger()]

    assert seen == list(range(len(seen)))


def test_what_is_overwritten_is_counted_as_lost(tmp_path: Path) -> None:
    with Machine(tmp_path, ledger=64) as machine:
        guest = machine.started()
        machine.device.read_ledger()
        for _ in range(5):
            guest.run(*[firing(RECORDS, guest.handle)] * 4)
        records, lost = machine.device.read_ledger()
        again = machine.device.read_ledger()

    assert (len(records), lost) == (64, 5 * 4 * 6 - 64)
    assert [record.seq for record in records] == list(range(records[0].seq, records[0].seq + 64))
    assert again == ([], 0)


def test_ledger_that_is_exactly_full_has_lost_nothing(tmp_path: Path) -> None:
    with Machine(tmp_path, ledger=64) as machine:
        guest = machine.started()
        machine.device.read_ledger()
        guest.run(*[descriptor(NOOP, record=RECORDS)] * 16)
        guest.run(*[descriptor(NOOP, record=RECORDS)] * 16)
        records, lost = machine.device.read_ledger()

    assert (len(records), lost) == (64, 0)


def run_batch(guest: GuestView, count: int) -> None:
    """A batch of No-ops: ACCEPTED, ACCEPTED and COMPLETED of each member, COMPLETED."""
    guest.put(LIST, b"".join(descriptor(NOOP, record=MEMBERS + 32 * i) for i in range(count)))
    guest.run(descriptor(BATCH, record=RECORDS, source=LIST, size=count))


def follow(machine: Machine, first: int, at_once: int, count: int) -> list[LedgerRecord]:
    """`count` records from `first` on, by a reader with a place of its own that takes `at_once` at a time."""
    device, ffi = machine.device, machine.device._ffi
    records, lost = ffi.new("struct ledger_record[]", at_once), ffi.new("uint64_t *")
    following = ffi.new("uint64_t *", first)
    raw = bytearray()
    while len(raw) < count * RECORD_SIZE:
        taken = device._lib.ledger_follow(device._ledger, following, records, at_once, lost)
        assert taken > 0
        raw += ffi.buffer(records, taken * RECORD_SIZE)
    assert lost[0] == 0
    return list(decode(bytes(raw)))


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_reader_is_told_all_of_a_batch_however_little_it_takes_at_a_time(guest: GuestView, at_once: int) -> None:
    guest.machine.ledger()
    run_batch(guest, 6)
    whole = guest.machine.ledger()
    told = follow(guest.machine, whole[0].seq, at_once, len(whole))

    assert [record.kind for record in whole] == [Kind.ACCEPTED, *TOLD_OF_A_MEMBER * 6, Kind.COMPLETED]
    assert [record.seq for record in whole] == list(range(whole[0].seq, whole[0].seq + 14))
    assert [record.cause - whole[0].cause for record in whole] == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 0]
    assert [record.status for record in whole] == [0, *[0, 1] * 6, 1]
    assert told[: len(whole)] == whole


def test_reader_may_begin_with_any_record_of_a_batch(guest: GuestView) -> None:
    guest.machine.ledger()
    run_batch(guest, 6)
    whole = guest.machine.ledger()
    begun = [follow(guest.machine, record.seq, 64, len(whole) - i) for i, record in enumerate(whole)]

    assert begun == [whole[i:] for i in range(len(whole))]


def test_overwritten_members_are_counted_as_lost_twice_each(tmp_path: Path) -> None:
    with Machine(tmp_path, ledger=64) as machine:
        guest = machine.started()
        machine.device.read_ledger()
        for _ in range(5):
            run_batch(guest, 32)
        records, lost = machine.device.read_ledger()
        again = machine.device.read_ledger()

    assert len(records) + lost == 5 * (2 + 2 * 32)
    assert len(records) > 64
    assert [record.seq for record in records] == list(range(records[0].seq, records[0].seq + len(records)))
    assert records[-1].kind == Kind.COMPLETED
    assert again == ([], 0)


def test_concurrent_readers_share_the_records_without_loss(guest: GuestView) -> None:
    guest.machine.ledger()
    taken: list[int] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            taken.extend(record.seq for record in guest.machine.ledger())

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(50):
        guest.run(*[firing(RECORDS, guest.handle)] * 10)
    stop.set()
    for reader in readers:
        reader.join()
    taken += [record.seq for record in guest.machine.ledger()]

    assert sorted(taken) == list(range(min(taken), min(taken) + 50 * 10 * 6))


@pytest.mark.parametrize("capacity", [0, 3, 100])
def test_capacity_that_is_no_power_of_two_is_a_typed_error(capacity: int) -> None:
    with pytest.raises(DeviceError):
        make_device(SMALL, ledger_capacity=capacity)


@pytest.mark.parametrize(
    "config",
    [
        DeviceConfig(num_wqs=0),
        DeviceConfig(num_wqs=256),
        DeviceConfig(total_wq_size=0),
        DeviceConfig(total_wq_size=65536),
        DeviceConfig(num_msix=2049),
        DeviceConfig(kind=2),
        DeviceConfig(features=64),
        DeviceConfig(num_ims=255),
        DeviceConfig(num_ims=64 * 256),
        DeviceConfig(max_xfer_log2=11),
        DeviceConfig(max_xfer_log2=32),
        DeviceConfig(max_batch_log2=0),
        DeviceConfig(max_batch_log2=11),
    ],
)
def test_size_out_of_range_is_a_typed_error(config: DeviceConfig) -> None:
    with pytest.raises(DeviceError, match="size out of range"):
        make_device(config)


@pytest.mark.parametrize("use", [Device.read_ledger, Device.iommu_entries, Device.step, lambda device: device.read(0)])
def test_closed_device_says_so(use: Callable[[Device], object]) -> None:
    device = make_device(SMALL)
    device.close()
    device.close()

    with pytest.raises(DeviceError, match="closed"):
        use(device)


def test_device_closes_over_vdevs_that_are_still_bound_and_at_work(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    guests = [machine.started() for _ in range(3)]
    for guest in guests:
        guest.submit(firing(RECORDS, guest.handle))
    machine.device.close()

    assert all(guest.client.interrupts == [] for guest in guests)
    for guest in guests:
        guest.client.close()
