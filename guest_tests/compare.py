"""The suite behind `vdsa compare`: guests are started once, and each combination of store and domain has its turn in them."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence

import msgspec

from device_model.errors import DeviceError
from guest_tests.agent_build import AgentBuildError
from guest_tests.agent_elf import AgentElfError
from guest_tests.compare_columns import make_columns
from guest_tests.compare_result import Judged, Measured, judge_column, make_comparison
from guest_tests.compare_watcher import ColumnsWatcher
from guest_tests.containment import Row, rows
from guest_tests.evidence import FOLDER, add_evidence, discard_evidence
from guest_tests.session import Session, open_resources, open_session
from guest_tests.suite import HERE, SCENARIOS, allow_many_files, run_pytest
from host_ctl.capacity import costs_and_ratios, measure_capacity, steps_that_must_be_right
from host_ctl.comparison import Combination, Comparison, CostRatio, FaultRow
from host_ctl.comparison_options import CompareOptions
from host_ctl.ctrl_c import CtrlC
from host_ctl.errors import HostError
from host_ctl.options import OptionsError
from host_ctl.progress import Progress
from host_ctl.results import CTRL_C
from host_ctl.unfinished import utc_now
from qemu_patches import QemuUnavailable

CELLS = HERE / "compare_cells.py"


def run(options: CompareOptions, progress: Progress) -> Comparison:
    """Runs everything and returns what it comes to, whatever happens to columns and cells.

    Raises HostError where nothing can be run at all: no QEMU, no compiler, no memfd; OptionsError: no row has the name asked for.
    """
    started = utc_now()
    chosen = choose_rows(options)
    allow_many_files()
    with CtrlC() as ctrl_c:
        try:
            common = open_session(options.run(options.combinations[0]), progress)
        except (QemuUnavailable, AgentBuildError, AgentElfError) as error:
            raise HostError(str(error)) from error
        try:
            return _run(options, common, ctrl_c, chosen, started)
        finally:
            common.folder.close()


def choose_rows(options: CompareOptions) -> Sequence[Row]:
    """The rows asked for. OptionsError: there is none of such a name."""
    if not options.faults:
        return ()
    every = rows()
    chosen = [row for row in every if not options.rows or any(word in row.id for word in options.rows)]
    if not chosen:
        names = ", ".join(row.id for row in every)
        raise OptionsError((f"--row {' '.join(options.rows)}: no row has such a name; there are {names}",))
    return chosen


def _run(
    options: CompareOptions, common: Session, ctrl_c: CtrlC, chosen: Sequence[Row], started: datetime.datetime
) -> Comparison:
    columns = make_columns(common, options)
    watcher = ColumnsWatcher(common, ctrl_c, options, columns, chosen)
    run_pytest([SCENARIOS, *([CELLS] if chosen else [])], watcher)
    if ctrl_c.pressed:
        common.interrupted = CTRL_C
    watcher.stop()
    resources_after = open_resources()
    fault_rows = [row.shown() for row in chosen]
    judged = [judge_column(column, fault_rows, options, common, resources_after) for column in columns]
    measured = _measure(options, common, fault_rows, judged)
    _leave_evidence(options, common, judged)
    return make_comparison(common, options, judged, fault_rows, started, measured)


def _measure(options: CompareOptions, common: Session, rows: Sequence[FaultRow], judged: Sequence[Judged]) -> list[Measured]:
    """Last, when no guest takes the processor; Ctrl-C ends it with the columns that were measured."""
    measured: list[Measured] = []
    if not options.costs or common.interrupted is not None:
        return measured
    try:
        common.progress.phase("Capacity and cost")
        cells = [cell for one in judged for cell in one.column.cells.values()]
        steps = steps_that_must_be_right(cells, rows)
        for combination in options.combinations:
            measured.append(_measure_column(combination, steps.get(combination), common.progress))
    except KeyboardInterrupt:
        common.interrupted = CTRL_C
    except (HostError, DeviceError, OSError) as error:
        common.progress.note(f"capacity and cost could not be measured: {error}")
    return measured


def _measure_column(combination: Combination, steps: int | None, progress: Progress) -> Measured:
    begin = time.perf_counter()
    name = f"{combination}: capacity and cost"
    progress.started(name)
    capacity = measure_capacity(combination, lambda what: progress.started(f"{name}: {what}"))
    costs = costs_and_ratios(combination, progress=lambda what: progress.started(f"{name}: {what}"))
    progress.finished(name, "passed", time.perf_counter() - begin)
    ratios = [
        CostRatio(combination=combination, operation=one.operation, vectors=one.vectors, to=one.to, ratio=one.ratio)
        for one in costs.ratios
    ]
    return Measured(msgspec.structs.replace(capacity, steps=steps), costs.costs, ratios)


def _leave_evidence(options: CompareOptions, common: Session, judged: Sequence[Judged]) -> None:
    discard_evidence(options.report)
    kept = [one.column for one in judged if one.found_something]
    for column in kept:
        crashed = column.seen.crashed if column.seen is not None else {}
        add_evidence(column.place, options.report / FOLDER / column.place.name, crashed)
    if kept:
        folder = add_evidence(common.place, options.report / FOLDER, {})
        common.progress.note(f"ledgers, QEMU's logs and fault reports: {folder}")


__all__: Sequence[str] = ("run",)
