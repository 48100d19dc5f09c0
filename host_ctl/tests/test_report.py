"""The report files: whole, self-contained, and honest about what was hostile or missing."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host_ctl.errors import HostError
from host_ctl.report import REPORT_FILES, render_html, render_junit, write_html, write_reports
from host_ctl.report.heatmap import render_heatmap
from host_ctl.report.summary import print_summary
from host_ctl.results import Polled, ResultError, TouchedRegister, decode
from host_ctl.tests.report_samples import good_result, leaked_result, scenario

VOID = {"meta", "link", "br", "hr", "img", "input", "wbr"}
HOSTILE = "</style></title><script>alert(1)</script>\"' onload=x &amp; \x1b[31m {{ 4242*3 }}"


class Page(HTMLParser):
    """Elements, with a check that each end tag closes the element that is open."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.mismatched: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.open += [] if tag in VOID else [tag]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        self.mismatched += [] if self.open and self.open[-1] == tag else [tag]
        self.open = self.open[:-1]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_all_report_files_are_written_and_the_json_is_the_result(tmp_path: Path) -> None:
    paths = write_reports(good_result(), tmp_path / "new" / "report")

    assert tuple(path.name for path in paths) == REPORT_FILES
    assert decode(paths[0].read_bytes()) == good_result()
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(REPORT_FILES)


def test_contradictory_results_leave_the_earlier_report_alone(tmp_path: Path) -> None:
    paths = write_reports(good_result(), tmp_path)
    before = [path.read_bytes() for path in paths]

    with pytest.raises(ResultError):
        write_reports(good_result(interrupted="Ctrl-C"), tmp_path)

    assert [path.read_bytes() for path in paths] == before


def test_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(HostError, match=r"cannot write the report to .*choose a folder"):
        write_reports(good_result(), tmp_path / "file" / "report")


def test_html_that_cannot_be_written_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()

    with pytest.raises(HostError, match="cannot write"):
        write_html(good_result(), tmp_path / "out")

    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("result", [good_result(), leaked_result(), good_result(64), leaked_result(64)])
def test_page_is_well_formed_and_needs_nothing_from_elsewhere(result: object) -> None:
    text = render_html(result)  # type: ignore[arg-type]
    page = Page(text)

    assert (page.mismatched, page.open) == ([], [])
    assert {"script", "link", "img", "iframe"} & set(page.tags) == set()
    assert not [name for name, _ in page.attributes if name in ("src", "href", "srcset") or name.startswith("on")]
    assert not re.search(r"https?://|@import|url\((?!#)", text)


def test_page_begins_with_the_verdict_in_words() -> None:
    text = " ".join(Page(render_html(leaked_result())).words)

    assert (
        text.index("LEAKED") < text.index("An interrupt reached a guest") < text.index("Guest 2 received 5 interrupts")
    )


def test_interrupted_page_says_so_at_the_top() -> None:
    text = render_html(good_result(verdict="NOT PROVEN", interrupted="Ctrl-C"))

    assert "The run did not reach its end:</strong> Ctrl-C" in text


def test_page_tells_how_to_repeat_the_run() -> None:
    assert "vdsa run --guests 3 --seed 7" in render_html(good_result())


def test_page_of_a_run_that_reached_nothing_says_so() -> None:
    empty = good_result(
        guests=(), matrix=(), scenarios=(), controls=(), refusals={}, resources=(), timings=(),
        verdict="NOT PROVEN", interrupted="no QEMU",
    )  # fmt: skip
    page = Page(render_html(empty))
    text = " ".join(page.words)

    assert (page.mismatched, page.open) == ([], [])
    assert all(words in text for words in ("No guest took part", "No scenario ran", "No fault was planted"))


def test_hostile_text_stays_text_everywhere() -> None:
    good = good_result()
    result = good_result(
        scenarios=(scenario(HOSTILE, "failed", HOSTILE),),
        controls=(msgspec.structs.replace(good.controls[0], fault=HOSTILE, planted=HOSTILE, caught_by=HOSTILE),),
        conditions=tuple(msgspec.structs.replace(one, title=HOSTILE, evidence=HOSTILE) for one in good.conditions),
        options=msgspec.structs.replace(good.options, accelerator_why=HOSTILE, qemu_version=HOSTILE, store=HOSTILE),
        guests=tuple(msgspec.structs.replace(guest, crashed=HOSTILE) for guest in good.guests),
        resources=(msgspec.structs.replace(good.resources[0], name=HOSTILE),),
        timings=(msgspec.structs.replace(good.timings[0], name=HOSTILE, unit=HOSTILE),),
        refusals={HOSTILE: 1}, command=(HOSTILE,), version=HOSTILE, reason=HOSTILE, interrupted=HOSTILE,
        verdict="NOT PROVEN",
    )  # fmt: skip
    page = Page(render_html(result))

    assert "script" not in page.tags
    assert (page.mismatched, page.open) == ([], [])
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "12726" not in "".join(page.words)


def test_heat_map_has_a_title_and_a_description() -> None:
    root = ET.fromstring(render_heatmap(leaked_result().matrix))

    assert root.get("role") == "img"
    assert root.findtext("title")
    assert "3 guests. 120 interrupts were received by the guest that fired them, 5 by another guest." in (
        root.findtext("desc") or ""
    )


@pytest.mark.parametrize("size", [1, 3, 8, 16, 17, 64, 128])
def test_clean_heat_map_has_nothing_that_stands_out(size: int) -> None:
    root = ET.fromstring(render_heatmap(good_result(size).matrix))
    classes = [element.get("class", "") for element in root.iter()]

    assert sum(name.startswith("own ") for name in classes) == size
    assert not [name for name in classes if "foreign" in name or "loud" in name or "leader" in name]


@pytest.mark.parametrize("size", [3, 8, 16, 17, 64, 128])
def test_foreign_interrupt_is_marked_by_shape_in_every_size(size: int) -> None:
    root = ET.fromstring(render_heatmap(leaked_result(size).matrix))
    marks = [element for element in root.iter() if "foreign" in element.get("class", "")]
    titles = [element.text for element in root.iter("title")]

    assert len(marks) == 1
    assert float(marks[0].get("width", "0")) >= 15
    assert "fired by guest 0, received by guest 2: 5" in titles
    assert (
        sum("tick" in element.get("class", "") and "loud" in element.get("class", "") for element in root.iter()) == 2
    )


def test_foreign_cell_of_a_small_map_has_its_number() -> None:
    root = ET.fromstring(render_heatmap(leaked_result().matrix))

    assert [element.text for element in root.iter("text") if "n loud" in element.get("class", "")] == ["5"]


def test_owner_without_an_interrupt_is_not_drawn_as_if_it_had_one() -> None:
    root = ET.fromstring(render_heatmap([[0, 0], [0, 9]]))

    assert sorted(e.get("class", "") for e in root.iter("rect") if "own" in e.get("class", "")) == ["own l0", "own l4"]


@settings(max_examples=40)
@given(
    st.integers(0, 20).flatmap(
        lambda n: st.lists(st.lists(st.integers(0, 2**50), min_size=n, max_size=n), min_size=n, max_size=n)
    )
)
def test_any_matrix_is_drawn_as_xml(matrix: list[list[int]]) -> None:
    root = ET.fromstring(render_heatmap(matrix))
    foreign = sum(bool(count) for row, line in enumerate(matrix) for column, count in enumerate(line) if row != column)

    assert sum("foreign" in element.get("class", "") for element in root.iter()) == foreign


def junit(**changes: object) -> ET.Element:
    return ET.fromstring(render_junit(good_result(**changes)))  # type: ignore[arg-type]


def counts(root: ET.Element) -> tuple[str | None, ...]:
    return tuple(root.get(name) for name in ("tests", "failures", "errors", "skipped"))


def test_junit_of_a_good_run_is_green() -> None:
    root = junit()

    assert root.tag == "testsuites"
    assert [suite.get("name") for suite in root] == ["vdsa.scenarios", "vdsa.controls", "vdsa.verdict"]
    assert counts(root) == ("10", "0", "0", "0")
    assert {case.tag for suite in root for case in suite} == {"testcase"}


def test_junit_totals_are_those_of_the_cases() -> None:
    outcomes = ("passed", "failed", "error", "skipped", "not_run")
    root = junit(scenarios=tuple(scenario(f"test_{one}", one, "why") for one in outcomes), verdict="NOT PROVEN")

    assert counts(root[0]) == ("5", "1", "2", "1")
    assert counts(root) == ("13", "2", "2", "1")
    assert [element.get("message") for element in root[0].iter("failure")] == ["why"]


def test_junit_of_a_run_that_ran_nothing_has_errors() -> None:
    root = junit(scenarios=(), controls=(), verdict="NOT PROVEN")

    assert [element.get("message") for element in root.iter("error")] == ["no scenario ran", "no fault was planted"]


def test_junit_of_skipped_scenarios_only_has_an_error() -> None:
    root = junit(scenarios=(scenario("test_a", "skipped"),), verdict="NOT PROVEN")

    assert counts(root[0]) == ("2", "0", "1", "1")


def test_junit_of_a_missed_control_and_a_leak_has_failures() -> None:
    missed = msgspec.structs.replace(good_result().controls[0], outcome="MISSED")
    root = junit(controls=(missed,), verdict="LEAKED", reason="guest 2 saw one")

    assert [element.get("message") for element in root.iter("failure")] == [
        "nobody noticed: masked entries send",
        "LEAKED: guest 2 saw one",
    ]


@given(st.text())
def test_junit_holds_any_text(text: str) -> None:
    root = junit(scenarios=(scenario("test_a", "failed", text),), verdict="NOT PROVEN")

    assert len(root[0]) == 1


TOUCHED = TouchedRegister(
    register="EVLCFG[0]", region="BAR0", offset=0xE0, what="read, not modelled", guests=(0, 2), count=1234
)
POLLED = Polled(guest=2, register="GENSTS", value=1, meaning="Enabled", reads=812_345, seconds=9.8)


def test_what_guests_touched_is_shown_where_there_is_something() -> None:
    result = good_result(touched=(TOUCHED,), touches_lost=77, polled=(POLLED,))
    page = " ".join(Page(render_html(result)).words)
    out = io.StringIO()
    print_summary(result, out)
    text = " ".join(out.getvalue().split())

    assert not Page(render_html(result)).mismatched
    for shown in (page, text):
        assert "EVLCFG[0]" in shown
        assert "read, not modelled" in shown
        assert "1,234" in shown
        assert "77 more" in shown
        assert "0x1 = Enabled" in shown
        assert "812,345" in shown


def test_run_in_which_nothing_was_touched_says_nothing_of_it() -> None:
    out = io.StringIO()
    print_summary(good_result(), out)

    assert "touched" not in render_html(good_result()).lower()
    assert "touched" not in out.getvalue().lower()
