"""The verdict fails closed: only evidence that is whole and consistent is ISOLATED, only a shown leak is LEAKED."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_ctl.account_summary import LEAKS, AccountSummary, Rule, Violation
from host_ctl.tests.report_samples import good_evidence
from host_ctl.verdict import ControlOutcome, Evidence, Outcome, Verdict, VerdictKind, Window, judge, unexplained

K = TypeVar("K")
V = TypeVar("V")
GOOD = good_evidence()
BAD_OUTCOMES = [outcome for outcome in Outcome if outcome is not Outcome.PASSED]
EMPTY_ACCOUNT = AccountSummary(records=0, lost=0, injected={}, refusals={}, refused_guests={})


def put(mapping: Mapping[K, V], key: K, value: V) -> dict[K, V]:
    return {**mapping, key: value}


def without(mapping: Mapping[K, V], key: K) -> dict[K, V]:
    return {other: value for other, value in mapping.items() if other != key}


def account(**changes: Any) -> Evidence:
    return replace(GOOD, account=replace(GOOD.account, **changes))


def breach(rule: Rule) -> Evidence:
    return account(violation_counts={rule: 1}, violations=(Violation(rule, 5, 1, 1, 2),))


def condition(verdict: Verdict, number: int) -> bool | None:
    return verdict.conditions[number - 1].held


def held(verdict: Verdict) -> list[bool | None]:
    return [one.held for one in verdict.conditions]


# ---- the good run ----


def test_good_evidence_is_isolated_and_all_six_conditions_hold() -> None:
    verdict = judge(GOOD)

    assert verdict.kind is VerdictKind.ISOLATED
    assert held(verdict) == [True] * 6
    assert [one.number for one in verdict.conditions] == [1, 2, 3, 4, 5, 6]
    assert "12 interrupts due" in verdict.reason


# ---- condition 1 ----


def test_missing_due_interrupt_is_not_proven() -> None:
    verdict = judge(replace(GOOD, guest_counts=put(GOOD.guest_counts, (1, 2), 1)))

    assert (verdict.kind, condition(verdict, 1)) == (VerdictKind.NOT_PROVEN, False)
    assert "guest 1, vector 2" in verdict.reason


def test_interrupt_nobody_waited_for_is_not_proven_even_if_the_ledger_explains_it() -> None:
    injected = put(GOOD.account.injected, (1, 1, 2), 3)
    verdict = judge(replace(account(injected=injected), guest_counts=put(GOOD.guest_counts, (1, 2), 3)))

    assert (verdict.kind, condition(verdict, 1)) == (VerdictKind.NOT_PROVEN, False)


def test_no_interrupt_due_is_not_proven() -> None:
    verdict = judge(replace(account(injected={}), due={}, guest_counts=dict.fromkeys(GOOD.guest_counts, 0)))

    assert (verdict.kind, condition(verdict, 1)) == (VerdictKind.NOT_PROVEN, None)


def test_guest_without_a_count_is_not_proven() -> None:
    verdict = judge(replace(GOOD, guest_counts={key: 2 for key in GOOD.guest_counts if key[0] != 2}))

    assert (verdict.kind, condition(verdict, 1), condition(verdict, 2)) == (VerdictKind.NOT_PROVEN, None, None)


# ---- condition 2 ----


def test_interrupt_from_another_guest_is_a_leak() -> None:
    verdict = judge(account(injected=put(GOOD.account.injected, (0, 2, 1), 1)))

    assert (verdict.kind, condition(verdict, 2)) == (VerdictKind.LEAKED, False)
    assert verdict.reason.startswith("guest 2 received 1 interrupt fired by guest 0, at vector 1")


def test_interrupt_of_unknown_origin_in_a_guest_is_a_leak() -> None:
    verdict = judge(account(injected=put(GOOD.account.injected, (None, 2, 1), 1)))

    assert verdict.kind is VerdictKind.LEAKED


def test_stray_interrupt_is_a_leak() -> None:
    verdict = judge(replace(GOOD, strays=put(GOOD.strays, 1, 1)))

    assert (verdict.kind, condition(verdict, 2)) == (VerdictKind.LEAKED, False)


def test_interrupt_that_the_ledger_does_not_explain_is_a_leak() -> None:
    evidence = replace(GOOD, guest_counts=put(GOOD.guest_counts, (1, 2), 3))
    verdict = judge(evidence)

    assert (verdict.kind, condition(verdict, 2), condition(verdict, 4)) == (VerdictKind.LEAKED, False, False)
    assert unexplained(evidence) == {0: 0, 1: 1, 2: 0}


def test_interrupt_at_a_vector_where_none_was_due_is_a_leak() -> None:
    verdict = judge(replace(GOOD, guest_counts=put(GOOD.guest_counts, (1, 9), 1)))

    assert verdict.kind is VerdictKind.LEAKED


@pytest.mark.parametrize("rule", sorted(LEAKS))
def test_every_breach_that_is_a_leak_is_leaked(rule: Rule) -> None:
    verdict = judge(breach(rule))

    assert (verdict.kind, condition(verdict, 2)) == (VerdictKind.LEAKED, False)
    assert rule in verdict.reason


@pytest.mark.parametrize("rule", sorted(set(Rule) - LEAKS))
def test_every_other_breach_is_not_proven(rule: Rule) -> None:
    verdict = judge(breach(rule))

    assert (verdict.kind, condition(verdict, 4)) == (VerdictKind.NOT_PROVEN, False)


def test_leak_outweighs_interruption_and_crashes() -> None:
    verdict = judge(replace(GOOD, strays=put(GOOD.strays, 1, 1), interrupted="Ctrl-C", crashed={0: "signal 11"}))

    assert verdict.kind is VerdictKind.LEAKED


# ---- condition 3 ----


@pytest.mark.parametrize("side", ["canaries_before", "canaries_after"])
def test_window_without_a_canary_on_either_side_is_not_proven(side: str) -> None:
    changes: dict[str, Any] = {side: frozenset({0, 2})}
    window = replace(GOOD.windows[0], **changes)
    verdict = judge(replace(GOOD, windows=(window,)))

    assert (verdict.kind, condition(verdict, 3)) == (VerdictKind.NOT_PROVEN, False)
    assert "guest 1" in verdict.reason


def test_run_without_a_window_is_not_proven() -> None:
    verdict = judge(replace(GOOD, windows=()))

    assert (verdict.kind, condition(verdict, 3)) == (VerdictKind.NOT_PROVEN, None)


def test_guest_that_no_window_watched_is_not_proven() -> None:
    window = replace(GOOD.windows[0], guests=frozenset({0, 1}))

    assert judge(replace(GOOD, windows=(window,))).kind is VerdictKind.NOT_PROVEN


# ---- condition 4 ----


def test_lost_ledger_records_are_not_proven() -> None:
    verdict = judge(account(lost=1))

    assert (verdict.kind, condition(verdict, 4)) == (VerdictKind.NOT_PROVEN, None)


def test_surplus_beside_lost_records_is_not_called_a_leak() -> None:
    verdict = judge(replace(account(lost=1), guest_counts=put(GOOD.guest_counts, (1, 2), 3)))

    assert verdict.kind is VerdictKind.NOT_PROVEN


def test_interrupt_seen_though_taken_back_is_not_proven_but_no_leak() -> None:
    summary = replace(GOOD.account, retracted={(1, 1, 2): 1})
    verdict = judge(replace(GOOD, account=summary, guest_counts=put(GOOD.guest_counts, (1, 2), 3)))

    assert (verdict.kind, condition(verdict, 4)) == (VerdictKind.NOT_PROVEN, False)


def test_ledger_that_sent_more_than_a_paced_guest_counted_is_not_proven() -> None:
    verdict = judge(account(injected=put(GOOD.account.injected, (1, 1, 2), 3)))

    assert (verdict.kind, condition(verdict, 4)) == (VerdictKind.NOT_PROVEN, False)


@pytest.mark.parametrize(("sent", "seen"), [(5, 2), (5, 5), (2, 2)])
def test_unpaced_interrupts_may_coalesce(sent: int, seen: int) -> None:
    good = good_evidence(unpaced={1})
    summary = replace(good.account, injected=put(good.account.injected, (1, 1, 2), sent))
    verdict = judge(replace(good, account=summary, guest_counts=put(good.guest_counts, (1, 2), seen)))

    assert verdict.kind is VerdictKind.ISOLATED


def test_unpaced_interrupts_that_all_vanished_are_not_proven() -> None:
    good = good_evidence(unpaced={1})
    summary = replace(good.account, injected=put(good.account.injected, (1, 1, 3), 5))
    verdict = judge(replace(good, account=summary, guest_counts=put(good.guest_counts, (1, 3), 0)))

    assert (verdict.kind, condition(verdict, 4)) == (VerdictKind.NOT_PROVEN, False)


def test_unpaced_guest_that_saw_more_than_was_sent_is_a_leak() -> None:
    good = good_evidence(unpaced={1})

    assert judge(replace(good, guest_counts=put(good.guest_counts, (1, 2), 3))).kind is VerdictKind.LEAKED


def test_coalescing_excuses_only_the_guests_of_that_window() -> None:
    good = good_evidence(unpaced={1})
    summary = replace(good.account, injected=put(good.account.injected, (0, 0, 2), 3))

    assert judge(replace(good, account=summary)).kind is VerdictKind.NOT_PROVEN


# ---- condition 5 ----


def test_missed_control_is_not_proven() -> None:
    verdict = judge(replace(GOOD, controls={"PASID_CHECK_SKIPPED": ControlOutcome.MISSED}))

    assert (verdict.kind, condition(verdict, 5)) == (VerdictKind.NOT_PROVEN, False)
    assert "PASID_CHECK_SKIPPED" in verdict.reason


def test_run_without_controls_is_not_proven() -> None:
    verdict = judge(replace(GOOD, controls={}, planned_controls=frozenset()))

    assert (verdict.kind, condition(verdict, 5)) == (VerdictKind.NOT_PROVEN, None)


def test_control_left_out_is_not_proven() -> None:
    verdict = judge(replace(GOOD, planned_controls=GOOD.planned_controls | {"MASK_IGNORED"}))

    assert (verdict.kind, condition(verdict, 5)) == (VerdictKind.NOT_PROVEN, None)


# ---- condition 6 ----


def test_leaked_resource_is_not_proven() -> None:
    verdict = judge(replace(GOOD, resources_after=put(GOOD.resources_after, "fds", 13)))

    assert (verdict.kind, condition(verdict, 6)) == (VerdictKind.NOT_PROVEN, False)
    assert "fds: 12 before the run, 13 after it" in verdict.reason


def test_resource_counted_once_only_is_not_proven() -> None:
    verdict = judge(replace(GOOD, resources_after=without(GOOD.resources_after, "fds")))

    assert (verdict.kind, condition(verdict, 6)) == (VerdictKind.NOT_PROVEN, None)


# ---- beside the conditions ----


def test_run_without_a_scenario_is_not_proven() -> None:
    assert judge(replace(GOOD, scenarios={}, planned_scenarios=frozenset())).kind is VerdictKind.NOT_PROVEN


@pytest.mark.parametrize("outcome", BAD_OUTCOMES)
def test_scenario_that_did_not_pass_is_not_proven(outcome: Outcome) -> None:
    verdict = judge(replace(GOOD, scenarios=put(GOOD.scenarios, "test_a", outcome)))

    assert verdict.kind is VerdictKind.NOT_PROVEN
    assert "test_a" in verdict.reason


def test_partial_run_is_not_proven_and_says_so() -> None:
    verdict = judge(replace(GOOD, partial="only scenarios named like forged were run"))

    assert (verdict.kind, verdict.reason) == (
        VerdictKind.NOT_PROVEN,
        "the run is partial: only scenarios named like forged were run",
    )


def test_crashed_guest_is_not_proven() -> None:
    assert judge(replace(GOOD, crashed={1: "QEMU ended with signal 11"})).kind is VerdictKind.NOT_PROVEN


def test_interrupted_run_is_not_proven_and_no_condition_is_said_to_hold() -> None:
    verdict = judge(replace(GOOD, interrupted="Ctrl-C"))

    assert (verdict.kind, verdict.reason) == (VerdictKind.NOT_PROVEN, "the run was interrupted: Ctrl-C")
    assert True not in held(verdict)


def test_empty_evidence_is_not_proven_and_nothing_holds() -> None:
    none: frozenset[Any] = frozenset()
    verdict = judge(Evidence(none, {}, {}, {}, EMPTY_ACCOUNT, (), {}, none, {}, none, {}, {}))

    assert verdict.kind is VerdictKind.NOT_PROVEN
    assert True not in held(verdict)


# ---- one change in any place ----

GUESTS = st.sampled_from(sorted(GOOD.guests))
VECTORS = st.sampled_from(sorted(GOOD.due))
NEW_VECTORS = st.tuples(st.integers(0, 9), st.integers(0, 40)).filter(lambda key: key not in GOOD.due)
OTHER_THAN_2 = st.integers(-5, 1000).filter(lambda count: count != 2)
POSITIVE = st.integers(1, 2**40)
FOREIGN = st.tuples(
    st.sampled_from([0, 1, 2, 3, None]), st.sampled_from([0, 1, 2, 3, None]), st.integers(0, 40)
).filter(lambda key: key[0] != key[1] or key[0] in (3, None))


CHANGED_FIELDS: set[str] = set()


def changed(name: str, change: Callable[..., Any], *parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Evidence]:
    CHANGED_FIELDS.add(name)
    return st.tuples(*parts).map(lambda drawn: replace(GOOD, **{name: change(getattr(GOOD, name), *drawn)}))


def changed_account(
    name: str, change: Callable[..., Any], *parts: st.SearchStrategy[Any]
) -> st.SearchStrategy[Evidence]:
    return st.tuples(*parts).map(lambda drawn: account(**{name: change(getattr(GOOD.account, name), *drawn)}))


def in_window(name: str) -> st.SearchStrategy[Evidence]:
    def drop(windows: tuple[Window, ...], guest: int) -> tuple[Window, ...]:
        return tuple(replace(window, **{name: getattr(window, name) - {guest}}) for window in windows)

    return changed("windows", drop, GUESTS)


ONE_CHANGE = {
    "guest left out": changed("guests", lambda old, guest: old - {guest}, GUESTS),
    "guest made up": changed("guests", lambda old, guest: old | {guest}, st.integers(3, 200)),
    "due changed": changed("due", put, VECTORS, OTHER_THAN_2),
    "due left out": changed("due", without, VECTORS),
    "due made up": changed("due", put, NEW_VECTORS, POSITIVE),
    "count changed": changed("guest_counts", put, VECTORS, OTHER_THAN_2),
    "count left out": changed("guest_counts", without, VECTORS),
    "count made up": changed("guest_counts", put, NEW_VECTORS, POSITIVE),
    "stray seen": changed("strays", put, GUESTS, POSITIVE),
    "strays below zero": changed("strays", put, GUESTS, POSITIVE.map(lambda count: -count)),
    "strays left out": changed("strays", without, GUESTS),
    "strays of nobody": changed("strays", put, st.integers(3, 200), st.integers(0, 9)),
    "windows left out": changed("windows", lambda old: ()),
    "window without guests": in_window("guests"),
    "no canary before": in_window("canaries_before"),
    "no canary after": in_window("canaries_after"),
    "scenario not passed": changed("scenarios", put, st.sampled_from(["test_a", "new"]), st.sampled_from(BAD_OUTCOMES)),
    "scenario left out": changed("scenarios", without, st.sampled_from(["test_a", "test_b"])),
    "scenario not planned": changed("scenarios", put, st.just("new"), st.just(Outcome.PASSED)),
    "scenario planned and not run": changed("planned_scenarios", lambda old: old | {"test_new"}),
    "scenario run and not planned": changed("planned_scenarios", lambda old: old - {"test_a"}),
    "control not caught": changed(
        "controls",
        put,
        st.just("PASID_CHECK_SKIPPED"),
        st.sampled_from([ControlOutcome.MISSED, ControlOutcome.NOT_RUN]),
    ),
    "control left out": changed("controls", without, st.just("PASID_CHECK_SKIPPED")),
    "control not planned": changed("controls", put, st.just("new"), st.sampled_from(list(ControlOutcome))),
    "control planned and not run": changed("planned_controls", lambda old: old | {"MASK_IGNORED"}),
    "control run and not planned": changed("planned_controls", lambda old: frozenset()),
    "before changed": changed("resources_before", put, st.sampled_from(["slots", "fds"]), st.integers(13, 99)),
    "after changed": changed("resources_after", put, st.sampled_from(["slots", "fds"]), st.integers(13, 99)),
    "before left out": changed("resources_before", without, st.sampled_from(["slots", "fds"])),
    "after left out": changed("resources_after", without, st.sampled_from(["slots", "fds"])),
    "counted before only": changed("resources_before", put, st.just("pasids"), st.integers(0, 9)),
    "counted after only": changed("resources_after", put, st.just("pasids"), st.integers(0, 9)),
    "connection sent more": changed("sent", put, GUESTS, st.tuples(st.integers(0, 9), st.integers(10, 99))),
    "guest crashed": changed("crashed", put, GUESTS, st.text()),
    "interrupted": changed("interrupted", lambda _, why: why, st.text()),
    "partial": changed("partial", lambda _, why: why, st.text()),
    "ledger empty": changed_account("records", lambda _: 0),
    "ledger lost records": changed_account("lost", lambda _, count: count, POSITIVE),
    "ledger count changed": changed_account(
        "injected", put, VECTORS.map(lambda key: (key[0], key[0], key[1])), OTHER_THAN_2
    ),
    "ledger count left out": changed_account("injected", without, VECTORS.map(lambda key: (key[0], key[0], key[1]))),
    "ledger has a foreign interrupt": changed_account("injected", put, FOREIGN, POSITIVE),
    "ledger has one at a new vector": changed_account("injected", put, st.just((1, 1, 30)), POSITIVE),
    "ledger breaks a rule": st.sampled_from(sorted(Rule)).map(breach),
    "ledger breaks a rule without example": changed_account(
        "violation_counts", put, st.sampled_from(sorted(Rule)), POSITIVE
    ),
    "descriptor unfinished": changed_account("unfinished", lambda _, count: count, POSITIVE),
    "pending unplaced": changed_account("unplaced", lambda _, count: count, POSITIVE),
}


@pytest.mark.parametrize("what", sorted(ONE_CHANGE))
def test_one_change_anywhere_is_never_isolated(what: str) -> None:
    @given(ONE_CHANGE[what])
    def never_isolated(evidence: Evidence) -> None:
        verdict = judge(evidence)
        assert verdict.kind is not VerdictKind.ISOLATED
        assert verdict.reason

    never_isolated()


def test_every_field_of_the_evidence_is_among_the_changes() -> None:
    assert {"account", *CHANGED_FIELDS} == {field.name for field in fields(Evidence)}


SAME_SUBJECT = (
    {"due", "guest_counts", "account"},
    {"resources_before", "resources_after"},
    {"scenarios", "planned_scenarios"},
    {"controls", "planned_controls"},
    {"windows", "guests", "strays"},
)
"""Fields that say the same thing twice: two changes that fit each other are another good run."""


@given(st.data())
def test_two_changes_anywhere_are_never_isolated(data: st.DataObject) -> None:
    first = data.draw(st.one_of(*ONE_CHANGE.values()))
    second = data.draw(st.one_of(*ONE_CHANGE.values()))
    names = [field.name for field in fields(Evidence) if getattr(second, field.name) != getattr(GOOD, field.name)]
    touched = {field.name for field in fields(Evidence) if getattr(first, field.name) != getattr(GOOD, field.name)}
    merged = replace(first, **{name: getattr(second, name) for name in names if name not in touched})
    independent = not any(group & touched and group & set(names) for group in SAME_SUBJECT)

    verdict = judge(merged)

    assert verdict.kind is not VerdictKind.ISOLATED or not independent


def test_connection_that_sent_more_than_the_ledger_knows_is_not_proven() -> None:
    """Of two messages to one vector the guest may count one: the count of what was sent shows the other."""
    verdict = judge(replace(GOOD, sent={0: (10, 11)}))

    assert verdict.kind is VerdictKind.NOT_PROVEN
    assert "its connection 11" in verdict.reason


def test_connection_that_joined_interrupts_is_no_contradiction() -> None:
    assert judge(replace(GOOD, sent={0: (10, 9), 1: (3, 3)})).kind is VerdictKind.ISOLATED
