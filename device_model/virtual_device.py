"""A virtual device, and the socket that serves it, as Python sees them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from device_model import observe
from device_model.config import OwnVdevConfig, VdevConfig
from device_model.errors import DeviceError, check
from device_model.observe import BurnDown, Polling, Touched, VdevStats

if TYPE_CHECKING:
    from device_model.device import Device


@dataclass(frozen=True, slots=True)
class ServerStats:
    """Counters of a virtual device's socket (transport/server.h)."""

    connections: int
    disconnections: int
    messages: int
    protocol_errors: int
    interrupts_sent: int
    interrupts_late: int
    mappings: int
    attached: int
    mapped_bytes: int


class _Closed:
    """Stands for the library once the virtual device has been freed."""

    def __getattr__(self, name: str) -> Any:
        raise DeviceError(f"{name}: the virtual device is closed")


class Vdev:
    """A virtual device, and the socket that serves it. Made by Device.create_vdev()."""

    def __init__(
        self, device: Device, core: ModuleType, platform: object, config: VdevConfig | OwnVdevConfig
    ) -> None:
        self.config = config
        self._device = device
        core_any: Any = core
        self._ffi, self._lib = core_any.ffi, core_any.lib
        self._server: Any = None
        error = self._ffi.new("int *")
        if isinstance(config, OwnVdevConfig):
            self._vdev = self._make_own(platform, config, error)
        else:
            self._vdev = self._make_shared(platform, config, error)
        if not self._vdev:
            raise DeviceError(f"virtual device {config.id}: {os.strerror(-error[0])} in {config}")
        self.layout = observe.read_layout(self._ffi, self._lib, self._vdev)
        check(observe.tell_layout(self._ffi, self._lib, self._vdev, self.layout), f"registers of {config}")

    def _make_shared(self, platform: object, config: VdevConfig, error: Any) -> Any:
        vectors = self._ffi.new("struct vdev_vector[]", [{"entry": e, "handle": h} for e, h in config.vectors] or 1)
        values = {name: getattr(config, name) for name in VdevConfig.__slots__ if name != "vectors"}
        values |= {"num_vectors": 1 + len(config.vectors)}
        return self._lib.vdev_create(platform, self._ffi.new("struct vdev_config *", values), vectors, error)

    def _make_own(self, platform: object, config: OwnVdevConfig, error: Any) -> Any:
        values: dict[str, Any] = {"id": config.id, "device": config.device.fields()}
        values |= {"vmm_owns_msix": config.vmm_owns_msix, "run_engines": self._device.run_engine}
        values |= {"mapped_portal": config.mapped_portal}
        return self._lib.vdev_create_own(platform, self._ffi.new("struct vdev_own_config *", values), error)

    def step(self) -> bool:
        """Processes one descriptor of a device of its own; False if there was none. Only with run_engine=False."""
        return bool(self._lib.vdev_engine_step(self._vdev))

    @property
    def target(self) -> Any:
        """What entries of the IOMMU lead to."""
        return self._lib.vdev_target(self._vdev)

    def serve(self, socket_path: Path, *, dma_timeout_ms: int = 1000) -> None:
        """Listens on a new UNIX socket of mode 0600 for one vfio-user client at a time. DeviceError: path taken or too long."""
        path = self._ffi.new("char[]", os.fsencode(socket_path))
        options = self._ffi.new("struct vfu_server_options *", {"socket_path": path, "dma_timeout_ms": dma_timeout_ms})
        error = self._ffi.new("int *")
        self._server = self._lib.vfu_server_start(self._vdev, options, error)
        if not self._server:
            self._server = None
            raise DeviceError(f"cannot serve on {socket_path}: {os.strerror(-error[0])}")

    def server_stats(self) -> ServerStats:
        """Counters of the socket; all zero while not served."""
        names = tuple(ServerStats.__slots__)
        if self._server is None:
            return ServerStats(*(0 for _ in names))
        stats = self._ffi.new("struct vfu_server_stats *")
        self._lib.vfu_server_get_stats(self._server, stats)
        return ServerStats(*(int(getattr(stats, name)) for name in names))

    def stats(self) -> VdevStats:
        """Counters of the device behind the socket."""
        return observe.read_stats(self._ffi, self._lib, self._vdev)

    def burn_down(self) -> list[Touched]:
        """Registers and bits that the guest touched and that this device does not model, in the order of their first time."""
        return list(self.burn_down_whole().touched)

    def burn_down_whole(self) -> BurnDown:
        """burn_down(), and how many accesses found no place in its table."""
        return observe.read_burn_down(self._ffi, self._lib, self._vdev, self.layout)

    def polling(self) -> Polling | None:
        """The register that the guest keeps reading now, for two seconds at least and without any other access; None: none."""
        return observe.read_polling(self._ffi, self._lib, self._vdev, self.layout)[0]

    def longest_polling(self) -> Polling | None:
        """The longest time that it kept reading one, also if that is over."""
        return observe.read_polling(self._ffi, self._lib, self._vdev, self.layout)[1]

    def trace_to(self, trace: Any) -> None:
        """Accesses of the guest go to a `struct trace *` from now on; called by the device."""
        self._lib.vdev_observe_trace(self._vdev, trace)

    def wait_disconnected(self, count: int, timeout_ms: int) -> bool:
        """Blocks until `count` clients have come and gone; False after timeout_ms."""
        return self._server is None or self._lib.vfu_server_wait_disconnected(self._server, count, timeout_ms) == 0

    def close_portal(self) -> None:
        """Descriptors that the guest submits from now on are dropped."""
        self._lib.vdev_close_portal(self._vdev)

    def stop_serving(self) -> None:
        """Ends the client's connection and removes the socket. Idempotent."""
        server, self._server = self._server, None
        if server is not None:
            self._lib.vfu_server_stop(server)

    def close(self) -> None:
        """Stops serving and frees the device. Nothing of the IOMMU may lead to it any more. Idempotent."""
        self.stop_serving()
        vdev, self._vdev = self._vdev, None
        if vdev:
            library, self._lib = self._lib, _Closed()
            library.vdev_destroy(vdev)
            self._device.forget(self)
