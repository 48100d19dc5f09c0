"""The device and its model driven as one: virtual machines without sockets, and a Device that does all that the host does twice.

The extension module is built once more for it, with a virtual machine that is only memory (`c/direct_vm.h`). With
core_rig.FAULT_VARIABLE set it is built with places for planted faults, and that fault is planted.
"""

from __future__ import annotations

import functools
import importlib.util
import tempfile
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from device_model import build_core
from device_model.config import DeviceConfig, OwnVdevConfig, VdevConfig
from device_model.device import Device
from device_model.tests.core_rig import planted_fault
from device_model.tests.model.chip import Chip, Layout
from device_model.tests.model.config_space import ConfigSpace
from device_model.tests.model.descriptor import OPERATIONS
from device_model.tests.model.host import Iommu
from device_model.tests.model.memory import Memory
from device_model.tests.model.vdev import Description, Tables
from device_model.tests.model.vdev import Vdev as ModelVdev
from device_model.virtual_device import Vdev

CACHE = Path(build_core.__file__).resolve().parents[1] / "build"
HEADER = Path(__file__).resolve().parent / "c" / "direct_vm.h"
RAM, RAM_SIZE = 0x10_0000, 0x3000
_KEPT_MESSAGES = 256

CDEF = f"""
struct direct_message {{ uint64_t address; uint32_t data; }};
struct direct_vm {{
    uint64_t base, count;
    struct direct_message messages[{_KEPT_MESSAGES}];
    uint8_t memory[{RAM_SIZE}];
}};
static int direct_attach(struct direct_vm *vm, struct vdev *vdev);
static void direct_read_vdev(struct vdev *vdev, const uint32_t *offsets, size_t count, uint64_t *words);
static void direct_read_idxd(struct idxd *idxd, const uint32_t *offsets, size_t count, uint64_t *words);
void vdev_detach(struct vdev *vdev);
void vdev_reset(struct vdev *vdev);
int vdev_region_read(struct vdev *vdev, unsigned region, uint64_t offset, void *buf, uint32_t count);
int vdev_region_write(struct vdev *vdev, unsigned region, uint64_t offset, const void *buf, uint32_t count);
"""


@functools.cache
def direct_core(*, planted: bool) -> ModuleType:
    """The module, built below CACHE unless it was already made of the same sources."""
    name = "_vdsa_direct_planted" if planted else "_vdsa_direct"
    files = [*build_core.c_sources(), *build_core.c_sources(".h"), Path(build_core.__file__), HEADER, Path(__file__)]
    digest = sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
    folder = CACHE / f"direct-{digest}"
    found = next(folder.glob(f"{name}.*.so"), None) or _build(name, folder, planted)
    spec = importlib.util.spec_from_file_location(name, found)
    if spec is None or spec.loader is None:
        raise ImportError(f"{found} is no extension module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _build(name: str, folder: Path, planted: bool) -> Path:
    CACHE.mkdir(exist_ok=True)
    source = f'#include "{HEADER}"\n'
    with tempfile.TemporaryDirectory(prefix="direct-building-", dir=CACHE) as scratch:
        ffi = build_core.make_ffi(name, planted=planted, more_cdef=CDEF, more_source=source)
        made = Path(ffi.compile(tmpdir=scratch))
        folder.mkdir(exist_ok=True)
        return made.replace(folder / made.name)


class DirectVdev(Vdev):
    """A virtual device whose VM is memory in this process. `serve` attaches it, as a client that connects does."""

    def __init__(
        self, device: Device, core: ModuleType, platform: object, config: VdevConfig, model: ModelVdev
    ) -> None:
        super().__init__(device, core, platform, config)
        self.model = model
        self._vm = self._ffi.new("struct direct_vm *")
        self._vm.base = RAM
        self.memory = self._ffi.buffer(self._vm.memory)
        self._buffer = self._ffi.new("uint8_t[64]")
        self._config_space = self._ffi.new("uint8_t[4096]")
        offsets = self.offsets()
        self._offsets = self._ffi.new("uint32_t[]", offsets)
        self._words = self._ffi.new("uint64_t[]", len(offsets))
        self._count = len(offsets)
        model.guest_memory = Memory(RAM, bytearray(RAM_SIZE))
        model.config.data[:] = model.config.initial = self.config_space()

    def offsets(self) -> list[int]:
        """All that BAR0 shows of registers and tables."""
        assert isinstance(self.config, VdevConfig)
        tables, vectors = self.model.tables, len(self.config.vectors) + 1
        queue, permissions, table = tables.queue, tables.permissions, tables.msix
        found = [*range(0, 0x100, 8), *range(0x400, 0x430, 8), *range(queue, queue + 32, 8)]
        found += [*range(permissions, permissions + 8 * vectors, 8), *range(table, table + 16 * vectors, 8)]
        return [*found, tables.pba]

    # ---- the way of the host ----

    def serve(self, socket_path: Path, *, dma_timeout_ms: int = 1000) -> None:
        del socket_path, dma_timeout_ms
        self.attach()

    def stop_serving(self) -> None:
        if self._vdev:
            self.detach()

    def close_portal(self) -> None:
        super().close_portal()
        self.model.portal_open = False

    # ---- the VM ----

    def attach(self) -> None:
        self._lib.direct_attach(self._vm, self._vdev)
        self.model.attach()

    def detach(self) -> None:
        self._lib.vdev_detach(self._vdev)
        self.model.attached = False

    def messages(self, first: int) -> list[tuple[int, int]]:
        """Interrupts from number `first` on."""
        if self._vm.count - first > _KEPT_MESSAGES:
            raise AssertionError(f"{self._vm.count - first} interrupts at once")
        kept = (self._vm.messages[i % _KEPT_MESSAGES] for i in range(first, self._vm.count))
        return [(message.address, message.data) for message in kept]

    # ---- what the guest does, here and in the model ----

    def write(self, offset: int, value: int, size: int = 4) -> None:
        self._region_write(0, offset, value.to_bytes(size, "little"))
        self.model.write(offset, size, value)

    def write_config(self, offset: int, data: bytes) -> None:
        self._region_write(7, offset, data)
        self.model.write_config(offset, data)

    def store(self, offset: int, data: bytes) -> None:
        """To BAR2."""
        self._region_write(2, offset, data)
        self.model.write_portal(offset, data)

    def put(self, address: int, data: bytes) -> None:
        """The guest's CPU writes its memory."""
        self.memory[address - RAM : address - RAM + len(data)] = data
        self.model.guest_memory.write(address, data)

    def reset(self) -> None:
        self._lib.vdev_reset(self._vdev)
        self.model.reset()

    def _region_write(self, region: int, offset: int, data: bytes) -> None:
        self._ffi.memmove(self._buffer, data, len(data))
        self._lib.vdev_region_write(self._vdev, region, offset, self._buffer, len(data))

    # ---- what can be seen ----

    def config_space(self) -> bytes:
        self._lib.vdev_region_read(self._vdev, 7, 0, self._config_space, 256)
        return bytes(self._ffi.buffer(self._config_space, 256))

    def words(self) -> list[int]:
        """BAR0 at `offsets`."""
        self._lib.direct_read_vdev(self._vdev, self._offsets, self._count, self._words)
        return list(self._ffi.unpack(self._words, self._count))

    @property
    def message_count(self) -> int:
        return int(self._vm.count)


class DirectDevice(Device):
    """Everything that the host does to the device is done to `model` as well."""

    def __init__(self, config: DeviceConfig) -> None:
        fault = planted_fault()
        super().__init__(config, core=direct_core(planted=fault != 0), ledger_capacity=64, run_engine=False)
        if fault:
            self.plant_fault(fault)
        self.iommu_model = Iommu()
        self.model: Chip = Chip(self._layout(), self.iommu_model)
        self._watched: tuple[Any, Any, int] | None = None
        self._occupancy: tuple[Any, Any, int] | None = None
        self._ims: tuple[Any, Any, int] | None = None

    def _layout(self) -> Layout:
        """As software finds it: from the capability registers."""
        gencap, wqcap, offsets = self.read(0x10, 8), self.read(0x20, 8), self.read(0x60, 8)
        opcap = self.read(0x40, 8)
        return Layout(
            num_wqs=wqcap >> 16 & 0xFF,
            total_wq_size=wqcap & 0xFFFF,
            num_ims=(gencap >> 25 & 0x3F) * 256,
            max_transfer_log2=gencap >> 16 & 0x1F,
            max_batch_log2=gencap >> 21 & 0xF,
            operations=frozenset(code for code in OPERATIONS if opcap >> code & 1),
            commands=self.read(0xB0, 8),
            group_table=(offsets & 0xFFFF) * 0x100,
            queue_table=(offsets >> 16 & 0xFFFF) * 0x100,
            ims_table=(offsets >> 48) * 0x100,
        )

    def write(self, offset: int, value: int, size: int = 4) -> None:
        super().write(offset, value, size)
        self.model.write(offset, size, value)

    def remap_set(self, index: int, vdev: Vdev, vector: int) -> None:
        super().remap_set(index, vdev, vector)
        assert isinstance(vdev, DirectVdev)
        self.iommu_model.remaps[index] = (vdev.model, vector)

    def remap_clear(self, index: int) -> None:
        super().remap_clear(index)
        self.iommu_model.remaps.pop(index, None)

    def pasid_set(self, pasid: int, vdev: Vdev) -> None:
        super().pasid_set(pasid, vdev)
        assert isinstance(vdev, DirectVdev)
        self.iommu_model.pasids[pasid] = vdev.model

    def pasid_clear(self, pasid: int) -> None:
        super().pasid_clear(pasid)
        self.iommu_model.pasids.pop(pasid, None)

    def create_vdev(self, config: VdevConfig | OwnVdevConfig) -> DirectVdev:
        assert isinstance(config, VdevConfig)
        description = Description(
            config.wq, config.vectors, config.cmdcap, config.wq_size, config.wq_mode, config.wq_limits
        )
        tables = Tables(queue=0x600, permissions=0x800, msix=0x2000, pba=0x3000)
        space = ConfigSpace(bytearray(256), b"")
        model = ModelVdev(self.model, description, tables, space, Memory(RAM, bytearray()))
        vdev = DirectVdev(self, self._core, self._platform, config, model)
        self._vdevs.add(vdev)
        self.model.owners[config.wq] = model
        return vdev

    def forget(self, vdev: Vdev) -> None:
        super().forget(vdev)
        assert isinstance(vdev.config, VdevConfig)
        self.model.owners.pop(vdev.config.wq, None)

    # ---- what can be seen ----

    def watch(self, entries: Iterable[int]) -> list[int]:
        """words() will read registers, groups, queues and these IMS entries, at these offsets."""
        layout = self.model.layout
        offsets = [*range(0, 0x100, 8), *range(layout.group_table, layout.group_table + 48, 8)]
        offsets += range(layout.queue_table, layout.queue_table + 32 * layout.num_wqs, 8)
        offsets += (layout.ims_table + 16 * entry + at for entry in entries for at in (0, 8))
        self._watched = self._buffers(offsets)
        self._occupancy = self._buffers([layout.queue_table + 32 * wq + 24 for wq in range(layout.num_wqs)])
        self._ims = self._buffers([*range(layout.ims_table, layout.ims_table + 16 * layout.num_ims, 8)])
        return offsets

    def _buffers(self, offsets: list[int]) -> tuple[Any, Any, int]:
        return self._ffi.new("uint32_t[]", offsets), self._ffi.new("uint64_t[]", len(offsets)), len(offsets)

    def words(self) -> list[int]:
        return self._read_many(self._watched)

    def ims_words(self) -> list[int]:
        """Of all entries."""
        return self._read_many(self._ims)

    def queued(self) -> list[int]:
        """Descriptors in each work queue (WQCFG)."""
        return [word & 0xFFFF for word in self._read_many(self._occupancy)]

    def _read_many(self, where: tuple[Any, Any, int] | None) -> list[int]:
        assert where is not None, "watch() first"
        offsets, words, count = where
        self._lib.direct_read_idxd(self._idxd, offsets, count, words)
        return list(self._ffi.unpack(words, count))
