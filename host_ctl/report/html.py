"""Results as one HTML file: no scripts, no other files, no network."""

from __future__ import annotations

import datetime
import shlex
from dataclasses import dataclass
from pathlib import Path

import jinja2

from host_ctl.report.heatmap import NUMBERS_UP_TO, render_heatmap
from host_ctl.report.words import refusal_words
from host_ctl.results import Guest, RunResult, Scenario, crossings

_CROSSINGS_SHOWN = 40
_WORDS = {
    "ISOLATED": "Every interrupt stayed in the guest that owned it.",
    "LEAKED": "An interrupt reached a guest that it was not meant for.",
    "NOT PROVEN": "This run does not show that interrupts stay in their guests.",
}
_SCENARIO_ORDER = {"failed": 0, "error": 1, "not_run": 2, "skipped": 3, "passed": 4}


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of a bar chart; share is in percent of the longest."""

    name: str
    count: int
    share: float


def environment() -> jinja2.Environment:
    """Templates of this folder: every text is escaped, what is missing is an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": _number,
        "measure": _measure,
        "seconds": _seconds,
        "when": _when,
        "sentence": _sentence,
    }
    return made


def render_html(result: RunResult) -> str:
    """The whole page. Every text of the results is escaped; only the heat map, made of numbers, is not."""
    found = crossings(result)
    return environment().get_template("report.html.j2").render(
        result=result,
        options=result.options,
        words=_WORDS[result.verdict],
        mark={"ISOLATED": "held", "LEAKED": "broken", "NOT PROVEN": "unknown"}[result.verdict],
        heatmap=render_heatmap(result.matrix) if result.guests else None,
        own=sum(row[guest] for guest, row in enumerate(result.matrix)),
        foreign=sum(count for _, _, count in found),
        crossings=found[:_CROSSINGS_SHOWN],
        crossings_left=max(0, len(found) - _CROSSINGS_SHOWN),
        refusals=_bars(result.refusals),
        refused=sum(result.refusals.values()),
        caught=sum(control.outcome == "caught" for control in result.controls),
        missed=any(control.outcome == "MISSED" for control in result.controls),
        scenarios=_sorted_scenarios(result),
        passed=sum(scenario.outcome == "passed" for scenario in result.scenarios),
        guests=_guests_shown(result),
        duration=(result.finished - result.started).total_seconds(),
        command=shlex.join(result.command),
    )


def _bars(counts: dict[str, int]) -> list[Bar]:
    longest = max(counts.values(), default=0) or 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [Bar(refusal_words(name), count, 100 * count / longest) for name, count in ordered]


def _sorted_scenarios(result: RunResult) -> list[Scenario]:
    return sorted(result.scenarios, key=lambda scenario: _SCENARIO_ORDER[scenario.outcome])


def _guests_shown(result: RunResult) -> list[Guest]:
    """All of them if they are few, else those that something happened to."""
    if len(result.guests) <= NUMBERS_UP_TO:
        return list(result.guests)
    return [guest for guest in result.guests if guest.crashed is not None or guest.unexplained or not guest.received]


def _sentence(text: str) -> str:
    """With a capital letter at its beginning and a full stop at its end."""
    if not text:
        return text
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?:)" else ".")


def _number(value: int) -> str:
    return f"{value:,}"


def _measure(value: float) -> str:
    """Three significant digits at least, no digits that mean nothing."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _seconds(value: float) -> str:
    if value >= 120:
        minutes, rest = divmod(round(value), 60)
        return f"{minutes} min {rest:02d} s"
    return f"{value:.1f} s" if value >= 10 else f"{value:.2f} s"


def _when(value: datetime.datetime) -> str:
    return value.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
