"""The cells of the containment table, as tests: pytest is given this file by name, after the scenarios.

Each is the probe of one row in one column. What comes of it is no success or failure of a test; that nothing does is.
"""

from __future__ import annotations

import time
import traceback
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from guest_tests.compare_columns import Column
from guest_tests.containment import Row, caught_by, probe
from guest_tests.controls import GUESTS
from guest_tests.member import Member
from guest_tests.pytest_rig import close, finish, load_planted_core, or_end_the_run
from guest_tests.rig import Rig
from guest_tests.session import Session
from guest_tests.suite import HERE
from host_ctl.comparison import Cell


@pytest.fixture(scope="session")
async def column(session: Column, whole_rig: Rig) -> Column:
    """Comes after the column's last scenario: what they showed is taken down, and their host is gone."""
    with or_end_the_run(session):
        await finish(session, whole_rig)
    await close(session, whole_rig)
    return session


@pytest.fixture(scope="session")
async def core(common: Session) -> ModuleType:
    """The build of the device that has places for defects."""
    return await load_planted_core(common.progress)


@pytest.fixture(scope="session")
async def arena(column: Column, core: ModuleType) -> Column:
    """The column, when everything is there that its cells need."""
    column.progress.phase("Containment")
    column.progress.planned(len(column.planned_rows))
    return column


@pytest.fixture
async def watchers(session: Column, members: list[Member]) -> list[Member]:
    """Guests for one cell. One that has died ends the comparison: it could not have seen what the others will be sent."""
    for member in members[:GUESTS]:
        if (problem := await member.diagnosis()) is not None:
            session.interrupted = f"guest {member.index}: {problem}"
            pytest.exit(session.interrupted)
    return members[:GUESTS]


async def test_cell(arena: Column, watchers: list[Member], core: ModuleType, row: Row) -> None:
    begin = time.perf_counter()
    about = (row, arena.combination, watchers, core, arena.place, arena.options.seed)
    try:
        cell = await probe(*about)
        noticed = await caught_by(*about)
    except Exception as error:  # whatever it is, there is no answer
        why = _what_ended_it(error)
        cell, noticed = Cell(row=row.id, combination=arena.combination, outcome="undetermined", why=why, seconds=0.0), ""
    seconds = time.perf_counter() - begin
    arena.cells[row.id] = msgspec.structs.replace(cell, caught_by=noticed, seconds=seconds)
    if cell.outcome == "undetermined":
        pytest.fail(cell.why)


def _what_ended_it(error: Exception) -> str:
    """In the error's own words, and where it was: many have none."""
    frames = traceback.extract_tb(error.__traceback__)
    at = next((one for one in reversed(frames) if HERE in Path(one.filename).parents), frames[-1])
    words = next(iter(str(error).splitlines()), "")
    return f"the probe ended with {type(error).__name__}{f': {words}' if words else ''} ({Path(at.filename).name}, {at.name})"
