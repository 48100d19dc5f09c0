"""A process that is started is fast to start, bounded in what it writes, and never left behind."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from host_ctl.qemu_process import ExitStatus, QemuProcess
from host_ctl.tests.real_qemu import is_running, open_fds

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 10.0
PARENT = """
import sys, time
from pathlib import Path
from host_ctl.qemu_process import QemuProcess
process = QemuProcess.start(("sleep", "600"), log_path=Path(sys.argv[1]))
print(process.pid, flush=True)
sys.stdin.read()
"""


def sh(script: str, tmp_path: Path, **options: object) -> QemuProcess:
    return QemuProcess.start(("/bin/sh", "-c", script), log_path=tmp_path / "log", **options)  # type: ignore[arg-type]


async def test_exit_status_and_output_are_kept(tmp_path: Path) -> None:
    process = sh("echo out; echo err >&2; exit 7", tmp_path)
    assert await asyncio.wait_for(process.wait(), LIMIT_S) == ExitStatus(7)
    assert sorted(process.log_tail()) == ["err", "out"]


async def test_every_waiter_is_woken_by_a_kill(tmp_path: Path) -> None:
    process = sh("exec sleep 600", tmp_path)
    waiters = [asyncio.ensure_future(process.wait()) for _ in range(5)]
    await asyncio.sleep(0)
    os.kill(process.pid, signal.SIGKILL)
    statuses = await asyncio.wait_for(asyncio.gather(*waiters), LIMIT_S)
    assert [str(status) for status in statuses] == ["killed by SIGKILL"] * 5


def test_close_without_a_loop_kills_and_reaps(tmp_path: Path) -> None:
    process = sh("exec sleep 600", tmp_path)
    assert process.close()
    assert not is_running(process.pid)


def test_close_may_be_repeated_and_never_hits_a_later_process(tmp_path: Path) -> None:
    process = sh("exit 0", tmp_path)
    assert process.close()
    process.kill()
    assert process.close()
    assert process.status is not None


async def test_descriptors_are_back_after_twenty_starts(tmp_path: Path) -> None:
    sh("exit 0", tmp_path).close()
    before = open_fds()
    for _ in range(20):
        process = sh("exec sleep 600", tmp_path)
        waiter = asyncio.ensure_future(process.wait())
        await asyncio.sleep(0)
        process.kill()
        await asyncio.wait_for(waiter, LIMIT_S)
        process.close()
    assert open_fds() == before


def test_killed_parent_takes_the_process_with_it(tmp_path: Path) -> None:
    command = (sys.executable, "-c", PARENT, str(tmp_path / "log"))
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        readable, _, _ = select.select([child], [], [], LIMIT_S)
    os.close(child)
    assert readable == [child]


def test_process_whose_parent_died_before_the_guard_was_up_does_not_start(tmp_path: Path) -> None:
    # The guard is told its parent's pid; any other parent means that the real one is gone.
    process = sh("touch started", tmp_path)
    process.close()
    guard = [str(word) for word in process._popen.args]  # type: ignore[union-attr]
    guard[guard.index(str(os.getpid()))] = "1"
    assert subprocess.run(guard, cwd=tmp_path, check=False).returncode == 125
    assert not (tmp_path / "started").exists()


async def test_process_in_a_flood_of_messages_lives_and_its_log_is_bounded(tmp_path: Path) -> None:
    script = "i=0; while [ $i -lt 5000 ]; do echo 'two lines for every access' 2>/dev/null; i=$((i+1)); done; exit 3"
    process = sh(script, tmp_path, log_limit=16384)
    assert await asyncio.wait_for(process.wait(), LIMIT_S) == ExitStatus(3)
    assert process.log_path.stat().st_size == 16384
    assert "the log is full at 16384 bytes" in process.log_tail()[-1]


async def test_log_without_a_limit_takes_everything(tmp_path: Path) -> None:
    process = sh("head -c 100000 /dev/zero", tmp_path, log_limit=None)
    await asyncio.wait_for(process.wait(), LIMIT_S)
    assert process.log_path.stat().st_size == 100000


async def test_only_the_passed_descriptors_are_inherited(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    process = sh("ls /proc/self/fd | sort -n | tr '\\n' ' '", tmp_path, pass_fds=(theirs,))
    await asyncio.wait_for(process.wait(), LIMIT_S)
    os.close(ours)
    os.close(theirs)
    listed = {int(word) for word in process.log_tail()[0].split()}
    assert theirs in listed
    assert ours not in listed


async def test_interrupt_from_the_terminal_does_not_reach_the_process(tmp_path: Path) -> None:
    process = sh("exec sleep 600", tmp_path)
    assert os.getpgid(process.pid) != os.getpgrp()
    process.close()


async def test_environment_is_added_to_and_not_replaced(tmp_path: Path) -> None:
    process = sh('echo "$ADDED $HOME"', tmp_path, env={"ADDED": "yes"})
    await asyncio.wait_for(process.wait(), LIMIT_S)
    assert process.log_tail() == (f"yes {os.environ['HOME']}",)


async def test_program_that_is_not_there_ends_with_words_in_the_log(tmp_path: Path) -> None:
    process = QemuProcess.start(("/nowhere/qemu",), log_path=tmp_path / "log")
    assert await asyncio.wait_for(process.wait(), LIMIT_S) == ExitStatus(127)
    assert "/nowhere/qemu" in process.log_tail()[-1]


def test_missing_setpriv_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    before = open_fds()
    with pytest.raises(FileNotFoundError, match="util-linux"):
        sh("exit 0", tmp_path)
    assert open_fds() == before


def test_log_that_cannot_be_written_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="log"):
        QemuProcess.start(("true",), log_path=tmp_path / "none" / "log")


@pytest.mark.parametrize(
    ("code", "text"), [(0, "exit status 0"), (-6, "killed by SIGABRT"), (-200, "killed by signal 200")]
)
def test_status_reads_as_words(code: int, text: str) -> None:
    assert str(ExitStatus(code)) == text
