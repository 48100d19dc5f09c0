"""Whether the suite notices a fault: its own scenarios, not the probe that shows what the fault leads to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from guest_tests.containment.row import Row
from guest_tests.controls import run_control
from guest_tests.member import Member
from guest_tests.negative_controls.noticed_by import NOTICED_BY
from host_ctl.comparison import Combination
from host_ctl.interrupts import Organisation, Scope
from host_ctl.options import DEFAULT_TYPE


async def caught_by(
    row: Row, combination: Combination, members: Sequence[Member], core: ModuleType, folder: Path, seed: int
) -> str:
    """What the scenarios noticed the row's fault by; empty: nothing, or there is no fault that could be noticed here."""
    organisation, scope = Organisation[combination.store.upper()], Scope(combination.domain)
    if row.fault is None or row.why_not(organisation, scope):
        return ""
    run = await run_control(
        row.fault, NOTICED_BY[row.id], members, core, folder, seed, DEFAULT_TYPE, organisation, scope
    )
    return run.caught_by(row.fault)
