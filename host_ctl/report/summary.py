"""The end of a run on the terminal: who reached whom, what was refused and caught, and the verdict as last line."""

from __future__ import annotations

import sys
from typing import TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from host_ctl.progress import printable
from host_ctl.report.words import refusal_words
from host_ctl.results import Control, RunResult, crossings

_MATRIX_UP_TO = 16
_CROSSINGS_SHOWN = 20
_STYLES = {"ISOLATED": "bold green", "LEAKED": "bold white on red", "NOT PROVEN": "bold yellow"}


def print_summary(result: RunResult, stream: TextIO | None = None) -> None:
    """Prints to `stream` (default: standard output). The last line begins with the verdict and is never folded."""
    target = stream or sys.stdout
    console = Console(file=target, highlight=False, legacy_windows=False)
    for part in (_store, _matrix, _crossings, _refusals, _scenarios, _controls, _conditions, _timings, _touched):
        part(result, console)
    reason = printable(result.reason)
    line = Text.assemble((result.verdict, _STYLES[result.verdict]), f": {reason}")
    console.print(line, soft_wrap=True)


def _store(result: RunResult, console: Console) -> None:
    options = result.options
    console.print(f"Message store {printable(options.store)}, interrupt domain per {printable(options.domain_scope)}\n")


def _table(title: str, *columns: str) -> Table:
    """The first column is text, the others are numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=bool(index), overflow="fold")
    return table


def _matrix(result: RunResult, console: Console) -> None:
    size = len(result.guests)
    own = sum(row[guest] for guest, row in enumerate(result.matrix))
    foreign = sum(count for _, _, count in crossings(result))
    widest = max((len(f"{count:,}") for row in result.matrix for count in row), default=1)
    if size == 0:
        console.print("No guest took part.\n")
        return
    if size > _MATRIX_UP_TO or 10 + size * (max(widest, 2) + 2) > console.width:
        received = [row[guest] for guest, row in enumerate(result.matrix)]
        console.print(Text("Interrupts delivered", style="bold"))
        span = f"each of {size} guests: {min(received):,} to {max(received):,}"
        console.print(f"  to the guest that fired them  {own:>10,}   ({span})")
        console.print(f"  to another guest              {foreign:>10,}\n")
        return
    table = Table(
        title="Interrupts delivered: row fired, column received",
        title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0),
    )  # fmt: skip
    table.add_column("fired by", style="dim", justify="right")
    for guest in range(size):
        table.add_column(str(guest), justify="right", header_style="dim", no_wrap=True)
    for sender, row in enumerate(result.matrix):
        table.add_row(str(sender), *(_cell(count, sender == receiver) for receiver, count in enumerate(row)))
    console.print(table)
    console.print()


def _cell(count: int, own: bool) -> Text:
    if own:
        return Text(f"{count:,}", style="green" if count else "yellow")
    return Text(f"{count:,}", style="bold white on red") if count else Text("\N{MIDDLE DOT}", style="dim")


def _crossings(result: RunResult, console: Console) -> None:
    found = crossings(result)
    for sender, receiver, count in found[:_CROSSINGS_SHOWN]:
        text = f"guest {sender} reached guest {receiver}: {count:,}"
        console.print(Text.assemble(("LEAK", "bold white on red"), f" {text}"))
    if len(found) > _CROSSINGS_SHOWN:
        console.print(f"and {len(found) - _CROSSINGS_SHOWN:,} more pairs")
    if found:
        console.print()


def _refusals(result: RunResult, console: Console) -> None:
    if not result.refusals:
        console.print("No attempt was refused.\n")
        return
    table = _table("Refused attempts", "reason", "attempts")
    for reason, count in sorted(result.refusals.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(printable(refusal_words(reason)), f"{count:,}")
    console.print(table)


def _scenarios(result: RunResult, console: Console) -> None:
    passed = sum(scenario.outcome == "passed" for scenario in result.scenarios)
    console.print(f"Scenarios: {passed} of {len(result.scenarios)} passed")
    for scenario in result.scenarios:
        if scenario.outcome != "passed":
            first = printable(scenario.message.partition("\n")[0])
            outcome = scenario.outcome.replace("_", " ")
            line = f"{scenario.promise}: {first}" if first else scenario.promise
            console.print(Text.assemble("  ", (outcome, "bold red"), f"  {printable(line)}"))
    console.print()


def _controls(result: RunResult, console: Console) -> None:
    if not result.controls:
        console.print("No fault was planted.\n")
        return
    table = Table(title="Planted faults", title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("fault", overflow="fold")
    table.add_column("outcome", no_wrap=True)
    table.add_column("what showed it", overflow="fold")
    styles = {"caught": "green", "MISSED": "bold white on red", "not_run": "yellow"}
    for control in result.controls:
        outcome = Text(control.outcome.replace("_", " "), style=styles[control.outcome])
        table.add_row(printable(control.fault), outcome, Text(printable(_shown_by(control))))
    console.print(table)


def _shown_by(control: Control) -> str:
    if control.outcome == "caught":
        return control.caught_by
    return f"{'nothing' if control.outcome == 'MISSED' else 'not tried'}: {control.planted}"


def _conditions(result: RunResult, console: Console) -> None:
    words = {True: ("holds", "green"), False: ("does not hold", "bold red"), None: ("not judged", "yellow")}
    table = Table.grid(padding=(0, 2, 0, 0))
    for condition in result.conditions:
        text = Text(f"{condition.number}. {condition.title}")
        if condition.held is not True:
            text.append(f": {printable(condition.evidence)}", style="dim")
        table.add_row(Text(*words[condition.held]), text)
    console.print(Text("Conditions", style="bold"))
    console.print(table)
    console.print()


def _timings(result: RunResult, console: Console) -> None:
    if not result.timings:
        return
    table = _table("Times", "what", "n", "p50", "p99", "max", "unit")
    for timing in result.timings:
        values = (_measure(timing.p50), _measure(timing.p99), _measure(timing.max))
        table.add_row(printable(timing.name), f"{timing.n:,}", *values, printable(timing.unit))
    console.print(table)


def _touched(result: RunResult, console: Console) -> None:
    if result.touched:
        table = Table(title="Touched, not modelled", title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
        for name in ("register", "what was done"):
            table.add_column(name, overflow="fold")
        for name in ("guests", "times"):
            table.add_column(name, justify="right", no_wrap=True)
        for one in result.touched:
            where = f"{one.register} ({one.region}+{one.offset:#x})"
            table.add_row(printable(where), printable(one.what), f"{len(one.guests):,}", f"{one.count:,}")
        console.print(table)
    if result.touches_lost:
        console.print(f"{result.touches_lost:,} more such accesses found no place in a device's table.\n")
    for polled in result.polled:
        value = f"{polled.value:#x}" + (f" = {polled.meaning}" if polled.meaning else "")
        line = f"guest {polled.guest} kept reading {polled.register}, value {value}, {polled.reads:,} times"
        console.print(f"{printable(line)} in {polled.seconds:.1f} s\n")


def _measure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
