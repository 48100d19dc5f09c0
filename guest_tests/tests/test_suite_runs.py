"""`vdsa run` as a user meets it: whole runs, and everything that can go wrong with one."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from xml.etree import ElementTree

import pytest

from guest_tests.tests.whole_runs import folders_of, running, wait_gone


@pytest.mark.parametrize(
    ("store", "domain"),
    [("array", "vm"), ("table", "device"), ("table", "vm"), ("queue", "device"), ("queue", "vm"), ("msix", "device")],
)
def test_whole_run_is_isolated_with_every_store_and_domain(tmp_path: Path, store: str, domain: str) -> None:
    with running(tmp_path / "report", "--store", store, "--domain", domain) as run:
        status = run.end()

    results = run.results()
    options = results["options"]
    assert isinstance(options, dict)
    assert (status, results["verdict"]) == (0, "ISOLATED"), run.lines[-40:]
    assert (options["store"], options["domain_scope"]) == (store, domain)


def test_whole_run_is_isolated_and_its_reports_agree(tmp_path: Path) -> None:
    with running(tmp_path / "report", guests=4) as run:
        status = run.end()

    results = run.results()
    suites = ElementTree.parse(tmp_path / "report" / "junit.xml").getroot()
    page = (tmp_path / "report" / "report.html").read_text()
    assert status == 0, "\n".join(run.lines)
    assert run.lines[-1].startswith("ISOLATED: 4 guests")
    assert results["verdict"] == "ISOLATED"
    assert len(results["controls"]) >= 9  # type: ignore[arg-type]
    assert {control["outcome"] for control in results["controls"]} == {"caught"}  # type: ignore[attr-defined]
    assert not list(suites.iter("failure"))
    assert len(list(suites.iter("testcase"))) > 20
    assert "ISOLATED" in page
    assert not (tmp_path / "report" / "evidence").exists()
    assert not folders_of(run.process.pid)


def test_run_without_controls_proves_nothing(tmp_path: Path) -> None:
    with running(tmp_path, "--no-controls", "--only", "every_vector") as run:
        status = run.end()

    assert status == 3
    assert run.lines[-1].startswith("NOT PROVEN: the run is partial")


@pytest.mark.parametrize("phase", ["Preparing", "Starting guests", "Hotplugging", "Scenarios", "Negative controls"])
def test_ctrl_c_ends_a_run_with_a_report_and_leaves_nothing_behind(phase: str, tmp_path: Path) -> None:
    with running(tmp_path) as run:
        run.until(phase)
        guests = run.guests()
        run.process.send_signal(signal.SIGINT)
        status = run.end()

    wait_gone(guests)
    assert status == 130, "\n".join(run.lines)
    assert run.lines[-1].startswith("NOT PROVEN: the run was interrupted: Ctrl-C")
    assert run.results()["interrupted"] == "Ctrl-C"
    assert not folders_of(run.process.pid)


def test_qemu_that_dies_in_the_middle_is_named_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with running(tmp_path) as run:
        run.until("1/")
        guests = run.guests()
        os.kill(guests[0], signal.SIGKILL)
        status = run.end()

    wait_gone(guests)
    assert status == 3, "\n".join(run.lines)
    assert "killed by SIGKILL" in run.lines[-1]
    assert (tmp_path / "evidence" / "ledger.txt").stat().st_size > 0
    assert "killed by SIGKILL" in (tmp_path / "evidence" / "crashes.txt").read_text()
    assert not folders_of(run.process.pid)


def test_guests_die_with_a_run_that_is_killed(tmp_path: Path) -> None:
    with running(tmp_path) as run:
        run.until("Scenarios")
        guests = run.guests()
        run.process.kill()
        run.end()

    assert guests
    wait_gone(guests)


def test_leftovers_of_a_killed_run_are_removed_by_the_next_and_do_not_disturb_it(tmp_path: Path) -> None:
    with running(tmp_path) as killed:
        killed.until("Scenarios")
        killed.process.kill()
        killed.end()
    left = folders_of(killed.process.pid)

    with running(tmp_path) as run:
        status = run.end()

    assert left
    assert status == 0, "\n".join(run.lines)
    assert not folders_of(killed.process.pid)


def test_second_run_into_one_report_folder_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        first.until("Preparing")
        first.process.send_signal(signal.SIGSTOP)  # so that it does not end before the other has tried
        with running(tmp_path) as second:
            refused = second.end()
        first.process.send_signal(signal.SIGCONT)
        status = first.end()

    assert refused == 2
    assert f"in use by another run (pid {first.process.pid}" in second.lines[-1]
    assert status == 0, first.lines


def test_missing_qemu_is_one_clear_message_and_a_report(tmp_path: Path) -> None:
    with running(tmp_path, QEMU="/no/such/qemu") as run:
        status = run.end()

    assert status == 3
    assert run.lines[-1].startswith("NOT PROVEN: the run was interrupted: $QEMU (/no/such/qemu) does not exist")
    assert run.results()["verdict"] == "NOT PROVEN"


def test_qemu_that_cannot_start_a_guest_shows_command_line_and_log(tmp_path: Path) -> None:
    qemu = real_qemu_wrapped(tmp_path, 'case "$*" in *-kernel*) echo the disk is on fire >&2; exit 7;; esac')

    with running(tmp_path / "report", QEMU=str(qemu)) as run:
        status = run.end()

    said = "\n".join(run.lines)
    assert status == 3
    assert "the disk is on fire" in said
    assert "-kernel" in said
    assert not folders_of(run.process.pid)


def real_qemu_wrapped(folder: Path, first: str) -> Path:
    """A program that does `first`, and then is the QEMU that runs would use."""
    from qemu_patches import find_qemu  # noqa: PLC0415 - may unpack one

    qemu = find_qemu()
    setting = "".join(f"export {name}='{value}'\n" for name, value in qemu.env.items())
    program = folder / "qemu-system-x86_64"
    words = " ".join(f"'{word}'" for word in qemu.argv)
    program.write_text(f'#!/bin/sh\n{setting}{first}\nexec {words} "$@"\n')
    program.chmod(0o755)
    return program


def test_socket_path_that_is_too_long_falls_back_to_a_short_one(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()

    with running(tmp_path / "report", "--no-controls", "--only", "every_vector", XDG_RUNTIME_DIR=str(deep)) as run:
        run.end()

    assert "only scenarios named like" in run.lines[-1]


def test_traced_run_tells_what_every_guest_did_to_its_device(tmp_path: Path) -> None:
    with running(tmp_path / "report", "--trace", "--only", "own", "--no-controls") as run:
        run.end()

    lines = (tmp_path / "report" / "trace.txt").read_text().splitlines()
    for mdev in ("mdev 1 ", "mdev 2 ", "mdev 3 "):
        own = [line.partition(mdev)[2].strip() for line in lines if mdev in line]
        assert {"a VM is attached", "the VM is gone"} <= set(own)
        assert any(line.startswith("CMD <- Request Interrupt Handle index=1") for line in own)
        assert any("limited MSI-X <= No-op CRAV|RCR|RCI" in line for line in own)
        assert any("INJECTED vector=1" in line for line in own)
    assert re.fullmatch(r"# end: \d+ records(, \d+ lost)?", lines[-1])
