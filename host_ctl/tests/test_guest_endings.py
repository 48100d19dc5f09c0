"""However the host's program ends, its guests, sockets and files end with it."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from host_ctl.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 20.0
GUESTS = 3
PROGRAM = """
import asyncio, sys
from pathlib import Path
from host_ctl.guest import start_guests
from host_ctl.run_folder import RunFolder
from host_ctl.tests.real_qemu import halting
from qemu_patches import find_qemu

async def main():
    with RunFolder(Path(sys.argv[1])) as run:
        specs = [halting(run.path, f"g{i}") for i in range(int(sys.argv[2]))]
        guests = await start_guests(specs, find_qemu(), run.path)
        try:
            print(*(guest.process.pid for guest in guests), flush=True)
            if sys.argv[3] == "raise":
                sys.stdin.readline()
                raise RuntimeError("a scenario that failed")
            await asyncio.Event().wait()
        finally:
            await asyncio.gather(*(guest.close() for guest in guests))

asyncio.run(main())
"""


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder for the program's run folder, with a short path."""
    with RunFolder() as run:
        yield run.path


@contextmanager
def program(base: Path, end: str) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """The program above with its guests up, and a pidfd for each of them."""
    command = (sys.executable, "-X", "dev", "-c", PROGRAM, str(base), str(GUESTS), end)
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        fds = [os.pidfd_open(int(pid)) for pid in process.stdout.readline().split()]
        yield process, fds
        process.kill()
    for fd in fds:
        os.close(fd)


def ended(fds: list[int]) -> int:
    """How many of these processes end within the limit."""
    return sum(len(select.select([fd], [], [], LIMIT_S)[0]) for fd in fds)


def test_interrupt_ends_every_guest_and_leaves_no_file_and_no_noise(base: Path) -> None:
    with program(base, "wait") as (process, fds):
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=LIMIT_S)
        assert ended(fds) == len(fds) == GUESTS
    assert list(base.iterdir()) == []
    assert errors.strip().endswith("KeyboardInterrupt")
    assert "never retrieved" not in errors
    assert "Warning" not in errors


def test_killed_program_takes_every_guest_along_and_its_files_go_with_the_next_run(base: Path) -> None:
    with program(base, "wait") as (process, fds):
        process.kill()
        process.wait()
        assert ended(fds) == len(fds) == GUESTS
    RunFolder(base).close()
    assert list(base.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_program_that_is_told_to_end_takes_every_guest_along(base: Path, number: signal.Signals) -> None:
    with program(base, "wait") as (process, fds):
        process.send_signal(number)
        process.wait()
        assert ended(fds) == len(fds) == GUESTS


def test_failing_program_ends_every_guest_and_shows_its_own_error_only(base: Path) -> None:
    with program(base, "raise") as (process, fds):
        _, errors = process.communicate("now\n", timeout=LIMIT_S)
        assert ended(fds) == len(fds) == GUESTS
    assert list(base.iterdir()) == []
    assert errors.strip().endswith("RuntimeError: a scenario that failed")
    assert "never retrieved" not in errors
    assert "Warning" not in errors
