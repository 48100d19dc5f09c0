"""Guest memory in place: C tests of views and of what is taken away; a running engine against memory that comes and goes."""

from __future__ import annotations

import subprocess

import pytest

from device_model.tests.protocol_rig import ASAN, C_TESTS, TSAN, build_c, sources

EVERYTHING = sources("core", "platform", "vdev", "transport")
RIG = [C_TESTS / "memory_rig.c", C_TESTS / "guest_memory.c"]


@pytest.mark.parametrize("flags", [ASAN, TSAN], ids=["address", "thread"])
@pytest.mark.parametrize(("name", "tests"), [("test_memory", 9), ("test_memory_taken", 3)])
def test_c_unit_tests_of_memory_pass_under_sanitizers(name: str, tests: int, flags: tuple[str, ...]) -> None:
    program = build_c(f"{name}-{flags[0][12:18]}", [C_TESTS / f"{name}.c", *RIG, *EVERYTHING], flags)
    done = subprocess.run([program], capture_output=True, text=True, check=False, timeout=120)

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == tests, done.stdout


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("flags", "rounds"), [(ASAN, 3000), (TSAN, 500)], ids=["address", "thread"])
def test_memory_that_was_taken_away_stays_untouched(flags: tuple[str, ...], rounds: int, seed: int) -> None:
    files = [C_TESTS / "stress_memory.c", C_TESTS / "guest_memory.c", *EVERYTHING]
    program = build_c(f"stress_memory-{flags[0][12:18]}", files, flags)
    done = subprocess.run([program, str(seed), str(rounds)], capture_output=True, text=True, check=False, timeout=200)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(" cut short\n")
