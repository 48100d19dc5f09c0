"""Engines: groups, turns by priority, sleep and waking, halt; and many of them at once (DSA specification 3.2, 4.1, 5.7)."""

from __future__ import annotations

import subprocess

import pytest

from device_model.tests.protocol_rig import ASAN, C_TESTS, TSAN, build_c, sources

SANITIZERS = [pytest.param(ASAN, id="address"), pytest.param(TSAN, id="thread")]


def run(name: str, flags: tuple[str, ...], *arguments: object) -> list[str]:
    """Builds a program with the core, runs it, and returns what it says. A failure raises."""
    program = build_c(f"{name}-{flags[0][12:18]}", [C_TESTS / f"{name}.c", *sources("core")], flags)
    command = [str(program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=250)
    if done.returncode != 0:
        raise AssertionError(done.stdout + done.stderr)
    return done.stdout.splitlines()


def test_engines_keep_their_promises_turn_by_turn() -> None:
    assert len(run("test_engines", ASAN)) == 19


@pytest.mark.parametrize("flags", SANITIZERS)
def test_engines_sleep_while_idle_and_leave_no_descriptor_lying(flags: tuple[str, ...]) -> None:
    assert len(run("test_engine_threads", flags)) == 2


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("flags", "rounds"), [(ASAN, 20_000), (TSAN, 10_000)], ids=["address", "thread"])
def test_order_and_silence_hold_while_many_engines_work(flags: tuple[str, ...], rounds: int, seed: int) -> None:
    assert run("stress_engines", flags, seed, rounds)[-1].endswith(" records")
