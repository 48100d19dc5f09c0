"""From what a session has seen to the results of the run, with the verdict."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from guest_tests.controls import ControlRun
from guest_tests.planted import Fault
from guest_tests.session import ScenarioRun, Seen, Session
from host_ctl.account import LedgerAccount
from host_ctl.cli import version
from host_ctl.results import (
    ConditionResult,
    Control,
    Guest,
    Options,
    Resource,
    RunResult,
    Scenario,
    Timing,
    promise,
    timing,
)
from host_ctl.unfinished import utc_now
from host_ctl.verdict import ControlOutcome, Evidence, Outcome, Verdict, judge, unexplained

BASELINE = "test_without_a_fault_nothing_is_found"


def make_result(
    session: Session, started: datetime.datetime, before: Mapping[str, int], after: Mapping[str, int]
) -> RunResult:
    """The results of a run that has ended, at its end or before. before, after: this process's own resources."""
    seen = session.seen or _nothing()
    evidence = _evidence(session, seen, before, after)
    verdict = judge(evidence)
    return RunResult(
        version=version(),
        command=session.options.command(),
        started=started,
        finished=utc_now(),
        seed=session.options.seed,
        options=_options(session),
        guests=_guests(session, seen, evidence),
        matrix=tuple(tuple(row) for row in seen.account.matrix(session.options.guests)),
        refusals=dict(seen.account.refusals),
        scenarios=tuple(_scenario(name, session.scenarios.get(name)) for name in _scenario_names(session)),
        controls=tuple(_control(fault, session) for fault in session.planned_controls),
        conditions=_conditions(verdict),
        resources=tuple(
            Resource(name=name, before=count, after=evidence.resources_after.get(name))
            for name, count in evidence.resources_before.items()
        ),
        timings=_timings(seen),
        verdict=verdict.kind.value,
        reason=verdict.reason,
        interrupted=session.interrupted,
    )


def _nothing() -> Seen:
    from guest_tests.rig import Timings  # noqa: PLC0415

    return Seen({}, {}, {}, LedgerAccount().summary(lambda mdev: None), (), Timings(), {})


def _scenario_names(session: Session) -> list[str]:
    """The scenarios planned, and the control of the controls where it has run."""
    return session.planned + ([BASELINE] if BASELINE in session.scenarios else [])


def _evidence(session: Session, seen: Seen, before: Mapping[str, int], after: Mapping[str, int]) -> Evidence:
    names = _scenario_names(session)
    guests = frozenset(range(session.options.guests))
    return Evidence(
        guests=guests,
        due=seen.due,
        guest_counts=seen.guest_counts,
        strays=seen.strays,
        account=seen.account,
        windows=seen.windows,
        scenarios={name: run.outcome for name in names if (run := session.scenarios.get(name)) is not None},
        planned_scenarios=frozenset(names),
        controls={fault.id: _control_outcome(fault, session.controls.get(fault.id)) for fault in session.planned_controls},
        planned_controls=frozenset(fault.id for fault in session.planned_controls),
        resources_before={**session.audit_before, **before},
        resources_after={**session.audit_after, **after},
        crashed=seen.crashed,
        interrupted=session.interrupted,
        partial=session.options.partial,
    )


def _control_outcome(fault: Fault, run: ControlRun | None) -> ControlOutcome:
    if run is None:
        return ControlOutcome.NOT_RUN
    return ControlOutcome.CAUGHT if run.caught_by(fault) else ControlOutcome.MISSED


def _options(session: Session) -> Options:
    options = session.options
    return Options(
        guests=options.guests,
        vectors=options.vectors,
        store=options.store,
        domain_scope=options.domain_scope,
        delivery=options.delivery,
        accelerator=session.accelerator.name,
        accelerator_why=session.accelerator.why,
        qemu_version=".".join(map(str, session.qemu.version)),
        qemu_origin=session.qemu.origin,
        only=options.only,
        controls=options.controls,
    )


def _guests(session: Session, seen: Seen, evidence: Evidence) -> tuple[Guest, ...]:
    surplus = unexplained(evidence)
    matrix = seen.account.matrix(session.options.guests)
    return tuple(
        Guest(
            index=index,
            sent=sum(matrix[index]),
            received=sum(count for (guest, _), count in seen.guest_counts.items() if guest == index),
            refused=seen.account.refused_guests.get(index, 0),
            unexplained=surplus.get(index, 0),
            crashed=seen.crashed.get(index),
        )
        for index in range(session.options.guests)
    )


def _scenario(name: str, run: ScenarioRun | None) -> Scenario:
    ended = run or ScenarioRun(Outcome.NOT_RUN, 0.0, "the run ended before it")
    return Scenario(
        name=name, promise=promise(name), outcome=ended.outcome.value, seconds=ended.seconds, message=ended.message
    )


def _control(fault: Fault, session: Session) -> Control:
    run = session.controls.get(fault.id)
    return Control(
        fault=fault.id,
        planted=fault.planted,
        outcome=_control_outcome(fault, run).value,
        caught_by=run.caught_by(fault) if run else "",
        seconds=run.seconds if run else 0.0,
    )


def _conditions(verdict: Verdict) -> tuple[ConditionResult, ...]:
    return tuple(
        ConditionResult(number=one.number, title=one.title, held=one.held, evidence=one.evidence)
        for one in verdict.conditions
    )


def _timings(seen: Seen) -> tuple[Timing, ...]:
    rig = seen.timings
    series = (
        ("device_add answered by QEMU", rig.device_add, "ms"),
        ("device_add to the first interrupt taken in the guest", rig.add_to_interrupt, "ms"),
        ("device_del to DEVICE_DELETED", rig.device_del, "ms"),
        ("descriptor stored to interrupt taken in the guest", rig.round_trip, "ms"),
        ("IMS fire: descriptor accepted to message sent", [ns / 1e3 for ns in seen.account.latencies_ns], "us"),
    )
    return tuple(timing(name, values, unit) for name, values, unit in series if values)
