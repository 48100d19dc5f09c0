"""Batch: members, fence, what is refused (DSA specification 3.8, 3.9, 8.3.2)."""

from __future__ import annotations

import pytest

from device_model.ledger import Kind
from device_model.tests.batch_rig import (
    BATCH,
    COUNT,
    DATA,
    DRAIN,
    END,
    FAILURES,
    FENCE,
    FLAGS,
    LIST,
    LIST_ALIGN,
    LIST_FAULT,
    OPCODE,
    RECORD,
    RESERVED,
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
from host_ctl.account import LedgerAccount


def test_members_are_carried_out_and_the_batch_says_so(guest: GuestView) -> None:
    guest.put(DATA, bytes(range(200)) + b"second" + bytes(94))
    record = run_batch(
        guest,
        move(DATA, DATA + 0x1000, 200, record=at(0)),
        move(DATA + 200, DATA + 0x2000, 100, record=at(1)),
        noop(2),
    )

    assert (record.status, record.bytes_completed) == (SUCCESS, 3)
    assert statuses(guest, 4) == [SUCCESS, SUCCESS, SUCCESS, 0]
    assert guest.get(DATA + 0x1000, 200) == bytes(range(200))
    assert guest.get(DATA + 0x2000, 6) == b"second"


@pytest.mark.parametrize("count", [2, 31, 32])
def test_every_member_is_processed_up_to_the_limit_of_the_queue(guest: GuestView, count: int) -> None:
    record = run_batch(guest, *(noop(i) for i in range(count)))

    assert (record.status, record.bytes_completed) == (SUCCESS, count)
    assert statuses(guest, count + 1) == [SUCCESS] * count + [0]


def test_record_of_the_batch_is_written_as_a_whole(guest: GuestView) -> None:
    guest.put(RECORD, b"\xee" * 32)
    run_batch(guest, noop(0), noop(1))

    assert guest.get(RECORD, 32) == bytes([SUCCESS, 0, 0, 0, 2, 0, 0, 0]) + bytes(24)


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_member_that_fails_is_counted_and_does_not_hold_the_others_back(guest: GuestView, bad: int) -> None:
    record = run_batch(guest, *(failing(i) if i == bad else noop(i) for i in range(3)))

    assert (record.status, record[1], record.bytes_completed) == (FAILURES, 1, 3)
    assert statuses(guest, 3) == [XFER_SIZE if i == bad else SUCCESS for i in range(3)]


def test_failures_in_a_batch_need_no_record_that_was_not_asked_for(guest: GuestView) -> None:
    record = run_batch(guest, failing(0), noop(1), flags=CRAV)

    assert record.status == 0
    assert statuses(guest, 2) == [XFER_SIZE, SUCCESS]
    assert not guest.swerror().valid


def test_failures_in_a_batch_without_a_record_are_no_error_of_the_batch(guest: GuestView) -> None:
    lay(guest, failing(0), noop(1))
    guest.run(batch_of(2, flags=RCI, record=0, handle=guest.handle))

    assert not guest.swerror().valid
    assert guest.vectors() == [1]


def test_members_interrupts_come_before_the_interrupt_of_the_batch(guest: GuestView) -> None:
    first, second = guest.mdev.handles[:2]
    run_batch(
        guest,
        noop(0, flags=CRAV | RCR | RCI, handle=first),
        noop(1),
        noop(2, flags=CRAV | RCR | RCI, handle=first),
        flags=CRAV | RCR | RCI,
        handle=second,
    )

    assert guest.vectors() == [1, 1, 2]


def test_members_run_with_the_pasid_of_the_queue_whatever_they_say(guest: GuestView, victim: GuestView) -> None:
    forged = victim.mdev.pasid | 1 << 31
    victim.put(DATA, b"secret")
    guest.put(DATA, b"public")
    lay(guest, descriptor(3, first_word=forged, record=at(0), source=DATA, destination=DATA + 64, size=6), noop(1))
    before = bytes(victim.memory)
    guest.run(batch_of(2, first_word=forged))

    assert guest.get(DATA + 64, 6) == b"public"
    assert guest.record(RECORD).status == SUCCESS
    assert bytes(victim.memory) == before


# ---- handles of members ----


def test_forged_handle_in_a_batch_is_refused_and_the_others_run(guest: GuestView, victim: GuestView) -> None:
    guest.machine.ledger()
    rci = CRAV | RCR | RCI
    record = run_batch(guest, noop(0), noop(1, flags=rci, handle=victim.handle), noop(2, flags=rci, handle=guest.handle))
    refused = guest.machine.ledger(Kind.REFUSED)

    assert (record.status, record.bytes_completed) == (FAILURES, 3)
    assert statuses(guest, 3) == [SUCCESS, BAD_HANDLE, SUCCESS]
    assert (guest.vectors(), victim.vectors()) == ([1], [])
    assert not victim.ims_control() & 2
    assert [(r.requester, r.handle) for r in refused] == [(guest.mdev.id, victim.handle)]


def test_refused_member_is_not_executed(guest: GuestView, victim: GuestView) -> None:
    guest.put(DATA, b"data")
    run_batch(guest, move(DATA, DATA + 64, 4, record=at(0), flags=CRAV | RCR | RCI, handle=victim.handle), noop(1))

    assert guest.get(DATA + 64, 4) == bytes(4)
    assert statuses(guest, 2) == [BAD_HANDLE, SUCCESS]


def test_forged_handle_of_a_masked_victim_does_not_make_it_pending(guest: GuestView, victim: GuestView) -> None:
    victim.mask_vector(1, True)
    run_batch(guest, *(noop(i, flags=CRAV | RCR | RCI, handle=victim.handle) for i in range(4)))
    victim.mask_vector(1, False)

    assert statuses(guest, 4) == [BAD_HANDLE] * 4
    assert victim.vectors() == []


def test_batch_with_a_forged_handle_is_refused_before_its_first_member(guest: GuestView, victim: GuestView) -> None:
    record = run_batch(guest, noop(0), noop(1), flags=CRAV | RCR | RCI, handle=victim.handle)

    assert (record.status, record.bytes_completed) == (BAD_HANDLE, 0)
    assert statuses(guest, 2) == [0, 0]
    assert (guest.vectors(), victim.vectors()) == ([], [])


# ---- the ledger ----


def test_ledger_explains_the_interrupt_of_a_member_by_the_member(guest: GuestView) -> None:
    guest.machine.ledger()
    rci = CRAV | RCR | RCI
    run_batch(guest, noop(0), noop(1, flags=rci, handle=guest.handle), flags=rci, handle=guest.handle)
    records = guest.machine.ledger()
    by_cause = {cause: [r.kind for r in records if r.cause == cause] for cause in sorted({r.cause for r in records})}
    way = [Kind.FIRED, Kind.REMAPPED, Kind.INJECTED]

    assert list(by_cause.values()) == [
        [Kind.ACCEPTED, Kind.GRANTED, Kind.COMPLETED, *way],
        [Kind.ACCEPTED, Kind.COMPLETED],
        [Kind.ACCEPTED, Kind.GRANTED, Kind.COMPLETED, *way],
    ]
    assert [bool(r.flags & 1 << 5) for r in records if r.kind == Kind.ACCEPTED] == [False, True, True]
    assert {(r.requester, r.pasid, r.wq) for r in records} == {(guest.mdev.id, guest.mdev.pasid, guest.mdev.wq)}


def test_account_finds_no_fault_in_batches(guest: GuestView, victim: GuestView) -> None:
    guest.machine.ledger()
    rci = CRAV | RCR | RCI
    members = [noop(0, flags=rci, handle=guest.handle), noop(1, flags=rci, handle=victim.handle), failing(2)]
    run_batch(guest, *members, noop(3, flags=FENCE | rci, handle=guest.handle), flags=rci, handle=guest.handle)
    records = guest.machine.ledger()
    account = LedgerAccount(first_seq=records[0].seq)
    account.feed(records)
    summary = account.summary(lambda mdev: mdev)

    assert summary.violations == ()
    assert summary.unfinished == 0
    assert summary.injected == {(guest.mdev.id, guest.mdev.id, 1): 2}


# ---- fence ----


def test_fence_lets_a_member_use_what_those_before_it_have_written(guest: GuestView) -> None:
    guest.put(DATA, b"chain")
    record = run_batch(
        guest,
        move(DATA, DATA + 64, 5, record=at(0)),
        move(DATA + 64, DATA + 128, 5, record=at(1), flags=FENCE | CRAV | RCR),
    )

    assert record.status == SUCCESS
    assert guest.get(DATA + 128, 5) == b"chain"


def test_fence_after_a_failure_abandons_the_rest_without_records_and_interrupts(guest: GuestView) -> None:
    rci = CRAV | RCR | RCI
    record = run_batch(
        guest,
        noop(0),
        failing(1),
        noop(2),
        noop(3, flags=FENCE | rci, handle=guest.handle),
        noop(4, flags=rci, handle=guest.handle),
    )

    assert (record.status, record.bytes_completed) == (FAILURES, 3)
    assert statuses(guest, 5) == [SUCCESS, XFER_SIZE, SUCCESS, 0, 0]
    assert guest.vectors() == []


def test_refused_member_counts_as_a_failure_for_the_fence(guest: GuestView, victim: GuestView) -> None:
    refused = noop(0, flags=CRAV | RCR | RCI, handle=victim.handle)
    record = run_batch(guest, refused, noop(1, flags=FENCE | CRAV | RCR))

    assert (record.status, record.bytes_completed) == (FAILURES, 1)
    assert statuses(guest, 2) == [BAD_HANDLE, 0]


def test_fence_of_the_first_member_waits_for_nothing(guest: GuestView) -> None:
    record = run_batch(guest, noop(0, flags=FENCE | CRAV | RCR), noop(1))

    assert (record.status, record.bytes_completed) == (SUCCESS, 2)


def test_fence_outside_a_batch_is_0x11(guest: GuestView) -> None:
    record = guest.status(descriptor(NOOP, flags=FENCE | CRAV | RCR, record=RAM + 0x8_0000))

    assert record == FLAGS


# ---- what is refused ----


@pytest.mark.parametrize("inner", [BATCH, DRAIN])
def test_batch_or_drain_in_a_batch_is_0x10_in_its_own_record(guest: GuestView, inner: int) -> None:
    lay(guest, noop(0), descriptor(inner, record=at(1), source=LIST, size=4), noop(2), noop(3))
    guest.run(batch_of(3))
    record = guest.record(RECORD)

    assert (record.status, record.bytes_completed) == (FAILURES, 3)
    assert statuses(guest, 4) == [SUCCESS, OPCODE, SUCCESS, 0]


@pytest.mark.parametrize("count", [0, 1, 33, 2**31, 2**32 - 1])
def test_count_out_of_range_is_0x14_and_nothing_of_the_list_is_done(guest: GuestView, count: int) -> None:
    lay(guest, noop(0), noop(1))
    guest.run(batch_of(count))

    assert guest.record(RECORD).status == COUNT
    assert statuses(guest, 2) == [0, 0]


@pytest.mark.parametrize("offset", [1, 8, 32, 63])
def test_list_that_is_not_aligned_is_0x18(guest: GuestView, offset: int) -> None:
    guest.run(batch_of(2, source=LIST + offset))

    assert guest.record(RECORD).status == LIST_ALIGN


@pytest.mark.parametrize("address", [0, END, RAM - 64 * 32, 2**64 - 64, 0xFEE0_0000])
def test_list_that_is_no_memory_is_0x06_with_its_address(guest: GuestView, address: int) -> None:
    guest.run(batch_of(2, source=address))
    record = guest.record(RECORD)

    assert (record.status, record.bytes_completed, record.fault_address) == (LIST_FAULT, 0, address)


def test_list_that_goes_on_where_no_memory_is_ends_there(guest: GuestView) -> None:
    guest.put(END - 128, noop(0) + noop(1))
    guest.run(batch_of(3, source=END - 128))
    record = guest.record(RECORD)

    assert (record.status, record.bytes_completed, record.fault_address) == (LIST_FAULT, 2, END)
    assert statuses(guest, 3) == [SUCCESS, SUCCESS, 0]


def test_list_does_not_go_on_at_zero_behind_the_last_address(guest: GuestView) -> None:
    guest.client.dma_map(2**64 - 0x1000, 0x1000).memory[-64:] = noop(0)
    guest.client.dma_map(0, 0x1000).memory[:64] = noop(1)
    guest.run(batch_of(2, source=2**64 - 64))

    assert guest.record(RECORD).status == LIST_FAULT
    assert statuses(guest, 2) == [SUCCESS, 0]


@pytest.mark.parametrize("flag", [0, 1, 5, 6, 7, 8, 10, 11, 13, 14, 15, *range(16, 24)])
def test_flags_that_a_batch_does_not_have_are_0x11(guest: GuestView, flag: int) -> None:
    lay(guest, noop(0), noop(1))
    guest.run(batch_of(2, flags=CRAV | RCR | 1 << flag))
    record = guest.record(RECORD)

    assert (record.status, record.invalid_flags) == (FLAGS, 1 << flag)
    assert statuses(guest, 2) == [0, 0]


@pytest.mark.parametrize("offset", [24, 31, 38, 39, 40, 63])
def test_reserved_bytes_of_a_batch_are_0x12(guest: GuestView, offset: int) -> None:
    desc = batch_of(2)
    guest.run(desc[:offset] + b"\x01" + desc[offset + 1 :])

    assert guest.record(RECORD).status == RESERVED


def test_list_that_a_member_rewrites_is_used_as_it_was_read(guest: GuestView, victim: GuestView) -> None:
    rci = CRAV | RCR | RCI
    guest.put(DATA, noop(1, flags=rci, handle=victim.handle) + failing(2))
    record = run_batch(guest, move(DATA, LIST + 64, 128, record=at(0)), noop(1, flags=rci, handle=guest.handle), noop(2))

    assert record.status == SUCCESS
    assert statuses(guest, 3) == [SUCCESS] * 3
    assert (guest.vectors(), victim.vectors()) == ([1], [])
