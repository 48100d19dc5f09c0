"""Runs dmatest in a guest: copies of random sizes at random places, each waited for by interrupt, each verified."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from guest_tests.linux.guest import LinuxGuest, LinuxTrouble

_PARAMETERS = "/sys/module/dmatest/parameters"
_SUMMARY = re.compile(r"dmatest: (\S+?)-copy\d+: summary (\d+) tests, (\d+) failures (\S+) iops (\d+) KB/s \((-?\d+)\)")
_RESULT = re.compile(r"^\[\s*(\d+\.\d+)\] dmatest: \S+: result #\d+: 'test passed'", re.MULTILINE)
_marks = itertools.count(1)

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
    """dmatest under way. `mark`: after it in the kernel's log stand its lines."""

    guest: LinuxGuest
    mark: str

    async def finish(self, limit_s: float) -> list[Outcome]:
        """Waits until it has done what it was told."""
        await self.guest.run(f"while [ $(cat {_PARAMETERS}/run) = Y ]; do sleep 0.02; done", limit_s)
        return await self._outcomes()

    async def stop(self, limit_s: float = STOP_LIMIT_S) -> list[Outcome]:
        """Ends it after the copy it is at.

        Writing 0 to `run` would break off the wait for that copy, and count it as failed (kthread_stop() interrupts it). What is
        written to `channel` makes all parameters those of the threads that run, also where there is no such channel.
        """
        await self.guest.attempt(f"cd {_PARAMETERS}; echo 1 >iterations; echo none >channel")
        return await self.finish(limit_s)

    async def _outcomes(self) -> list[Outcome]:
        log = await self.lines()
        found = [Outcome(m[1], int(m[2]), int(m[3]), float(m[4]), int(m[6])) for m in _SUMMARY.finditer(log)]
        await self.guest.run(f"echo 0 >{_PARAMETERS}/run")  # gives the channels back
        if not found:
            raise LinuxTrouble(f"{self.guest.name}: dmatest wrote no summary:\n{log}")
        return found

    async def lines(self) -> str:
        """The kernel's log since it was started."""
        return (await self.guest.run("dmesg")).rpartition(self.mark)[2]

    async def intervals_us(self) -> list[float]:
        """Microseconds from one result to the next; of a run that was verbose."""
        times = [float(found) * 1e6 for found in _RESULT.findall(await self.lines())]
        return [after - before for before, after in itertools.pairwise(times)]


async def start(
    guest: LinuxGuest, channels: list[str], iterations: int, *, size: int | None = None, verbose: bool = False
) -> Running:
    """Starts dmatest, one thread a channel. iterations: 0: until it is stopped. size: of all copies, unverified."""
    mark = f"vdsa-mark-{next(_marks)}"
    fixed = "N" if size is None else "Y"
    settings = {
        "iterations": iterations, "threads_per_chan": 1, "timeout": TIMEOUT_MS, "polled": "N",
        "norandom": fixed, "noverify": fixed, "test_buf_size": BUFFER_BYTES,
        "transfer_size": size or 0, "verbose": "Y" if verbose else "N",
    }  # fmt: skip
    lines = ["set -e", f"echo {mark} >/dev/kmsg", f"cd {_PARAMETERS}"]
    lines += [f"echo {value} >{name}" for name, value in settings.items()]
    lines += [f"echo {channel} >channel" for channel in channels]
    await guest.run("\n".join([*lines, "echo 1 >run"]))
    return Running(guest, mark)


async def copies(guest: LinuxGuest, channels: list[str], iterations: int, limit_s: float = 120.0) -> list[Outcome]:
    """Runs dmatest to its end."""
    return await (await start(guest, channels, iterations)).finish(limit_s)


async def channels_of(guest: LinuxGuest, bdf: str) -> list[str]:
    """The channels of a device's queues that are enabled for the kernel."""
    found = await guest.run(
        f"for c in /sys/class/dma/*; do case $(readlink -f $c/device) in */{bdf}*) basename $c;; esac; done"
    )
    return found.split()


def failed(outcomes: list[Outcome], iterations: int) -> str | None:
    """What is wrong with the outcomes of runs of so many copies each; None: nothing."""
    for one in outcomes:
        if one.failures or one.error or (iterations and one.copies != iterations):
            return f"{one.channel}: {one.copies:,} copies of {iterations:,}, {one.failures} failures, error {one.error}"
    return None
