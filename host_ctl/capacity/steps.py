"""How many steps of the host software must be right for isolation to hold: counted, not asserted."""

from __future__ import annotations

from collections.abc import Iterable

from host_ctl.comparison import Cell, Combination, FaultRow

_BREAKS = frozenset({"leaked", "denied"})


def steps_that_must_be_right(cells: Iterable[Cell], rows: Iterable[FaultRow]) -> dict[Combination, int]:
    """For each column with cells of rows in group `host`: how many of those cells are leaked or denied.

    Each of these rows is one step of the host left out or done wrong, by which another VM gets or loses an interrupt.
    """
    steps = {row.id for row in rows if row.group == "host"}
    counted: dict[Combination, int] = {}
    for cell in cells:
        if cell.row in steps:
            counted[cell.combination] = counted.get(cell.combination, 0) + (cell.outcome in _BREAKS)
    return counted
