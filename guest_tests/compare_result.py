"""From what the columns have seen to a comparison, judged as a run is: the cells are the controls of their column."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from guest_tests.compare_columns import Column
from guest_tests.outcome import make_evidence
from guest_tests.session import Seen, Session
from host_ctl.comparison import Capacity, Cell, Comparison, Cost, CostRatio, FaultRow, Setup, Unfaulted
from host_ctl.comparison_options import CompareOptions
from host_ctl.comparison_verdict import BROKEN, concluded
from host_ctl.machine import machine
from host_ctl.samples import percentile
from host_ctl.unfinished import utc_now
from host_ctl.verdict import ControlOutcome, Evidence, Outcome, Verdict, judge
from host_ctl.version import version


@dataclass(frozen=True, slots=True)
class Judged:
    """A column with its verdict, and what that rests on."""

    column: Column
    evidence: Evidence
    verdict: Verdict

    @property
    def found_something(self) -> bool:
        """More is wrong than that something was left out on request: what it left is worth keeping."""
        broken = any(condition.held is False for condition in self.verdict.conditions)
        return broken or self.column.interrupted is not None or not self.column.all_passed


@dataclass(frozen=True, slots=True)
class Measured:
    """Capacity and cost of a column."""

    capacity: Capacity
    costs: Sequence[Cost]
    ratios: Sequence[CostRatio]


def judge_column(
    column: Column, rows: Sequence[FaultRow], options: CompareOptions, common: Session, resources_after: Mapping[str, int]
) -> Judged:
    """resources_after: this process's own, when all guests had gone. What the whole comparison has kept counts in each column;
    of one that was broken off in the midst of giving it back it says nothing about columns that had ended before.
    """
    at_the_end = ({}, {}) if common.interrupted is not None else (common.resources_before, resources_after)
    evidence = _evidence(column, rows, options, *at_the_end)
    return Judged(column, evidence, judge(evidence))


def make_comparison(
    common: Session,
    options: CompareOptions,
    judged: Sequence[Judged],
    rows: Sequence[FaultRow],
    started: datetime.datetime,
    measured: Sequence[Measured],
) -> Comparison:
    """A comparison that has ended, at its end or before."""
    cells = {(one.column.combination, name): cell for one in judged for name, cell in one.column.cells.items()}
    places = [(combination, row.id) for row in rows for combination in options.combinations]
    return concluded(
        Comparison(
            version=version(),
            command=options.command(),
            started=started,
            finished=utc_now(),
            seed=options.seed,
            options=make_setup(common, options),
            verdict="NOT PROVEN",
            reason="not judged",
            interrupted=common.interrupted,
            unfaulted=tuple(map(_unfaulted, judged)),
            rows=tuple(rows),
            cells=tuple(cells[place] for place in places if place in cells),
            capacity=tuple(one.capacity for one in measured),
            costs=tuple(cost for one in measured for cost in one.costs),
            ratios=tuple(ratio for one in measured for ratio in one.ratios),
        )
    )


def make_setup(common: Session, options: CompareOptions) -> Setup:
    """What was asked for and used."""
    return Setup(
        guests=options.guests,
        vectors=options.vectors,
        combinations=options.combinations,
        faults=options.faults,
        costs=options.costs,
        only=options.only,
        rows=options.rows,
        delivery=options.delivery,
        accelerator=common.accelerator.name,
        accelerator_why=common.accelerator.why,
        qemu_version=".".join(map(str, common.qemu.version)),
        qemu_origin=common.qemu.origin,
        machine=machine(),
    )


def _unfaulted(judged: Judged) -> Unfaulted:
    column, evidence, verdict = judged.column, judged.evidence, judged.verdict
    failed = [name for name in column.planned if evidence.scenarios.get(name) is not Outcome.PASSED]
    latencies = evidence.account.latencies_ns
    return Unfaulted(
        combination=column.combination,
        verdict=verdict.kind.value,
        reason=verdict.reason,
        scenarios_passed=len(column.planned) - len(failed),
        scenarios=len(column.planned),
        failed=tuple(f"{name}: {_why(column, name)}" for name in failed if column.scenarios),
        interrupts_due=sum(evidence.due.values()),
        interrupts_arrived=sum(evidence.guest_counts.values()),
        refusals=sum(evidence.account.refusals.values()),
        caught=sum(outcome is ControlOutcome.CAUGHT for outcome in evidence.controls.values()),
        planted=len(evidence.controls),
        seconds=column.seconds,
        fire_p50_ns=round(percentile(latencies, 0.5)) if latencies else None,
        fire_p99_ns=round(percentile(latencies, 0.99)) if latencies else None,
    )


def _why(column: Column, name: str) -> str:
    run = column.scenarios.get(name)
    return run.message.partition("\n")[0] if run is not None else "the comparison ended before it"


def _evidence(
    column: Column, rows: Sequence[FaultRow], options: CompareOptions, before: Mapping[str, int], after: Mapping[str, int]
) -> Evidence:
    """The scenarios, and the attacks of guests as if they were some more; planted faults are the controls."""
    attacks = [row.id for row in rows if row.group == "guest"]
    scenarios = {name: run.outcome for name in column.planned if (run := column.scenarios.get(name)) is not None}
    scenarios |= {name: _attack(cell) for name in attacks if (cell := column.cells.get(name)) is not None}
    controls = {
        row.id: _control(column.cells.get(row.id)) for row in rows if row.group != "guest" and not _senseless(column, row)
    }
    evidence = make_evidence(
        column, column.seen or Seen.nothing(), [*column.planned, *attacks], scenarios, controls,
        {**column.audit_after, **(column.resources_after or {}), **_at_the_end(after)}, options.partial,
    )  # fmt: skip
    return replace(evidence, resources_before={**evidence.resources_before, **_at_the_end(before)})


def _at_the_end(resources: Mapping[str, int]) -> dict[str, int]:
    return {f"{name} of the whole comparison": count for name, count in resources.items()}


def _senseless(column: Column, row: FaultRow) -> bool:
    cell = column.cells.get(row.id)
    return cell is not None and cell.outcome == "not_possible"


def _attack(cell: Cell) -> Outcome:
    if cell.outcome == "undetermined":
        return Outcome.ERROR
    return Outcome.FAILED if cell.outcome in BROKEN else Outcome.PASSED


def _control(cell: Cell | None) -> ControlOutcome:
    if cell is None or cell.outcome == "undetermined":
        return ControlOutcome.NOT_RUN
    return ControlOutcome.CAUGHT if cell.caught_by else ControlOutcome.MISSED
