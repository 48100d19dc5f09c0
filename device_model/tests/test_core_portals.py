"""Portals (DSA specification 9.3): how a 64-byte store is put together, and what is not one; a full queue; SWERROR."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_model.ledger import Drop, Kind
from device_model.tests.core_rig import (
    BAR2,
    CRAV,
    GENCTRL,
    INTCAUSE,
    NOOP,
    PORTAL,
    RCI,
    RCR,
    RECORDS,
    SUCCESS,
    SWERROR,
    Cmd,
    GuestView,
    Machine,
    descriptor,
    firing,
)
from device_model.tests.lockstep import Lockstep

ALL = range(8)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path) as machine:
        yield machine


@pytest.fixture
def guest(machine: Machine) -> GuestView:
    return machine.started()


def accepted(machine: Machine) -> int:
    """Descriptors that were taken since the last look."""
    return len(machine.ledger(Kind.ACCEPTED))


def record_at(index: int) -> int:
    return RECORDS + 32 * index


# ---- gathering ----


def test_eight_ascending_pieces_are_one_store(machine: Machine, guest: GuestView) -> None:
    guest.store_pieces(firing(RECORDS, guest.handle), ALL)
    guest.sync()

    assert machine.step_all() == 1
    assert guest.record().status == SUCCESS
    assert guest.vectors() == [1]


def test_seven_pieces_are_nothing(machine: Machine, guest: GuestView) -> None:
    guest.store_pieces(firing(RECORDS, guest.handle), range(7))
    guest.sync()

    assert machine.step_all() == 0


@pytest.mark.parametrize(
    "order",
    [
        [1, 0, 2, 3, 4, 5, 6, 7],
        [0, 1, 2, 3, 4, 5, 7, 6],
        [7, 6, 5, 4, 3, 2, 1, 0],
        [1, 2, 3, 4, 5, 6, 7],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 1, 2, 3, 3, 4, 5, 6, 7],
    ],
)
def test_pieces_out_of_order_are_dropped(machine: Machine, guest: GuestView, order: list[int]) -> None:
    guest.store_pieces(firing(RECORDS, guest.handle), order)
    guest.sync()

    assert machine.step_all() == 0
    assert {record.reason for record in machine.ledger(Kind.DROPPED)} == {Drop.PARTIAL}


def test_first_piece_begins_anew(machine: Machine, guest: GuestView) -> None:
    guest.store_pieces(firing(record_at(1), guest.handle), range(5))
    guest.store_pieces(firing(RECORDS, guest.handle), ALL)
    guest.sync()

    assert machine.step_all() == 1
    assert (guest.record().status, guest.record(record_at(1)).status) == (SUCCESS, 0)


def test_slots_gather_apart(machine: Machine, guest: GuestView) -> None:
    """Pieces of two stores to neighbouring slots, and of two to the same slot of the two pages, in turn."""
    places = [0x1000, 0x1040, 0x0000, 0x0040]
    for piece in ALL:
        for index, place in enumerate(places):
            guest.store_pieces(firing(record_at(index), guest.handle), [piece], place)
    guest.sync()

    assert machine.step_all() == 4
    assert [guest.record(record_at(index)).status for index in range(4)] == [SUCCESS] * 4


def test_pieces_in_two_slots_are_never_joined(machine: Machine, guest: GuestView) -> None:
    desc = firing(RECORDS, guest.handle)
    guest.store_pieces(desc, range(4), 0x1000)
    guest.store_pieces(desc, range(4, 8), 0x1040)
    guest.sync()

    assert machine.step_all() == 0


def test_pieces_of_two_guests_are_never_joined(machine: Machine, guest: GuestView) -> None:
    other = machine.started()
    desc = firing(RECORDS, guest.handle)
    guest.store_pieces(desc, range(4))
    guest.sync()
    other.store_pieces(desc, range(4, 8))
    other.sync()

    assert machine.step_all() == 0


def test_pieces_of_a_client_that_has_gone_are_not_joined_to_those_of_the_next(machine: Machine, guest: GuestView) -> None:
    desc = firing(RECORDS, guest.handle)
    guest.store_pieces(desc, range(4))
    guest.sync()
    guest.disconnect()
    guest.connect()
    guest.store_pieces(desc, range(4, 8))
    guest.sync()

    assert machine.step_all() == 0


def test_pieces_before_a_reset_are_not_joined_to_those_after(machine: Machine, guest: GuestView) -> None:
    desc = firing(RECORDS, guest.handle)
    guest.store_pieces(desc, range(4))
    guest.client.reset()
    guest.start()
    guest.store_pieces(desc, range(4, 8))
    guest.sync()

    assert machine.step_all() == 0


@pytest.mark.parametrize("size", [1, 2, 4])
def test_store_of_another_size_is_dropped_and_ends_what_was_gathered(machine: Machine, guest: GuestView, size: int) -> None:
    desc = firing(RECORDS, guest.handle)
    guest.store_pieces(desc, range(4))
    guest.store(bytes(size), 0x1000 + 32)
    guest.store_pieces(desc, range(4, 8))
    guest.sync()

    assert machine.step_all() == 0


@pytest.mark.parametrize("slot", [0, 1, 63])
@pytest.mark.parametrize("page", [0, 1])
def test_each_slot_of_both_own_pages_takes_a_whole_store(machine: Machine, guest: GuestView, page: int, slot: int) -> None:
    guest.store(firing(RECORDS, guest.handle), page * 0x1000 + slot * 64)
    guest.sync()

    assert machine.step_all() == 1


@pytest.mark.parametrize("size", [3, 16, 32, 63, 65, 128])
def test_stores_of_impossible_sizes_do_nothing(machine: Machine, guest: GuestView, size: int) -> None:
    guest.store((firing(RECORDS, guest.handle) * 2)[:size])
    guest.sync()

    assert machine.step_all() == 0


@pytest.mark.parametrize("offset", [0x1004, 0x1008, 0x1020, 0x103F])
def test_misaligned_whole_store_does_nothing(machine: Machine, guest: GuestView, offset: int) -> None:
    guest.store(firing(RECORDS, guest.handle), offset)
    guest.sync()

    assert machine.step_all() == 0


@pytest.mark.parametrize("offset", [0x2000, 0x3000, 0x3FC0, 0x4000, 0x1_0000, (1 << 63) + 0x1000])
def test_ims_portals_and_what_lies_beyond_are_no_portals(machine: Machine, guest: GuestView, offset: int) -> None:
    guest.store(firing(RECORDS, guest.handle), offset)
    guest.store_pieces(firing(RECORDS, guest.handle), ALL, offset)
    guest.sync()

    assert machine.step_all() == 0
    assert not guest.swerror().valid


def test_portals_read_as_ones(guest: GuestView) -> None:
    assert {guest.read(offset, 8, BAR2) for offset in (0, 0x1000, 0x2000, 0x3FF8)} == {2**64 - 1}


def test_closed_portal_takes_nothing(machine: Machine, guest: GuestView) -> None:
    guest.mdev.vdev.close_portal()
    guest.store(firing(RECORDS, guest.handle))
    guest.store_pieces(firing(RECORDS, guest.handle), ALL)
    guest.sync()

    assert machine.step_all() == 0
    assert not guest.swerror().valid


@pytest.mark.parametrize("beyond", [1 << 14, 1 << 32, 1 << 46, 1 << 63], ids=hex)
def test_store_beyond_the_portals_is_taken_by_none_whoever_lets_it_through(beyond: int) -> None:
    """The connection refuses it; here nothing is between the store and the device."""
    lockstep = Lockstep(1)
    guest = lockstep.create(0, 1)
    lockstep.start(guest)

    guest.vdev.store(beyond + PORTAL, descriptor(NOOP, flags=0))
    queued = lockstep.device.queued()
    lockstep.close()

    assert sum(queued) == 0


def test_disabled_queue_ignores_stores_silently(machine: Machine, guest: GuestView) -> None:
    guest.command(Cmd.DISABLE_WQ, 1)
    guest.submit(firing(RECORDS, guest.handle))

    assert machine.step_all() == 0
    assert not guest.swerror().valid
    assert [record.reason for record in machine.ledger(Kind.DROPPED)] == [Drop.WQ_DISABLED]


def test_descriptor_that_changes_after_it_was_stored_is_not_looked_at_again(machine: Machine, guest: GuestView) -> None:
    guest.store_pieces(firing(RECORDS, guest.handle), ALL)
    guest.store_pieces(firing(record_at(1), 0xFFFF), range(7))
    guest.sync()
    machine.step_all()

    assert (guest.record().status, guest.record(record_at(1)).status) == (SUCCESS, 0)


def test_random_pieces_make_a_store_only_if_eight_ascend(machine: Machine, guest: GuestView) -> None:
    rng = random.Random(1)
    desc = descriptor(NOOP, record=RECORDS)
    pieces = [rng.choice([0, 1, 2, 3, 4, 5, 6, 7]) for _ in range(2000)] + [*ALL] * 3
    rng.shuffle(pieces)
    pieces[500:508] = [*ALL]
    expected, after = 0, 0
    for piece in pieces:
        after = piece + 1 if piece in (after, 0) else 0
        expected += after == 8
        after %= 8
    guest.store_pieces(desc, pieces)
    guest.sync()

    assert accepted(machine) == expected >= 1


# ---- a full queue, and SWERROR ----


def test_full_queue_drops_and_reports_0x53_once(machine: Machine, guest: GuestView) -> None:
    guest.write(GENCTRL, 1)
    guest.submit(*(firing(record_at(i), guest.handle) for i in range(machine.chip.wq_size + 3)))
    error, vectors, dropped = guest.swerror(), guest.vectors(), machine.ledger(Kind.DROPPED)

    assert (error.valid, error.overflow, error.code) == (True, True, 0x53)
    assert vectors == [0]
    assert [record.reason for record in dropped] == [Drop.WQ_FULL] * 3
    assert machine.step_all() == machine.chip.wq_size
    assert guest.record(record_at(machine.chip.wq_size)).status == 0


def test_flood_of_one_guest_leaves_the_others_room_and_swerror(machine: Machine, guest: GuestView) -> None:
    other = machine.started()
    guest.submit(*[firing(RECORDS, guest.handle)] * 100)
    other.submit(firing(RECORDS, other.handle))
    for _ in range(2):
        machine.device.step()

    assert other.vectors() == [1]
    assert not other.swerror().valid


def test_engine_serves_queues_in_turn_and_each_in_order(machine: Machine, guest: GuestView) -> None:
    other = machine.started()
    guest.submit(*(firing(record_at(i), guest.handle) for i in range(3)))
    other.submit(*(firing(record_at(i), other.handle) for i in range(3)))
    machine.ledger()
    machine.step_all()
    done = [(record.requester, record.detail) for record in machine.ledger(Kind.COMPLETED)]

    expected = [(who.mdev.id, record_at(i)) for i in range(3) for who in (guest, other)]
    assert sorted(done) == sorted(expected)
    assert [requester for requester, _ in done] in ([guest.mdev.id, other.mdev.id] * 3, [other.mdev.id, guest.mdev.id] * 3)
    assert [at for requester, at in done if requester == guest.mdev.id] == [record_at(i) for i in range(3)]


def failing(guest: GuestView) -> bytes:
    """Without a record: its failure goes to SWERROR."""
    return descriptor(0x55, flags=0)


def test_valid_swerror_is_kept_and_a_second_error_only_overflows(machine: Machine, guest: GuestView) -> None:
    guest.write(GENCTRL, 1)
    guest.run(failing(guest))
    first = guest.swerror()
    guest.run(firing(RECORDS + 1, guest.handle))
    second = guest.swerror()

    assert (first.valid, first.overflow, first.code, first.operation) == (True, False, 0x10, 0x55)
    assert (second.overflow, second.code) == (True, 0x10)
    assert second.words[1:] == first.words[1:]
    assert guest.vectors() == [0]


def test_swerror_is_cleared_by_writing_ones_only(guest: GuestView) -> None:
    guest.run(failing(guest), failing(guest))
    guest.write(SWERROR, 0, 8)
    kept = guest.swerror()
    guest.write(SWERROR, 2)
    only_overflow = guest.swerror()
    guest.write(SWERROR, 3, 8)
    cleared = guest.swerror()

    assert (kept.valid, kept.overflow) == (True, True)
    assert (only_overflow.valid, only_overflow.overflow) == (True, False)
    assert (cleared.valid, cleared.overflow) == (False, False)


def test_after_swerror_was_cleared_the_next_error_is_recorded_and_interrupts(guest: GuestView) -> None:
    guest.write(GENCTRL, 1)
    guest.run(failing(guest))
    guest.write(SWERROR, 3)
    guest.write(INTCAUSE, 1)
    guest.run(firing(RECORDS + 1, guest.handle))

    assert (guest.swerror().code, guest.read(INTCAUSE)) == (0x1B, 1)
    assert guest.vectors() == [0, 0]


def test_swerror_without_its_interrupt_enabled_is_silent(guest: GuestView) -> None:
    guest.run(failing(guest))

    assert guest.swerror().valid
    assert (guest.vectors(), guest.read(INTCAUSE)) == ([], 0)


def test_swerror_shows_a_guest_neither_host_pasid_nor_host_queue(machine: Machine, guest: GuestView) -> None:
    other = machine.started()
    other.run(failing(other))

    assert (other.mdev.pasid, other.mdev.wq) == (2, 1)
    assert (other.swerror().pasid, other.swerror().wq) == (0, 0)
    assert not guest.swerror().valid


def test_no_register_of_a_guest_shows_its_host_pasid(machine: Machine) -> None:
    machine.parts.pasids._next = 0xABCDE
    guest = machine.started()
    guest.run(failing(guest))
    guest.run(firing(RECORDS, guest.handle))
    bits = int.from_bytes(guest.registers(), "little")

    assert guest.mdev.pasid == 0xABCDE
    assert not any(bits >> shift & 0xFFFFF == 0xABCDE for shift in range(bits.bit_length()))


def test_reset_device_keeps_swerror_and_reset_of_the_function_clears_it(guest: GuestView) -> None:
    guest.run(failing(guest))
    guest.command(Cmd.RESET_DEVICE)
    kept = guest.swerror().valid
    guest.client.reset()

    assert kept
    assert not guest.swerror().valid


def test_full_queue_is_reported_with_the_interrupt_request_unserved(machine: Machine, guest: GuestView) -> None:
    guest.submit(*[descriptor(NOOP, flags=CRAV | RCR | RCI, record=RECORDS, handle=guest.handle)] * (machine.chip.wq_size + 1))
    machine.step_all()

    assert guest.vectors() == [1] * machine.chip.wq_size
