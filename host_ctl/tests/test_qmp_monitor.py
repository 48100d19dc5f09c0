"""The monitor answers or fails in bounded time, and no event is missed."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from host_ctl.errors import CommandRefused, EventTimeout, MonitorError, MonitorLost, MonitorTimeout
from host_ctl.qemu_process import QemuProcess
from host_ctl.qmp_monitor import QmpMonitor
from host_ctl.tests.real_qemu import open_fds
from qemu_patches import QemuBinary

pytest_plugins = ["host_ctl.tests.qemu_fixtures"]
LIMIT_S = 20.0
GREETING = b'{"QMP": {"version": {"qemu": {"micro": 0, "minor": 0, "major": 11}, "package": ""}, "capabilities": []}}\n'


@asynccontextmanager
async def bare_qemu(qemu: QemuBinary, folder: Path) -> AsyncIterator[tuple[QmpMonitor, QemuProcess]]:
    """A QEMU without a machine, and its monitor."""
    ours, theirs = socket.socketpair()
    options = ("-nodefaults", "-display", "none", "-machine", "none", "-chardev", f"socket,id=c,fd={theirs.fileno()}")
    argv = (*qemu.argv, *options, "-mon", "chardev=c,mode=control")
    process = QemuProcess.start(argv, log_path=folder / "bare.log", env=qemu.env, pass_fds=(theirs.fileno(),))
    theirs.close()
    monitor = QmpMonitor("bare")
    try:
        await monitor.connect(ours)
        yield monitor, process
    finally:
        process.close()
        await monitor.close()


async def test_command_returns_qmps_answer(qemu: QemuBinary, folder: Path) -> None:
    async with bare_qemu(qemu, folder) as (monitor, _):
        assert (await monitor.execute("query-status"))["status"] == "running"


async def test_refusal_carries_qemus_own_words(qemu: QemuBinary, folder: Path) -> None:
    async with bare_qemu(qemu, folder) as (monitor, _):
        with pytest.raises(CommandRefused, match="QMP device_del: Device 'none' not found") as caught:
            await monitor.execute("device_del", {"id": "none"})
    assert (caught.value.command, caught.value.error_class) == ("device_del", "DeviceNotFound")


async def test_event_of_a_command_is_caught_by_an_expectation_made_before(qemu: QemuBinary, folder: Path) -> None:
    async with bare_qemu(qemu, folder) as (monitor, _):
        with monitor.expect("STOP") as stopped:
            await monitor.execute("stop")
            event = await stopped.wait(LIMIT_S)
    assert event.name == "STOP"
    assert event.time_s > 1.6e9


async def test_expectation_takes_only_the_event_with_its_data(qemu: QemuBinary, folder: Path) -> None:
    async with bare_qemu(qemu, folder) as (monitor, _):
        with monitor.expect("RESET", guest=False) as ours, monitor.expect("RESET", guest=True) as guests:
            await monitor.execute("system_reset")
            assert (await ours.wait(LIMIT_S)).data["guest"] is False
            with pytest.raises(EventTimeout, match="RESET"):
                await guests.wait(0.05)


async def test_events_are_kept_in_order_and_told_as_expected_or_not(qemu: QemuBinary, folder: Path) -> None:
    every: list[str] = []
    unexpected: list[str] = []
    async with bare_qemu(qemu, folder) as (monitor, _):
        monitor.on_event.append(lambda event: every.append(event.name))
        monitor.on_unexpected.append(lambda event: unexpected.append(event.name))
        with monitor.expect("STOP") as stopped:
            await monitor.execute("stop")
            await stopped.wait(LIMIT_S)
        with monitor.expect("STOP") as again:
            await monitor.execute("cont")
            await monitor.execute("stop")
            await again.wait(LIMIT_S)
        assert every == [event.name for event in monitor.history] == ["STOP", "RESUME", "STOP"]
    assert unexpected == ["RESUME"]


async def test_listener_that_raises_cuts_nobody_off(
    qemu: QemuBinary, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_event: object) -> None:
        raise RuntimeError("broken listener")

    async with bare_qemu(qemu, folder) as (monitor, _):
        monitor.on_event.append(broken)
        with monitor.expect("STOP") as stopped:
            await monitor.execute("stop")
            await stopped.wait(LIMIT_S)
        assert (await monitor.execute("query-status"))["status"] == "paused"
    assert "broken listener" in caplog.text


async def test_silent_qemu_costs_the_limit_and_its_late_answer_harms_nothing(qemu: QemuBinary, folder: Path) -> None:
    async with bare_qemu(qemu, folder) as (monitor, process):
        os.kill(process.pid, signal.SIGSTOP)
        async with asyncio.timeout(LIMIT_S):
            with pytest.raises(MonitorTimeout, match=r"no answer in 0\.1 s"):
                await monitor.execute("query-name", limit_s=0.1)
        os.kill(process.pid, signal.SIGCONT)
        assert (await monitor.execute("query-status"))["status"] == "running"


async def test_killed_qemu_wakes_commands_and_expectations(qemu: QemuBinary, folder: Path) -> None:
    async with bare_qemu(qemu, folder) as (monitor, process):
        os.kill(process.pid, signal.SIGSTOP)
        with monitor.expect("STOP") as stopped:
            waiters = [asyncio.ensure_future(stopped.wait(LIMIT_S))]
            waiters += [asyncio.ensure_future(monitor.execute("query-status")) for _ in range(3)]
            await asyncio.sleep(0)
            process.kill()
            outcomes = await asyncio.wait_for(asyncio.gather(*waiters, return_exceptions=True), LIMIT_S)
        assert [type(outcome) for outcome in outcomes] == [MonitorLost] * 4
        with pytest.raises(MonitorLost):
            await monitor.execute("query-status")
        with monitor.expect("STOP") as late, pytest.raises(MonitorLost):
            await late.wait(LIMIT_S)


async def test_close_may_be_repeated_and_gives_the_descriptor_back(qemu: QemuBinary, folder: Path) -> None:
    before = open_fds()
    async with bare_qemu(qemu, folder) as (monitor, _):
        await monitor.close()
        await monitor.close()
    assert open_fds() == before


async def test_close_before_connect_is_harmless() -> None:
    await QmpMonitor("never").close()


async def test_peer_that_hangs_up_is_lost_and_leaks_nothing() -> None:
    before = open_fds()
    ours, theirs = socket.socketpair()
    theirs.close()
    with pytest.raises(MonitorLost):
        await QmpMonitor("m").connect(ours)
    assert open_fds() == before


async def test_peer_that_says_nothing_is_given_up() -> None:
    ours, theirs = socket.socketpair()
    with theirs, pytest.raises(MonitorTimeout):
        await QmpMonitor("m").connect(ours, limit_s=0.05)
    assert ours.fileno() == -1


@pytest.mark.parametrize("steps", range(1, 6))
async def test_connect_that_is_cancelled_at_any_step_gives_the_socket_back(steps: int) -> None:
    before = open_fds()
    ours, theirs = socket.socketpair()
    connecting = asyncio.ensure_future(QmpMonitor("m").connect(ours))
    for _ in range(steps):
        await asyncio.sleep(0)
    connecting.cancel()
    await asyncio.wait({connecting})
    theirs.close()
    assert connecting.cancelled()
    assert open_fds() == before


@pytest.mark.parametrize("words", [b"hello\n", b"{}\n", GREETING + b'{"error": {"class": "x", "desc": "no"}}\n'])
async def test_peer_that_does_not_speak_qmp_is_refused(words: bytes) -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(words)
    with theirs, pytest.raises(MonitorError):
        await QmpMonitor("m").connect(ours, limit_s=LIMIT_S)
    assert ours.fileno() == -1
