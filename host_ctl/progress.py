"""What a run shows while it is under way: alive on a terminal, one line for each step elsewhere, or nothing."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, Protocol, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

Mode = Literal["auto", "plain", "quiet"]
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_GOOD = frozenset({"passed", "caught"})
_BAD = frozenset({"failed", "error", "MISSED"})


class Progress(Protocol):
    """Told by the suite what it is doing. No method raises or blocks; all are called from one thread."""

    def phase(self, name: str) -> None:
        """A new part of the run begins: "Starting guests", "Scenarios", "Negative controls" ..."""

    def guests_ready(self, ready: int, total: int) -> None:
        """`ready` of `total` guests have reported."""

    def started(self, name: str) -> None:
        """A scenario or a control begins; at most one is under way."""

    def finished(self, name: str, outcome: str, seconds: float) -> None:
        """It ended: outcome is passed, failed, error, skipped, not_run, caught or MISSED."""

    def planned(self, total: int) -> None:
        """So many scenarios or controls are to come in this phase."""

    def note(self, text: str) -> None:
        """Something worth a line of its own."""


def printable(text: str) -> str:
    """Without control characters, line breaks included: text from a guest cannot steer the terminal."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


class QuietProgress:
    """Says nothing."""

    def phase(self, name: str) -> None: ...
    def guests_ready(self, ready: int, total: int) -> None: ...
    def planned(self, total: int) -> None: ...
    def started(self, name: str) -> None: ...
    def finished(self, name: str, outcome: str, seconds: float) -> None: ...
    def note(self, text: str) -> None: ...


class PlainProgress:
    """A line for each step, with the seconds since the beginning; no control characters."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._begin = clock()
        self._total = 0
        self._done = 0

    def _line(self, text: str) -> None:
        line = f"[{self._clock() - self._begin:7.1f} s] {printable(text)}"
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        print(line.encode(encoding, "replace").decode(encoding), file=self._stream, flush=True)

    def phase(self, name: str) -> None:
        self._total = self._done = 0
        self._line(name)

    def guests_ready(self, ready: int, total: int) -> None:
        step = max(1, total // 8)
        if ready == total or ready % step == 0:
            self._line(f"guests ready: {ready} of {total}")

    def planned(self, total: int) -> None:
        self._total, self._done = total, 0

    def started(self, name: str) -> None:
        """Nothing: the line comes when it has ended."""

    def finished(self, name: str, outcome: str, seconds: float) -> None:
        self._done += 1
        place = f"{self._done}/{self._total} " if self._total else ""
        self._line(f"{place}{outcome.replace('_', ' ')}: {name} ({seconds:.2f} s)")

    def note(self, text: str) -> None:
        self._line(text)


class LiveProgress:
    """On a terminal: what has ended scrolls away above, what is under way stays below."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._begin = clock()
        self._spinner = Spinner("dots", style="cyan")
        self._phase = ""
        self._current = ""
        self._done = 0
        self._total = 0
        self._unit = ""
        self.live = Live(get_renderable=self._render, console=console, refresh_per_second=8, transient=True)

    def _render(self) -> Group:
        width = max(20, self._console.width)
        head = Table.grid(padding=(0, 1))
        bar = ProgressBar(
            total=self._total or 1, completed=self._done, width=min(30, width // 3), finished_style="green"
        )
        count = Text(f"{self._done}/{self._total} {self._unit}" if self._total else "", style="dim")
        elapsed = Text(f"{self._clock() - self._begin:.0f} s", style="dim")
        head.add_row(self._spinner, Text(self._phase, style="bold"), bar if self._total else Text(), count, elapsed)
        current = Text(f"  {self._current}", no_wrap=True, overflow="ellipsis", style="dim")
        return Group(head, current) if self._current else Group(head)

    def phase(self, name: str) -> None:
        self._phase, self._current, self._unit = printable(name), "", ""
        self._done = self._total = 0
        self._console.print(Text(self._phase, style="bold"))

    def guests_ready(self, ready: int, total: int) -> None:
        self._done, self._total, self._unit = ready, total, "guests"

    def planned(self, total: int) -> None:
        self._done, self._total = 0, total

    def started(self, name: str) -> None:
        self._current = printable(name)

    def finished(self, name: str, outcome: str, seconds: float) -> None:
        self._done += 1
        self._current = ""
        style = "green" if outcome in _GOOD else "bold white on red" if outcome in _BAD else "yellow"
        row = Table.grid(padding=(0, 1), expand=True)
        row.add_column(width=9)
        row.add_column(ratio=1, overflow="fold")
        row.add_column(justify="right", no_wrap=True)
        label = Text(
            f" {outcome.replace('_', ' ')} " if outcome in _BAD else f" {outcome.replace('_', ' ')}", style=style
        )
        row.add_row(label, Text(printable(name)), Text(f"{seconds:.2f} s", style="dim"))
        self._console.print(row)

    def note(self, text: str) -> None:
        self._console.print(Text(f"  {printable(text)}", style="dim"))


@contextmanager
def open_progress(mode: Mode, stream: TextIO | None = None) -> Iterator[Progress]:
    """auto: live if `stream` (default: standard error) is a terminal, else plain. Leaves the terminal as it was."""
    target = stream or sys.stderr
    if mode == "quiet":
        yield QuietProgress()
        return
    console = Console(file=target, highlight=False)
    if mode == "plain" or not console.is_terminal or console.is_dumb_terminal:
        yield PlainProgress(target)
        return
    progress = LiveProgress(console)
    with progress.live:
        yield progress
