"""What watches a virtual device, with all threads at work: no race, no leak, and each snapshot of one moment."""

from __future__ import annotations

import subprocess

import pytest

from device_model.tests.protocol_rig import ASAN, C_TESTS, TSAN, build_c, sources


@pytest.mark.parametrize(("flags", "rounds"), [(ASAN, 30_000), (TSAN, 10_000)], ids=["address", "thread"])
def test_watching_and_working_do_not_disturb_each_other(flags: tuple[str, ...], rounds: int) -> None:
    files = [C_TESTS / "stress_observe.c", *sources("core", "platform", "vdev")]
    program = build_c(f"stress_observe-{flags[0][12:18]}", files, flags)
    done = subprocess.run([program, str(rounds)], capture_output=True, text=True, check=False, timeout=250)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(" records lost\n")
