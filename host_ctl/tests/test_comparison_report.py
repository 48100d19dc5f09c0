"""The report of a comparison: every cell with its evidence, the same in the terminal as on the page, hostile text harmless."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import msgspec
import pytest

from host_ctl.comparison import Comparison
from host_ctl.comparison_file import decode
from host_ctl.report import COMPARISON_FILES, write_comparison
from host_ctl.report.comparison_html import render_comparison
from host_ctl.report.comparison_junit import render_comparison_junit
from host_ctl.report.comparison_summary import print_comparison
from host_ctl.tests.comparison_samples import EXCERPT, ROWS, SEVEN, comparison, unfaulted, with_cell
from host_ctl.tests.test_report import HOSTILE, Page

GOLDEN = Path(__file__).parent / "golden"
MISSED = with_cell("wrong-id", "table/vm", caught_by="")
REACHED_NOTHING = comparison(
    unfaulted=tuple(unfaulted(one, verdict="NOT PROVEN", reason="it did not run") for one in SEVEN),
    rows=(), cells=(), capacity=(), costs=(), interrupted="no QEMU",
)  # fmt: skip


def printed(one: Comparison, width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """As on a terminal of so many columns, without colours; blanks at the ends of lines do not count."""
    monkeypatch.setenv("COLUMNS", str(width))
    stream = io.StringIO()
    print_comparison(one, stream)
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


def cards(text: str) -> list[str]:
    """What unfolds, in the order of the page."""
    return re.findall(r'<div class="card">(.*?)</div></details>', text, re.DOTALL)


def hostile() -> Comparison:
    """Every text that comes from elsewhere."""
    good = comparison()
    return comparison(
        unfaulted=tuple(unfaulted(one, verdict="NOT PROVEN", reason=HOSTILE, failed=(HOSTILE,)) for one in SEVEN),
        rows=tuple(msgspec.structs.replace(row, title=HOSTILE, what=HOSTILE) for row in good.rows),
        cells=tuple(
            msgspec.structs.replace(cell, why=HOSTILE, excerpt=(HOSTILE,), caught_by=HOSTILE) for cell in good.cells
        ),
        capacity=tuple(
            msgspec.structs.replace(one, bound_by=HOSTILE, exhaustion=HOSTILE, device_state=HOSTILE) for one in good.capacity
        ),
        costs=tuple(msgspec.structs.replace(one, why=HOSTILE) for one in good.costs),
        options=msgspec.structs.replace(good.options, machine=HOSTILE, accelerator_why=HOSTILE, qemu_version=HOSTILE),
        command=(HOSTILE,), version=HOSTILE, interrupted=HOSTILE,
    )  # fmt: skip


def test_all_files_are_written_and_the_json_is_the_comparison(tmp_path: Path) -> None:
    paths = write_comparison(comparison(), tmp_path / "new")

    assert tuple(path.name for path in paths) == COMPARISON_FILES
    assert decode(paths[0].read_bytes()) == comparison()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(("name", "one"), [("all-well", comparison()), ("missed", MISSED)])
def test_terminal_shows_what_the_golden_file_has(
    name: str, one: Comparison, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert printed(one, width, monkeypatch) == (GOLDEN / f"comparison-{name}-{width}.txt").read_text()


@pytest.mark.parametrize("width", [80, 120, 200])
def test_no_line_but_the_last_is_wider_than_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(MISSED, width, monkeypatch).splitlines()

    assert max(map(len, lines[:-1])) <= width
    assert lines[-1] == f"{MISSED.verdict}: {MISSED.reason}"


def test_terminal_cannot_be_steered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in printed(hostile(), 80, monkeypatch)


@pytest.mark.parametrize("one", [comparison(), MISSED, REACHED_NOTHING, hostile()])
def test_page_is_well_formed_and_needs_nothing_from_elsewhere(one: Comparison) -> None:
    text = render_comparison(one)
    page = Page(text)

    assert (page.mismatched, page.open) == ([], [])
    assert {"script", "link", "img", "iframe"} & set(page.tags) == set()
    assert not [name for name, _ in page.attributes if name in ("src", "href", "srcset") or name.startswith("on")]
    assert not re.search(r"https?://|@import|url\((?!#)", text)
    assert "12726" not in "".join(page.words)


def test_every_cell_unfolds_to_its_why_and_its_ledger_lines() -> None:
    one = comparison()
    found = cards(render_comparison(one))

    assert len(found) == len(ROWS) * len(SEVEN)
    for card, cell in zip(found, one.cells, strict=True):
        words = " ".join(Page(card).words)
        assert str(cell.combination) in words
        assert cell.why[1:] in words
        assert cell.caught_by in words
        assert [line for line in EXCERPT if line in words] == list(cell.excerpt)


def test_cell_is_told_by_letter_and_word_and_not_by_colour_alone() -> None:
    page = render_comparison(comparison())

    for letter, word in (("C", "contained"), ("L", "leaked"), ("D", "denied"), ("O", "own only"), ("-", "not here")):
        assert re.search(rf'<b class="letter">{letter}</b> {word}', page)


def test_fault_that_the_suite_did_not_notice_is_marked() -> None:
    page = render_comparison(MISSED)

    assert len(re.findall(r'class="cell leaked wrong"', page)) == 1
    assert "The suite did not notice it." in page


def test_cell_that_was_not_reached_is_not_shown_as_anything_else() -> None:
    page = render_comparison(comparison(cells=comparison().cells[:-1], interrupted="Ctrl-C"))

    assert page.count('<span class="cell not_run">not run</span>') == 1
    assert "The comparison did not reach its end:</strong> Ctrl-C" in page


def test_paper_has_a_note_for_every_cell() -> None:
    appendix = render_comparison(comparison()).partition('<section class="paper">')[2]

    for _, _, title, letters in ROWS:
        block = appendix.partition(f"<b>{title.replace(chr(39), '&#39;')}.</b>")[2].partition('class="row"')[0]
        assert block.count('<div class="note-of">') == len(set(letters))
        assert [str(column) for column in SEVEN if str(column) not in block] == []


def junit(one: Comparison) -> dict[str, Any]:
    """Name of each suite -> its failures and errors."""
    root = ET.fromstring(render_comparison_junit(one))
    return {suite.get("name", ""): (suite.get("failures"), suite.get("errors")) for suite in root}


def test_junit_is_green_only_if_all_is_well() -> None:
    green = ("0", "0")

    assert junit(comparison()) == {"vdsa.combinations": green, "vdsa.containment": green, "vdsa.verdict": green}
    assert junit(MISSED) == {"vdsa.combinations": green, "vdsa.containment": ("1", "0"), "vdsa.verdict": ("1", "0")}
    assert junit(REACHED_NOTHING)["vdsa.containment"] == ("0", "1")
