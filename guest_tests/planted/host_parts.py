"""Mistakes of the host outside its store: work queues, IDs, remapping, and what a virtual device is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from device_model.config import VdevConfig
from device_model.virtual_device import Vdev
from guest_tests.planted.host_stores import LeavesVmId, replace_store
from host_ctl.host import Host
from host_ctl.interrupts import IdKind, Interrupt, Organisation
from host_ctl.interrupts.vm_id import VmIdAllocator
from host_ctl.mdev import describe
from host_ctl.mdev_type import MdevType
from host_ctl.pasid import PasidAllocator
from host_ctl.remapping import RemapEntry, RemappingTable


class MisdirectingTable(RemappingTable):
    """Points the entries of the second virtual device at the first."""

    _vdevs: tuple[Vdev, ...] = ()

    def allocate(self, vdev: Vdev, vector: int) -> RemapEntry:
        if vdev not in self._vdevs:
            self._vdevs = (*self._vdevs, vdev)
        return super().allocate(self._vdevs[0] if vdev is self._vdevs[-1] and len(self._vdevs) == 2 else vdev, vector)


def plant_remapping(host: Host) -> None:
    """Remapping entries of the second mdev lead to the first one's VM."""
    host.parts.remapping = MisdirectingTable(host.device)


def plant_foreign_handles(host: Host) -> None:
    """The second mdev's guest is answered with handles of the first; where those are the same numbers, with the next ones."""
    before: list[Sequence[Interrupt]] = []
    local = host.parts.domain.store.facts.local_handles

    def wrong(kind: MdevType, mdev_id: int, wq: int, size: int, own: Sequence[Interrupt], eventfd: bool) -> VdevConfig:
        config = describe(kind, mdev_id, wq, size, own, eventfd)
        before.append(own)
        if len(before) != 2:
            return config
        handles = [interrupt.handle + local for interrupt in before[0]]
        return replace(
            config, vectors=tuple((entry, handles[i % len(handles)]) for i, (entry, _) in enumerate(config.vectors))
        )

    host.parts.describe = wrong


def plant_foreign_portal(host: Host) -> None:
    """The portal of the second mdev is that of the first one's work queue."""
    before: list[int] = []

    def wrong(kind: MdevType, mdev_id: int, wq: int, size: int, own: Sequence[Interrupt], eventfd: bool) -> VdevConfig:
        before.append(wq)
        return describe(kind, mdev_id, before[0] if len(before) == 2 else wq, size, own, eventfd)

    host.parts.describe = wrong


def plant_foreign_pasid(host: Host) -> None:
    """WQCFG of the second mdev's work queue has the PASID of the first."""
    chip = host.parts.chip
    right = chip.program_wq
    before: list[int] = []

    def wrong(wq: int, pasid: int, *, max_xfer_log2: int, max_batch_log2: int) -> None:
        before.append(pasid)
        told = before[0] if len(before) == 2 else pasid
        right(wq, told, max_xfer_log2=max_xfer_log2, max_batch_log2=max_batch_log2)

    vars(chip)["program_wq"] = wrong


def _forget(wq: int) -> None:
    """What should have been done with this work queue is not done; nobody gets it."""


def plant_no_drain(host: Host) -> None:
    """The interrupts of an mdev are freed while its work queue goes on."""
    vars(host.parts.chip).update(reset_wq=_forget, free_wq=_forget)


class HastyPasids(PasidAllocator):
    """Allocates the PASID that was freed last."""

    def free(self, number: int) -> None:
        super().free(number)
        self._next = number


class HastyVmIds(VmIdAllocator):
    """Allocates the VM_ID that was freed last."""

    def free(self, number: int) -> None:
        super().free(number)
        self._next = number


def plant_id_reuse(host: Host) -> None:
    """The ID of an mdev goes to the next at once, while its work queue goes on with it."""
    plant_no_drain(host)
    if host.parts.domain.store.facts.id_kind is IdKind.PASID:
        host.parts.pasids = HastyPasids()
    else:
        replace_store({Organisation.TABLE: LeavesVmId})(host)
        host.parts.vm_ids = HastyVmIds()
