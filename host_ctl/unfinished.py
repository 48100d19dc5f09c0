"""Results of a run that ended before its suite could give any."""

from __future__ import annotations

import datetime

from host_ctl.options import RunOptions
from host_ctl.results import ConditionResult, Options, RunResult
from host_ctl.verdict import TITLES


def utc_now() -> datetime.datetime:
    """Now, in UTC, to the millisecond."""
    now = datetime.datetime.now(datetime.UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def unfinished_result(options: RunOptions, started: datetime.datetime, why: str, version: str) -> RunResult:
    """NOT PROVEN, with all that is known: the options, and `why` the run ended."""
    why = why or "no reason was given"
    return RunResult(
        version=version,
        command=options.command(),
        started=started,
        finished=utc_now(),
        seed=options.seed,
        options=Options(
            guests=options.guests,
            vectors=options.vectors,
            store=options.store,
            domain_scope=options.domain,
            delivery=options.delivery,
            accelerator=options.accelerator,
            accelerator_why="asked for; the run ended before it was chosen",
            qemu_version="",
            qemu_origin="",
            only=options.only,
            controls=options.controls,
            mdev_type=options.mdev_type,
        ),
        guests=(),
        matrix=(),
        refusals={},
        scenarios=(),
        controls=(),
        conditions=tuple(
            ConditionResult(number=number, title=title, held=None, evidence="the run ended before it")
            for number, title in enumerate(TITLES, 1)
        ),
        resources=(),
        timings=(),
        verdict="NOT PROVEN",
        reason=f"the run was interrupted: {why}",
        interrupted=why,
    )
