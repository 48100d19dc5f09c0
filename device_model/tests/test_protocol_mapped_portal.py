"""Portals that the guest has mapped (vdev/vmapped.c): what is offered to map, what is taken from the pages, and what is not.

A command sweeps the pages before it is looked at, so when one has been answered, all that was stored before has been taken.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import resource
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_model.ledger import Drop, Kind
from device_model.tests.core_rig import (
    BAR0,
    BAR2,
    NOOP,
    RCI,
    RECORDS,
    SUCCESS,
    Cmd,
    Machine,
    descriptor,
    firing,
)
from device_model.vfio_user_protocol import RegionFlags

SLOTS = 64
PAGE = 0x1000
LIMITED = 0x1000
"""Offset of the limited MSI-X portal, which drivers use."""


class MappedGuest:
    """A guest that has mapped its portals, not started."""

    def __init__(self, machine: Machine, mdev_type: str = "dsa-1dwq-v1", vectors: int = 2) -> None:
        self.view = machine.plug(vectors, mdev_type, mapped_portal=True)
        self.machine = machine
        self.attach()

    def attach(self) -> None:
        """Maps what this client is given."""
        self.info, self.areas, self.fd = self.view.client.mappable(BAR2)
        self.pages = mmap.mmap(self.fd, self.info.size)

    def close(self) -> None:
        self.pages.close()
        os.close(self.fd)

    def store(self, raw: bytes, slot: int, page: int = LIMITED) -> None:
        """The first 8 bytes last."""
        at = page + 64 * slot
        self.pages[at + 8 : at + 64] = raw[8:]
        self.pages[at : at + 8] = raw[:8]

    def taken(self) -> int:
        """Sweeps, and says how many descriptors have been taken since the last look."""
        self.view.command(Cmd.REQUEST_HANDLE, 1)
        return len(self.machine.ledger(Kind.ACCEPTED))

    def first_words(self, page: int = LIMITED) -> set[bytes]:
        return {self.pages[page + 64 * slot : page + 64 * slot + 8] for slot in range(SLOTS)}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path, wq_size=128) as machine:
        yield machine


@pytest.fixture
def guest(machine: Machine) -> Iterator[MappedGuest]:
    guest = MappedGuest(machine)
    guest.view.start()
    machine.ledger()
    yield guest
    guest.close()


def fire(guest: MappedGuest, index: int = 0) -> bytes:
    return firing(RECORDS + 32 * index, guest.view.handle)


# ---- what is offered ----


def test_the_two_msix_portals_of_each_work_queue_can_be_mapped_and_nothing_else(machine: Machine) -> None:
    guest = MappedGuest(machine, "dsa-pf-v1", 4)

    assert guest.info.flags == RegionFlags.READ | RegionFlags.WRITE | RegionFlags.MMAP | RegionFlags.CAPS
    assert guest.areas == [(0x4000 * wq, 0x2000) for wq in range(4)]
    assert guest.view.client.region_info(BAR0).flags == RegionFlags.READ | RegionFlags.WRITE
    guest.close()


def test_who_leaves_no_room_for_the_areas_is_told_how_much_they_need_and_gets_no_file(machine: Machine) -> None:
    guest = machine.plug(mapped_portal=True)
    request = struct.pack("<IIIIQQ", 32, 0, BAR2, 0, 0, 0)

    reply = guest.client.request(5, request)

    assert struct.unpack("<IIIIQQ", reply) == (32 + 16 + 16, 0xF, BAR2, 32, 0x4000, 0)
    assert guest.client.received_fds == []


def test_file_can_neither_shrink_nor_grow(guest: MappedGuest) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(guest.fd, 0)
    with pytest.raises(PermissionError):
        os.ftruncate(guest.fd, 1 << 20)
    with pytest.raises(PermissionError):
        fcntl.fcntl(guest.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


def test_device_whose_portals_trap_offers_nothing_to_map(machine: Machine) -> None:
    info, areas, fd = machine.plug().client.mappable(BAR2)

    assert (info.flags, areas, fd) == (RegionFlags.READ | RegionFlags.WRITE, [], -1)


# ---- what is taken ----


@pytest.mark.parametrize("page", [0, LIMITED])
def test_descriptor_in_a_mapped_slot_is_taken_once_and_its_slot_is_free_again(guest: MappedGuest, page: int) -> None:
    guest.store(fire(guest), 5, page)

    assert guest.taken() == 1
    assert guest.taken() == 0
    assert guest.first_words(page) == {bytes(8)}
    assert guest.machine.step_all() == 1
    assert guest.view.record().status == SUCCESS
    assert guest.view.vectors() == [1]


def test_descriptors_are_taken_in_the_order_in_which_they_go_around_the_page(guest: MappedGuest) -> None:
    order = [*range(60, 64), *range(20)]
    guest.store(descriptor(NOOP, record=RECORDS), 59)
    guest.taken()
    for place, slot in enumerate(order):
        guest.store(fire(guest, place), slot)
    guest.view.command(Cmd.REQUEST_HANDLE, 1)

    addresses = [record.detail for record in guest.machine.ledger(Kind.ACCEPTED)]

    assert addresses == [RECORDS + 32 * place for place in range(len(order))]


def test_whole_page_of_descriptors_is_taken(guest: MappedGuest) -> None:
    for slot in range(SLOTS):
        guest.store(fire(guest, slot), slot)

    assert guest.taken() == SLOTS


def test_thread_takes_what_is_stored_without_any_command(guest: MappedGuest) -> None:
    guest.store(fire(guest), 0)

    while guest.first_words() != {bytes(8)}:  # it hangs if nobody looks: the test's time limit ends it
        pass

    assert len(guest.machine.ledger(Kind.ACCEPTED)) == 1


def test_trapped_stores_are_taken_beside_mapped_ones(guest: MappedGuest) -> None:
    guest.view.store(fire(guest))
    guest.store(fire(guest, 1), 3)

    assert guest.taken() == 2


def test_drain_covers_what_was_stored_before_it(guest: MappedGuest) -> None:
    guest.store(fire(guest), 0)

    status = guest.view.command(Cmd.DRAIN_WQ, 1)
    active = status >> 31
    guest.machine.step_all()

    assert active == 1
    assert guest.view.record().status == SUCCESS
    assert guest.view.read(0xA8) == 0


def test_abort_drops_what_was_stored_before_it(guest: MappedGuest) -> None:
    guest.store(fire(guest), 0)

    status = guest.view.command(Cmd.ABORT_WQ, 1)

    assert status == 0
    assert guest.machine.step_all() == 0
    assert guest.first_words() == {bytes(8)}
    assert guest.view.vectors() == []


# ---- what is not ----


def test_what_is_stored_while_the_queue_is_disabled_is_ignored(guest: MappedGuest) -> None:
    guest.view.command(Cmd.DISABLE_WQ, 1)
    for slot in range(SLOTS):
        guest.store(fire(guest), slot)
    guest.view.command(Cmd.ENABLE_WQ)

    assert guest.taken() == 0
    assert guest.first_words() == {bytes(8)}


def test_reset_leaves_nothing_in_the_pages_for_the_time_after_it(guest: MappedGuest) -> None:
    guest.store(fire(guest), 0)
    guest.view.client.reset()
    guest.store(fire(guest), 1)
    guest.view.start()
    guest.machine.ledger()

    assert guest.taken() == 0
    assert guest.machine.step_all() == 0


def test_half_a_descriptor_is_nothing_until_its_first_word_is_there(guest: MappedGuest) -> None:
    raw = fire(guest)
    guest.pages[LIMITED + 8 : LIMITED + 64] = raw[8:]

    before = guest.taken()
    guest.pages[LIMITED : LIMITED + 8] = raw[:8]

    assert before == 0
    assert guest.taken() == 1


def test_pages_that_are_not_portals_of_the_guest_take_nothing(guest: MappedGuest) -> None:
    for page in (0x2000, 0x3000):
        guest.pages[page : page + 64] = fire(guest)

    assert guest.taken() == 0


def test_client_that_has_gone_writes_to_pages_that_nobody_looks_at(machine: Machine, guest: MappedGuest) -> None:
    old = mmap.mmap(guest.fd, guest.info.size)
    guest.view.disconnect()
    guest.close()
    guest.view.connect()
    guest.attach()
    guest.view.client.reset()
    guest.view.start()
    machine.ledger()
    old[LIMITED : LIMITED + 64] = fire(guest)

    assert guest.taken() == 0
    assert guest.first_words() == {bytes(8)}
    old.close()


def test_nothing_is_taken_after_the_portal_has_been_closed(guest: MappedGuest) -> None:
    guest.view.mdev.vdev.close_portal()
    guest.store(fire(guest), 0)

    assert guest.taken() == 0


def test_full_queue_drops_what_is_found_beyond_it(tmp_path: Path) -> None:
    with Machine(tmp_path, wq_size=16) as machine:
        guest = MappedGuest(machine)
        guest.view.start()
        machine.ledger()
        for slot in range(SLOTS):
            guest.store(fire(guest), slot)
        guest.view.command(Cmd.REQUEST_HANDLE, 1)
        records = machine.ledger(Kind.ACCEPTED, Kind.DROPPED)
        guest.close()

    assert [record.kind for record in records] == [Kind.ACCEPTED] * 16 + [Kind.DROPPED] * 48
    assert {record.reason for record in records[16:]} == {Drop.WQ_FULL}
    assert guest.view.mdev.pasid in {record.pasid for record in records[:16]}


# ---- hostile contents ----


def test_contents_that_change_all_the_time_hurt_nobody_else(machine: Machine, guest: MappedGuest) -> None:
    """The victim's interrupts come, and only they: what the attacker's slots hold when they are copied is checked as a copy."""
    victim = machine.started()
    stop = threading.Event()
    junk = [os.urandom(PAGE) for _ in range(16)]
    forged = descriptor(NOOP, flags=RCI, handle=victim.handle) * SLOTS

    def scribble() -> None:
        while not stop.is_set():
            for page in (*junk, forged):
                guest.pages[LIMITED : LIMITED + PAGE] = page

    writer = threading.Thread(target=scribble)
    writer.start()
    fired = []
    for _ in range(50):
        guest.view.command(Cmd.REQUEST_HANDLE, 1)
        machine.step_all()
        victim.run(firing(RECORDS, victim.handle))
        fired.append(victim.vectors())
    stop.set()
    writer.join()

    assert fired == [[1]] * 50


def test_device_without_a_file_for_its_pages_is_not_made_and_nothing_of_it_is_left(machine: Machine) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = machine.device.iommu_entries()
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(Exception, match="virtual device"):
            machine.create(mapped_portal=True)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert machine.device.iommu_entries() == used
