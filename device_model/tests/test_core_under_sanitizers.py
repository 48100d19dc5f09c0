"""The core tests once more on a core with the address and undefined behaviour sanitizers; all threads at once with both and the
thread sanitizer."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from device_model.tests.protocol_rig import ASAN, C_TESTS, TSAN, build_c, sources
from device_model.tests.sanitized import run_python

HERE = Path(__file__)
PARTS = 8
"""Runs that the core tests are shared out to: each has the time limit of one test."""
CORE_TESTS = sorted(
    str(path)
    for pattern in ("test_core_*.py", "test_store_*.py")
    for path in HERE.parent.glob(pattern)
    if path != HERE and not {"build_c", "direct_core"} & set(re.findall(r"\w+", path.read_text()))
)
"""Those that build programs or modules are not among them: these have sanitizers of their own, which do not go with another."""

RAW = """
from device_model.tests.core_rig import core_under_test
core = core_under_test()
assert core.__name__ == "_vdsa_sanitized"
config = core.ffi.new("struct idxd_config *", [1, 1, 256, 21, 5, 1, 1, 0, 0])
platform = core.lib.platform_create(config, 64, False)
idxd = core.lib.platform_idxd(platform)
"""


@pytest.mark.parametrize("part", range(PARTS))
def test_core_tests_find_nothing_under_sanitizers(tmp_path: Path, part: int) -> None:
    files = CORE_TESTS[part::PARTS]

    done = run_python(["-m", "pytest", "-p", "no:cacheprovider", *files], tmp_path, timeout_s=280)

    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-8000:]}"
    assert " passed" in done.stdout


@pytest.mark.parametrize(
    ("code", "finding"),
    [
        ("core.lib.platform_destroy(platform); core.lib.idxd_bar0_read(idxd, 0, 8)", "heap-use-after-free"),
        ("del platform, idxd", "LeakSanitizer: detected memory leaks"),
    ],
    ids=["use_after_free", "leak"],
)
def test_sanitizers_would_find_it(tmp_path: Path, code: str, finding: str) -> None:
    good = run_python(["-c", RAW + "core.lib.platform_destroy(platform)"], tmp_path, timeout_s=100)
    bad = run_python(["-c", RAW + code], tmp_path, timeout_s=100)

    assert good.returncode == 0, good.stderr
    assert bad.returncode != 0
    assert finding in bad.stderr


@pytest.mark.parametrize("flags", [ASAN, TSAN], ids=["address", "thread"])
def test_ends_of_commands_are_told_in_order(flags: tuple[str, ...]) -> None:
    program = build_c(f"stress_waiters-{flags[0][12:18]}", [C_TESTS / "stress_waiters.c", *sources("core")], flags)
    done = subprocess.run([program], capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 3


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("flags", "rounds"), [(ASAN, 40_000), (TSAN, 20_000)], ids=["address", "thread"])
def test_promises_hold_while_all_threads_work(flags: tuple[str, ...], rounds: int, seed: int) -> None:
    parts = [C_TESTS / f"stress_{part}.c" for part in ("device", "vm", "parts", "guest", "hosts")]
    program = build_c(f"stress_device-{flags[0][12:18]}", [*parts, *sources("core", "platform", "vdev")], flags)
    done = subprocess.run([program, str(seed), str(rounds)], capture_output=True, text=True, check=False, timeout=250)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(" devices\n")


@pytest.mark.parametrize(("flags", "rounds"), [(ASAN, 20_000), (TSAN, 10_000)], ids=["address", "thread"])
def test_promises_of_devices_of_their_own_hold_while_all_threads_work(flags: tuple[str, ...], rounds: int) -> None:
    files = [C_TESTS / "stress_own.c", *sources("core", "platform", "vdev")]
    program = build_c(f"stress_own-{flags[0][12:18]}", files, flags)
    done = subprocess.run([program, "1", str(rounds)], capture_output=True, text=True, check=False, timeout=250)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(" devices\n")
