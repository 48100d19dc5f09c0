"""The judgement of what was seen: the worst of it counts, and it says whom it is about."""

from __future__ import annotations

from typing import Any

import pytest

from device_model.ledger import NO_ENTRY, Kind, LedgerRecord, Refusal
from guest_tests.containment.outcome import Judged, Seen, judge
from guest_tests.containment.trail import Course
from guest_tests.planted import FAULTS
from host_ctl.comparison import Outcome
from host_ctl.interrupts import COMBINATIONS, Organisation, Scope

SUBJECT, VICTIM = 1, 0


def judged(**seen: Any) -> Judged:
    return judge(Seen(subjects=frozenset({SUBJECT}), **seen))


@pytest.mark.parametrize(
    ("seen", "outcome", "words"),
    [
        ({}, "contained", "nothing was lost, nothing went astray"),
        ({"refused": 3}, "contained", "3 attempts refused or without effect, nothing lost, nothing astray"),
        ({"sent": {(0, 0): 4, (1, 1): 2}}, "contained", "nothing was lost, nothing went astray"),
        ({"sent": {(1, 0): 2}}, "leaked", "2 interrupts of guest 1 came to guest 0"),
        ({"sent": {(0, 1): 1}}, "leaked", "1 interrupt of guest 0 came to guest 1"),
        ({"sent": {(None, 2): 1}}, "leaked", "1 interrupt of nobody known came to guest 2"),
        ({"written": frozenset({(1, 0)})}, "leaked", "DMA of guest 1 wrote into the memory of guest 0"),
        ({"unexplained": {2: 1}}, "leaked", "guest 2 counted 1 interrupt that the ledger does not explain"),
        ({"lost": {0: 1}}, "denied", "guest 0 lost 1 interrupt that was due"),
        ({"lost": {1: 2}}, "harmed_own", "guest 1 lost 2 interrupts of its own"),
        ({"undue": {1: 1}}, "harmed_own", "guest 1 got 1 interrupt of its own that it should not"),
        ({"executed": {1: 1}}, "harmed_own", "guest 1: 1 refused descriptors changed its own memory"),
        ({"dropped": {1: 9}}, "harmed_own", "guest 1: 9 of its descriptors were dropped"),
    ],
)
def test_each_thing_seen_has_its_outcome(seen: dict[str, Any], outcome: Outcome, words: str) -> None:
    result = judged(**seen)

    assert (result.outcome, result.seen) == (outcome, words)


def test_leak_outweighs_denial_and_denial_outweighs_own_harm() -> None:
    own = {"undue": {SUBJECT: 1}, "refused": 2}
    denied = {**own, "lost": {VICTIM: 1, SUBJECT: 1}}
    leaked = {**denied, "sent": {(SUBJECT, VICTIM): 1}}

    assert [judged(**seen).outcome for seen in (own, denied, leaked)] == ["harmed_own", "denied", "leaked"]


def test_judgement_names_the_guest_whose_records_show_it() -> None:
    assert judged(sent={(2, 0): 1}).guest == 2
    assert judged(lost={SUBJECT: 1, VICTIM: 1}).guest == VICTIM
    assert judged(undue={SUBJECT: 1}).guest == SUBJECT
    assert judged(refused=1).guest is None


def test_counts_of_nothing_are_nothing() -> None:
    assert judged(sent={(1, 0): 0}, lost={0: 0}, undue={1: 0}, unexplained={2: 0}).outcome == "contained"


# ---- the course of a descriptor ----


def course(*records: tuple[Kind, dict[str, int]]) -> Course:
    blank = dict.fromkeys(LedgerRecord._fields, 0) | {"cause": 7, "requester": 1, "entry": NO_ENTRY}
    return Course(1, [LedgerRecord(**{**blank, "kind": kind, **more}) for kind, more in records])


@pytest.mark.parametrize(
    ("records", "ended"),
    [
        ([(Kind.ACCEPTED, {})], False),
        ([(Kind.ACCEPTED, {}), (Kind.ABORTED, {})], True),
        ([(Kind.ACCEPTED, {}), (Kind.COMPLETED, {"status": 1})], True),
        ([(Kind.ACCEPTED, {}), (Kind.REFUSED, {"reason": Refusal.PASID})], False),
        ([(Kind.REFUSED, {}), (Kind.COMPLETED, {"status": 0x19})], True),
        ([(Kind.GRANTED, {}), (Kind.COMPLETED, {"status": 1})], False),
        ([(Kind.GRANTED, {}), (Kind.COMPLETED, {"status": 0x1A})], True),
        ([(Kind.GRANTED, {}), (Kind.COMPLETED, {"status": 1}), (Kind.FIRED, {})], False),
        ([(Kind.GRANTED, {}), (Kind.COMPLETED, {"status": 1}), (Kind.INJECTED, {"target": 1})], True),
        ([(Kind.GRANTED, {}), (Kind.COMPLETED, {"status": 1}), (Kind.VANISHED, {})], True),
        ([(Kind.GRANTED, {}), (Kind.COMPLETED, {"status": 1}), (Kind.PENDED, {"entry": 3})], True),
    ],
)
def test_descriptor_has_ended_when_no_record_is_due_any_more(
    records: list[tuple[Kind, dict[str, int]]], ended: bool
) -> None:
    assert course(*records).ended is ended


def test_course_tells_whom_an_interrupt_has_reached_and_whether_it_left_masked() -> None:
    sent = course((Kind.FIRED, {"flags": 1 << 2}), (Kind.REMAPPED, {"target": 2}), (Kind.INJECTED, {"target": 2, "vector": 1}))

    assert sent.reached == {(2, 1)}
    assert sent.sent_masked


# ---- what can be planted where ----


def test_why_a_fault_is_not_possible_is_said_of_an_organisation_or_of_one_combination() -> None:
    faults = {fault.id: fault for fault in FAULTS}
    part = faults["part-given-twice"]

    assert "no bound" in faults["bound-unchecked"].why_not(Organisation.QUEUE, Scope.VM)
    assert faults["bound-unchecked"].why_not(Organisation.TABLE, Scope.VM) == ""
    assert part.why_not(Organisation.ARRAY, Scope.DEVICE)
    assert part.why_not(Organisation.ARRAY, Scope.VM) == ""


def test_every_fault_is_possible_somewhere() -> None:
    assert all(any(not fault.why_not(*combination) for combination in COMBINATIONS) for fault in FAULTS)
