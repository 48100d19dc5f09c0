"""The account joins the ledger's records, and notices every breach of the ledger's own rules."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from device_model.ledger import NO_ENTRY, Kind
from host_ctl.account import LedgerAccount
from host_ctl.account_summary import LEAKS, Rule
from host_ctl.tests.report_samples import Ledger, guest_of

MASKED = 1 << 2
RETRACTS = 1 << 4


def rules(ledger: Ledger) -> set[Rule]:
    return set(ledger.account().summary(guest_of).violation_counts)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def test_delivered_interrupt_is_counted_for_sender_receiver_and_vector(ledger: Ledger) -> None:
    ledger.delivered(1, 1, 1, vector=4)
    ledger.delivered(2, 1, 1, vector=4)

    summary = ledger.account().summary(guest_of)

    assert dict(summary.injected) == {(0, 0, 4): 2}
    assert summary.matrix(2) == [[2, 0], [0, 0]]
    assert summary.latencies_ns == (4000, 4000)
    assert (summary.violation_counts, summary.unfinished, summary.lost) == ({}, 0, 0)


def test_refusals_are_counted_by_reason_and_by_guest(ledger: Ledger) -> None:
    ledger.refused(1, 1, reason=4)
    ledger.refused(2, 2, reason=2)
    ledger.refused(3, 2, reason=2)

    summary = ledger.account().summary(guest_of)

    assert summary.refusals == {"pasid": 1, "not_requested": 2}
    assert summary.refused_guests == {0: 1, 1: 2}
    assert summary.violation_counts == {}


def test_a_descriptor_can_be_looked_up(ledger: Ledger) -> None:
    ledger.delivered(1, 1, 1, vector=3)
    ledger.refused(2, 5, reason=1)
    account = ledger.account()

    first, second = account.cause(1), account.cause(2)

    assert first is not None
    assert (first.requester, first.target, first.vector, first.saw(Kind.FIRED)) == (1, 1, 3, True)
    assert second is not None
    assert (second.requester, second.refusal, second.status, second.saw(Kind.GRANTED)) == (5, 1, 0x19, False)


def test_executed_after_refusal_is_a_leak(ledger: Ledger) -> None:
    ledger.add(Kind.REFUSED, 1, 1, reason=4)
    ledger.add(Kind.COMPLETED, 1, 1, status=1)

    assert rules(ledger) == {Rule.REFUSED_EXECUTED}


def test_executed_before_refusal_is_a_leak(ledger: Ledger) -> None:
    ledger.add(Kind.COMPLETED, 1, 1, status=1)
    ledger.add(Kind.REFUSED, 1, 1, reason=4)

    assert rules(ledger) == {Rule.REFUSED_EXECUTED}


@pytest.mark.parametrize(
    "kind",
    [Kind.FIRED, Kind.PENDED, Kind.IGNORED, Kind.REMAPPED, Kind.BLOCKED, Kind.INJECTED, Kind.VM_PENDED, Kind.LOST],
)
def test_refused_descriptor_with_any_effect_is_a_leak(ledger: Ledger, kind: Kind) -> None:
    ledger.refused(1, 1)
    ledger.add(kind, 1, 1, 1, entry=7, vector=2)

    assert Rule.REFUSED_HAD_EFFECT in rules(ledger)


def test_masked_entry_that_fires_is_a_leak(ledger: Ledger) -> None:
    ledger.granted(1, 1, entry=7)
    ledger.add(Kind.FIRED, 1, 1, entry=7, flags=MASKED)

    assert rules(ledger) == {Rule.FIRED_MASKED}


def test_interrupt_into_another_device_is_a_leak_and_is_in_the_matrix(ledger: Ledger) -> None:
    ledger.delivered(1, 1, 2, vector=3)

    summary = ledger.account().summary(guest_of)

    assert summary.violation_counts == {Rule.CROSS_DELIVERY: 1}
    assert summary.matrix(2) == [[0, 1], [0, 0]]


def test_interrupt_that_names_a_false_submitter_is_a_leak(ledger: Ledger) -> None:
    ledger.granted(1, 1, entry=7)
    ledger.add(Kind.FIRED, 1, 1, entry=7)
    ledger.add(Kind.INJECTED, 1, 2, 2, vector=3)

    summary = ledger.account().summary(guest_of)

    assert set(summary.violation_counts) == {Rule.REQUESTER_CHANGED, Rule.CROSS_DELIVERY}
    assert summary.matrix(2) == [[0, 1], [0, 0]]


def test_lost_interrupt_of_another_device_is_a_leak(ledger: Ledger) -> None:
    ledger.granted(1, 1, entry=7)
    ledger.add(Kind.FIRED, 1, 1, entry=7)
    ledger.add(Kind.LOST, 1, 1, 2, vector=3)

    assert rules(ledger) == {Rule.CROSS_DELIVERY}


def test_injection_that_is_taken_back_is_not_counted(ledger: Ledger) -> None:
    ledger.delivered(1, 1, 1, vector=3)
    ledger.add(Kind.LOST, 1, 1, 1, vector=3, flags=RETRACTS)

    summary = ledger.account().summary(guest_of)

    assert (dict(summary.injected), dict(summary.retracted)) == ({}, {(0, 0, 3): 1})
    assert summary.violation_counts == {}


def test_taking_back_what_was_not_sent_is_a_breach(ledger: Ledger) -> None:
    ledger.granted(1, 1, entry=7)
    ledger.add(Kind.FIRED, 1, 1, entry=7)
    ledger.add(Kind.LOST, 1, 1, 1, vector=3, flags=RETRACTS)

    assert rules(ledger) == {Rule.RETRACTED_NOTHING}


def test_descriptor_that_was_dropped_is_finished(ledger: Ledger) -> None:
    ledger.add(Kind.DROPPED, 1, 1, reason=2)

    assert ledger.account().summary(guest_of).unfinished == 0


def test_interrupt_pending_at_another_virtual_device_is_a_leak(ledger: Ledger) -> None:
    ledger.granted(1, 1, entry=7)
    ledger.add(Kind.FIRED, 1, 1, entry=7)
    ledger.add(Kind.VM_PENDED, 1, 1, 2, vector=3)

    assert rules(ledger) == {Rule.PENDED_ELSEWHERE}


def test_interrupt_pending_at_an_entry_placed_elsewhere_is_a_leak(ledger: Ledger) -> None:
    ledger.granted(1, 1, entry=7)
    ledger.add(Kind.PENDED, 1, 1, entry=7, flags=MASKED)
    account = ledger.account()
    account.placed(7, 2)

    assert set(account.summary(guest_of).violation_counts) == {Rule.PENDED_ELSEWHERE}


def test_interrupt_pending_at_an_entry_of_unknown_owner_is_unplaced(ledger: Ledger) -> None:
    ledger.granted(1, 1, entry=7)
    ledger.add(Kind.PENDED, 1, 1, entry=7, flags=MASKED)
    account = ledger.account()

    before = account.summary(guest_of).unplaced
    account.placed(7, 1)

    assert (before, account.summary(guest_of).unplaced) == (1, 0)


def test_injection_that_nothing_led_to_is_a_leak(ledger: Ledger) -> None:
    ledger.add(Kind.INJECTED, 0, 0, 2, vector=3)

    assert Rule.UNEXPLAINED_INJECTION in rules(ledger)


def test_injection_of_a_descriptor_that_never_fired_is_a_leak(ledger: Ledger) -> None:
    ledger.granted(1, 1, entry=7)
    ledger.add(Kind.INJECTED, 1, 1, 1, vector=3)

    assert rules(ledger) == {Rule.UNEXPLAINED_INJECTION}


def test_interrupt_without_a_grant_is_a_leak(ledger: Ledger) -> None:
    ledger.add(Kind.ACCEPTED, 1, 1)
    ledger.add(Kind.FIRED, 1, 1, entry=7)

    assert rules(ledger) == {Rule.FIRED_UNGRANTED}


def test_second_injection_of_a_descriptor_is_a_leak(ledger: Ledger) -> None:
    ledger.delivered(1, 1, 1, vector=3)
    ledger.add(Kind.INJECTED, 1, 1, 1, vector=3)

    assert rules(ledger) == {Rule.INJECTED_TWICE}


def test_injection_at_another_vector_than_remapped_is_a_leak(ledger: Ledger) -> None:
    ledger.granted(1, 1, entry=7)
    ledger.add(Kind.FIRED, 1, 1, entry=7)
    ledger.add(Kind.REMAPPED, 1, 1, 1, vector=3, entry=7)
    ledger.add(Kind.INJECTED, 1, 1, 1, vector=4)

    assert rules(ledger) == {Rule.TARGET_CHANGED}


def test_granted_interrupt_that_is_blocked_is_a_breach_but_no_leak(ledger: Ledger) -> None:
    ledger.granted(1, 1, entry=7)
    ledger.add(Kind.FIRED, 1, 1, entry=7)
    ledger.add(Kind.BLOCKED, 1, 1)

    assert rules(ledger) == {Rule.BLOCKED_GRANTED}
    assert Rule.BLOCKED_GRANTED not in LEAKS


def test_descriptor_granted_and_refused_is_a_breach(ledger: Ledger) -> None:
    ledger.add(Kind.GRANTED, 1, 1)
    ledger.add(Kind.REFUSED, 1, 1, reason=4)

    assert rules(ledger) == {Rule.DECIDED_TWICE}


def test_unknown_kind_is_a_breach(ledger: Ledger) -> None:
    ledger.add(99, 1, 1)

    assert rules(ledger) == {Rule.UNKNOWN_KIND}


def test_unmask_sends_what_was_pending_with_the_cause_that_set_it(ledger: Ledger) -> None:
    ledger.granted(1, 1, entry=7)
    ledger.add(Kind.PENDED, 1, 1, entry=7, flags=MASKED)
    ledger.add(Kind.FIRED, 1, 1, entry=7, detail=9_000_000)
    ledger.add(Kind.REMAPPED, 1, 1, 1, vector=3, entry=7)
    ledger.add(Kind.INJECTED, 1, 1, 1, vector=3, entry=7)

    summary = ledger.account().summary(guest_of)

    assert (summary.violation_counts, dict(summary.injected)) == ({}, {(0, 0, 3): 1})
    assert summary.latencies_ns == ()


def test_unmask_sends_what_was_pending_without_a_cause(ledger: Ledger) -> None:
    ledger.granted(1, 1, entry=7)
    ledger.add(Kind.PENDED, 1, 1, entry=7, flags=MASKED)
    ledger.add(Kind.FIRED, 0, 0, entry=7)
    ledger.add(Kind.REMAPPED, 0, 0, 1, vector=3, entry=7)
    ledger.add(Kind.INJECTED, 0, 0, 1, vector=3, entry=7)

    summary = ledger.account().summary(guest_of)

    assert (summary.violation_counts, dict(summary.injected)) == ({}, {(0, 0, 3): 1})


def test_virtual_unmask_sends_what_was_pending_once(ledger: Ledger) -> None:
    ledger.granted(1, 1, entry=7)
    ledger.add(Kind.FIRED, 1, 1, entry=7)
    ledger.add(Kind.VM_PENDED, 1, 1, 1, vector=3)
    ledger.add(Kind.INJECTED, 0, 0, 1, vector=3)

    assert rules(ledger) == set()

    ledger.add(Kind.INJECTED, 0, 0, 1, vector=3)

    assert Rule.UNEXPLAINED_INJECTION in rules(ledger)


def test_vector_0_of_a_device_is_its_own_and_follows_a_refusal_lawfully(ledger: Ledger) -> None:
    ledger.refused(1, 2)
    ledger.add(Kind.INJECTED, 1, 2, 2, vector=0, entry=NO_ENTRY)

    summary = ledger.account().summary(guest_of)

    assert (summary.violation_counts, dict(summary.injected)) == ({}, {(1, 1, 0): 1})


def test_vector_0_fired_by_another_device_is_a_leak(ledger: Ledger) -> None:
    ledger.add(Kind.INJECTED, 0, 1, 2, vector=0, entry=NO_ENTRY)

    assert Rule.CROSS_DELIVERY in rules(ledger)


def test_records_out_of_order_are_a_breach(ledger: Ledger) -> None:
    ledger.add(Kind.ACCEPTED, 1, 1)
    ledger.add(Kind.COMPLETED, 1, 1)
    account = LedgerAccount()
    account.feed(reversed(ledger.records))

    assert Rule.OUT_OF_SEQUENCE in account.summary(guest_of).violation_counts


def test_gap_that_nobody_announced_is_lost_and_a_breach(ledger: Ledger) -> None:
    ledger.delivered(1, 1, 1, vector=3)
    account = LedgerAccount()
    account.feed(ledger.records[3:])

    summary = account.summary(guest_of)

    assert summary.lost == 3
    assert Rule.OUT_OF_SEQUENCE in summary.violation_counts


def test_announced_loss_is_counted_and_absence_is_no_leak_after_it(ledger: Ledger) -> None:
    ledger.delivered(1, 1, 1, vector=3)
    account = LedgerAccount()
    account.lost(5)
    account.feed(ledger.records[5:])

    summary = account.summary(guest_of)

    assert summary.lost == 5
    assert set(summary.violation_counts) == {Rule.UNEXPLAINED_AFTER_LOSS}


def test_descriptor_without_an_end_is_unfinished(ledger: Ledger) -> None:
    ledger.granted(1, 1, entry=7)
    ledger.add(Kind.ACCEPTED, 2, 1)
    ledger.add(Kind.ACCEPTED, 3, 1)
    ledger.add(Kind.ABORTED, 3, 1)

    assert ledger.account().summary(guest_of).unfinished == 2


def test_memory_stays_bounded_and_counts_stay_exact(ledger: Ledger) -> None:
    for cause in range(1, 1001):
        ledger.delivered(cause, 1, 1, vector=3)
    account = ledger.account(remember=16)

    remembered = sum(account.cause(cause) is not None for cause in range(1, 1001))
    summary = account.summary(guest_of)

    assert remembered == 16
    assert (dict(summary.injected), summary.violation_counts, summary.unfinished) == ({(0, 0, 3): 1000}, {}, 0)


def test_feeding_in_pieces_comes_to_the_same(ledger: Ledger) -> None:
    for cause in range(1, 40):
        ledger.delivered(cause, 1 + cause % 3, 1 + cause % 3, vector=cause % 5, entry=cause % 3)
    pieces = LedgerAccount()
    for start in range(0, len(ledger.records), 7):
        pieces.feed(ledger.records[start : start + 7])

    assert pieces.summary(guest_of) == ledger.account().summary(guest_of)


@pytest.mark.parametrize(
    "taken",
    [
        pytest.param(lambda account: account.placed(7, 1), id="a neighbour's now"),
        pytest.param(lambda account: account.withdrawn(7), id="nobody's now"),
    ],
)
def test_interrupt_granted_at_an_entry_that_is_ones_own_no_more_is_a_leak(
    taken: Callable[[LedgerAccount], None],
) -> None:
    """No arrival is needed to show it: what the victim counts may have coalesced with what was due."""
    ledger = Ledger()
    ledger.granted(1, 2, entry=7)
    account = LedgerAccount()
    account.placed(7, 2)
    taken(account)

    account.feed(ledger.records)

    assert Rule.GRANTED_ELSEWHERE in account.summary(guest_of).violation_counts
    assert Rule.GRANTED_ELSEWHERE in LEAKS


def test_interrupt_granted_at_ones_own_entry_is_none() -> None:
    ledger = Ledger()
    ledger.delivered(1, 2, 2, vector=1, entry=7)
    account = LedgerAccount()
    account.placed(7, 1)
    account.placed(7, 2)

    account.feed(ledger.records)

    assert account.summary(guest_of).violation_counts == {}


def test_descriptor_of_a_device_that_is_gone_is_a_breach(ledger: Ledger) -> None:
    ledger.delivered(1, 1, 1, vector=1)
    account = ledger.account()
    account.ended(1)
    before = account.summary(guest_of).violation_counts

    ledger.refused(2, 1)
    account.feed(ledger.records[-3:])

    assert before == {}
    assert Rule.AFTER_ITS_END in account.summary(guest_of).violation_counts
    assert Rule.AFTER_ITS_END not in LEAKS
