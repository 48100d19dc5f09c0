"""The host: one physical device, the allocators over it, and the mdevs made of it."""

from __future__ import annotations

import itertools
import os
import threading
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

from device_model.config import DeviceConfig
from device_model.device import LEDGER_CAPACITY, Device
from device_model.ledger import LedgerRecord
from device_model.trace import Target, target_of
from host_ctl.errors import HostError
from host_ctl.interrupts import IdKind, Scope, make_store, open_domains
from host_ctl.interrupts.vm_id import VmIdAllocator
from host_ctl.mdev import Mdev, Parts, describe
from host_ctl.mdev_type import MAX_OWN_DEVICES, MdevType, find_type
from host_ctl.pasid import PasidAllocator
from host_ctl.physical import PhysicalDevice
from host_ctl.remapping import RemappingTable

MDEV_VECTORS = 16
"""What parts of a store are made for unless the host is told."""


class HostClosed(HostError):  # noqa: N818
    """Something was asked of a host that has been closed."""


class OwnDevicesExhausted(HostError):  # noqa: N818
    """No further mdev that is a device of its own."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What is in use. A run must end where it began. What an organisation of the store does not have is 0.

    By the hardware, not the books: dirty entries, vm_objects that are Valid, queue_roots (work queues that lead to storage),
    host_memory_pages, what begins with iommu.
    """

    mdevs: int
    pasids: int
    work_queues: int
    interrupt_entries: int
    dirty_interrupt_entries: int
    vm_ids: int
    vm_objects: int
    queue_roots: int
    host_memory_pages: int
    remapping_entries: int
    iommu_remapping_entries: int
    iommu_pasids: int
    dma_mappings: int

    def counts(self) -> dict[str, int]:
        """Name in words -> number."""
        return {_in_words(name): count for name, count in asdict(self).items()}


def _in_words(name: str) -> str:
    capitals = {"iommu": "IOMMU", "dma": "DMA", "pasids": "PASIDs", "vm": "VM", "ids": "IDs"}
    return " ".join(capitals.get(word, word) for word in name.split("_"))


def _start_trace(device: Device, target: Target | None) -> None:
    if target is None:
        return
    try:
        device.trace(target)
    except OSError as error:
        raise HostError(f"cannot write the trace to {target} ({error.strerror}): choose another file") from error


class Host:
    """Creates and destroys mdevs. Calls block until done and may come from several threads; close() undoes everything."""

    def __init__(
        self,
        config: DeviceConfig | None = None,
        *,
        scope: Scope = Scope.DEVICE,
        mdev_vectors: int = MDEV_VECTORS,
        wq_size: int = 64,
        core: ModuleType | None = None,
        ledger_capacity: int = LEDGER_CAPACITY,
        trace: Target | None = None,
    ) -> None:
        """The organisation of the message store is the device's (config), the scope of interrupt domains the host's.

        mdev_vectors: up to how many vectors besides vector 0 mdevs have, where the store is cut into parts of one size.
        trace: where all that guests do is written, line by line; default: where VDSA_TRACE says, if it is set.

        Raises DeviceError or CommandFailed if the sizes do not fit each other, HostError if the scope makes no sense with the
        organisation or the trace cannot be written.
        """
        self.device = Device(config, core=core, ledger_capacity=ledger_capacity)
        try:
            _start_trace(self.device, trace or target_of(os.environ))
            chip = PhysicalDevice(self.device, wq_size=wq_size)
            domain = open_domains(make_store(chip, mdev_vectors), scope)
        except BaseException:
            self.device.close()
            raise
        self.parts = Parts(chip, PasidAllocator(), domain, RemappingTable(self.device), VmIdAllocator(), describe)
        self.mdevs: dict[int, Mdev] = {}
        self._ids = itertools.count(1)
        self._closed = False
        self._lock = threading.RLock()

    def type(self, name: str) -> MdevType:
        """The mdev type of that name. UnknownType: there is none."""
        return find_type(name)

    def available_instances(self, name: str, vectors: int | None = None) -> int:
        """How many more mdevs of this type with that many vectors (None: as few as it can have) can be created."""
        mdev_type = self.type(name)
        vectors = mdev_type.vectors[0] if vectors is None else vectors
        mdev_type.check_vectors(vectors)
        if mdev_type.own is not None:
            return MAX_OWN_DEVICES - self.own_devices
        chip, domain = self.parts.chip, self.parts.domain
        bounds = [chip.num_wqs - chip.wqs_in_use, self.parts.pasids.left]
        if domain.store.facts.id_kind is IdKind.VM_ID:
            bounds.append(self.parts.vm_ids.left)
        by_entries = domain.available(vectors)
        return min(bounds if by_entries is None else [*bounds, by_entries])

    @property
    def own_devices(self) -> int:
        """Mdevs that are devices of their own."""
        return sum(mdev.type.own is not None for mdev in self.mdevs.values())

    def create(
        self, type_name: str, vectors: int, folder: Path, *, eventfd: bool = False, mapped_portal: bool = False
    ) -> Mdev:
        """An mdev served on a fresh socket in `folder`. Raises a HostError or DeviceError and leaves nothing behind.

        mapped_portal: its guest maps the portals; the device looks for descriptors in them (docs/mapped-portal.md).
        """
        mdev_type = self.type(type_name)
        with self._lock:
            if self._closed:
                raise HostClosed("the host has been closed: no mdev can be created any more")
            if mdev_type.own is not None and self.own_devices == MAX_OWN_DEVICES:
                raise OwnDevicesExhausted(f"a host has at most {MAX_OWN_DEVICES} devices of their own: destroy an mdev first")
            mdev_id = next(self._ids)
            mdev = Mdev(
                self.parts, mdev_type, mdev_id, vectors, folder / f"m{mdev_id}",
                eventfd=eventfd, mapped_portal=mapped_portal,
            )  # fmt: skip
            self.mdevs[mdev_id] = mdev
        return mdev

    def destroy(self, mdev: Mdev) -> None:
        """Quiets and frees an mdev. Idempotent."""
        with self._lock:
            mdev.close()
            self.mdevs.pop(mdev.id, None)

    def read_ledger(self) -> tuple[list[LedgerRecord], int]:
        """Records since the last call, and how many were lost."""
        return self.device.read_ledger()

    def audit(self) -> Audit:
        """What is in use now, by the host's own books and by the hardware's."""
        with self._lock:
            domain = self.parts.domain
            roots = domain.store.roots()
            remap, pasids = self.device.iommu_entries()
            return Audit(
                mdevs=len(self.mdevs),
                pasids=self.parts.pasids.in_use,
                work_queues=self.parts.chip.wqs_in_use,
                interrupt_entries=domain.in_use,
                dirty_interrupt_entries=len(domain.dirty_entries()),
                vm_ids=self.parts.vm_ids.in_use,
                vm_objects=roots.get("vm_objects", 0),
                queue_roots=roots.get("queue_roots", 0),
                host_memory_pages=roots.get("host_memory_pages", 0),
                remapping_entries=self.parts.remapping.in_use,
                iommu_remapping_entries=remap,
                iommu_pasids=pasids,
                dma_mappings=sum(mdev.vdev.server_stats().mappings for mdev in self.mdevs.values()),
            )

    def close(self) -> None:
        """Destroys all mdevs, one that another thread is creating among them, then the device. Idempotent."""
        with self._lock, ExitStack() as undo:  # goes on after a failure
            self._closed = True
            undo.callback(self.device.close)
            for mdev in list(self.mdevs.values()):
                undo.callback(self.destroy, mdev)
