"""QEMU's monitor (QMP) over a socket that is already connected: bounded commands, events that cannot be missed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from qemu.qmp import ConnectError, ExecInterruptedError, ExecuteError, QMPClient, QMPError, Runstate, StateError

from host_ctl.errors import CommandRefused, EventTimeout, MonitorError, MonitorLost, MonitorTimeout

COMMAND_LIMIT_S = 15.0
"""Longest wait for a reply. Two accesses to a stalled device hold QEMU's main loop for twice the message timeout."""

CONNECT_LIMIT_S = 20.0
HISTORY_LENGTH = 4096
_CLOSE_LIMIT_S = 2.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MonitorEvent:
    """One QMP event: its name, its data, and QEMU's wall clock in seconds."""

    name: str
    data: Mapping[str, Any]
    time_s: float


class Expectation:
    """An event that is due. Made by `QmpMonitor.expect()`, which registers it before the command that causes it."""

    def __init__(self, name: str, fields: Mapping[str, object], outcome: asyncio.Future[MonitorEvent]) -> None:
        self.name = name
        self._fields = dict(fields)
        self._outcome = outcome

    def matches(self, event: MonitorEvent) -> bool:
        """Whether `event` has the expected name and, in its data, every expected field."""
        return event.name == self.name and all(event.data.get(key) == value for key, value in self._fields.items())

    def fulfil(self, event: MonitorEvent) -> None:
        """Wakes the waiter with the first matching event."""
        if not self._outcome.done():
            self._outcome.set_result(event)

    def abandon(self) -> None:
        """Wakes the waiter with MonitorLost."""
        if not self._outcome.done():
            self._outcome.set_exception(MonitorLost(self.name))

    def discard(self) -> None:
        """Ends the expectation, whether or not anybody waited for it."""
        if not self._outcome.cancel() and not self._outcome.cancelled():
            self._outcome.exception()

    async def wait(self, limit_s: float) -> MonitorEvent:
        """The event. Raises EventTimeout after `limit_s` seconds (waiting again is allowed), MonitorLost."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._outcome), limit_s)
        except TimeoutError:
            raise EventTimeout(self.name, limit_s) from None


class QmpMonitor:
    """A monitor connection. `history` holds the newest events, oldest first.

    `on_event` callbacks are called for every event, `on_unexpected` ones for events that no expectation matched; both
    in the order of arrival, on the event loop, and they must not raise or block.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.history: deque[MonitorEvent] = deque(maxlen=HISTORY_LENGTH)
        self.on_event: list[Callable[[MonitorEvent], None]] = []
        self.on_unexpected: list[Callable[[MonitorEvent], None]] = []
        self._expected: list[Expectation] = []
        self._late: set[asyncio.Task[object]] = set()
        self._watcher: asyncio.Task[None] | None = None
        self._client = QMPClient(name)
        # The default listener hears everything; as its filter we see each event at once and let it queue nothing.
        self._client.events.event_filter = self._hear

    async def connect(self, sock: socket.socket, limit_s: float = CONNECT_LIMIT_S) -> None:
        """Waits for QEMU's greeting and negotiates. Takes `sock` over, also when it fails.

        Raises MonitorTimeout, MonitorLost (QEMU ended first) or MonitorError.
        """
        sock.setblocking(False)
        try:
            async with asyncio.timeout(limit_s):
                await self._client.connect(sock)
        except TimeoutError:
            raise MonitorTimeout("greeting", limit_s) from None
        except ConnectError as error:
            if isinstance(error.exc, EOFError | OSError):
                raise MonitorLost("greeting") from error
            raise MonitorError("greeting", str(error)) from error
        finally:
            if self._client.runstate is not Runstate.RUNNING:
                sock.close()
        self._watcher = asyncio.create_task(self._watch(), name=f"monitor of {self.name}")

    async def execute(
        self, command: str, arguments: Mapping[str, object] | None = None, limit_s: float = COMMAND_LIMIT_S
    ) -> Any:
        """Carries one command out and returns QMP's `return` member.

        Raises CommandRefused (QEMU's own error), MonitorTimeout after `limit_s` seconds, MonitorLost.
        """
        task = asyncio.ensure_future(self._execute(command, arguments))
        # A reply that comes too late must still be taken off the connection, so the task outlives this call.
        self._late.add(task)
        task.add_done_callback(self._forget)
        done, _ = await asyncio.wait({task}, timeout=limit_s)
        if not done:
            raise MonitorTimeout(command, limit_s)
        return task.result()

    @contextlib.contextmanager
    def expect(self, event: str, **fields: object) -> Iterator[Expectation]:
        """Listens for the first `event` whose data has `fields`, from here to the end of the block."""
        expectation = Expectation(event, fields, asyncio.get_running_loop().create_future())
        self._expected.append(expectation)
        try:
            if self._client.runstate is not Runstate.RUNNING:
                expectation.abandon()
            yield expectation
        finally:
            self._expected.remove(expectation)
            expectation.discard()

    async def close(self) -> None:
        """Ends the connection; idempotent, never raises for what the connection met before."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait({self._watcher})
            self._watcher = None
        if self._client.runstate is not Runstate.IDLE:
            # What the reader met (QEMU's end, as a rule) comes out of disconnect() a second time.
            with contextlib.suppress(QMPError, EOFError, OSError, TimeoutError):
                async with asyncio.timeout(_CLOSE_LIMIT_S):
                    await self._client.disconnect()
        self._abandon()
        if self._late:
            await asyncio.wait(self._late, timeout=_CLOSE_LIMIT_S)

    async def _execute(self, command: str, arguments: Mapping[str, object] | None) -> object:
        try:
            return await self._client.execute(command, dict(arguments) if arguments is not None else None)
        except ExecuteError as error:
            raise CommandRefused(command, error.error_class, str(error)) from None
        except (ExecInterruptedError, StateError) as error:
            raise MonitorLost(command) from error

    def _forget(self, task: asyncio.Task[object]) -> None:
        self._late.discard(task)
        if not task.cancelled():
            task.exception()

    def _hear(self, message: Mapping[str, Any]) -> bool:
        stamp = message.get("timestamp", {})
        time_s = stamp.get("seconds", 0) + stamp.get("microseconds", 0) / 1e6
        event = MonitorEvent(message["event"], message.get("data", {}), time_s)
        self.history.append(event)
        expected = [one for one in self._expected if one.matches(event)]
        for one in expected:
            one.fulfil(event)
        for callback in (*self.on_event, *(() if expected else self.on_unexpected)):
            try:
                callback(event)
            except Exception:
                # Let out here it would end the connection for everybody.
                _log.exception("a listener of guest %s failed on %s", self.name, event)
        return False

    async def _watch(self) -> None:
        while self._client.runstate is Runstate.RUNNING:
            await self._client.runstate_changed()
        self._abandon()

    def _abandon(self) -> None:
        for one in self._expected:
            one.abandon()
