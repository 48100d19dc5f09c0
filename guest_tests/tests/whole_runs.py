"""Whole commands in processes of their own, followed line by line: for tests of what a user meets."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LIMIT_S = 120
"""Bound on any wait for a run's next line or its end; a whole small run takes 5 s on an idle machine."""


class Run:
    """A `vdsa run --plain`, or another command, in a process of its own, followed line by line."""

    def __init__(self, report: Path, *options: str, command: str = "run", guests: int = 3, **environment: str) -> None:
        self.report = report
        words = [sys.executable, "-m", "host_ctl", command, "--plain", "--accel", "tcg", "--report", str(report)]
        self.process = subprocess.Popen(
            [*words, "--guests", str(guests), "--vectors", "2", "--seed", "5", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **environment},
        )
        self.lines: list[str] = []

    def until(self, text: str) -> None:
        """Returns when a line with `text` has been printed."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if text in line:
                return
        raise AssertionError(f"the run ended without {text!r}: {self.lines}")

    def end(self) -> int:
        """Exit status, when all output has been read."""
        assert self.process.stdout is not None
        self.lines += [line.rstrip("\n") for line in self.process.stdout]
        return self.process.wait(LIMIT_S)

    def guests(self) -> list[int]:
        """Process ids of the QEMUs that run now."""
        return children(self.process.pid)

    def results(self, name: str = "report.json") -> dict[str, object]:
        """The run's report.json, or another file beside it."""
        loaded: dict[str, object] = json.loads((self.report / name).read_text())
        return loaded


@contextmanager
def running(report: Path, *options: str, command: str = "run", guests: int = 3, **environment: str) -> Iterator[Run]:
    """A run that does not outlive the test."""
    run = Run(report, *options, command=command, guests=guests, **environment)
    try:
        yield run
    finally:
        run.process.kill()
        run.end()


def children(pid: int) -> list[int]:
    """Process ids of the children of a process."""
    found = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(word) for text in found for word in text.split()]


def run_folders() -> set[str]:
    """Run folders in the places where runs make them."""
    places = [Path("/tmp"), Path(os.environ.get("XDG_RUNTIME_DIR", "/tmp"))]
    return {str(path) for place in places for path in place.glob("vdsa-*-*-*")}


def folders_of(pid: int) -> set[str]:
    """Those of one run; its process id is in their name."""
    return {folder for folder in run_folders() if f"/vdsa-{pid}-" in folder}


def wait_gone(pids: list[int]) -> None:
    """Returns when none of these processes lives; they have been sent their end already."""
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        poll = select.poll()
        poll.register(fd)
        ended = poll.poll(LIMIT_S * 1000)
        os.close(fd)
        assert ended, f"process {pid} still lives"
