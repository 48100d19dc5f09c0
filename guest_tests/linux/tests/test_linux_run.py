"""A run with a Linux guest, with some of the scenarios. All of them, on all kernels, and a verdict: `make linux-guests`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from guest_tests.linux.image import make_image
from guest_tests.linux.kernels import KERNELS
from guest_tests.linux.packages import KernelUnavailable
from guest_tests.tests.whole_runs import running
from qemu_patches.store import default_folder
from qemu_patches.tests.patched import patched_or_skip

KERNEL = "6.12"
LIMIT_S = 900
SCENARIOS = ("handles_of_other", "disabled_and_enabled", "vdsa_comes", "beside_the_first[dsa-pf", "error_of", "round_trips")
JUDGED = {1, 2, 3, 4, 6}
"""Conditions of the verdict that can hold without planted faults."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a run with one Linux guest beside three agents."""
    patched_or_skip()
    try:
        make_image(KERNELS[KERNEL], default_folder(), print)
    except KernelUnavailable as error:
        pytest.skip(str(error))
    report: Path = tmp_path_factory.mktemp("linux") / "report"
    only = [word for name in SCENARIOS for word in ("--only", name)]
    with running(report, "--rig", "linux", "--kernel", KERNEL, "--no-controls", *only, guests=1, QEMU="") as run:
        run.end()
        print("\n".join(run.lines[-30:]))
    loaded: dict[str, Any] = json.loads((report / "report.json").read_text())
    return loaded


@pytest.mark.timeout(LIMIT_S)
def test_linux_beside_hostile_agents_keeps_exact_counts(results: dict[str, Any]) -> None:
    failed = {one["name"]: one["message"] for one in results["scenarios"] if one["outcome"] != "passed"}
    held = {one["number"]: one["held"] for one in results["conditions"] if one["number"] in JUDGED}

    assert failed == {}
    assert len(results["scenarios"]) == len(SCENARIOS)
    assert held == dict.fromkeys(JUDGED, True)


@pytest.mark.timeout(LIMIT_S)
def test_what_linux_counted_is_what_the_ledger_sent_to_it(results: dict[str, Any]) -> None:
    *agents, linux = results["guests"]

    assert len(agents) == 3
    assert linux["received"] == linux["sent"] == results["matrix"][3][3] > 0
    assert (linux["refused"], linux["unexplained"], linux["crashed"]) == (0, 0, None)
    assert sum(results["refusals"].values()) > 0


@pytest.mark.timeout(LIMIT_S)
def test_report_names_rig_and_kernel(results: dict[str, Any]) -> None:
    assert results["options"]["rig"] == "linux"
    assert results["options"]["kernel"].startswith(f"{KERNEL}.")
    assert results["options"]["qemu_origin"] == "patched"
