"""Counters of a virtual device: what was done, what came of it, and all of it as of one moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_model.observe import Completions, RegionCounts, VdevStats
from device_model.tests.core_rig import (
    BAR0,
    CMD,
    CONFIG,
    CRAV,
    GENSTS,
    MSIXPERM,
    NOOP,
    RAM,
    RCI,
    RCR,
    RECORDS,
    Cmd,
    GuestView,
    Machine,
    descriptor,
    firing,
    move,
)


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[GuestView]:
    with Machine(tmp_path) as machine:
        yield machine.started()


def stats(guest: GuestView) -> VdevStats:
    guest.sync()
    return guest.mdev.vdev.stats()


def test_accesses_are_counted_by_region(guest: GuestView) -> None:
    before = stats(guest)
    guest.read(GENSTS)
    guest.write(MSIXPERM, 0)
    guest.read(0, 2, CONFIG)
    guest.write(0x3C, 1, 1, CONFIG)
    guest.store_pieces(firing(RECORDS, guest.handle), range(8))
    after = stats(guest)

    assert after.reads == RegionCounts(before.reads.bar0 + 2, 0, before.reads.config + 1)
    assert after.writes == RegionCounts(before.writes.bar0 + 1, 8, before.writes.config + 1)
    assert after.descriptors == 1


def test_descriptors_are_counted_by_operation_and_completions_by_class(guest: GuestView) -> None:
    guest.run(
        firing(RECORDS, guest.handle), firing(RECORDS, 0xFFFF), firing(RECORDS, 0xFFFE), move(RAM, RAM + 4096, 100),
        move(1, RAM, 8), descriptor(0x7F, record=RECORDS),
    )  # fmt: skip
    now = stats(guest)

    assert now.by_operation == {0x00: 3, 0x03: 2, 0x7F: 1}
    assert now.completions == Completions(success=2, refused=2, error=2)
    assert (now.accepted, now.dropped, now.aborted) == (6, 0, 0)


def test_bytes_are_those_of_data_and_records(guest: GuestView) -> None:
    guest.run(move(RAM, RAM + 0x4000, 10_000))
    now = stats(guest)

    assert now.bytes_read == 10_000
    assert now.bytes_written == 10_000 + 32


def test_interrupts_are_counted_as_sent_held_back_ignored_or_lost(guest: GuestView) -> None:
    guest.run(firing(RECORDS, guest.handle))
    guest.mask_vector(1, True)
    guest.run(firing(RECORDS, guest.handle))
    held = stats(guest)
    guest.mask_vector(1, False)
    sent = stats(guest)
    guest.write(MSIXPERM + 8, 4)
    guest.run(firing(RECORDS, guest.handle))

    assert (held.interrupts, held.interrupts_pended) == (1, 1)
    assert (sent.interrupts, sent.interrupts_pended) == (2, 1)
    assert (stats(guest).interrupts, stats(guest).interrupts_ignored) == (2, 1)


def test_interrupt_for_a_vm_that_is_gone_is_counted_as_lost(guest: GuestView) -> None:
    guest.submit(descriptor(NOOP, flags=RCI, handle=guest.handle))
    guest.disconnect()
    guest.machine.step_all()

    assert guest.mdev.vdev.stats().interrupts_lost == 1


def test_commands_errors_and_resets_are_counted(guest: GuestView) -> None:
    before = stats(guest)
    guest.write(CMD, Cmd.DRAIN_ALL << 20)
    guest.submit(descriptor(NOOP, flags=CRAV | RCR, record=RECORDS + 1), descriptor(0x7F, flags=0))
    guest.machine.step_all()
    guest.client.reset()
    after = stats(guest)

    assert after.commands == before.commands | {Cmd.DRAIN_ALL: 1}
    assert after.errors == 2
    assert after.resets == 1


def test_dropped_and_aborted_descriptors_are_counted(guest: GuestView) -> None:
    guest.submit(*[firing(RECORDS, guest.handle)] * 17)
    guest.command(Cmd.ABORT_WQ, 1)
    now = stats(guest)

    assert (now.descriptors, now.accepted, now.dropped, now.aborted) == (17, 16, 1, 16)


def test_counts_are_each_devices_own(tmp_path: Path) -> None:
    with Machine(tmp_path) as machine:
        busy, idle = machine.started(), machine.started()
        before = stats(idle)
        busy.run(firing(RECORDS, busy.handle), firing(RECORDS, idle.handle))

        assert idle.mdev.vdev.stats() == before
        assert busy.mdev.vdev.stats().completions == Completions(success=1, refused=1)


def test_interrupt_that_went_elsewhere_is_counted_where_it_arrived(tmp_path: Path) -> None:
    with Machine(tmp_path) as machine:
        sender, receiver = machine.started(), machine.started()
        address = sender.entry.message[0]
        receiver.mask_vector(2, True)
        machine.device.remap_set(address >> 5 & 0x7FFF, receiver.mdev.vdev, 2)
        sender.run(firing(RECORDS, sender.handle))

        assert (stats(sender).completions.success, stats(sender).interrupts_pended) == (1, 0)
        assert (stats(receiver).completions.success, stats(receiver).interrupts_pended) == (0, 1)


def test_counts_do_not_depend_on_who_reads_the_ledger(tmp_path: Path) -> None:
    with Machine(tmp_path, ledger=4) as machine:
        guest = machine.started()
        for _ in range(10):
            guest.run(firing(RECORDS, guest.handle))

        assert stats(guest).completions.success == 10


def test_every_snapshot_is_of_one_moment(tmp_path: Path) -> None:
    with Machine(tmp_path) as machine:
        guest = machine.started()
        snapshots: list[VdevStats] = []
        done = threading.Event()
        threads = [
            threading.Thread(target=lambda: _until(done, machine.step_all)),
            threading.Thread(target=lambda: _until(done, lambda: snapshots.append(guest.mdev.vdev.stats()))),
        ]
        for thread in threads:
            thread.start()
        for _ in range(2000):
            guest.store(firing(RECORDS, guest.handle))
        guest.sync()
        done.set()
        for thread in threads:
            thread.join()

    assert len(snapshots) > 20
    for one in snapshots:
        ended = sum((one.completions.success, one.completions.refused, one.completions.error))
        assert one.interrupts <= one.completions.success
        assert ended <= one.accepted <= one.accepted + one.dropped <= sum(one.by_operation.values())
        assert one.descriptors - 1 <= one.accepted + one.dropped
        assert one.writes.bar2 >= sum(one.by_operation.values())
        assert one.reads.bar0 >= snapshots[0].reads.bar0


def _until(done: threading.Event, work: object) -> None:
    while not done.is_set():
        work()  # type: ignore[operator]


def test_dead_reads_of_the_host_are_not_counted(guest: GuestView) -> None:
    before = stats(guest)
    _ = guest.mdev.vdev.layout.find(BAR0, 0)

    assert guest.mdev.vdev.stats() == before
