"""Ctrl-C that cannot get lost."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self


class CtrlC:
    """While it is entered, a SIGINT that reaches a running asyncio.Runner is remembered in `pressed`.

    The runner cancels its main task then, as ever, and raises KeyboardInterrupt when the task ends cancelled. A task that
    ends just as it is cancelled ends normally, and the interrupt would be lost: whoever runs one step after another looks
    at `pressed` between them. Raising KeyboardInterrupt wherever the program happens to be, as without a runner, is no way
    out: it would leave locks taken. Nor is it when the main task has ended and the loop is about to stop, as a runner does it:
    the end of that task would then stop the loop's next run before it has done anything.
    """

    def __init__(self) -> None:
        self.pressed = False
        self._on_sigint: Any = None

    def __enter__(self) -> Self:
        runner: Any = asyncio.Runner
        self._on_sigint = on_sigint = runner._on_sigint

        def noticed(one: asyncio.Runner, signum: int, frame: Any, main_task: asyncio.Task[Any]) -> None:
            first, self.pressed = not self.pressed, True
            if not (first and main_task.done()):
                on_sigint(one, signum, frame, main_task)

        runner._on_sigint = noticed
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        runner: Any = asyncio.Runner
        runner._on_sigint = self._on_sigint
