"""From evidence and verdict to results: the counts of a report are those that were judged."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

from host_ctl.results import (
    ConditionResult,
    Control,
    Guest,
    Options,
    Polled,
    Resource,
    RunResult,
    Scenario,
    Timing,
    TouchedRegister,
    timing,
)
from host_ctl.unfinished import utc_now
from host_ctl.verdict import Evidence, Verdict, unexplained


def assemble(
    evidence: Evidence,
    verdict: Verdict,
    *,
    options: Options,
    command: Sequence[str],
    seed: int,
    version: str,
    started: datetime.datetime,
    scenarios: Sequence[Scenario],
    controls: Sequence[Control],
    timings: Sequence[Timing] = (),
    touched: Sequence[TouchedRegister] = (),
    touches_lost: int = 0,
    polled: Sequence[Polled] = (),
) -> RunResult:
    """The results of a run that ends now; its guests have to be numbered from 0.

    The latencies of the ledger are added to `timings`, in microseconds.
    """
    latencies = evidence.account.latencies_ns
    name = "IMS fire: descriptor accepted to message sent"
    fire = (timing(name, [ns / 1000 for ns in latencies], "us"),) if latencies else ()
    return RunResult(
        version=version,
        command=tuple(command),
        started=started,
        finished=utc_now(),
        seed=seed,
        options=options,
        guests=_guests(evidence),
        matrix=tuple(map(tuple, evidence.account.matrix(len(evidence.guests)))),
        refusals=dict(evidence.account.refusals),
        scenarios=tuple(scenarios),
        controls=tuple(controls),
        conditions=tuple(
            ConditionResult(number=one.number, title=one.title, held=one.held, evidence=one.evidence)
            for one in verdict.conditions
        ),
        resources=_resources(evidence.resources_before, evidence.resources_after),
        timings=(*timings, *fire),
        verdict=verdict.kind.value,
        reason=verdict.reason,
        interrupted=evidence.interrupted,
        touched=tuple(touched),
        touches_lost=touches_lost,
        polled=tuple(polled),
    )


def _guests(evidence: Evidence) -> tuple[Guest, ...]:
    surplus = unexplained(evidence)
    injected = evidence.account.injected
    return tuple(
        Guest(
            index=guest,
            sent=sum(count for (sender, _, _), count in injected.items() if sender == guest),
            received=sum(count for (owner, _), count in evidence.guest_counts.items() if owner == guest),
            refused=evidence.account.refused_guests.get(guest, 0),
            unexplained=surplus[guest],
            crashed=evidence.crashed.get(guest),
        )
        for guest in sorted(evidence.guests)
    )


def _resources(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[Resource, ...]:
    names = sorted(before.keys() | after.keys())
    return tuple(Resource(name=name, before=before.get(name), after=after.get(name)) for name in names)
