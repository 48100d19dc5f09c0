"""`vdsa compare` as a user meets it: whole comparisons on real guests, and everything that can go wrong with one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from guest_tests.containment import rows
from guest_tests.tests.whole_runs import Run, folders_of, running, wait_gone
from host_ctl.comparison import Comparison
from host_ctl.comparison_file import decode
from host_ctl.comparison_verdict import is_miss

TWO = ("--store", "table", "--store", "queue", "--domain", "vm")
COLUMNS = ["table/vm", "queue/vm"]
ROWS = [next(row.id for row in rows() if row.group == group) for group in ("guest", "host", "hardware")]
"""One of each group."""
THREE_ROWS = [word for row in ROWS for word in ("--row", row)]
SHORT = ("--only", "every_vector", "--no-costs")


@contextmanager
def comparing(report: Path, *options: str, **environment: str) -> Iterator[Run]:
    """A comparison that does not outlive the test."""
    with running(report, *TWO, *options, command="compare", guests=3, **environment) as run:
        yield run


def result(run: Run) -> Comparison:
    """What it wrote."""
    return decode((run.report / "comparison.json").read_bytes())


def verdicts(run: Run) -> dict[str, Any]:
    """Column -> its verdict."""
    return {str(one.combination): one.verdict for one in result(run).unfaulted}


def test_two_combinations_are_compared_in_the_same_guests(tmp_path: Path) -> None:
    with comparing(tmp_path / "report", "--no-costs", *THREE_ROWS) as run:
        run.until("table/vm: Scenarios")
        first = run.guests()
        run.until("queue/vm: Scenarios")
        second = run.guests()
        status = run.end()

    comparison = result(run)
    groups = {row.id: row.group for row in comparison.rows}
    assert first == second
    assert len(first) == 3
    assert status == 3, "\n".join(run.lines)
    assert run.lines[-1] == "NOT PROVEN: only some rows of the containment table were tried, on request (and 2 more)"
    assert [str(one.combination) for one in comparison.unfaulted] == COLUMNS
    for one in comparison.unfaulted:
        assert one.scenarios_passed == one.scenarios > 20
        assert one.interrupts_arrived == one.interrupts_due > 100
        assert one.refusals > 100
        assert one.reason.startswith("the run is partial: only faults named like")
    assert {(cell.row, str(cell.combination)) for cell in comparison.cells} == {(r, c) for r in groups for c in COLUMNS}
    assert not [cell for cell in comparison.cells if cell.outcome == "undetermined" or is_miss(groups[cell.row], cell)]
    assert not (run.report / "evidence").exists()
    assert not folders_of(run.process.pid)


def test_capacity_and_cost_are_in_the_report(tmp_path: Path) -> None:
    with comparing(tmp_path, "--no-faults", "--only", "every_vector") as run:
        run.end()

    comparison = result(run)
    assert [str(one.combination) for one in comparison.capacity] == COLUMNS
    assert {str(one.combination) for one in comparison.costs} == set(COLUMNS)
    assert {one.operation for one in comparison.costs} == {"allocate", "free", "fire"}
    assert all(one.p50_ns for one in comparison.costs)
    assert "vectors in use" in (tmp_path / "comparison.html").read_text()


def test_comparison_without_faults_proves_nothing(tmp_path: Path) -> None:
    with comparing(tmp_path, "--no-faults", *SHORT) as run:
        status = run.end()

    assert status == 3
    assert run.lines[-1].startswith("NOT PROVEN: no fault was planted, on request")
    assert verdicts(run) == dict.fromkeys(COLUMNS, "NOT PROVEN")


@pytest.mark.parametrize(
    "phase", ["Preparing", "Starting guests", "table/vm: Hotplugging", "table/vm: Scenarios", "table/vm: Containment"]
)
def test_ctrl_c_ends_a_comparison_with_a_report_and_leaves_nothing_behind(phase: str, tmp_path: Path) -> None:
    with comparing(tmp_path, "--no-costs", *THREE_ROWS) as run:
        run.until(phase)
        guests = run.guests()
        run.process.send_signal(signal.SIGINT)
        status = run.end()

    wait_gone(guests)
    assert status == 130, "\n".join(run.lines)
    assert run.lines[-1] == "NOT PROVEN: the comparison was interrupted: Ctrl-C"
    assert verdicts(run) == dict.fromkeys(COLUMNS, "NOT PROVEN")
    assert not folders_of(run.process.pid)


def test_columns_that_ended_before_ctrl_c_keep_what_they_showed(tmp_path: Path) -> None:
    with comparing(tmp_path, "--no-costs", *THREE_ROWS) as run:
        run.until("queue/vm: Scenarios")
        guests = run.guests()
        run.process.send_signal(signal.SIGINT)
        status = run.end()

    wait_gone(guests)
    first, second = result(run).unfaulted
    assert status == 130
    assert first.scenarios_passed == first.scenarios
    assert first.reason.startswith("the run is partial")
    assert second.reason.startswith("the run was interrupted: Ctrl-C")
    assert {str(cell.combination) for cell in result(run).cells} == {"table/vm"}


def test_ctrl_c_while_costs_are_measured_keeps_everything_else(tmp_path: Path) -> None:
    with comparing(tmp_path, "--no-faults", "--only", "every_vector") as run:
        run.until("Capacity and cost")
        run.process.send_signal(signal.SIGINT)
        status = run.end()

    assert status == 130
    assert result(run).interrupted == "Ctrl-C"
    assert [one.scenarios_passed for one in result(run).unfaulted] == [1, 1]


def test_guest_that_dies_leaves_its_column_and_those_after_it_unproven(tmp_path: Path) -> None:
    with comparing(tmp_path, "--no-costs", *THREE_ROWS) as run:
        run.until("queue/vm: Scenarios")
        guests = run.guests()
        os.kill(guests[0], signal.SIGKILL)
        status = run.end()

    wait_gone(guests)
    first, second = result(run).unfaulted
    assert status == 3, "\n".join(run.lines)
    assert "killed by SIGKILL" in run.lines[-1]
    assert "killed by SIGKILL" in second.reason
    assert first.scenarios_passed == first.scenarios
    assert (tmp_path / "evidence" / "queue-vm" / "ledger.txt").stat().st_size > 0
    assert "killed by SIGKILL" in (tmp_path / "evidence" / "queue-vm" / "crashes.txt").read_text()
    assert not folders_of(run.process.pid)


def test_missing_qemu_is_one_clear_message_and_a_report(tmp_path: Path) -> None:
    with comparing(tmp_path, QEMU="/no/such/qemu") as run:
        status = run.end()

    assert status == 3
    assert run.lines[-1].startswith("NOT PROVEN: the comparison was interrupted: $QEMU (/no/such/qemu) does not exist")
    assert verdicts(run) == dict.fromkeys(COLUMNS, "NOT PROVEN")


def test_row_that_nobody_knows_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with comparing(tmp_path, "--row", "no-such-row") as run:
        status = run.end()

    assert status == 2
    assert run.lines[0].startswith("vdsa: --row no-such-row: no row has such a name; there are ")
    assert not (tmp_path / "comparison.json").exists()
