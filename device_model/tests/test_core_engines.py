"""Engines: groups, turns by priority, sleep and waking, halt; and many of them at once (DSA specification 3.2, 4.1, 5.7)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from device_model.tests.core_rig import ACTIVE, CMDSTATUS, RECORDS, SUCCESS, Cmd, GuestView, Machine, firing
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


def until_idle(guest: GuestView) -> int:
    """CMDSTATUS when no command is active any more; the test's own limit bounds it."""
    while (status := guest.read(CMDSTATUS)) & ACTIVE:
        pass
    return status


def test_engines_keep_their_promises_turn_by_turn() -> None:
    assert len(run("test_engines", ASAN)) == 19


@pytest.mark.parametrize(("name", "tests"), [("test_turns", 7), ("test_turns_midst", 13)], ids=["turns", "midst"])
def test_turn_of_several_descriptors_does_what_turns_of_one_would_have_done(name: str, tests: int) -> None:
    assert len(run(name, ASAN)) == tests


def test_steps_turns_and_a_mixture_of_both_end_the_same_descriptors_in_the_same_order() -> None:
    """Whatever is submitted, drained, aborted, stopped, disabled and enabled in the midst of them."""
    assert run("fuzz_turns", ASAN, 1, 60)[-1].endswith(" aborted")


@pytest.mark.parametrize("flags", SANITIZERS)
def test_engines_sleep_while_idle_and_leave_no_descriptor_lying(flags: tuple[str, ...]) -> None:
    assert len(run("test_engine_threads", flags)) == 3


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("flags", "rounds"), [(ASAN, 20_000), (TSAN, 10_000)], ids=["address", "thread"])
def test_order_and_silence_hold_while_many_engines_work(flags: tuple[str, ...], rounds: int, seed: int) -> None:
    assert run("stress_engines", flags, seed, rounds)[-1].endswith(" records")


def test_engines_that_were_stopped_leave_work_where_it_is_and_go_on_with_it(tmp_path: Path) -> None:
    with Machine(tmp_path) as machine:
        guest = machine.started()
        machine.device.start_engines()
        guest.submit(firing(RECORDS, guest.handle))
        guest.command(Cmd.DRAIN_WQ, 1)
        first = until_idle(guest), guest.record().status, guest.vectors()
        machine.device.stop_engines()
        machine.device.stop_engines()
        guest.put(RECORDS, bytes(32))
        guest.submit(firing(RECORDS, guest.handle), firing(RECORDS + 32, guest.handle))
        stepped = machine.device.step()
        held = guest.command(Cmd.DRAIN_WQ, 1), guest.record(RECORDS + 32).status, guest.vectors()
        machine.device.start_engines()
        machine.device.start_engines()
        second = until_idle(guest), guest.record(RECORDS + 32).status, guest.vectors()

    assert first == (0, SUCCESS, [1])
    assert stepped
    assert held == (ACTIVE, 0, [1])
    assert second == (0, SUCCESS, [1])
