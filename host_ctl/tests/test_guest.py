"""A guest comes up or says why not, its end wakes everybody, and nothing of it stays."""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest

import host_ctl.guest
from host_ctl.errors import (
    GuestDidNotEject,
    GuestDied,
    HotplugError,
    MonitorTimeout,
    QemuLaunchError,
    SocketPathTooLong,
)
from host_ctl.guest import Guest, start_guests
from host_ctl.guest_command import GuestSpec, guest_options
from host_ctl.tests.qtest_guest import QtestPort, qtest_guest
from host_ctl.tests.real_qemu import file_names, halting, is_running, open_fds, triple_faulting
from qemu_patches import QemuBinary

pytest_plugins = ["host_ctl.tests.qemu_fixtures"]
LIMIT_S = 20.0
MUTE = QemuBinary(argv=("/bin/sh", "-c", "echo stuck; exec sleep 600"), env={}, version=(11, 1, 3), origin="test")


@pytest.fixture
async def guest(qemu: QemuBinary, folder: Path) -> AsyncIterator[Guest]:
    async with await Guest.start(halting(folder, ports=2), qemu, folder) as started:
        yield started


@pytest.fixture
async def driven(qemu: QemuBinary, folder: Path) -> AsyncIterator[QtestPort]:
    """A guest without a CPU, whose port 0 the test drives as a guest's software would."""
    async with qtest_guest(qemu, folder) as port:
        yield port


async def test_guest_runs_when_start_returns(guest: Guest) -> None:
    assert (await guest.execute("query-status"))["status"] == "running"
    assert not guest.died.done()


async def test_host_sees_the_guests_ram_and_hears_its_serial_line(driven: QtestPort) -> None:
    await driven.command("writel 0x2000 0x64636261")
    assert driven.guest.ram.map[0x2000:0x2004] == b"abcd"
    await driven.command("outb 0x3f8 0x5a")
    loop = asyncio.get_running_loop()
    assert await asyncio.wait_for(loop.sock_recv(driven.guest.serial, 1), LIMIT_S) == b"Z"


async def test_launch_error_shows_command_line_status_and_log(qemu: QemuBinary, folder: Path) -> None:
    before = open_fds()
    with pytest.raises(QemuLaunchError) as caught:
        await Guest.start(halting(folder, extra=("-device", "no-such-device")), qemu, folder)
    message = str(caught.value)
    assert "exit status 1" in message
    assert "-device no-such-device" in message
    assert "'no-such-device' is not a valid device model name" in message
    assert open_fds() == before


def until_said(log: Path, words: str) -> None:
    """Holds the event loop up until a log has these words; the test's own limit bounds it."""
    while words not in log.read_text():
        time.sleep(0.001)


async def test_qemu_that_never_answers_is_a_launch_error_and_is_killed(folder: Path) -> None:
    before = open_fds()
    # Runs as soon as the launch is waited for: what the program has to say it has said before the limit is over.
    asyncio.get_running_loop().call_soon(until_said, folder / "mute.log", "stuck")
    with pytest.raises(QemuLaunchError, match="no answer in") as caught:
        await Guest.start(GuestSpec("mute"), MUTE, folder, limit_s=0.3)
    assert caught.value.log_tail == ("stuck",)
    assert open_fds() == before


async def test_killed_qemu_wakes_every_waiter_with_the_same_death(guest: Guest) -> None:
    os.kill(guest.process.pid, signal.SIGSTOP)
    work: list[Coroutine[Any, Any, object]] = [guest.or_died(asyncio.Event().wait()) for _ in range(3)]
    work += [guest.execute("query-status"), guest.unplug("any"), guest.add_device("virtio-rng-pci", "rng", 0)]
    waiters = [asyncio.ensure_future(one) for one in work]
    await asyncio.sleep(0)
    os.kill(guest.process.pid, signal.SIGKILL)
    outcomes = await asyncio.wait_for(asyncio.gather(*waiters, return_exceptions=True), LIMIT_S)
    deaths = [outcome.reason for outcome in outcomes if isinstance(outcome, GuestDied)]
    assert deaths == ["QEMU ended (killed by SIGKILL)"] * 6
    assert guest.devices == {}


async def test_work_of_a_dead_guests_waiter_is_cancelled(guest: Guest) -> None:
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    waiter = asyncio.ensure_future(guest.or_died(work()))
    await asyncio.sleep(0)
    guest.process.kill()
    with pytest.raises(GuestDied):
        await asyncio.wait_for(waiter, LIMIT_S)
    assert cancelled.is_set()


async def test_guest_that_is_told_to_quit_says_why_it_is_gone(guest: Guest) -> None:
    with contextlib.suppress(GuestDied):
        await guest.execute("quit")
    death = await asyncio.wait_for(guest.died, LIMIT_S)
    assert death.reason == "QEMU ended (exit status 0) after a shutdown (host-qmp-quit)"


async def test_triple_fault_is_a_death_and_not_a_loop(qemu: QemuBinary, folder: Path) -> None:
    async with await Guest.start(triple_faulting(folder), qemu, folder) as guest:
        death = await asyncio.wait_for(guest.died, LIMIT_S)
        await asyncio.wait_for(guest.process.wait(), LIMIT_S)
    assert death.reason == "it reset itself (guest-reset): a triple fault, or a reboot"


async def test_guest_that_may_reset_itself_lives_on(qemu: QemuBinary, folder: Path) -> None:
    async with await Guest.start(triple_faulting(folder, reset_is_death=False), qemu, folder) as guest:
        for _ in range(2):
            with guest.monitor.expect("RESET", guest=True) as again:
                await again.wait(LIMIT_S)
        assert not guest.died.done()


async def test_reset_that_the_host_asks_for_is_no_death(guest: Guest) -> None:
    guest.ram.map[0x8000:0x8004] = b"kept"
    await guest.reset()
    assert (await guest.execute("query-status"))["status"] == "running"
    assert guest.ram.map[0x8000:0x8004] == b"kept"


async def test_device_is_plugged_and_unplugged_and_its_port_is_free_again(guest: Guest) -> None:
    plugged = await guest.add_device("virtio-rng-pci", "rng", 1)
    assert (plugged.device_id, plugged.port) == ("rng", 1)
    assert 0 < plugged.seconds < LIMIT_S
    assert guest.devices == {1: "rng"}
    assert 0 < await guest.unplug("rng") < LIMIT_S
    assert guest.devices == {}
    await guest.add_device("virtio-rng-pci", "rng", 1)


async def test_device_that_is_asked_for_tells_nobody_that_it_left_unasked(guest: Guest) -> None:
    left: list[str] = []
    guest.on_detached.append(left.append)
    await guest.add_device("e1000e", "nic", 0)
    await guest.unplug("nic")
    assert left == []


async def test_plug_without_a_server_is_a_clear_error_and_the_port_stays_free(guest: Guest, folder: Path) -> None:
    with pytest.raises(HotplugError, match="no server listens there") as caught:
        await guest.plug("dsa0", folder / "none.sock", 0)
    assert "Failed to connect" in caught.value.text
    assert guest.devices == {}


async def test_plug_to_a_server_that_does_not_answer_is_bounded(guest: Guest, folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "mute.sock"))
        server.listen()
        start = time.monotonic()
        with pytest.raises(HotplugError, match="fresh socket path"):
            await guest.plug("dsa0", folder / "mute.sock", 0, msg_timeout_ms=200)
        assert time.monotonic() - start < LIMIT_S
    assert guest.devices == {}
    await guest.add_device("virtio-rng-pci", "rng", 0)


async def test_socket_path_that_qemu_would_cut_is_refused(guest: Guest) -> None:
    with pytest.raises(SocketPathTooLong):
        await guest.plug("dsa0", "/" + "x" * 107, 0)


async def test_guest_whose_ram_is_not_shared_gets_no_device(
    qemu: QemuBinary, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = guest_options

    def private(*arguments: object) -> tuple[str, ...]:
        return tuple(word.replace("share=on", "share=off") for word in honest(*arguments))  # type: ignore[arg-type]

    monkeypatch.setattr(host_ctl.guest, "guest_options", private)
    async with await Guest.start(halting(folder), qemu, folder) as guest:
        with pytest.raises(HotplugError, match="RAM is not shared"):
            await guest.plug("dsa0", folder / "none.sock", 0)


@pytest.mark.parametrize("port", [-1, 2])
async def test_port_that_is_not_there_is_refused(guest: Guest, port: int) -> None:
    with pytest.raises(HotplugError, match=f"no root port {port}"):
        await guest.add_device("virtio-rng-pci", "rng", port)


async def test_port_and_id_are_taken_once(guest: Guest) -> None:
    await guest.add_device("virtio-rng-pci", "rng", 0)
    with pytest.raises(HotplugError, match="root port 0 holds rng"):
        await guest.add_device("virtio-rng-pci", "other", 0)
    with pytest.raises(HotplugError, match="device of this id"):
        await guest.add_device("virtio-rng-pci", "rng", 1)
    assert guest.devices == {0: "rng"}


async def test_unplug_of_an_unknown_device_is_a_clear_error(guest: Guest) -> None:
    with pytest.raises(HotplugError, match=r"Device 'dsa9' not found \(the guest may have ejected it"):
        await guest.unplug("dsa9")


async def test_guest_that_does_not_eject_says_what_it_does_instead(driven: QtestPort) -> None:
    driven.guest.hint = lambda: "keeps reading GENSTS"
    await driven.guest.add_device("virtio-rng-pci", "rng", 0)
    await driven.power_on()
    with pytest.raises(GuestDidNotEject, match=r"in 0\.2 s, it keeps reading GENSTS \(it may be busy"):
        await driven.guest.unplug("rng", limit_s=0.2)


async def test_guest_that_does_not_eject_is_a_typed_error_and_may_be_waited_for_again(driven: QtestPort) -> None:
    await driven.guest.add_device("virtio-rng-pci", "rng", 0)
    await driven.power_on()
    with pytest.raises(GuestDidNotEject, match=r"did not eject the device in 0\.2 s"):
        await driven.guest.unplug("rng", limit_s=0.2)
    assert driven.guest.devices == {0: "rng"}
    again = asyncio.ensure_future(driven.guest.unplug("rng"))
    await asyncio.sleep(0)
    await driven.eject()
    await asyncio.wait_for(again, LIMIT_S)
    assert driven.guest.devices == {}


async def test_id_that_was_ejected_late_is_as_good_as_new(driven: QtestPort) -> None:
    await driven.guest.add_device("virtio-rng-pci", "rng", 0)
    await driven.power_on()
    with pytest.raises(GuestDidNotEject):
        await driven.guest.unplug("rng", limit_s=0.1)
    with driven.guest.monitor.expect("DEVICE_DELETED", device="rng") as gone:
        await driven.eject()
        await gone.wait(LIMIT_S)
    await driven.guest.add_device("virtio-rng-pci", "rng", 0)
    await driven.guest.unplug("rng")
    assert driven.guest.devices == {}


async def test_unplug_that_waits_for_the_guest_is_woken_by_its_death(driven: QtestPort) -> None:
    await driven.guest.add_device("virtio-rng-pci", "rng", 0)
    await driven.power_on()
    with pytest.raises(GuestDidNotEject):
        await driven.guest.unplug("rng", limit_s=0.1)
    waiter = asyncio.ensure_future(driven.guest.unplug("rng"))
    await asyncio.sleep(0)
    os.kill(driven.guest.process.pid, signal.SIGKILL)
    with pytest.raises(GuestDied, match="killed by SIGKILL"):
        await asyncio.wait_for(waiter, LIMIT_S)


async def test_device_that_the_guest_ejects_unasked_is_told_and_its_port_is_free(driven: QtestPort) -> None:
    left: asyncio.Queue[str] = asyncio.Queue()
    driven.guest.on_detached.append(left.put_nowait)
    await driven.guest.add_device("pci-testdev", "test", 0)
    await driven.power_on()
    await driven.eject()
    assert await asyncio.wait_for(left.get(), LIMIT_S) == "test"
    assert driven.guest.devices == {}
    await driven.guest.add_device("pci-testdev", "test", 0)


async def test_frozen_qemu_is_a_timeout_and_can_still_be_closed(guest: Guest) -> None:
    os.kill(guest.process.pid, signal.SIGSTOP)
    with pytest.raises(MonitorTimeout):
        await guest.execute("query-status", limit_s=0.1)
    await guest.close()
    assert not is_running(guest.process.pid)


async def test_close_wakes_waiters_and_may_be_repeated(guest: Guest) -> None:
    waiter = asyncio.ensure_future(guest.or_died(asyncio.Event().wait()))
    await asyncio.sleep(0)
    await guest.close()
    await guest.close()
    guest.kill()
    with pytest.raises(GuestDied, match="closed"):
        await waiter


async def test_kill_needs_no_await_and_leaves_no_process(guest: Guest) -> None:
    guest.kill()
    assert not is_running(guest.process.pid)
    assert guest.ram.closed


async def test_descriptors_are_back_after_twenty_guests(qemu: QemuBinary, folder: Path) -> None:
    await (await Guest.start(halting(folder), qemu, folder)).close()
    before = open_fds()
    for _ in range(20):
        async with await Guest.start(halting(folder), qemu, folder) as guest:
            await guest.add_device("virtio-rng-pci", "rng", 0)
    assert open_fds() == before


async def test_sixteen_guests_start_side_by_side_in_order(qemu: QemuBinary, folder: Path) -> None:
    guests = await start_guests([halting(folder, f"g{i}") for i in range(16)], qemu, folder)
    try:
        names = [(await guest.execute("query-name"))["name"] for guest in guests]
        assert names == [f"g{i}" for i in range(16)]
        assert len({guest.process.pid for guest in guests}) == 16
    finally:
        await asyncio.gather(*(guest.close() for guest in guests))


async def test_one_guest_that_fails_takes_the_others_along(qemu: QemuBinary, folder: Path) -> None:
    before = open_fds()
    specs = [halting(folder, f"g{i}") for i in range(5)]
    specs.insert(3, halting(folder, "bad", extra=("-device", "no-such-device")))
    with pytest.raises(QemuLaunchError, match="guest bad"):
        await start_guests(specs, qemu, folder)
    assert open_fds() == before


async def test_cancelled_start_leaves_nothing(folder: Path) -> None:
    before = open_fds()
    starting = asyncio.ensure_future(start_guests([GuestSpec(f"g{i}") for i in range(4)], MUTE, folder))
    await asyncio.wait({starting}, timeout=0.2)  # which is never over by itself
    assert file_names(folder) == ["g0.log", "g1.log", "g2.log", "g3.log"]
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert open_fds() == before


async def test_two_guests_of_one_name_are_refused(qemu: QemuBinary, folder: Path) -> None:
    with pytest.raises(ValueError, match="one name"):
        await start_guests([GuestSpec("same"), GuestSpec("same")], qemu, folder)


async def test_no_guests_are_started_at_once(qemu: QemuBinary, folder: Path) -> None:
    assert await start_guests([], qemu, folder) == []
