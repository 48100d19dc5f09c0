"""A comparison as one HTML file: no scripts, no other files, no network; on paper the evidence is an appendix."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from host_ctl.comparison import OPERATIONS, OUTCOMES, Cell, Combination, Comparison, Cost, CostRatio, Operation, Outcome
from host_ctl.report.comparison_words import GROUP_TITLES, LETTERS, MEANINGS, WORDS, Table
from host_ctl.report.cost_plots import render_capacity_bars, render_plots
from host_ctl.report.html import environment

_KINDS = {"ISOLATED": "held", "LEAKED": "broken", "NOT PROVEN": "unknown"}


@dataclass(frozen=True, slots=True)
class ShownCell:
    """A cell as the page shows it. outcome None: it was not reached."""

    combination: Combination
    outcome: Outcome | None
    why: str = ""
    excerpt: tuple[str, ...] = ()
    caught_by: str = ""
    missed: bool = False
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """What is to be said of cells that are the same."""

    columns: list[Combination]
    cell: Cell
    missed: bool


@dataclass(frozen=True, slots=True)
class ShownRow:
    """A row of the containment table."""

    id: str
    title: str
    what: str
    cells: list[ShownCell]
    notes: list[Note] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ShownGroup:
    """Rows under a heading."""

    title: str
    rows: list[ShownRow]


@dataclass(frozen=True, slots=True)
class CostTable:
    """Costs by column: an entry for each operation and size, None where there is none."""

    operations: list[Operation]
    sizes: list[int]
    rows: list[tuple[Combination, list[Cost | None]]]


@dataclass(frozen=True, slots=True)
class ShownRatio:
    """What of a column's ratios the page shows."""

    combination: Combination
    growth: CostRatio | None
    fire: list[CostRatio]


def render_comparison(comparison: Comparison) -> str:
    """The whole page. Every text of the comparison is escaped; only the plots, made of numbers, are not."""
    env = environment()
    env.filters |= {"duration": _duration, "micro": _micro}
    table = Table(comparison)
    return env.get_template("comparison.html.j2").render(
        result=comparison,
        options=comparison.options,
        kinds=_KINDS,
        letters=LETTERS,
        words=WORDS,
        meanings=MEANINGS,
        outcomes=[outcome for outcome in OUTCOMES if table.count(outcome)],
        groups=_groups(table),
        costs=_costs(comparison),
        ratios=_ratios(comparison),
        plots=render_plots((), comparison.costs),
        bars=render_capacity_bars(comparison.capacity) if comparison.capacity else None,
        duration=(comparison.finished - comparison.started).total_seconds(),
        command=shlex.join(comparison.command),
    )


def _groups(table: Table) -> list[ShownGroup]:
    return [
        ShownGroup(GROUP_TITLES[group], [_row(table, name) for name in names]) for group, names in table.groups.items()
    ]


def _row(table: Table, name: str) -> ShownRow:
    row = table.rows[name]
    cells = [(column, table.cell(name, column)) for column in table.columns]
    return ShownRow(row.id, row.title, row.what, [_shown(table, *one) for one in cells], _notes(table, cells))


def _shown(table: Table, column: Combination, cell: Cell | None) -> ShownCell:
    if cell is None:
        return ShownCell(column, None)
    return ShownCell(
        column, cell.outcome, cell.why, cell.excerpt, cell.caught_by, missed=table.missed(cell), broken=table.broken(cell)
    )


def _notes(table: Table, cells: list[tuple[Combination, Cell | None]]) -> list[Note]:
    """Cells that say the same share a note, with the evidence of the first of them."""
    notes: dict[tuple[str, str, str], Note] = {}
    for column, cell in cells:
        if cell is not None:
            same = (cell.outcome, cell.why, cell.caught_by)
            notes.setdefault(same, Note([], cell, table.missed(cell))).columns.append(column)
    return list(notes.values())


def _costs(comparison: Comparison) -> CostTable | None:
    if not comparison.costs:
        return None
    costs = {(one.combination, one.operation, one.vectors): one for one in comparison.costs}
    sizes = sorted({one.vectors for one in comparison.costs})
    operations = [one for one in OPERATIONS if any(cost.operation == one for cost in comparison.costs)]
    wanted = [(operation, size) for operation in operations for size in sizes]
    rows = [(column, [costs.get((column, *one)) for one in wanted]) for column in comparison.options.combinations]
    return CostTable(operations, sizes, rows)


def _ratios(comparison: Comparison) -> list[ShownRatio]:
    """Of each column: how allocating grows to the largest size, and firing beside array at each."""
    shown = []
    for column in comparison.options.combinations:
        own = [one for one in comparison.ratios if one.combination == column]
        growth = [one for one in own if one.operation == "allocate"]
        fire = [one for one in own if one.operation == "fire" and not one.to.startswith("itself")]
        if growth or fire:
            shown.append(ShownRatio(column, max(growth, key=lambda one: one.vectors, default=None), fire))
    return shown


def _duration(ns: int | None) -> str:
    return "none" if ns is None else f"{_micro(ns)} us"


def _micro(ns: int | None) -> str:
    """Nanoseconds as microseconds, three digits."""
    if ns is None:
        return "-"
    return f"{ns / 1000:,.0f}" if ns >= 100_000 else f"{ns / 1000:.1f}" if ns >= 10_000 else f"{ns / 1000:.2f}"
