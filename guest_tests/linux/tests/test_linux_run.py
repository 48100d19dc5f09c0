"""A whole run with Linux guests, on the kernel that boots fastest. All kernels: `make linux-guests`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from guest_tests.linux.image import make_image
from guest_tests.linux.kernels import KERNELS
from guest_tests.linux.packages import KernelUnavailable
from guest_tests.tests.test_suite_runs import running
from qemu_patches.store import default_folder
from qemu_patches.tests.patched import patched_or_skip

KERNEL = "6.1"
LIMIT_S = 900


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a run with one Linux guest beside three agents."""
    patched_or_skip()
    try:
        make_image(KERNELS[KERNEL], default_folder(), print)
    except KernelUnavailable as error:
        pytest.skip(str(error))
    report: Path = tmp_path_factory.mktemp("linux") / "report"
    with running(report, "--rig", "linux", "--kernel", KERNEL, guests=1, QEMU="") as run:
        run.end()
        print("\n".join(run.lines[-30:]))
    loaded: dict[str, Any] = json.loads((report / "report.json").read_text())
    return loaded


@pytest.mark.timeout(LIMIT_S)
def test_linux_beside_hostile_agents_is_judged_as_agents_are(results: dict[str, Any]) -> None:
    failed = {one["name"]: one["message"] for one in results["scenarios"] if one["outcome"] != "passed"}

    assert failed == {}
    assert results["verdict"] == "ISOLATED", results["reason"]


@pytest.mark.timeout(LIMIT_S)
def test_what_linux_counted_is_what_the_ledger_sent_to_it(results: dict[str, Any]) -> None:
    *agents, linux = results["guests"]

    assert len(agents) == 3
    assert linux["received"] == linux["sent"] == results["matrix"][3][3]
    assert linux["received"] >= 10_000
    assert (linux["refused"], linux["unexplained"], linux["crashed"]) == (0, 0, None)


@pytest.mark.timeout(LIMIT_S)
def test_report_names_rig_and_kernel(results: dict[str, Any]) -> None:
    assert results["options"]["rig"] == "linux"
    assert results["options"]["kernel"].startswith("6.1.")
    assert results["options"]["qemu_origin"] == "patched"
