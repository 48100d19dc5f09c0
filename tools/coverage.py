"""Line and branch coverage of the C core by the tests of the device model: `make coverage`.

Builds the extension module once more with gcov's counters, runs the tests that take the core under test from VDSA_TEST_CORE,
and fails below the floors. The pages are in build/coverage/.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "coverage"
MODULE = "_vdsa_covered"
FLAGS = ("--coverage", "-O0", "-fprofile-update=atomic")
LINES, BRANCHES = 90, 80
"""Floors in percent for device_model/core."""


def build() -> Path:
    """The module with counters; its notes stay beside its objects, where gcovr looks for them."""
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(parents=True)
    code = (
        "import sys; from device_model.build_core import make_ffi; "
        "print(make_ffi(sys.argv[1], flags=sys.argv[3:]).compile(tmpdir=sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, MODULE, str(BUILD), *FLAGS]
    made = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return Path(made.stdout.splitlines()[-1])


def measure(module: Path, arguments: list[str]) -> int:
    """Runs the tests and reports. The status of the first that failed, or gcovr's: 2 and more if a floor is not reached."""
    tests = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "device_model" / "tests").glob("test_*.py"))
    pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *tests, *arguments]
    tested = subprocess.run(pytest, cwd=ROOT, env=os.environ | {"VDSA_TEST_CORE": str(module)}, check=False)
    if tested.returncode != 0:
        return tested.returncode
    report = [
        *(sys.executable, "-m", "gcovr", "--root", str(ROOT), str(BUILD)),
        *("--filter", "device_model/core/", "--exclude-throw-branches", "--print-summary"),
        *("--txt", "--html-details", str(BUILD / "index.html")),
        *("--fail-under-line", str(LINES), "--fail-under-branch", str(BRANCHES)),
    ]
    return subprocess.run(report, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    print("coverage: building the core with counters", flush=True)
    sys.exit(measure(build(), sys.argv[1:]))
