"""The end of a comparison on the terminal: verdicts, containment table, capacity and cost; the verdict is the last line."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from host_ctl.comparison import OPERATIONS, OUTCOMES, Cell, Comparison, Cost, Outcome
from host_ctl.progress import printable
from host_ctl.report.comparison_words import GROUP_TITLES, LETTERS, MEANINGS, MISSED, WORDS, Table

_VERDICTS = {"ISOLATED": "bold green", "LEAKED": "bold white on red", "NOT PROVEN": "bold yellow"}
_STYLES: dict[Outcome, str] = {
    "contained": "green", "leaked": "bold red", "denied": "magenta", "harmed_own": "cyan", "not_possible": "dim",
    "undetermined": "bold yellow",
}  # fmt: skip
_LOUD = "bold white on red"
_WORDS_FROM = 112
"""Columns of a terminal in which cells are words; below they are letters."""


def print_comparison(comparison: Comparison, stream: TextIO | None = None) -> None:
    """Prints to `stream` (default: standard output). The last line begins with the verdict and is never folded."""
    console = Console(file=stream or sys.stdout, highlight=False, legacy_windows=False)
    for part in (_columns, _containment, _findings, _capacity, _costs):
        part(comparison, console)
    style = _VERDICTS[comparison.verdict]
    console.print(Text.assemble((comparison.verdict, style), f": {printable(comparison.reason)}"), soft_wrap=True)


def _new_table(title: str, *columns: str, wide: str = "") -> RichTable:
    """The first column is text, the others are numbers, but for `wide` at the end."""
    table = RichTable(
        title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for index, name in enumerate(columns):
        table.add_column(name, justify="right" if index else "left", no_wrap=True)
    if wide:
        table.add_column(wide, overflow="fold")
    return table


def _columns(comparison: Comparison, console: Console) -> None:
    if not comparison.unfaulted:
        console.print("Nothing was compared.\n")
        return
    table = _new_table(
        "All scenarios in each combination of store and domain",
        "combination", "verdict", "scenarios", "due", "arrived", "refused", "caught", "time",
    )  # fmt: skip
    for one in comparison.unfaulted:
        table.add_row(
            str(one.combination), Text(one.verdict, style=_VERDICTS[one.verdict]), f"{one.scenarios_passed}/{one.scenarios}",
            f"{one.interrupts_due:,}", f"{one.interrupts_arrived:,}", f"{one.refusals:,}", f"{one.caught}/{one.planted}",
            f"{one.seconds:.1f} s",
        )  # fmt: skip
    console.print(table)
    for one in comparison.unfaulted:
        if one.verdict != "ISOLATED":
            line = Text.assemble((str(one.combination), _VERDICTS[one.verdict]), f": {printable(one.reason)}")
            console.print(line)
    if any(one.verdict != "ISOLATED" for one in comparison.unfaulted):
        console.print()


def _containment(comparison: Comparison, console: Console) -> None:
    if not comparison.rows:
        console.print("No containment table was made.\n")
        return
    cells = Table(comparison)
    words = console.width >= _WORDS_FROM
    width = 9 if words else 6
    for number, (group, rows) in enumerate(cells.groups.items()):
        table = RichTable(
            box=None, show_header=number == 0, pad_edge=False, padding=(0, 1, 0, 0), width=console.width
        )
        title = Text(GROUP_TITLES[group].partition(",")[0], style="bold")
        table.add_column(title if number == 0 else "", overflow="fold", ratio=1, vertical="bottom")
        for column in cells.columns:
            table.add_column(f"{column.store}\n{column.domain}", no_wrap=True, width=width)
        if number:
            console.print(title)
        for row in rows:
            shown = (_cell(cells, cells.cell(row, column), words) for column in cells.columns)
            table.add_row(Text(printable(cells.rows[row].title)), *shown)
        console.print(table)
        console.print()
    _legend(cells, console, words)


def _cell(cells: Table, cell: Cell | None, words: bool) -> Text:
    names = WORDS if words else LETTERS
    if cell is None:
        return Text("not run" if words else " ", style="yellow")
    loud = cells.missed(cell) or cells.broken(cell)
    mark = MISSED if cells.missed(cell) else ""
    return Text(names[cell.outcome] + mark, style=_LOUD if loud else _STYLES[cell.outcome])


def _legend(cells: Table, console: Console, words: bool) -> None:
    names = WORDS if words else LETTERS
    table = RichTable.grid(padding=(0, 2, 0, 0))
    for outcome in OUTCOMES:
        if cells.count(outcome):
            table.add_row(
                Text(names[outcome], style=_STYLES[outcome]), Text(f"{cells.count(outcome):>3}", style="dim"),
                Text(MEANINGS[outcome]),
            )  # fmt: skip
    missed = sum(cells.missed(cell) for cell in _all(cells))
    if missed:
        table.add_row(Text(MISSED, style=_LOUD), Text(f"{missed:>3}", style="dim"), Text("the suite did not notice this fault"))
    console.print(table)
    console.print()


def _all(cells: Table) -> Iterable[Cell]:
    return (cell for row in cells.rows for column in cells.columns if (cell := cells.cell(row, column)) is not None)


def _findings(comparison: Comparison, console: Console) -> None:
    """What is wrong with cells, in words."""
    cells = Table(comparison)
    wrong = [cell for cell in _all(cells) if cells.missed(cell) or cells.broken(cell) or cell.outcome == "undetermined"]
    for cell in wrong:
        what = "not noticed by the suite" if cells.missed(cell) else WORDS[cell.outcome]
        line = f" {cell.combination}, {cell.row}: {cell.why}"
        console.print(Text.assemble((f" {what} ", _LOUD), printable(line)))
    if wrong:
        console.print()


def _capacity(comparison: Comparison, console: Console) -> None:
    if not comparison.capacity:
        return
    bound = "bound by" if console.width >= _WORDS_FROM else ""
    table = _new_table("Capacity", "combination", "vectors", "of one VM", "host B", "device B", "steps", wide=bound)
    for one in comparison.capacity:
        table.add_row(
            str(one.combination), "memory" if one.vectors_device is None else f"{one.vectors_device:,}", f"{one.vectors_vm:,}",
            f"{one.bytes_per_vector_host:.3g}", f"{one.bytes_per_vector_device:.3g}",
            "" if one.steps is None else str(one.steps), *([Text(printable(one.bound_by))] if bound else []),
        )  # fmt: skip
    console.print(table)
    console.print(Text("host B, device B: bytes a vector. steps: of the host, that isolation rests on.\n", style="dim"))


def _costs(comparison: Comparison, console: Console) -> None:
    if not comparison.costs:
        return
    costs = {(one.combination, one.operation, one.vectors): one for one in comparison.costs}
    sizes = sorted({one.vectors for one in comparison.costs})
    wanted = [(operation, size) for operation in OPERATIONS for size in sizes]
    title = "Cost of one vector, median in us, with so many in use"
    table = _new_table(title, "combination", *(f"{operation[:5]}\n{_short(size)}" for operation, size in wanted))
    for column in comparison.options.combinations:
        table.add_row(str(column), *(_cost(costs.get((column, operation, size))) for operation, size in wanted))
    console.print(table)
    if any(one.reached < one.vectors for one in comparison.costs):
        console.print(Text("* the store holds fewer; with as many in use as it holds\n", style="dim"))


def _short(size: int) -> str:
    return f"{size // 1_000_000} M" if size >= 1_000_000 else f"{size // 1024} k" if size % 1024 == 0 else f"{size // 1000} k"


def _cost(cost: Cost | None) -> Text:
    if cost is None or cost.p50_ns is None:
        return Text("-", style="yellow" if cost is None else "dim")
    time = f"{cost.p50_ns / 1000:.3g}"
    return Text(f"{time} ") if cost.reached >= cost.vectors else Text(f"{time}*", style="dim")
