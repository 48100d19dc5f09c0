"""The root ports of one guest: what is plugged where, and the two directions of hotplug."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from host_ctl.errors import CommandRefused, EventTimeout, GuestDidNotEject, HotplugError, MonitorTimeout
from host_ctl.guest_command import GuestSpec
from host_ctl.qmp_monitor import QmpMonitor

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plugged:
    """A device that QEMU took: its id, its root port, and the seconds device_add took."""

    device_id: str
    port: int
    seconds: float


class _Owner(Protocol):
    name: str
    spec: GuestSpec
    monitor: QmpMonitor

    async def execute(self, command: str, limit_s: float = ..., **arguments: object) -> Any: ...

    async def or_died(self, work: Awaitable[T]) -> T: ...


class GuestPorts:
    """Which device is in which root port of `owner`, as far as its monitor has told."""

    def __init__(self, owner: _Owner) -> None:
        self._owner = owner
        self._port_of: dict[str, int] = {}
        self._leaving: set[str] = set()

    def occupants(self) -> dict[int, str]:
        """Device ids by port number."""
        return {port: device_id for device_id, port in self._port_of.items()}

    def gone(self, device_id: str) -> None:
        """QEMU said that `device_id` is deleted: its port is free again."""
        self._port_of.pop(device_id, None)
        self._leaving.discard(device_id)

    async def add(
        self, driver: str, device_id: str, port: int, properties: Mapping[str, object], limit_s: float
    ) -> Plugged:
        """device_add into `port`. Raises HotplugError, GuestDied; the port is free again after an error."""
        self._check_free(device_id, port)
        self._port_of[device_id] = port
        start = time.perf_counter()
        try:
            await self._owner.execute(
                "device_add", limit_s, driver=driver, id=device_id, bus=f"port{port}", **properties
            )
        except MonitorTimeout as error:
            # QEMU may yet carry it out: the port stays taken, unplug() frees it.
            raise self._error("device_add", device_id, error.text, "unplug it before it is tried again") from error
        except CommandRefused as error:
            self.gone(device_id)
            raise self._error("device_add", device_id, error.text, _add_advice(driver, error.text)) from error
        except BaseException:
            self.gone(device_id)
            raise
        return Plugged(device_id, port, time.perf_counter() - start)

    async def remove(self, device_id: str, limit_s: float) -> float:
        """device_del, awaited until the device is gone: seconds. Raises GuestDidNotEject, HotplugError, GuestDied."""
        start = time.perf_counter()
        with self._owner.monitor.expect("DEVICE_DELETED", device=device_id) as gone:
            # QEMU refuses a second request while the first is pending: after a timeout there is only waiting.
            if device_id not in self._leaving:
                await self._request(device_id)
            try:
                await self._owner.or_died(gone.wait(limit_s))
            except EventTimeout as error:
                raise GuestDidNotEject(self._owner.name, device_id, limit_s) from error
        return time.perf_counter() - start

    async def _request(self, device_id: str) -> None:
        try:
            await self._owner.execute("device_del", id=device_id)
        except CommandRefused as error:
            known = device_id in self._port_of
            advice = "see QEMU's own words" if known else "the guest may have ejected it; see on_detached and devices"
            raise self._error("device_del", device_id, error.text, advice) from error
        except MonitorTimeout as error:
            raise self._error("device_del", device_id, error.text, "end the server that does not reply") from error
        if device_id in self._port_of:
            self._leaving.add(device_id)

    def _check_free(self, device_id: str, port: int) -> None:
        ports = self._owner.spec.ports
        if not 0 <= port < ports:
            raise self._error(
                "device_add", device_id, f"there is no root port {port}", f"this guest has {ports}, counted from 0"
            )
        if device_id in self._port_of:
            raise self._error("device_add", device_id, "the guest has a device of this id", "choose another id")
        occupant = self.occupants().get(port)
        if occupant is not None:
            raise self._error("device_add", device_id, f"root port {port} holds {occupant}", "unplug that first")

    def _error(self, command: str, device_id: str, text: str, advice: str) -> HotplugError:
        return HotplugError(self._owner.name, command, device_id, text, advice)


def _add_advice(driver: str, text: str) -> str:
    if driver == "vfio-user-pci" and ("Failed to connect" in text or "No such file" in text):
        return "no server listens there: start it before the device is plugged"
    if driver == "vfio-user-pci":
        return "the server's log says what it met; a new attempt needs a fresh socket path"
    return "QEMU's `-device <driver>,help` lists what the driver takes"
