"""Mediated devices: how one is composed, from parts of the physical device or as a device of its own.

An mdev over a work queue has vector 0 emulated by the host, and vectors 1 to n with one entry of the message store each; its
guest gets interrupt handles by Request Interrupt Handle. An mdev that is a device of its own needs no part of the shared one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from device_model.config import VdevConfig
from device_model.virtual_device import Vdev
from host_ctl.ids import IdAllocator
from host_ctl.interrupts import DomainScope, IdKind, Interrupt, Subdevice, VectorBlock
from host_ctl.mdev_type import MdevType
from host_ctl.pasid import PasidAllocator
from host_ctl.physical import PhysicalDevice
from host_ctl.remapping import RemapEntry, RemappingTable

NOT_SHARED = -1
"""PASID and work queue of an mdev that is a device of its own."""
_OPCAP = 0x40


@dataclass(slots=True)
class Parts:
    """Where the parts of an mdev come from. A test that plants a mistake of the host replaces one of them.

    vm_ids are taken from only if the store tells owners apart by VM_ID.
    """

    chip: PhysicalDevice
    pasids: PasidAllocator
    domain: DomainScope
    remapping: RemappingTable
    vm_ids: IdAllocator
    describe: Callable[[MdevType, int, int, int, Sequence[Interrupt], bool], VdevConfig]


def describe(
    mdev_type: MdevType, mdev_id: int, wq: int, wq_size: int, interrupts: Sequence[Interrupt], eventfd: bool
) -> VdevConfig:
    """The register values and handles that the guest will see."""
    return mdev_type.config(mdev_id, wq, wq_size, interrupts, eventfd=eventfd)


class Mdev:
    """A composed mdev. Everything it was given is undone, in reverse order, by close() or if a step of its making fails."""

    def __init__(
        self,
        parts: Parts,
        mdev_type: MdevType,
        mdev_id: int,
        vectors: int,
        socket: Path,
        *,
        eventfd: bool,
        mapped_portal: bool = False,
    ) -> None:
        """`vectors`: those besides vector 0. Raises what the parts raise; then nothing is left of it."""
        mdev_type.check_vectors(vectors)
        self.id = mdev_id
        self.type = mdev_type
        self.socket = socket
        self.subdevice = Subdevice(f"mdev {mdev_id}")
        self.vectors = vectors
        self.pasid = self.wq = NOT_SHARED
        self.interrupts: list[Interrupt] = []
        self._parts = parts
        self._eventfd = eventfd
        self.mapped_portal = mapped_portal
        with ExitStack() as undo:
            if mdev_type.own is None:
                self._compose(undo)
            else:
                self._make_own(undo)
            self._serve(undo)
            self._undo = undo.pop_all()

    def _make_own(self, undo: ExitStack) -> None:
        config = self.type.own_config(self.id, eventfd=self._eventfd)
        self.vdev: Vdev = self._parts.chip.device.create_vdev(replace(config, mapped_portal=self.mapped_portal))
        undo.callback(self.vdev.close)

    def _serve(self, undo: ExitStack) -> None:
        self.vdev.serve(self.socket)
        undo.callback(self.vdev.stop_serving)
        undo.callback(self.vdev.close_portal)

    def _compose(self, undo: ExitStack) -> None:
        parts = self._parts
        self.pasid = parts.pasids.allocate()
        undo.callback(parts.pasids.free, self.pasid)
        self.wq = self.subdevice.wq = parts.chip.allocate_wq()
        undo.callback(parts.chip.free_wq, self.wq)
        self.subdevice.owner_id = self._owner_id(undo)
        block = parts.domain.allocate_block(self.subdevice, self.vectors)
        undo.callback(parts.domain.free_block, block)
        self.interrupts = [block.parcel() for _ in range(self.vectors)]
        config = parts.describe(self.type, self.id, self.wq, parts.chip.wq_size, self.interrupts, self._eventfd)
        opcap = parts.chip.device.read(_OPCAP, 8)
        self.vdev = parts.chip.device.create_vdev(replace(config, opcap=opcap, mapped_portal=self.mapped_portal))
        undo.callback(self.vdev.close)
        parts.chip.device.pasid_set(self.pasid, self.vdev)
        undo.callback(parts.chip.device.pasid_clear, self.pasid)
        self._route(undo, block)
        undo.callback(parts.chip.reset_wq, self.wq)
        parts.chip.program_wq(
            self.wq, self.pasid, max_xfer_log2=self.type.max_xfer_log2, max_batch_log2=self.type.max_batch_log2
        )

    def _owner_id(self, undo: ExitStack) -> int:
        """The ID that the store tells owners apart by. The PASID is there in any case: DMA needs it."""
        if self._parts.domain.store.facts.id_kind is IdKind.PASID:
            return self.pasid
        vm_id = self._parts.vm_ids.allocate()
        undo.callback(self._parts.vm_ids.free, vm_id)
        return vm_id

    def _route(self, undo: ExitStack, block: VectorBlock) -> None:
        """Remapping first, then the entry: a message that leaves the device always has somewhere to go."""
        for vector, interrupt in enumerate(block.interrupts, start=1):
            entry: RemapEntry = self._parts.remapping.allocate(self.vdev, vector)
            undo.callback(self._parts.remapping.free, entry)
            undo.callback(interrupt.disarm)
            interrupt.program(entry.address, entry.data)

    @property
    def handles(self) -> list[int]:
        """Interrupt handles of vectors 1 and up: as the host gave them, or of a device of its own the vectors' numbers."""
        if self.type.own is not None:
            return list(range(1, self.vectors + 1))
        return [interrupt.handle for interrupt in self.interrupts]

    def disarm(self) -> None:
        """The first half of taking interrupts away: entries masked and nobody's, not yet freed."""
        for interrupt in self.interrupts:
            interrupt.disarm()

    def close(self) -> None:
        """Aborts what is queued, waits for what runs, and frees everything. Idempotent.

        Blocks until nothing of it can be written or signalled any more.
        """
        self._undo.close()
