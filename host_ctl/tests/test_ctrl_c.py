"""Ctrl-C is noticed even if the task that it cancels ends normally."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from host_ctl.ctrl_c import CtrlC


async def presses(swallow: bool) -> str:
    os.kill(os.getpid(), signal.SIGINT)
    try:
        await asyncio.sleep(0)
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if not swallow:
            raise
    return "ended normally"


def test_interrupt_that_a_task_swallows_is_remembered() -> None:
    with CtrlC() as ctrl_c, asyncio.Runner() as runner:
        ended = runner.run(presses(swallow=True))

    assert ended == "ended normally"
    assert ctrl_c.pressed


def test_interrupt_that_a_task_does_not_swallow_is_raised_as_ever() -> None:
    with CtrlC() as ctrl_c, asyncio.Runner() as runner, pytest.raises(KeyboardInterrupt):
        runner.run(presses(swallow=False))

    assert ctrl_c.pressed


def test_afterwards_runners_are_as_they_were() -> None:
    before = vars(asyncio.Runner)["_on_sigint"]
    with CtrlC():
        pass

    assert vars(asyncio.Runner)["_on_sigint"] is before


async def pressed_when_this_has_ended() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.add_done_callback(lambda _: signal.raise_signal(signal.SIGINT))


async def several_steps() -> str:
    for _ in range(3):
        await asyncio.sleep(0)
    return "went on"


def test_interrupt_at_the_end_of_a_run_is_remembered_and_the_next_run_is_not_broken_off() -> None:
    with CtrlC() as ctrl_c, asyncio.Runner() as runner:
        runner.run(pressed_when_this_has_ended())
        ended = runner.run(several_steps())

    assert ctrl_c.pressed
    assert ended == "went on"
