"""`vdsa compare` on the command line: clear refusals, a report whatever happens, an exit status that says what it came to."""

from __future__ import annotations

from pathlib import Path

import pytest

from host_ctl.cli import main
from host_ctl.comparison_file import decode, encode
from host_ctl.run_folder import RunLock
from host_ctl.tests.comparison_samples import comparison, with_cell
from host_ctl.tests.sample_suite import install

SUITE = """
import os
import msgspec
from host_ctl.errors import HostError
from host_ctl.tests.comparison_samples import comparison, with_cell

def run(options, progress):
    progress.phase("Starting guests")
    what = os.environ["SUITE_DOES"]
    return {
        "isolated": lambda: comparison(seed=options.seed),
        "leaked": lambda: with_cell("flood", "table/vm", outcome="leaked", why="guest 1 saw it"),
        "missed": lambda: with_cell("wrong-id", "table/vm", caught_by=""),
        "stopped": lambda: comparison(interrupted="Ctrl-C"),
        "lies": lambda: msgspec.structs.replace(comparison(), interrupted="Ctrl-C"),
    }.get(what, lambda: fail(what))()
"""


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with a distribution that provides the suite; SUITE_DOES says how it ends."""
    return install(tmp_path, monkeypatch, "comparison", SUITE)


@pytest.mark.parametrize(
    ("does", "status", "last"),
    [
        ("isolated", 0, "ISOLATED: 7 combinations, "),
        ("leaked", 1, "LEAKED: table/vm, flood: guest 1 saw it"),
        ("missed", 3, "NOT PROVEN: table/vm, wrong-id: the suite did not notice it"),
        ("stopped", 130, "NOT PROVEN: the comparison was interrupted: Ctrl-C"),
        ("key", 130, "NOT PROVEN: the comparison was interrupted: Ctrl-C"),
        ("host", 3, "NOT PROVEN: the comparison was interrupted: no QEMU: install one"),
        ("bug", 3, "NOT PROVEN: the comparison was interrupted: internal error: ZeroDivisionError: oh"),
        ("lies", 3, "NOT PROVEN: the comparison was interrupted: the comparison contradicts itself"),
    ],
)
def test_every_comparison_ends_with_its_status_a_report_and_the_verdict_as_last_line(
    does: str, status: int, last: str, suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUITE_DOES", does)

    code = main(["compare", "--plain"])

    assert code == status
    assert capsys.readouterr().out.splitlines()[-1].startswith(last)
    assert sorted(path.name for path in Path("build/comparison").glob("[!.]*")) == [
        "comparison.html",
        "comparison.json",
        "junit.xml",
    ]


def test_comparison_without_a_report_is_never_success(
    suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUITE_DOES", "isolated")
    Path("build/comparison/comparison.json").mkdir(parents=True)

    code = main(["compare", "--quiet"])

    assert code == 3
    assert capsys.readouterr().out.startswith("NOT PROVEN: the report could not be written")


def test_second_comparison_into_the_same_folder_is_refused(
    suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUITE_DOES", "isolated")

    with RunLock(Path("build/comparison")):
        code = main(["compare", "--plain"])

    assert code == 2
    assert "in use by another run" in capsys.readouterr().err
    assert not Path("build/comparison/comparison.json").exists()


def test_quiet_comparison_prints_the_verdict_only(
    suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUITE_DOES", "isolated")

    main(["compare", "--quiet", "--seed", "9"])

    assert capsys.readouterr().out == f"ISOLATED: {comparison().reason}\n"
    assert decode(Path("build/comparison/comparison.json").read_bytes()).seed == 9


def test_bad_input_is_refused_with_everything_that_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["compare", "--store", "tabel", "--guests", "1", "--row", "x", "--no-faults"])

    shown = capsys.readouterr().err.splitlines()
    assert code == 2
    assert [line[:25] for line in shown] == [
        "vdsa: --store tabel: take",
        "vdsa: --row chooses among",
        "vdsa: --guests 1: take 2 ",
        "vdsa compare --help shows",
    ]


def test_help_teaches_how_to_compare(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["compare", "--help"])

    words = " ".join(capsys.readouterr().out.split())
    assert "array/device, array/vm, table/device, table/vm, queue/device, queue/vm, msix/device" in words
    assert "exit status: 0 ISOLATED" in words
    assert "130 ended by Ctrl-C" in words


def test_earlier_comparison_is_shown_again_and_made_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, page = tmp_path / "comparison.json", tmp_path / "page.html"
    file.write_bytes(encode(with_cell("wrong-id", "table/vm", caught_by="")))

    shown = main(["report", "show", str(file)])
    made = main(["report", "html", str(file), "-o", str(page)])

    assert (shown, made) == (3, 0)
    assert capsys.readouterr().out.splitlines()[-1].startswith("NOT PROVEN: table/vm, wrong-id")
    assert "The suite did not notice it." in page.read_text()
