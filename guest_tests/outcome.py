"""From what a session has seen to the results of the run, with the verdict."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping

from guest_tests.controls import ControlRun
from guest_tests.planted import Fault
from guest_tests.session import ScenarioRun, Seen, Session
from host_ctl.assemble import assemble
from host_ctl.results import Control, Options, RunResult, Scenario, Timing, promise, timing
from host_ctl.verdict import ControlOutcome, Evidence, Outcome, judge

BASELINE = "test_without_a_fault_nothing_is_found"


def make_result(
    session: Session, version: str, started: datetime.datetime, resources_after: Mapping[str, int]
) -> RunResult:
    """The results of a run that has ended, at its end or before. resources_after: this process's own."""
    seen = session.seen or Seen.nothing()
    names = _scenario_names(session)
    controls = {fault.id: _control_outcome(fault, session.controls.get(fault.id)) for fault in session.planned_controls}
    scenarios = {name: run.outcome for name in names if (run := session.scenarios.get(name)) is not None}
    evidence = make_evidence(
        session, seen, names, scenarios, controls, {**session.audit_after, **resources_after}, session.options.partial
    )
    return assemble(
        evidence,
        judge(evidence),
        options=_options(session),
        command=session.options.command(),
        seed=session.options.seed,
        version=version,
        started=started,
        scenarios=[_scenario(name, session.scenarios.get(name)) for name in names],
        controls=[_control(fault, session.controls.get(fault.id)) for fault in session.planned_controls],
        timings=_timings(seen),
        touched=seen.diagnosis.touched(),
        touches_lost=seen.diagnosis.overflow,
        polled=seen.diagnosis.polled(),
    )


def _scenario_names(session: Session) -> list[str]:
    """The scenarios planned; the control of the controls counts as one of them."""
    return session.planned + ([BASELINE] if session.planned_controls else [])


def make_evidence(
    session: Session,
    seen: Seen,
    planned: Collection[str],
    scenarios: Mapping[str, Outcome],
    controls: Mapping[str, ControlOutcome],
    resources_after: Mapping[str, int],
    partial: str | None,
) -> Evidence:
    """All that the verdict on a session rests on. controls: all that were planned."""
    return Evidence(
        guests=frozenset(range(session.options.all_guests)),
        due=seen.due,
        guest_counts=seen.guest_counts,
        strays=seen.strays,
        account=seen.account,
        windows=seen.windows,
        scenarios=scenarios,
        planned_scenarios=frozenset(planned),
        controls=controls,
        planned_controls=frozenset(controls),
        resources_before={**session.audit_before, **session.resources_before},
        resources_after=resources_after,
        sent=seen.sent,
        crashed=seen.crashed,
        interrupted=session.interrupted,
        partial=partial,
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
        domain_scope=options.domain,
        portal="mapped" if options.mapped_portal(session.accelerator.name) else "trapped",
        delivery=options.delivery,
        accelerator=session.accelerator.name,
        accelerator_why=session.accelerator.why,
        qemu_version=".".join(map(str, session.qemu.version)),
        qemu_origin=session.qemu.origin,
        only=options.only,
        controls=options.controls,
        mdev_type=options.mdev_type,
        rig=options.rig,
        kernel=session.linux.release if session.linux is not None else "",
    )


def _scenario(name: str, run: ScenarioRun | None) -> Scenario:
    ended = run or ScenarioRun(Outcome.NOT_RUN, 0.0, "the run ended before it")
    return Scenario(
        name=name, promise=promise(name), outcome=ended.outcome.value, seconds=ended.seconds, message=ended.message
    )


def _control(fault: Fault, run: ControlRun | None) -> Control:
    return Control(
        fault=fault.id,
        planted=fault.planted,
        outcome=_control_outcome(fault, run).value,
        caught_by=run.caught_by(fault) if run else "",
        seconds=run.seconds if run else 0.0,
    )


def _timings(seen: Seen) -> tuple[Timing, ...]:
    series = (
        ("device_add answered by QEMU", seen.timings.device_add),
        ("device_add to the first interrupt taken in the guest", seen.timings.add_to_interrupt),
        ("device_del to the slot switched off by the guest", seen.timings.eject),
        ("device_del to DEVICE_DELETED", seen.timings.device_del),
        ("descriptor stored to interrupt taken in the guest", seen.timings.round_trip),
        ("Linux: exec to its init obeying commands", seen.timings.linux_boot),
        ("Linux: device_add to the driver having bound it", seen.timings.linux_bound),
        ("Linux: one copy of 64 bytes by dmatest, from result to result", seen.timings.dmatest),
        ("Linux: the same through a mapped portal", seen.timings.dmatest_mapped),
    )
    return tuple(timing(name, values, "ms") for name, values in series if values)
