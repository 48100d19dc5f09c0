"""What a run shows: plain lines off a terminal, a live display on one, silence if asked; the verdict comes last."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from host_ctl.progress import LiveProgress, PlainProgress, Progress, open_progress
from host_ctl.report.summary import print_summary
from host_ctl.results import RunResult
from host_ctl.tests.report_samples import good_result, leaked_result, scenario

HOSTILE = "a\x1b[2Jb\nc\u202ed\x9bm"
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def tell(progress: Progress) -> None:
    progress.phase("Starting guests")
    for ready in range(1, 65):
        progress.guests_ready(ready, 64)
    progress.phase("Scenarios")
    progress.planned(2)
    progress.started("test_a")
    progress.finished("test_a", "passed", 0.25)
    progress.started(HOSTILE)
    progress.finished(HOSTILE, "failed", 1.5)
    progress.note(HOSTILE)


def summary(result: RunResult) -> str:
    stream = io.StringIO()
    print_summary(result, stream)
    return stream.getvalue()


def test_plain_progress_is_a_line_for_each_step_with_the_time() -> None:
    stream = io.StringIO()
    times = iter([10.0, 10.5, 12.25])
    progress = PlainProgress(stream, clock=lambda: next(times))

    progress.phase("Scenarios")
    progress.finished("test_a", "not_run", 0.25)

    assert stream.getvalue() == "[    0.5 s] Scenarios\n[    2.2 s] not run: test_a (0.25 s)\n"


def test_plain_progress_has_no_control_characters_and_no_flood() -> None:
    stream = io.StringIO()

    with open_progress("auto", stream) as progress:
        tell(progress)

    assert not CONTROL.search(stream.getvalue())
    assert stream.getvalue().count("guests ready") == 8
    assert "1/2 passed: test_a" in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 13


def test_plain_mode_stays_plain_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()

    with open_progress("plain", stream) as progress:
        tell(progress)

    assert not CONTROL.search(stream.getvalue())


def test_quiet_mode_says_nothing() -> None:
    stream = io.StringIO()

    with open_progress("quiet", stream) as progress:
        tell(progress)

    assert stream.getvalue() == ""


def test_live_progress_keeps_what_ended_and_shows_the_cursor_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()

    with pytest.raises(RuntimeError), open_progress("auto", stream) as progress:
        tell(progress)
        raise RuntimeError

    text = stream.getvalue()
    assert isinstance(progress, LiveProgress)
    assert "test_a" in text
    assert "\x1b[2J" not in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


@pytest.mark.parametrize("width", [20, 40, 80, 120])
def test_live_display_fits_any_terminal(width: int) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=True, color_system=None)
    progress = LiveProgress(console, clock=lambda: 0.0)
    progress.phase("Scenarios")
    progress.planned(40)
    progress.started("test_" + "long_" * 60)

    console.print(progress.live.get_renderable())

    assert max(map(len, stream.getvalue().splitlines())) <= width


@pytest.mark.parametrize("verdict", ["LEAKED", "NOT PROVEN"])
def test_last_line_is_the_verdict_and_why_in_one_line(verdict: str) -> None:
    text = summary(good_result(verdict=verdict, reason="because " + "of this " * 60 + HOSTILE))

    last = text.rstrip("\n").splitlines()[-1]

    assert last.startswith(f"{verdict}: because of this")
    assert last.endswith("m")
    assert not CONTROL.search(text)


def test_summary_of_an_isolated_run_ends_so() -> None:
    assert summary(good_result()).splitlines()[-1] == "ISOLATED: every interrupt stayed where it belonged"


def test_summary_of_few_guests_has_the_whole_matrix() -> None:
    lines = summary(leaked_result(8)).splitlines()

    rows = [line.split() for line in lines if re.match(r"\s+\d ", line)]

    assert rows[0] == ["0", "40", "·", "5", "·", "·", "·", "·", "·"]
    assert len(rows) == 8
    assert "LEAK guest 0 reached guest 2: 5" in lines


def test_summary_of_many_guests_is_folded_and_still_names_every_leak() -> None:
    text = summary(leaked_result(64))

    assert re.search(r"to the guest that fired them +2,560", text)
    assert re.search(r"to another guest +5\n", text)
    assert "LEAK guest 0 reached guest 2: 5" in text


def test_summary_has_refusals_controls_and_what_did_not_pass() -> None:
    text = summary(good_result(scenarios=(scenario("test_a", "failed", "why\nmore"),), verdict="NOT PROVEN"))

    assert re.search(r"entry belongs to another PASID +6", text)
    assert re.search(r"MASK_IGNORED +caught +seen", text)
    assert "failed  A: why" in text


def test_summary_of_a_run_that_reached_nothing_says_so() -> None:
    text = summary(
        good_result(guests=(), matrix=(), scenarios=(), controls=(), refusals={}, timings=(), verdict="NOT PROVEN")
    )

    assert "No guest took part." in text
    assert "No fault was planted." in text
    assert "Scenarios: 0 of 0 passed" in text
