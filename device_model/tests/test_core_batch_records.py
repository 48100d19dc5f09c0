"""Batch: the records of members and of the batch itself, and what cannot be recorded (DSA specification 5.8, 8.2, 8.3.2)."""

from __future__ import annotations

import pytest

from device_model.tests.batch_rig import (
    BATCH,
    CR_ALIGN,
    CR_FAULT,
    DATA,
    END,
    FAILURES,
    RECORD,
    XFER_SIZE,
    at,
    batch_of,
    failing,
    lay,
    noop,
    run_batch,
    statuses,
)
from device_model.tests.core_rig import (
    BAD_HANDLE,
    CRAV,
    NOOP,
    RAM,
    RCI,
    RCR,
    SUCCESS,
    GuestView,
    descriptor,
    move,
)


def test_misaligned_record_of_a_member_goes_to_swerror_with_its_place(guest: GuestView) -> None:
    bad = descriptor(NOOP, flags=CRAV | RCR | RCI, record=at(2) + 8, handle=guest.handle)
    record = run_batch(guest, noop(0), noop(1), bad, noop(3))
    error = guest.swerror()

    assert (error.code, error.address) == (CR_ALIGN, at(2) + 8)
    assert (error.words[0] >> 4 & 1, error.words[1] & 0xFFFF) == (1, 2)
    assert (record.status, record.bytes_completed) == (FAILURES, 4)
    assert statuses(guest, 4) == [SUCCESS, SUCCESS, 0, SUCCESS]
    assert guest.vectors() == []


def test_record_of_a_member_that_is_no_memory_is_0x1a_without_its_interrupt(guest: GuestView) -> None:
    bad = descriptor(NOOP, flags=CRAV | RCR | RCI, record=END, handle=guest.handle)
    record = run_batch(guest, noop(0), bad, noop(2))
    error = guest.swerror()

    assert (error.code, error.address, error.words[0] >> 4 & 1, error.words[1] & 0xFFFF) == (CR_FAULT, END, 1, 1)
    assert record.status == FAILURES
    assert statuses(guest, 3) == [SUCCESS, 0, SUCCESS]
    assert guest.vectors() == []


def test_failure_of_a_member_without_a_record_goes_to_swerror_with_its_place(guest: GuestView) -> None:
    run_batch(guest, noop(0), move(RAM, RAM, 0, record=0, flags=0))
    error = guest.swerror()

    assert (error.code, error.operation) == (XFER_SIZE, 3)
    assert (error.words[0] >> 4 & 1, error.words[1] & 0xFFFF) == (1, 1)


def test_refused_handle_of_a_member_without_a_record_is_named_in_swerror(guest: GuestView, victim: GuestView) -> None:
    run_batch(guest, noop(0), descriptor(NOOP, flags=RCI, handle=victim.handle))
    error = guest.swerror()

    assert (error.code, error.info_valid, error.info) == (BAD_HANDLE, True, victim.handle)
    assert (error.words[0] >> 4 & 1, error.words[1] & 0xFFFF) == (1, 1)
    assert not victim.swerror().valid


def test_member_whose_record_cannot_be_written_is_not_executed(guest: GuestView) -> None:
    guest.put(DATA, b"\x55" * 64)
    guest.put(DATA + 0x1000, bytes(64))
    record = run_batch(guest, noop(0), move(DATA, DATA + 0x1000, 64, record=END, flags=CRAV), noop(2))

    assert guest.swerror().code == CR_FAULT
    assert (record.status, guest.get(DATA + 0x1000, 64)) == (FAILURES, bytes(64))
    assert statuses(guest, 3) == [SUCCESS, 0, SUCCESS]


def test_batch_whose_record_cannot_be_written_has_no_member_executed(guest: GuestView) -> None:
    lay(guest, noop(0), noop(1))
    guest.run(batch_of(2, record=END, flags=CRAV | RCR | RCI, handle=guest.handle))
    error = guest.swerror()

    assert (error.code, error.operation, error.words[0] >> 4 & 1) == (CR_FAULT, BATCH, 0)
    assert statuses(guest, 2) == [0, 0]
    assert guest.vectors() == []


def test_of_two_records_at_one_address_the_last_stays(guest: GuestView) -> None:
    run_batch(guest, failing(0), descriptor(NOOP, record=at(0)), descriptor(NOOP, record=RECORD))

    assert guest.record(at(0)).status == SUCCESS
    assert guest.record(RECORD).bytes_completed == 3


@pytest.mark.parametrize("offset", [0, 32, 224])
def test_record_over_the_destination_is_written_over_the_data(guest: GuestView, offset: int) -> None:
    guest.put(DATA, b"\x55" * 256)
    run_batch(guest, move(DATA, DATA + 0x1000, 256, record=DATA + 0x1000 + offset), noop(1))
    written = guest.get(DATA + 0x1000, 256)

    assert written[offset] == SUCCESS
    assert written[:offset] + written[offset + 32 :] == b"\x55" * 224
