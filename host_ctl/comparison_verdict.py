"""What a comparison comes to: a pure function of its columns and cells.

It fails closed, as host_ctl/verdict.py does: whatever did not run, did not finish or was left out leaves it NOT PROVEN.
"""

from __future__ import annotations

import msgspec

from host_ctl.comparison import Cell, Comparison, Group
from host_ctl.results import VerdictName
from host_ctl.verdict import plural

BROKEN = frozenset({"leaked", "denied"})
"""Outcomes that a guest must not be able to bring about, whatever it tries, where neither hardware nor host is at fault."""


def conclude(comparison: Comparison) -> tuple[VerdictName, str]:
    """The verdict and why. It looks at everything but the verdict that the comparison has."""
    leaks = _leaks(comparison)
    if leaks:
        return "LEAKED", _first_of(leaks)
    if comparison.interrupted is not None:
        return "NOT PROVEN", f"the comparison was interrupted: {comparison.interrupted}"
    obstacles = _obstacles(comparison)
    if obstacles:
        return "NOT PROVEN", _first_of(obstacles)
    return "ISOLATED", _isolated(comparison)


def concluded(comparison: Comparison) -> Comparison:
    """The same with the verdict that it comes to."""
    verdict, reason = conclude(comparison)
    return msgspec.structs.replace(comparison, verdict=verdict, reason=reason)


def is_miss(group: Group, cell: Cell) -> bool:
    """A planted fault that could happen and that the suite did not notice."""
    return group != "guest" and cell.outcome not in ("not_possible", "undetermined") and not cell.caught_by


def _leaks(comparison: Comparison) -> list[str]:
    groups = _groups(comparison)
    return [
        *(f"{one.combination}: {one.reason}" for one in comparison.unfaulted if one.verdict == "LEAKED"),
        *(
            f"{cell.combination}, {cell.row}: {cell.why}"
            for cell in comparison.cells
            if cell.outcome == "leaked" and groups.get(cell.row) == "guest"
        ),
    ]


def _obstacles(comparison: Comparison) -> list[str]:
    columns = {one.combination: one for one in comparison.unfaulted}
    return [
        *([] if comparison.options.combinations else ["nothing was compared"]),
        *(f"{name} did not run" for name in comparison.options.combinations if name not in columns),
        *_cell_obstacles(comparison),
        *(f"{one.combination}: {one.reason}" for one in comparison.unfaulted if one.verdict != "ISOLATED"),
        *_cost_obstacles(comparison),
    ]


def _cell_obstacles(comparison: Comparison) -> list[str]:
    options = comparison.options
    if not options.faults:
        return ["no fault was planted, on request"]
    if options.rows:
        return ["only some rows of the containment table were tried, on request"]
    if {row.group for row in comparison.rows} != {"guest", "host", "hardware"}:
        return ["the containment table has not all of its groups"]
    groups = _groups(comparison)
    cells = {(cell.row, cell.combination): cell for cell in comparison.cells}
    found = []
    for row in comparison.rows:
        for column in options.combinations:
            cell = cells.get((row.id, column))
            if cell is None:
                found.append(f"{column}, {row.id}: not tried")
            elif cell.outcome == "undetermined":
                found.append(f"{column}, {row.id}: not determined: {cell.why}")
            elif is_miss(groups[row.id], cell):
                found.append(f"{column}, {row.id}: the suite did not notice it")
            elif row.group == "guest" and cell.outcome in BROKEN:
                found.append(f"{column}, {row.id}: {cell.why}")
    return found


def _cost_obstacles(comparison: Comparison) -> list[str]:
    """Asked for and not there: what was measured has no part in isolation, that it is missing has."""
    if not comparison.options.costs:
        return []
    measured = {one.combination for one in comparison.capacity} & {one.combination for one in comparison.costs}
    return [f"{name}: capacity and cost were not measured" for name in comparison.options.combinations if name not in measured]


def _groups(comparison: Comparison) -> dict[str, Group]:
    return {row.id: row.group for row in comparison.rows}


def _first_of(sentences: list[str]) -> str:
    rest = len(sentences) - 1
    return sentences[0] + (f" (and {rest:,} more)" if rest else "")


def _isolated(comparison: Comparison) -> str:
    groups = _groups(comparison)
    due = sum(one.interrupts_due for one in comparison.unfaulted)
    tried = sum(groups[cell.row] == "guest" for cell in comparison.cells)
    caught = sum(bool(cell.caught_by) for cell in comparison.cells)
    return (
        f"{plural(len(comparison.unfaulted), 'combination')}, {plural(due, 'interrupt')} due, each of them delivered to the "
        f"guest that owned it and to no other; {plural(tried, 'attack')} by guests harmed nobody else; "
        f"{plural(caught, 'planted fault')} caught"
    )
