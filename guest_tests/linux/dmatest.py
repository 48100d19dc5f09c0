"""Runs dmatest in a guest: copies of random sizes at random places, each waited for by interrupt, each verified."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from guest_tests.linux.guest import LinuxGuest, LinuxTrouble

_PARAMETERS = "/sys/module/dmatest/parameters"
_SUMMARY = re.compile(r"dmatest: (\S+?)-copy\d+: summary (\d+) tests, (\d+) failures (\S+) iops (\d+) KB/s \((-?\d+)\)")
_RESULT = re.compile(r"^<\d+>\[\s*(\d+\.\d+)\] dmatest: \S+: result #\d+: 'test passed'", re.MULTILINE)
_AT_PARAMETERS = ("set -e", f"cd {_PARAMETERS}")

TIMEOUT_MS = 20_000
"""Bound on one copy: a busy machine is slow, not wrong."""


BUFFER_BYTES = 4096
"""Of source and destination; a copy is of any size up to it, at any place in it, and all is looked at."""
STOP_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What dmatest says of one channel's thread."""

    channel: str
    copies: int
    failures: int
    per_second: float
    error: int


@dataclass(slots=True)
class Running:
    """dmatest under way. `first`: in the kernel's log, where its lines begin."""

    guest: LinuxGuest
    first: int

    async def finish(self, limit_s: float) -> list[Outcome]:
        """Waits until it has done what it was told."""
        return await self._end([], limit_s)

    async def stop(self, canary: int | None = None, limit_s: float = STOP_LIMIT_S) -> list[Outcome]:
        """Ends it after the copy it is at. canary: a line of /proc/interrupts, which is to have another interrupt before.

        Writing 0 to `run` would break off the wait for that copy, and count it as failed (kthread_stop() interrupts it). What is
        written to `channel` makes all parameters those of the threads that run, also where there is no such channel.
        """
        wait = [] if canary is None else _wait_for(canary)
        return await self._end([*wait, "echo 1 >iterations", "echo none >channel || true"], limit_s)

    async def _end(self, before: list[str], limit_s: float) -> list[Outcome]:
        ended = ["read -r runs <run", "while [ $runs = Y ]; do sleep 0.02; read -r runs <run; done"]
        given_back = "echo 0 >run"
        await self.guest.run_and_read_log("\n".join([*_AT_PARAMETERS, *before, *ended, given_back]), limit_s)
        found = [Outcome(m[1], int(m[2]), int(m[3]), float(m[4]), int(m[6])) for m in _SUMMARY.finditer(self._log())]
        if not found:
            raise LinuxTrouble(f"{self.guest.name}: dmatest wrote no summary:\n{self._log()}")
        return found

    def _log(self) -> str:
        return "\n".join(self.guest.lines[self.first :])

    def intervals_us(self) -> list[float]:
        """Microseconds from one result to the next; of a run that was verbose and has ended."""
        times = [float(found) * 1e6 for found in _RESULT.findall(self._log())]
        return [after - before for before, after in itertools.pairwise(times)]


async def start(
    guest: LinuxGuest, channels: Sequence[str], iterations: int, *, size: int | None = None, verbose: bool = False,
    canary: int | None = None,
) -> Running:
    """Starts dmatest, one thread a channel. iterations: 0: until it is stopped. size: of all copies, unverified.

    canary: a line of /proc/interrupts; returns when it has had an interrupt.
    """
    fixed = "N" if size is None else "Y"
    settings = {
        "iterations": iterations, "threads_per_chan": 1, "timeout": TIMEOUT_MS, "polled": "N",
        "norandom": fixed, "noverify": fixed, "test_buf_size": BUFFER_BYTES,
        "transfer_size": size or 0, "verbose": "Y" if verbose else "N",
    }  # fmt: skip
    lines = [*_AT_PARAMETERS]
    lines += [f"echo {value} >{name}" for name, value in settings.items()]
    lines += [f"echo {channel} >channel" for channel in channels]
    first = len(guest.lines)
    await guest.run("\n".join([*lines, "echo 1 >run", *([] if canary is None else _wait_for(canary))]))
    return Running(guest, first)


async def halt(guest: LinuxGuest) -> None:
    """Ends dmatest, wherever it is and whatever has become of its copies; where it does not run nothing happens."""
    with contextlib.suppress(LinuxTrouble):  # it wrote no summary, or the guest is in worse trouble
        await Running(guest, len(guest.lines)).stop()


async def copies(guest: LinuxGuest, channels: Sequence[str], iterations: int, limit_s: float = 120.0) -> list[Outcome]:
    """Runs dmatest to its end."""
    return await (await start(guest, channels, iterations)).finish(limit_s)


def _wait_for(line: int) -> list[str]:
    """Until a line of /proc/interrupts has counted one more than now. Without a program of its own: to start one takes long."""
    count = f'while read -r at n rest; do [ "$at" != {line}: ] || echo $n; done </proc/interrupts'
    # Where there is no such line, there is no count: an error now, and no end later.
    waiting = 'until [ "$(count)" -gt "$was" ]; do sleep 0.01; done'
    return ["count() {", count, "}", "was=$(count)", '[ -n "$was" ]', waiting]


def failed(outcomes: list[Outcome], iterations: int) -> str | None:
    """What is wrong with the outcomes of runs of so many copies each; None: nothing."""
    for one in outcomes:
        if one.failures or one.error or (iterations and one.copies != iterations):
            return f"{one.channel}: {one.copies:,} copies of {iterations:,}, {one.failures} failures, error {one.error}"
    return None
