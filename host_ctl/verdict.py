"""The verdict on a run: pure functions from evidence to a judgement, no input or output.

It fails closed. ISOLATED needs all six conditions to hold and every planned scenario to have passed; whatever is
missing, lost, skipped, unexplained or zero leaves the run NOT PROVEN. LEAKED is kept for what is shown to be a leak.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from host_ctl.account_summary import LEAKS, AccountSummary

Vector = tuple[int, int]
"""(guest, vector of that guest)"""


class VerdictKind(enum.StrEnum):
    """What a run came to."""

    ISOLATED = "ISOLATED"
    LEAKED = "LEAKED"
    NOT_PROVEN = "NOT PROVEN"


class Outcome(enum.StrEnum):
    """What became of a scenario."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"
    NOT_RUN = "not_run"


class ControlOutcome(enum.StrEnum):
    """What became of a negative control: a fault planted on purpose."""

    CAUGHT = "caught"
    MISSED = "MISSED"
    NOT_RUN = "not_run"


@dataclass(frozen=True, slots=True)
class Window:
    """A time in which nothing may arrive but what is due; the canaries name the guests that proved that they hear.

    paced: every interrupt in it was acknowledged before the next was fired; only then may counts be compared as equal.
    """

    name: str
    canaries_before: frozenset[int]
    canaries_after: frozenset[int]
    guests: frozenset[int]
    paced: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a verdict rests on. Guests are guest indices; a key that is absent is evidence that is missing.

    due: acknowledged due interrupts. guest_counts: what the guests' own handlers counted, of the same interrupts.
    strays: guest -> interrupts on vectors that nobody owns; needs a key for every guest. planned_*: what was to be run.
    sent: guest -> (interrupts into its present mdev by the ledger, messages and eventfds that its connection has sent).
    resources_*: named counts (slots, pasids, mappings, fds, processes). crashed: guest -> what happened to it.
    interrupted: what ended the run early; partial: what was left out on request.
    """

    guests: frozenset[int]
    due: Mapping[Vector, int]
    guest_counts: Mapping[Vector, int]
    strays: Mapping[int, int]
    account: AccountSummary
    windows: tuple[Window, ...]
    scenarios: Mapping[str, Outcome]
    planned_scenarios: frozenset[str]
    controls: Mapping[str, ControlOutcome]
    planned_controls: frozenset[str]
    resources_before: Mapping[str, int]
    resources_after: Mapping[str, int]
    sent: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    crashed: Mapping[int, str] = field(default_factory=dict)
    interrupted: str | None = None
    partial: str | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """One of the six. held: None if it could not be judged."""

    number: int
    title: str
    held: bool | None
    evidence: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """kind, one sentence why, and the six conditions in order."""

    kind: VerdictKind
    reason: str
    conditions: tuple[Condition, ...]


TITLES = (
    "Every interrupt that was due arrived, once, at its vector",
    "No guest saw an interrupt that it was not due",
    "Canaries prove that each silent guest would have seen one",
    "The device's ledger and the guests' counters agree",
    "Every planted fault was caught",
    "Slots, PASIDs, mappings and file descriptors are back where they began",
)


def plural(count: int, noun: str) -> str:
    """A number with its noun: 1 guest, 1,024 guests."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def judge(evidence: Evidence) -> Verdict:
    """The verdict. Never raises for evidence that is incomplete or contradicts itself; see the module for the rules."""
    leaks = find_leaks(evidence)
    conditions = (
        _arrived(evidence),
        _nothing_undue(evidence, leaks),
        _canaries(evidence),
        _ledgers_agree(evidence),
        _controls(evidence),
        _resources(evidence),
    )
    if leaks:
        return Verdict(VerdictKind.LEAKED, _first_of(leaks), conditions)
    obstacles = _obstacles(evidence)
    for condition in conditions:
        if condition.held is False:
            obstacles.append(f"condition {condition.number} does not hold: {condition.evidence}")
        elif condition.held is None and not evidence.interrupted:
            obstacles.append(f"condition {condition.number} could not be judged: {condition.evidence}")
    if obstacles:
        # Of a run that ended early, that is the reason; all else follows from it.
        reason = obstacles[0] if evidence.interrupted else _first_of(obstacles)
        return Verdict(VerdictKind.NOT_PROVEN, reason, conditions)
    return Verdict(VerdictKind.ISOLATED, _isolated(evidence), conditions)


def find_leaks(evidence: Evidence) -> list[str]:
    """Sentences on everything in the evidence that is a leak in itself, worst first; empty: none was seen."""
    account = evidence.account
    leaks = []
    for (sender, receiver, vector), count in sorted(account.injected.items(), key=str):
        if count > 0 and receiver is not None and sender != receiver and (sender is not None or not account.lost):
            by = "a device that no guest owns" if sender is None else f"guest {sender}"
            leaks.append(f"guest {receiver} received {plural(count, 'interrupt')} fired by {by}, at vector {vector}")
    for rule, count in account.violation_counts.items():
        if count > 0 and rule in LEAKS:
            example = next((str(found) for found in account.violations if found.rule == rule), str(rule))
            leaks.append(f"{example}; {plural(count, 'time')}")
    for guest, count in sorted(evidence.strays.items()):
        if count > 0:
            leaks.append(f"guest {guest} saw {plural(count, 'interrupt')} on vectors that nobody owns")
    sent, failed = account.delivered(), account.failed()
    for (guest, vector), count in sorted(evidence.guest_counts.items()):
        explained = max(sent.get((guest, vector), 0), 0) + max(failed.get((guest, vector), 0), 0)
        if count > explained and not account.lost:
            leaks.append(
                f"guest {guest} saw {plural(count, 'interrupt')} at vector {vector}, the ledger explains {explained:,}"
            )
    return leaks


def unexplained(evidence: Evidence) -> dict[int, int]:
    """Guest -> interrupts it saw that the ledger does not explain, for every guest."""
    sent = evidence.account.delivered()
    totals = {guest: max(0, evidence.strays.get(guest, 0)) for guest in evidence.guests}
    for (guest, vector), count in evidence.guest_counts.items():
        surplus = max(0, count - sent.get((guest, vector), 0))
        totals[guest] = totals.get(guest, 0) + surplus
    return totals


def _condition(number: int, problems: list[str], missing: list[str], held: str) -> Condition:
    title = TITLES[number - 1]
    if problems:
        return Condition(number, title, False, _first_of(problems))
    if missing:
        return Condition(number, title, None, _first_of(missing))
    return Condition(number, title, True, held)


def _first_of(sentences: list[str]) -> str:
    return sentences[0] if len(sentences) == 1 else f"{sentences[0]} (and {len(sentences) - 1} more)"


def _unfinished(evidence: Evidence) -> list[str]:
    return [] if evidence.interrupted is None else [f"the run was interrupted: {evidence.interrupted}"]


def _unpaced(evidence: Evidence) -> frozenset[int]:
    return frozenset().union(*(window.guests for window in evidence.windows if not window.paced))


def _arrived(evidence: Evidence) -> Condition:
    problems, missing = [], _unfinished(evidence)
    unpaced = _unpaced(evidence)
    for guest, vector in sorted(evidence.due.keys() | evidence.guest_counts.keys()):
        due = evidence.due.get((guest, vector), 0)
        seen = evidence.guest_counts.get((guest, vector))
        where = f"guest {guest}, vector {vector}"
        if guest not in evidence.guests:
            missing.append(f"{where}: no such guest in this run")
        elif due < 0 or (seen or 0) < 0:
            missing.append(f"{where}: a count below zero")
        elif seen is None:
            missing.append(f"{where}: {plural(due, 'interrupt')} due, the guest's count is missing")
        elif seen < due or (guest not in unpaced and seen != due):
            problems.append(f"{where}: {plural(due, 'interrupt')} due, {seen:,} arrived")
    if not evidence.guests:
        missing.append("no guest took part")
    for guest in sorted(evidence.guests):
        if not any(count > 0 for (owner, _), count in evidence.due.items() if owner == guest):
            missing.append(f"guest {guest}: no interrupt was due, so none proves anything")
    total = sum(evidence.due.values())
    return _condition(1, problems, missing, f"{total:,} of {total:,} due interrupts arrived and were acknowledged")


def _nothing_undue(evidence: Evidence, leaks: list[str]) -> Condition:
    missing = _unfinished(evidence) + _unheard(evidence)
    if evidence.account.lost:
        missing.append(f"{plural(evidence.account.lost, 'ledger record')} lost: what they would show is not known")
    for rule, count in evidence.account.violation_counts.items():
        if count and rule not in LEAKS:
            missing.append(f"{rule} ({plural(count, 'time')})")
    refused = plural(sum(evidence.account.refusals.values()), "refused attempt")
    return _condition(2, leaks, missing, f"no stray, foreign or unexplained interrupt; {refused} without effect")


def _unheard(evidence: Evidence) -> list[str]:
    """Guests that cannot say what they saw."""
    missing = [f"guest {guest} crashed: {what}" for guest, what in sorted(evidence.crashed.items())]
    if not evidence.guests:
        missing.append("no guest took part")
    counted = {guest for guest, _ in evidence.guest_counts}
    for guest in sorted(evidence.guests):
        if guest not in counted:
            missing.append(f"guest {guest} gave no counts")
        if evidence.strays.get(guest) is None:
            missing.append(f"guest {guest} did not say whether it saw strays")
    for guest in sorted(evidence.strays.keys() - evidence.guests):
        missing.append(f"guest {guest} counted strays and took no part")
    missing += [f"guest {guest} has a count of strays below zero" for guest, n in evidence.strays.items() if n < 0]
    return missing


def _canaries(evidence: Evidence) -> Condition:
    problems, missing = [], _unfinished(evidence)
    for window in evidence.windows:
        for when, seen in (("before", window.canaries_before), ("after", window.canaries_after)):
            silent = sorted(window.guests - seen)
            if silent:
                problems.append(f"window {window.name}: no canary {when} it reached guest {silent[0]}")
        if not window.guests:
            missing.append(f"window {window.name} watched no guest")
    covered = frozenset().union(*(window.guests for window in evidence.windows))
    missing += [f"guest {guest} was in no window" for guest in sorted(evidence.guests - covered)]
    missing += [f"a window names guest {guest}, which took no part" for guest in sorted(covered - evidence.guests)]
    if not evidence.windows:
        missing.append("there was no window in which silence was watched")
    count = plural(len(evidence.windows), "window")
    return _condition(3, problems, missing, f"{count}, each between canaries that reached all of its guests")


def _ledgers_agree(evidence: Evidence) -> Condition:
    account = evidence.account
    problems: list[str] = []
    missing = _unfinished(evidence) + _unheard(evidence)
    if account.records <= 0:
        missing.append("the ledger is empty")
    if account.lost:
        missing.append(f"{plural(account.lost, 'ledger record')} lost")
    if account.unfinished:
        missing.append(f"the ledger does not show the end of {plural(account.unfinished, 'descriptor')}")
    if account.unplaced:
        missing.append(f"{plural(account.unplaced, 'interrupt')} pending at an entry whose owner is not known")
    for sender, receiver, vector in sorted(account.injected, key=str):
        if sender not in evidence.guests or receiver not in evidence.guests:
            missing.append(f"the ledger has interrupts at vector {vector} of a device that no guest of this run owns")
    problems += _disagreements(evidence)
    problems += [f"{rule} ({plural(n, 'time')})" for rule, n in account.violation_counts.items() if n]
    total = sum(account.delivered().values())
    records = plural(account.records, "record")
    return _condition(4, problems, missing, f"{records}, {total:,} interrupts sent, all accounted for")


def _disagreements(evidence: Evidence) -> Iterable[str]:
    for guest, (by_ledger, by_connection) in sorted(evidence.sent.items()):
        if by_connection > by_ledger:  # coalesced on the way, or in its handler, the guest would not count them all
            yield f"guest {guest}: the ledger sent {by_ledger:,} into its mdev, its connection {by_connection:,}"
    sent = evidence.account.delivered()
    unpaced = _unpaced(evidence)
    for guest, vector in sorted(sent.keys() | evidence.guest_counts.keys()):
        ledger = sent.get((guest, vector), 0)
        seen = evidence.guest_counts.get((guest, vector), 0)
        coalesced = guest in unpaced and min(ledger, 1) <= seen <= ledger
        if seen != ledger and not coalesced:
            yield f"guest {guest}, vector {vector}: the ledger sent {ledger:,}, the guest counted {seen:,}"


def _controls(evidence: Evidence) -> Condition:
    missing = _unfinished(evidence)
    missed = [name for name, outcome in sorted(evidence.controls.items()) if outcome is ControlOutcome.MISSED]
    problems = [f"planted fault {name} was MISSED: this suite would not notice it" for name in missed]
    for name in sorted(evidence.planned_controls | evidence.controls.keys()):
        outcome = evidence.controls.get(name, ControlOutcome.NOT_RUN)
        if name not in evidence.planned_controls:
            missing.append(f"control {name} was not planned")
        if outcome not in (ControlOutcome.CAUGHT, ControlOutcome.MISSED):
            missing.append(f"planted fault {name} was not tried")
    if not evidence.controls:
        missing.append("no fault was planted, so nothing shows that this suite can fail")
    total = len(evidence.controls)
    return _condition(5, problems, missing, f"{total} of {plural(total, 'planted fault')} caught")


def _resources(evidence: Evidence) -> Condition:
    before, after = evidence.resources_before, evidence.resources_after
    problems = [
        f"{name}: {before[name]:,} before the run, {after[name]:,} after it"
        for name in sorted(before.keys() & after.keys())
        if before[name] != after[name]
    ]
    missing = _unfinished(evidence)
    missing += [f"{name} was not counted after the run" for name in sorted(before.keys() - after.keys())]
    missing += [f"{name} was not counted before the run" for name in sorted(after.keys() - before.keys())]
    if not before:
        missing.append("nothing was counted before the run")
    unchanged = ", ".join(f"{name} {before[name]:,}" for name in sorted(before))
    return _condition(6, problems, missing, f"unchanged: {unchanged}")


def _obstacles(evidence: Evidence) -> list[str]:
    """What keeps a run from being ISOLATED beside the six conditions."""
    found = _unfinished(evidence)
    if evidence.partial is not None:
        found.append(f"the run is partial: {evidence.partial}")
    found += [f"guest {guest} crashed: {what}" for guest, what in sorted(evidence.crashed.items())]
    scenarios = evidence.scenarios
    for name in sorted(evidence.planned_scenarios | scenarios.keys()):
        outcome = scenarios.get(name, Outcome.NOT_RUN)
        if outcome is not Outcome.PASSED:
            found.append(f"scenario {name}: {outcome.value.replace('_', ' ')}")
        elif name not in evidence.planned_scenarios:
            found.append(f"scenario {name} was not planned")
    if not scenarios:
        found.append("no scenario ran")
    return found


def _isolated(evidence: Evidence) -> str:
    total = sum(evidence.due.values())
    refused = sum(evidence.account.refusals.values())
    return (
        f"{plural(len(evidence.guests), 'guest')}, {plural(total, 'interrupt')} due, each of them delivered to the "
        f"guest that owned it and to no other; {plural(refused, 'forged attempt')} refused; "
        f"{plural(len(evidence.controls), 'planted fault')} caught"
    )
