"""The command line: clear refusals, a report for every run, and an exit status that says what the run came to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from host_ctl.cli import build_parser, main, trace_file
from host_ctl.interrupts import COMBINATIONS, FACTS, Organisation, Scope
from host_ctl.mdev_type import TYPES
from host_ctl.options import OptionsError, RunOptions
from host_ctl.results import decode, encode
from host_ctl.run_folder import RunLock
from host_ctl.tests.report_samples import good_result, leaked_result
from host_ctl.tests.sample_suite import install

SUITE = """
import os, threading
from host_ctl.errors import HostError
from host_ctl.tests.report_samples import good_result, leaked_result

def run(options, progress):
    progress.phase("Starting guests")
    what = os.environ["SUITE_DOES"]
    if what == "hang":
        threading.Event().wait()
    return {
        "isolated": lambda: good_result(options.guests, seed=options.seed),
        "leaked": leaked_result,
        "partial": lambda: good_result(verdict="NOT PROVEN", reason=f"the run is partial: {options.partial}"),
        "stopped": lambda: good_result(verdict="NOT PROVEN", interrupted="Ctrl-C"),
        "lies": lambda: good_result(interrupted="Ctrl-C"),
    }.get(what, lambda: fail(what))()
"""


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with a distribution that provides the suite; SUITE_DOES says how it ends."""
    return install(tmp_path, monkeypatch, "isolation", SUITE)


@pytest.mark.parametrize(
    ("does", "status", "last"),
    [
        ("isolated", 0, "ISOLATED: "),
        ("leaked", 1, "LEAKED: guest 2 received 5 interrupts"),
        ("partial", 3, "NOT PROVEN: the run is partial: None"),
        ("stopped", 130, "NOT PROVEN: "),
        ("key", 130, "NOT PROVEN: the run was interrupted: Ctrl-C"),
        ("host", 3, "NOT PROVEN: the run was interrupted: no QEMU: install one"),
        ("bug", 3, "NOT PROVEN: the run was interrupted: internal error: ZeroDivisionError: oh"),
    ],
)
def test_every_run_ends_with_its_status_a_report_and_the_verdict_as_last_line(
    does: str, status: int, last: str, suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUITE_DOES", does)

    code = main(["run", "--guests", "3", "--plain"])

    assert code == status
    assert capsys.readouterr().out.splitlines()[-1].startswith(last)
    assert sorted(path.name for path in Path("build/report").glob("[!.]*")) == [
        "junit.xml",
        "report.html",
        "report.json",
    ]


def test_results_that_contradict_themselves_are_never_isolated(
    suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUITE_DOES", "lies")

    code = main(["run", "--quiet"])

    assert code == 3
    assert capsys.readouterr().out.startswith("NOT PROVEN: the run was interrupted: the results contradict themselves")


def test_report_that_cannot_be_written_is_never_success(
    suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUITE_DOES", "isolated")
    Path("build/report/report.json").mkdir(parents=True)

    code = main(["run", "--quiet"])

    shown = capsys.readouterr()
    assert code == 3
    assert "cannot write the report" in shown.err
    assert shown.out.startswith("NOT PROVEN: the report could not be written")


def test_folder_that_takes_no_report_is_refused_before_the_run(
    suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUITE_DOES", "isolated")

    code = main(["run", "--plain", "--report", str(suite / "sample_isolation.py" / "report")])

    shown = capsys.readouterr()
    assert code == 2
    assert "cannot write the report to" in shown.err
    assert "Starting guests" not in shown.err


def test_second_run_into_the_same_folder_is_refused_and_disturbs_nothing(
    suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUITE_DOES", "isolated")

    with RunLock(Path("build/report")):
        code = main(["run", "--plain"])

    assert code == 2
    assert "Starting guests" not in capsys.readouterr().err
    assert not Path("build/report/report.json").exists()


def test_quiet_run_prints_the_verdict_only(
    suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUITE_DOES", "isolated")

    main(["run", "--quiet"])

    assert capsys.readouterr().out == "ISOLATED: every interrupt stayed where it belonged\n"


def test_seed_given_is_the_seed_used(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUITE_DOES", "isolated")

    main(["run", "--quiet", "--seed", "20260517"])

    assert decode(Path("build/report/report.json").read_bytes()).seed == 20260517


def test_ctrl_c_still_leaves_a_report(suite: Path) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "SUITE_DOES": "hang", "PYTHONPATH": f"{suite}:{root}", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-c", "import sys; from host_ctl.cli import main; sys.exit(main())", "run", "--plain"]

    with subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        started = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)

    assert "Starting guests" in started
    assert process.returncode == 130
    assert "Traceback" not in err
    assert out.splitlines()[-1] == "NOT PROVEN: the run was interrupted: Ctrl-C"
    assert decode(Path("build/report/report.json").read_bytes()).interrupted == "Ctrl-C"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--guests", "1"], "--guests 1: take 2 to 128"),
        (["--guests", "129"], "--guests 129: take 2 to 128"),
        (["--vectors", "33"], "--vectors 33: take 1 to 32"),
        (["--seed", "-1"], "--seed -1"),
        (["--only", ""], "--only needs a part of a scenario's name"),
    ],
)
def test_options_out_of_range_are_refused_with_what_to_do(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    code = main(["run", *words])

    assert code == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", [["run", "--accel", "hvf"], ["run", "--guests", "x"], [], ["report"], ["run", "--plain", "--quiet"]]
)
def test_words_that_are_no_command_are_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(words)

    assert refused.value.code == 2


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(OptionsError) as refused:
        RunOptions(guests=0, vectors=99)

    assert len(refused.value.problems) == 2


def test_command_repeats_the_run() -> None:
    options = RunOptions(guests=3, seed=9, only=("forged",), controls=False)
    words = " ".join(options.command())

    assert words.startswith("vdsa run --guests 3 --vectors 4 --seed 9")
    assert words.endswith("--only forged --no-controls")


@pytest.mark.parametrize(
    ("options", "partial"), [(RunOptions(), False), (RunOptions(controls=False), True), (RunOptions(only=("a",)), True)]
)
def test_what_was_left_out_is_known(options: RunOptions, partial: bool) -> None:
    assert (options.partial is not None) is partial


def test_suite_that_cannot_be_loaded_is_one_clear_error(
    suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (suite / "sample_isolation-1.dist-info" / "entry_points.txt").write_text("[vdsa.suites]\nisolation = not_there:run\n")

    code = main(["run"])

    assert code == 2
    assert "cannot be loaded" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["report", "--help"], ["--version"]])
def test_help_and_version_are_no_errors(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)

    assert ended.value.code == 0
    assert "vdsa" in capsys.readouterr().out


def test_help_of_run_teaches_by_examples_and_names_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])

    text = capsys.readouterr().out
    assert "vdsa run --guests 64 --vectors 4" in text
    assert "0 ISOLATED    1 LEAKED    2 wrong usage    3 NOT PROVEN" in text


def test_report_show_prints_the_summary_with_the_status_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report.json"
    file.write_bytes(encode(leaked_result()))

    code = main(["report", "show", str(file)])

    assert code == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("LEAKED: ")


def test_report_html_makes_the_page(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_bytes(encode(good_result()))

    code = main(["report", "html", str(file), "-o", str(tmp_path / "page.html")])

    assert code == 0
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("content", "message"), [(None, "cannot read"), (b"{}", "schema version None"), (b"x", "not a results")]
)
def test_file_that_is_no_report_is_one_clear_error(
    content: bytes | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report.json"
    file.write_bytes(content or b"")
    path = file if content else tmp_path / "missing.json"

    code = main(["report", "show", str(path)])

    error = capsys.readouterr().err
    assert code == 2
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("words", "trace"),
    [([], None), (["--trace"], Path("r/trace.txt")), (["--trace", "t.txt"], Path("t.txt")),
     (["--trace", "--plain"], Path("r/trace.txt"))],
)
def test_trace_is_written_to_the_file_or_beside_the_report(words: list[str], trace: Path | None) -> None:
    arguments = build_parser().parse_args(["run", "--report", "r", *words])

    assert trace_file(arguments) == trace


def test_trace_that_cannot_be_written_is_refused_before_anything_is_started(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["run", "--report", str(tmp_path / "report"), "--trace", str(tmp_path)])

    assert code == 2
    assert "cannot write the trace" in capsys.readouterr().err
# ---- types ----


def test_types_are_listed_with_what_they_do_not_do(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["types"])
    paragraphs = capsys.readouterr().out.split("\n\n")

    assert status == 0
    assert [paragraph.splitlines()[0] for paragraph in paragraphs] == list(TYPES)
    assert all("limits:\n    - " in paragraph for paragraph in paragraphs)
    assert "needs exactly 1 IMS-backed vector" in paragraphs[0]
    assert "No-op and Drain only" in paragraphs[-1]


def test_types_as_json_have_mdevs_words(capsys: pytest.CaptureFixture[str]) -> None:
    main(["types", "--json"])
    rows = json.loads(capsys.readouterr().out)

    assert [row["name"] for row in rows] == list(TYPES)
    assert {row["device_api"] for row in rows} == {"vfio-user"}
    assert [row["available_instances"] for row in rows] == [128, 128, 128, 128]
    assert [tuple(row["vectors"].values()) for row in rows] == [(1, 255), (1, 255), (4, 4), (1, 1)]
    assert all(row["description"] and row["does_not"] for row in rows)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--type", "dsa-pf-v1"], "needs --no-controls"),
        (["--type", "dsa-pf-v1", "--no-controls", "--vectors", "2"], "take 4 to 4"),
    ],
)
def test_run_with_devices_of_their_own_says_what_it_needs(
    words: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *words]) == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize(("store", "domain"), [(o.name.lower(), str(s)) for o, s in COMBINATIONS])
def test_store_and_domain_are_part_of_the_command_that_repeats_a_run(store: str, domain: str) -> None:
    options = RunOptions(store=store, domain=domain)
    arguments = build_parser().parse_args(list(options.command())[1:])

    assert (arguments.store, arguments.domain) == (store, domain)
    assert (options.organisation, options.scope) == (Organisation[store.upper()], Scope(domain))


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--store", "msix", "--domain", "vm"], "--store msix with --domain vm makes no sense: MSI-X belongs to"),
        (["--store", "msix", "--guests", "128", "--vectors", "32"], "--store msix has no room for 128 guests with 32 vectors"),
        (["--type", "dsa-pf-v1", "--no-controls", "--store", "table"], "has no part in the shared device's store"),
    ],
)
def test_store_that_makes_no_sense_or_has_no_room_is_refused_with_the_reason(
    words: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *words]) == 2
    assert problem in capsys.readouterr().err


def test_help_of_run_says_what_the_stores_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])

    text = capsys.readouterr().out
    assert all(facts.what in text and facts.id_place in text for facts in FACTS.values())
    assert "msix with --domain vm makes no sense" in text


def test_type_is_part_of_the_command_that_repeats_a_run() -> None:
    assert "--type" not in RunOptions().command()
    assert RunOptions(mdev_type="dsa-1dwq-cfg-v1").command()[-2:] == ("--type", "dsa-1dwq-cfg-v1")


def test_run_with_devices_of_their_own_is_partial() -> None:
    options = RunOptions(mdev_type="dsa-pf-v1", controls=False)

    assert options.shares_nothing
    assert "shares nothing" in (options.partial or "")
    assert RunOptions().partial is None


@pytest.mark.parametrize("name", ["iax-1dwq-v1", "dsa-9dwq-v1"])
def test_type_that_a_run_cannot_use_is_refused(name: str) -> None:
    with pytest.raises(OptionsError, match="--type"):
        RunOptions(mdev_type=name)
