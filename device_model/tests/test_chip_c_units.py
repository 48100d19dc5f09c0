"""C programs over the MSI-X table by itself and over the whole device, under sanitizers, in one thread and in many."""

from __future__ import annotations

import subprocess

import pytest

from device_model.build_core import HERE
from device_model.tests.protocol_rig import ASAN, C_TESTS, TSAN, build_c, sources

TABLE = [HERE / "core" / f"{name}.c" for name in ("msix", "msix_table", "flights", "ledger", "tally")]


def test_table_keeps_its_promises_under_sanitizers() -> None:
    program = build_c("test_msix", [C_TESTS / "test_msix.c", *TABLE], ASAN)
    done = subprocess.run([program], capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 15


@pytest.mark.parametrize(("flags", "rounds"), [(ASAN, 2000), (TSAN, 1000)], ids=["address", "thread"])
def test_no_message_is_lost_doubled_torn_or_sent_while_masked(flags: tuple[str, ...], rounds: int) -> None:
    program = build_c(f"stress_msix-{flags[0][12:18]}", [C_TESTS / "stress_msix.c", *TABLE], flags)
    done = subprocess.run([program, str(rounds)], capture_output=True, text=True, check=False, timeout=250)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == f"{4 * rounds} messages\n"


@pytest.mark.parametrize("seed", [1, 2], ids=["no_handles", "handles"])
@pytest.mark.parametrize(("flags", "rounds"), [(ASAN, 200), (TSAN, 100)], ids=["address", "thread"])
def test_nothing_leaves_after_flr_whatever_other_threads_do(flags: tuple[str, ...], rounds: int, seed: int) -> None:
    program = build_c(f"stress_function-{flags[0][12:18]}", [C_TESTS / "stress_function.c", *sources("core")], flags)
    done = subprocess.run([program, str(seed), str(rounds)], capture_output=True, text=True, check=False, timeout=250)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(" halts\n")
