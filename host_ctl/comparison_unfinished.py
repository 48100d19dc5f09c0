"""A comparison that ended before its suite could give one."""

from __future__ import annotations

import datetime

from host_ctl.comparison import Comparison, Setup, Unfaulted
from host_ctl.comparison_options import CompareOptions
from host_ctl.comparison_verdict import concluded
from host_ctl.machine import machine
from host_ctl.unfinished import utc_now
from host_ctl.version import version


def unfinished_comparison(options: CompareOptions, started: datetime.datetime, why: str) -> Comparison:
    """NOT PROVEN in every column, with all that is known: the options, and `why` it ended."""
    why = why or "no reason was given"
    columns = tuple(
        Unfaulted(
            combination=combination, verdict="NOT PROVEN", reason=f"it did not run: {why}", scenarios_passed=0, scenarios=0,
            interrupts_due=0, interrupts_arrived=0, refusals=0, seconds=0.0,
        )
        for combination in options.combinations
    )  # fmt: skip
    return concluded(
        Comparison(
            version=version(), command=options.command(), started=started, finished=utc_now(), seed=options.seed,
            options=Setup(
                guests=options.guests, vectors=options.vectors, combinations=options.combinations, faults=options.faults,
                costs=options.costs, only=options.only, rows=options.rows, delivery=options.delivery,
                accelerator=options.accelerator, accelerator_why="asked for; the comparison ended before it was chosen",
                qemu_version="", qemu_origin="", machine=machine(),
            ),
            verdict="NOT PROVEN", reason="not judged", interrupted=why, unfaulted=columns,
        )
    )  # fmt: skip
