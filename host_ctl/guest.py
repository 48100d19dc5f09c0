"""A guest: its RAM, its QEMU, its monitor and its serial line, owned by one object that gives all of them back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from host_ctl.errors import GuestDidNotEject, GuestDied, HotplugError, MonitorError, MonitorLost, QemuLaunchError
from host_ctl.guest_command import RAM_ID, GuestSpec, InheritedFds, guest_options
from host_ctl.guest_ports import GuestPorts, Plugged
from host_ctl.guest_ram import GuestRam
from host_ctl.qemu_process import CLOSE_LIMIT_S, LOG_LIMIT, QemuProcess
from host_ctl.qmp_monitor import COMMAND_LIMIT_S, CONNECT_LIMIT_S, MonitorEvent, QmpMonitor
from host_ctl.run_folder import check_socket_path

if TYPE_CHECKING:
    from qemu_patches import QemuBinary

T = TypeVar("T")

EJECT_LIMIT_S = 10.0
"""Longest wait for a guest to give a device up. Linux with native hotplug takes 6 s by design."""

_DEATH_NOTICE_S = 2.0
_RESET_LIMIT_S = 5.0

_log = logging.getLogger(__name__)


class Guest:
    """A running guest. Made by `Guest.start()`; `async with` closes it.

    `ram`, `process`, `monitor` are its parts; `serial` is the host's end of its serial line, a connected non-blocking
    stream socket. `died` gets a GuestDied as its result (not as its exception) as soon as the guest is gone for any
    reason, close() included. `on_detached` callbacks are told the id of a device that left without being asked to.
    """

    def __init__(self, spec: GuestSpec, ram: GuestRam, process: QemuProcess, serial: socket.socket) -> None:
        self.spec = spec
        self.name = spec.name
        self.ram = ram
        self.process = process
        self.serial = serial
        self.monitor = QmpMonitor(spec.name)
        self.died: asyncio.Future[GuestDied] = asyncio.get_running_loop().create_future()
        self.on_detached: list[Callable[[str], None]] = []
        self.hint: Callable[[], str] = str
        """Asked when the guest hangs: what it does instead, as `keeps reading ...`; empty: nobody knows."""
        self._last_words = ""
        self._ram_is_shared = False
        self._ports = GuestPorts(self)
        self.monitor.on_event.append(self._heard)
        self.monitor.on_unexpected.append(self._heard_unexpected)
        self._watcher = asyncio.create_task(self._watch(), name=f"process of {spec.name}")

    @classmethod
    async def start(
        cls,
        spec: GuestSpec,
        qemu: QemuBinary,
        folder: Path,
        *,
        limit_s: float = CONNECT_LIMIT_S,
        log_limit: int | None = LOG_LIMIT,
    ) -> Guest:
        """Starts a guest and returns when its monitor answers; its CPUs run by then. Its log is `folder`/<name>.log.

        Call it in the main thread (see QemuProcess). Raises QemuLaunchError when QEMU ends or `limit_s` seconds pass
        first, NoMemfd, OSError; nothing is left behind then.
        """
        guest, monitor_socket = _launch(cls, spec, qemu, folder, log_limit)
        try:
            try:
                await guest.monitor.connect(monitor_socket, limit_s)
                await guest.monitor.execute("cont")
            except MonitorError as error:
                what = await guest._why_no_start(error)
                raise QemuLaunchError(spec.name, what, guest.process.argv, guest.process.log_tail()) from error
        except BaseException:
            await guest.close()
            raise
        return guest

    async def or_died(self, work: Awaitable[T]) -> T:
        """The result of `work`, or GuestDied as soon as the guest is gone; `work` is cancelled then."""
        task = asyncio.ensure_future(work)
        try:
            either: tuple[asyncio.Future[Any], ...] = (task, self.died)
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise self.died.result().again()
        except MonitorLost:
            raise await self._death() from None
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    async def execute(self, command: str, limit_s: float = COMMAND_LIMIT_S, **arguments: object) -> Any:
        """One QMP command; underscores in the arguments' names become dashes.

        Raises CommandRefused, MonitorTimeout, GuestDied.
        """
        named = {key.replace("_", "-"): value for key, value in arguments.items()}
        return await self.or_died(self.monitor.execute(command, named or None, limit_s))

    async def plug(self, device_id: str, socket_path: Path | str, port: int, *, msg_timeout_ms: int = 1000) -> Plugged:
        """Plugs the vfio-user server at `socket_path` into root port `port`. Use a fresh path for every attach.

        Raises HotplugError (no server, the server refused, port taken, RAM not shared), SocketPathTooLong, GuestDied.
        """
        path = check_socket_path(Path(socket_path))
        await self._require_shared_ram(device_id)
        properties = {"socket": {"type": "unix", "path": str(path)}, "x-msg-timeout": msg_timeout_ms}
        # The client may wait for several replies of a server that has stopped answering.
        limit_s = COMMAND_LIMIT_S + 5 * msg_timeout_ms / 1000
        return await self._ports.add("vfio-user-pci", device_id, port, properties, limit_s)

    async def add_device(self, driver: str, device_id: str, port: int, **properties: object) -> Plugged:
        """Plugs any device that QEMU knows; underscores in the properties' names become dashes. Raises as plug()."""
        named = {key.replace("_", "-"): value for key, value in properties.items()}
        return await self._ports.add(driver, device_id, port, named, COMMAND_LIMIT_S)

    async def unplug(self, device_id: str, limit_s: float = EJECT_LIMIT_S) -> float:
        """Takes a device out and returns the seconds until QEMU said that it is gone.

        Raises GuestDidNotEject after `limit_s` seconds (the request stays pending, and a later unplug() waits on),
        HotplugError (no such device), GuestDied.
        """
        try:
            return await self._ports.remove(device_id, limit_s)
        except GuestDidNotEject as error:
            raise GuestDidNotEject(self.name, device_id, error.limit_s, self.hint()) from error

    @property
    def devices(self) -> dict[int, str]:
        """Ids of the plugged devices by root port."""
        return self._ports.occupants()

    async def reset(self) -> None:
        """Resets the guest as the button would; returns when QEMU has done so. RAM keeps its content."""
        with self.monitor.expect("RESET", guest=False) as done:
            await self.execute("system_reset")
            await self.or_died(done.wait(_RESET_LIMIT_S))

    async def close(self) -> None:
        """Ends QEMU and gives everything back. Idempotent; safe in any state."""
        self._bury("closed")
        self.process.kill()
        self._watcher.cancel()
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), CLOSE_LIMIT_S)
            await self.monitor.close()
        finally:
            self._release(0)

    def kill(self) -> None:
        """close() without an event loop: for exits in the middle of things. Idempotent."""
        with contextlib.suppress(RuntimeError):  # the loop may be closed already
            self._bury("killed")
            self._watcher.cancel()
        self._release(CLOSE_LIMIT_S)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    def _release(self, limit_s: float) -> None:
        self.process.close(limit_s)
        self.serial.close()
        self.ram.close()

    def _bury(self, reason: str) -> None:
        if not self.died.done():
            self.died.set_result(GuestDied(self.name, reason, self.process.log_tail()))

    async def _watch(self) -> None:
        status = await self.process.wait()
        self._bury(f"QEMU ended ({status}){self._last_words}")

    def _heard(self, event: MonitorEvent) -> None:
        if event.name == "SHUTDOWN":
            self._last_words = f" after a shutdown ({event.data.get('reason', 'no reason given')})"
        elif event.name == "RESET" and event.data.get("guest") and self.spec.reset_is_death:
            self._bury(f"it reset itself ({event.data.get('reason', '?')}): a triple fault, or a reboot")
            self.process.kill()
        elif event.name == "DEVICE_DELETED" and isinstance(device_id := event.data.get("device"), str):
            self._ports.gone(device_id)

    def _heard_unexpected(self, event: MonitorEvent) -> None:
        device_id = event.data.get("device")
        if event.name == "DEVICE_DELETED" and isinstance(device_id, str):
            _log.info("guest %s: device %s left unasked", self.name, device_id)
            for callback in self.on_detached:
                callback(device_id)

    async def _death(self) -> GuestDied:
        """Why the monitor was lost; a QEMU that closed it and lives on is killed."""
        done, _ = await asyncio.wait({self.died}, timeout=_DEATH_NOTICE_S)
        if not done:
            self._bury("QEMU closed its monitor")
            self.process.kill()
        return self.died.result().again()

    async def _why_no_start(self, error: MonitorError) -> str:
        if not isinstance(error, MonitorLost):
            return str(error)
        with contextlib.suppress(TimeoutError):
            return str(await asyncio.wait_for(self.process.wait(), _DEATH_NOTICE_S))
        return "it closed its monitor"

    async def _require_shared_ram(self, device_id: str) -> None:
        if not self._ram_is_shared:
            memdevs = await self.execute("query-memdev")
            self._ram_is_shared = any(one.get("id") == RAM_ID and one.get("share") is True for one in memdevs)
        if not self._ram_is_shared:
            raise HotplugError(
                self.name,
                "device_add",
                device_id,
                "the guest's RAM is not shared, the device would read and write a copy",
                f"start the guest with a memory backend {RAM_ID!r} that has share=on",
            )


def _launch(
    cls: type[Guest], spec: GuestSpec, qemu: QemuBinary, folder: Path, log_limit: int | None
) -> tuple[Guest, socket.socket]:
    with contextlib.ExitStack() as undo, contextlib.ExitStack() as theirs:
        ram = undo.enter_context(GuestRam(spec.ram_bytes))
        monitor, qemu_monitor = socket.socketpair()
        undo.callback(monitor.close)
        theirs.callback(qemu_monitor.close)
        serial, qemu_serial = socket.socketpair()
        undo.callback(serial.close)
        theirs.callback(qemu_serial.close)
        serial.setblocking(False)
        fds = InheritedFds(ram.fd, qemu_monitor.fileno(), qemu_serial.fileno())
        process = QemuProcess.start(
            (*qemu.argv, *guest_options(spec, fds, qemu.version)),
            log_path=folder / f"{spec.name}.log",
            env=qemu.env,
            pass_fds=fds,
            log_limit=log_limit,
        )
        undo.callback(process.close)
        guest = cls(spec, ram, process, serial)
        undo.pop_all()
    return guest, monitor


async def start_guests(
    specs: Iterable[GuestSpec], qemu: QemuBinary, folder: Path, *, at_once: int | None = None
) -> list[Guest]:
    """Starts all guests, at most `at_once` at the same time (default: four per CPU), and returns them in order.

    If one fails, all are closed and its error is raised; the same holds for a cancellation. Raises ValueError for a
    name used twice, and what Guest.start() raises.
    """
    wanted: Sequence[GuestSpec] = tuple(specs)
    if len({spec.name for spec in wanted}) != len(wanted):
        raise ValueError("two guests of one name: each needs its own log")
    gate = asyncio.Semaphore(at_once or 4 * (os.cpu_count() or 1))

    async def one(spec: GuestSpec) -> Guest:
        async with gate:
            return await Guest.start(spec, qemu, folder)

    tasks = [asyncio.create_task(one(spec), name=f"start of {spec.name}") for spec in wanted]
    try:
        if tasks:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            failed = (task.exception() for task in tasks if task in done)
            for error in filter(None, failed):
                raise error
        return [task.result() for task in tasks]
    except BaseException:
        await _close_started(tasks)
        raise


async def _close_started(tasks: Sequence[asyncio.Task[Guest]]) -> None:
    for task in tasks:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.gather(*(guest.close() for guest in outcomes if isinstance(guest, Guest)))
