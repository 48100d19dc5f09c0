"""The emulated machine as Python sees it: the physical device's BAR0, the IOMMU before it, virtual devices, the ledger.

Nothing here decides anything: the host's control part (`host_ctl`) does. All calls release the GIL, may come from any thread,
and return when what they promise has happened.
"""

from __future__ import annotations

import importlib
import threading
from types import ModuleType, TracebackType
from typing import Any, Self

from device_model.config import DeviceConfig, OwnVdevConfig, VdevConfig
from device_model.errors import DeviceError, check
from device_model.ledger import RECORD_SIZE, LedgerRecord, decode
from device_model.trace import Target, Tracer
from device_model.virtual_device import Vdev

LEDGER_CAPACITY = 1 << 18
"""Records kept until they are read; 64 bytes each, touched only when used."""
_READ_CHUNK = 4096
_PORTAL_STORE = 64
_WORDS = (4, 8)


def shipped_core() -> ModuleType:
    """The extension module that ships. DeviceError: it has not been built."""
    try:
        return importlib.import_module("device_model._core")
    except ImportError as error:
        raise DeviceError(
            f"the C extension is not built ({error}): run `make setup`, or install the package"
        ) from error


class Device:
    """The physical device with its IOMMU, ledger and engine.

    Raises DeviceError if a size is out of range or memory is short.
    """

    def __init__(
        self,
        config: DeviceConfig | None = None,
        *,
        core: ModuleType | None = None,
        ledger_capacity: int = LEDGER_CAPACITY,
        run_engine: bool = True,
    ) -> None:
        self.config = config or DeviceConfig()
        self._core: Any = core or shipped_core()
        self._ffi, self._lib = self._core.ffi, self._core.lib
        self.run_engine = run_engine
        c_config = self._ffi.new("struct idxd_config *", self.config.fields())
        self._platform = self._lib.platform_create(c_config, ledger_capacity, run_engine)
        if not self._platform:
            raise DeviceError(f"the device could not be made: no memory, or a size out of range in {self.config}")
        self._idxd = self._lib.platform_idxd(self._platform)
        self._iommu = self._lib.platform_iommu(self._platform)
        self._ledger = self._lib.platform_ledger(self._platform)
        self._memory = self._lib.platform_memory(self._platform)
        self._store = self._lib.idxd_store(self._idxd)
        self._buffer = self._ffi.new("struct ledger_record[]", _READ_CHUNK)
        self._lost = self._ffi.new("uint64_t *")
        self._reading = threading.Lock()
        self._lock = threading.RLock()
        self._gate = threading.Condition(self._lock)
        self._inside = 0
        self._vdevs: set[Vdev] = set()
        self._tracer: Tracer | None = None

    def _call(self, function: str, *arguments: Any) -> Any:
        """A call into the library; DeviceError once the device is closed. close() waits for those that are inside."""
        with self._lock:
            if not self._platform:
                raise DeviceError(f"{function}: the device is closed")
            self._inside += 1
        try:
            return getattr(self._lib, function)(*arguments)
        finally:
            with self._lock:
                self._inside -= 1
                if not self._platform:
                    self._gate.notify_all()

    # ---- the physical device ----

    def read(self, offset: int, size: int = 4) -> int:
        """Reads `size` bytes (1, 2, 4, 8) of BAR0 at an aligned byte offset; 0 outside."""
        return int(self._call("idxd_bar0_read", self._idxd, offset, size))

    def write(self, offset: int, value: int, size: int = 4) -> None:
        """Writes `size` bytes (1, 2, 4, 8) of BAR0 at an aligned byte offset; ignored outside."""
        self._call("idxd_bar0_write", self._idxd, offset, size, value)

    @property
    def msix_table(self) -> int:
        """Offset of the MSI-X table in BAR0."""
        return int(self._call("idxd_msix_table_offset", self._idxd))

    @property
    def msix_pba(self) -> int:
        """Offset of the MSI-X table's pending bits in BAR0."""
        return int(self._call("idxd_msix_pba_offset", self._idxd))

    def set_bus_master(self, on: bool) -> None:
        """Bus Master Enable of the function; cleared while the device is not Disabled, it halts."""
        self._call("idxd_set_bus_master", self._idxd, on)

    def set_msix(self, enabled: bool, *, function_mask: bool = False) -> None:
        """MSI-X Enable and Function Mask of the function."""
        self._call("idxd_set_msix", self._idxd, enabled, function_mask)

    def flr(self) -> None:
        """Function-level reset. When it returns, the device writes and signals nothing more of what came before."""
        self._call("idxd_flr", self._idxd)

    def submit(self, wq: int, desc: bytes, *, msix: bool = False) -> None:
        """A 64-byte store to a portal of work queue `wq`: an IMS portal, or with `msix` an MSI-X one (9.3)."""
        if len(desc) != _PORTAL_STORE:
            raise DeviceError(f"a portal takes {_PORTAL_STORE} bytes, not {len(desc)}")
        self._call("idxd_submit", self._idxd, wq, 0 if msix else 1, desc, 0)

    def turn(self) -> bool:
        """A turn of each engine, as its thread takes it: several descriptors, if a queue is alone. False if none had work. Only
        while no threads run them."""
        return self._each_engine("idxd_engine_turn")

    def step(self) -> bool:
        """A descriptor, or members of a batch, by each engine. False if none had work. Only while no threads run them."""
        return self._each_engine("idxd_engine_step")

    def _each_engine(self, function: str) -> bool:
        worked = [bool(self._call(function, self._idxd, engine)) for engine in range(self.config.num_engines)]
        return any(worked)

    def step_engine(self, engine: int) -> bool:
        """The same by one engine; False if it had no work. Only while no threads run them."""
        return bool(self._call("idxd_engine_step", self._idxd, engine))

    def stop_engines(self) -> None:
        """Ends the engines' threads, each after its turn: what is queued or begun stays as it is until step(). Idempotent."""
        self._call("platform_stop", self._platform)

    def start_engines(self) -> None:
        """Threads run the engines again. Not while another thread stops them. DeviceError: there is no thread to be had."""
        check(self._call("platform_start", self._platform), "the engines")

    def halt(self) -> None:
        """The Halt state (5.7), as when Bus Master Enable is cleared in the midst of work. Returns when the device is silent."""
        self._call("idxd_halt", self._idxd)

    def plant_fault(self, fault: int) -> None:
        """Plants a defect of the hardware (core/fault.h). Only in a core built for it; AttributeError otherwise."""
        self._call("idxd_plant_fault", self._idxd, fault)

    def release_entry(self, entry: int) -> None:
        """No handle leads to an entry of the message store any more, and it is not Pending. DeviceError: no such entry."""
        if not self._call("store_release_handle", self._store, entry):
            raise DeviceError(f"the message store has no entry {entry}")

    def address_of(self, name: str) -> int:
        """For a driver in C: where a function of the library is, or the device's `idxd`, `store` or `memory`; until close()."""
        own = {"idxd": self._idxd, "store": self._store, "memory": self._memory}
        target = own[name] if name in own else self._ffi.addressof(self._lib, name)
        return int(self._ffi.cast("uintptr_t", target))

    # ---- host memory that the device reaches, for a message store that is apart from it ----

    def memory_page(self) -> int:
        """Address of a page of 4 KiB, all zero; the one freed last is given first. DeviceError: no memory."""
        address = int(self._call("host_memory_page", self._memory))
        if address == 0:
            raise DeviceError("no host memory is left for another page of the message store")
        return address

    def memory_free(self, address: int) -> None:
        """Takes a page back; nothing is at its address any more. DeviceError: no such page."""
        check(self._call("host_memory_free", self._memory, address), f"page of host memory at {address:#x}")

    def memory_read(self, address: int, size: int = 4) -> int:
        """Reads 4 or 8 bytes, as one. DeviceError: nothing is there."""
        data = self._ffi.new("uint64_t *")
        if size not in _WORDS or not self._call("host_memory_read", self._memory, address, data, size):
            raise DeviceError(f"host memory has nothing of {size} bytes at {address:#x}")
        return int(data[0])

    def memory_write(self, address: int, value: int, size: int = 4) -> None:
        """Writes 4 or 8 bytes, as one. DeviceError: nothing is there."""
        data = self._ffi.new("uint64_t *", value)
        if size not in _WORDS or not self._call("host_memory_write", self._memory, address, data, size):
            raise DeviceError(f"host memory has nothing of {size} bytes at {address:#x}")

    def memory_update(self, address: int, clear: int, set_: int) -> int:
        """In 4 bytes, as one: takes away the bits of `clear`, adds those of `set_`; returns what was there.

        DeviceError: nothing is there.
        """
        before = self._ffi.new("uint32_t *")
        if not self._call("host_memory_update", self._memory, address, clear, set_, before):
            raise DeviceError(f"host memory has no word at {address:#x}")
        return int(before[0])

    @property
    def memory_pages(self) -> int:
        """Pages that are given."""
        return int(self._call("host_memory_pages", self._memory))

    # ---- the IOMMU ----

    def remap_set(self, index: int, vdev: Vdev, vector: int) -> None:
        """Interrupt remapping entry `index` (16 bits) leads to `vector` of `vdev`. DeviceError: no such entry."""
        check(
            self._call("iommu_remap_set", self._iommu, index, vdev.target, vector), f"interrupt remapping entry {index}"
        )

    def remap_clear(self, index: int) -> None:
        """Returns when no message is on its way through the entry any more."""
        check(self._call("iommu_remap_clear", self._iommu, index), f"interrupt remapping entry {index}")

    def pasid_set(self, pasid: int, vdev: Vdev) -> None:
        """DMA with `pasid` (20 bits) goes to the memory of the VM behind `vdev`."""
        check(self._call("iommu_pasid_set", self._iommu, pasid, vdev.target), f"PASID {pasid}")

    def pasid_clear(self, pasid: int) -> None:
        """Returns when no DMA with this PASID is in progress any more."""
        check(self._call("iommu_pasid_clear", self._iommu, pasid), f"PASID {pasid}")

    def iommu_entries(self) -> tuple[int, int]:
        """(interrupt remapping entries, PASIDs) in use."""
        counts = self._ffi.new("uint32_t[2]")
        self._call("iommu_count", self._iommu, counts, counts + 1)
        return int(counts[0]), int(counts[1])

    # ---- the ledger ----

    def take_ledger(self) -> tuple[bytes, int]:
        """Takes all records written since the last call, raw: (RECORD_SIZE bytes each, in order; records lost)."""
        chunks: list[bytes] = []
        with self._reading:
            self._lost[0] = 0
            while True:
                count = self._call("ledger_read", self._ledger, self._buffer, _READ_CHUNK, self._lost)
                chunks.append(self._ffi.buffer(self._buffer, count * RECORD_SIZE)[:])
                if count < _READ_CHUNK:
                    return b"".join(chunks), int(self._lost[0])

    def read_ledger(self) -> tuple[list[LedgerRecord], int]:
        """take_ledger(), decoded."""
        raw, lost = self.take_ledger()
        return list(decode(raw)), lost

    # ---- the trace ----

    def trace(self, target: Target, **options: Any) -> Tracer:
        """From now on every access of every guest is written to `target`, until the device is closed (device_model.trace).

        Raises DeviceError if that is so already, OSError if the file cannot be written.
        """
        if self._tracer is not None or not self._platform:
            raise DeviceError("a trace needs a device that is open and not traced yet")
        self._tracer = Tracer(self._ffi, self._lib, self._ledger, target, **options)
        for vdev in self._vdevs:
            self._tracer.add(vdev)
        return self._tracer

    # ---- virtual devices ----

    def create_vdev(self, config: VdevConfig | OwnVdevConfig) -> Vdev:
        """A virtual device, over a work queue and IMS entries of this one or of its own. DeviceError: a value is out of range."""
        if not self._platform:
            raise DeviceError("a virtual device needs a device that is open")
        vdev = Vdev(self, self._core, self._platform, config)
        self._vdevs.add(vdev)
        if self._tracer is not None:
            self._tracer.add(vdev)
        return vdev

    def forget(self, vdev: Vdev) -> None:
        """Called by a virtual device that has been closed."""
        self._vdevs.discard(vdev)

    def close(self) -> None:
        """Ends everything: the engine, then virtual devices, to which the IOMMU may still lead, then the rest. Idempotent."""
        with self._gate:
            platform, self._platform = self._platform, None
            self._gate.wait_for(lambda: self._inside == 0)
        if not platform:
            return
        self._lib.platform_stop(platform)
        for vdev in list(self._vdevs):
            vdev.close()
        if self._tracer is not None:
            self._tracer.close()
        self._lib.platform_destroy(platform)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
