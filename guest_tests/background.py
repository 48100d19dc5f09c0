"""Guests that fire all the time while something else goes on: the fire that plugging and unplugging happens under."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from guest_tests.member import Member
from guest_tests.rig import Rig

BURST = 4
"""Shots in a row of a guest."""
AT_ONCE = 2 * (os.cpu_count() or 1)
"""Guests that fire at any moment; the others wait for their turn. A share of the machine, however many guests there are:
sixty that all fire as fast as they can would take all of it, and what they are to be the background of could not get on."""


class Background:
    """Use as `async with`. Each of the guests fires bursts at one of its own vectors, each shot acknowledged, in turns.

    Ends after the bursts under way. Raises what Rig.fire() raises, in all_fire() or at the end.
    """

    def __init__(self, rig: Rig, members: Sequence[Member]) -> None:
        self._rig = rig
        self._vectors = [(member, rig.random.choice(member.vectors)) for member in members]
        self._shots = {member.index: 0 for member in members}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._fired = asyncio.Condition()
        self._ends = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def shots(self) -> dict[int, int]:
        """How often each guest has fired by now, by the number of the guest."""
        return dict(self._shots)

    async def all_fire(self) -> dict[int, int]:
        """Returns shots() when every guest has fired again since the call."""
        before = self.shots
        waiting = asyncio.create_task(self._until_all_beyond(before))
        try:
            done, _ = await asyncio.wait({waiting, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:  # a guest that fails ends its own
                task.result()
        finally:
            waiting.cancel()
        return self.shots

    async def _until_all_beyond(self, before: dict[int, int]) -> None:
        async with self._fired:
            await self._fired.wait_for(lambda: all(self._shots[index] > count for index, count in before.items()))

    async def _fire(self, member: Member, vector: int) -> None:
        while not self._ends:
            async with self._turns:
                await self._rig.fire(member, [vector] * BURST)
            self._shots[member.index] += BURST
            async with self._fired:
                self._fired.notify_all()

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._fire(member, vector)) for member, vector in self._vectors]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._ends = True
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        failures = [outcome for outcome in outcomes if outcome is not None]
        if failures and error is None:
            raise failures[0]
