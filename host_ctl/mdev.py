"""Mediated devices: what an mdev type offers, and how one is composed from the parts of the physical device.

An mdev of type `dsa-1dwq-v1` has one dedicated work queue, vector 0 emulated by the host, and vectors 1 to n with one IMS entry
each. Its guest gets interrupt handles by Request Interrupt Handle and sees a configuration that it cannot change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from device_model.device import Vdev, VdevConfig
from host_ctl.errors import HostError
from host_ctl.irq_domain import ArrayDomain, ImsInterrupt, Subdevice, VectorBlock
from host_ctl.pasid import PasidAllocator
from host_ctl.physical import PhysicalDevice
from host_ctl.remapping import RemapEntry, RemappingTable

MAX_VECTORS = 255
"""IMS-backed vectors of one mdev: its MSI-X table has 256 entries, and vector 0 is emulated."""


class UnknownType(HostError):  # noqa: N818
    """No mdev type of that name."""


@dataclass(frozen=True, slots=True)
class MdevType:
    """An mdev type, by the attributes that mdev management knows."""

    name: str
    description: str
    device_api: str = "vfio-user"
    max_xfer_log2: int = 21
    max_batch_log2: int = 5

    def config(
        self, mdev_id: int, wq: int, wq_size: int, interrupts: Sequence[ImsInterrupt], *, eventfd: bool
    ) -> VdevConfig:
        """What the guest sees. GENCAP: overlapping copy, cache control, commands; no IMS, configuration not supported."""
        limits = self.max_xfer_log2 | self.max_batch_log2 << 5
        return VdevConfig(
            id=mdev_id,
            wq=wq,
            vectors=tuple((interrupt.entry, interrupt.handle) for interrupt in interrupts),
            gencap=0x16 | self.max_xfer_log2 << 16 | self.max_batch_log2 << 21,
            wqcap=1 << 49 | 1 << 16 | wq_size,
            grpcap=1,
            engcap=1,
            opcap=0x1_003F_03F9,
            cmdcap=0x7FE | 1 << 13 | 1 << 14,
            wq_size=wq_size,
            wq_mode=1 | 1 << 4,
            wq_limits=limits,
            vmm_owns_msix=eventfd,
        )


TYPES = {
    mdev_type.name: mdev_type
    for mdev_type in (
        MdevType(
            "dsa-1dwq-v1",
            "one dedicated work queue, interrupt handles mandatory, configuration read-only to the guest",
        ),
    )
}


def check_vectors(vectors: int) -> None:
    """HostError: no mdev has that many IMS-backed vectors."""
    if not 1 <= vectors <= MAX_VECTORS:
        raise HostError(f"an mdev has 1 to {MAX_VECTORS} IMS-backed vectors, not {vectors}")


@dataclass(slots=True)
class Parts:
    """Where the parts of an mdev come from. A test that plants a mistake of the host replaces one of them."""

    chip: PhysicalDevice
    pasids: PasidAllocator
    domain: ArrayDomain
    remapping: RemappingTable
    describe: Callable[[MdevType, int, int, int, Sequence[ImsInterrupt], bool], VdevConfig]


def describe(
    mdev_type: MdevType, mdev_id: int, wq: int, wq_size: int, interrupts: Sequence[ImsInterrupt], eventfd: bool
) -> VdevConfig:
    """The register values and handles that the guest will see."""
    return mdev_type.config(mdev_id, wq, wq_size, interrupts, eventfd=eventfd)


class Mdev:
    """A composed mdev. Everything it was given is undone, in reverse order, by close() or if a step of its making fails."""

    def __init__(
        self, parts: Parts, mdev_type: MdevType, mdev_id: int, vectors: int, socket: Path, *, eventfd: bool
    ) -> None:
        """`vectors`: IMS-backed ones, 1 to 255. Raises what the parts raise; then nothing is left of it."""
        check_vectors(vectors)
        self.id = mdev_id
        self.type = mdev_type
        self.socket = socket
        self.subdevice = Subdevice(f"mdev {mdev_id}")
        self._parts = parts
        with ExitStack() as undo:
            self._compose(undo, vectors, eventfd)
            self._undo = undo.pop_all()

    def _compose(self, undo: ExitStack, vectors: int, eventfd: bool) -> None:
        parts = self._parts
        self.pasid = self.subdevice.owner_id = parts.pasids.allocate()
        undo.callback(parts.pasids.free, self.pasid)
        self.wq = parts.chip.allocate_wq()
        undo.callback(parts.chip.free_wq, self.wq)
        block = parts.domain.allocate_block(self.subdevice, vectors)
        undo.callback(parts.domain.free_block, block)
        self.interrupts = [block.parcel() for _ in range(vectors)]
        config = parts.describe(self.type, self.id, self.wq, parts.chip.wq_size, self.interrupts, eventfd)
        self.vdev: Vdev = parts.chip.device.create_vdev(config)
        undo.callback(self.vdev.close)
        parts.chip.device.pasid_set(self.pasid, self.vdev)
        undo.callback(parts.chip.device.pasid_clear, self.pasid)
        self._route(undo, block)
        undo.callback(parts.chip.reset_wq, self.wq)
        parts.chip.program_wq(
            self.wq, self.pasid, max_xfer_log2=self.type.max_xfer_log2, max_batch_log2=self.type.max_batch_log2
        )
        self.vdev.serve(self.socket)
        undo.callback(self.vdev.stop_serving)
        undo.callback(self.vdev.close_portal)

    def _route(self, undo: ExitStack, block: VectorBlock) -> None:
        """Remapping first, then the entry: a message that leaves the device always has somewhere to go."""
        for vector, interrupt in enumerate(block.interrupts, start=1):
            entry: RemapEntry = self._parts.remapping.allocate(self.vdev, vector)
            undo.callback(self._parts.remapping.free, entry)
            undo.callback(interrupt.disarm)
            interrupt.program(entry.address, entry.data)

    @property
    def handles(self) -> list[int]:
        """Interrupt handles of vectors 1 and up, as the host gave them."""
        return [interrupt.handle for interrupt in self.interrupts]

    def disarm(self) -> None:
        """The first half of taking interrupts away: entries masked and without PASID Enable, not yet freed."""
        for interrupt in self.interrupts:
            interrupt.disarm()

    def close(self) -> None:
        """Aborts what is queued, waits for what runs, and frees everything. Idempotent.

        Blocks until nothing of it can be written or signalled any more.
        """
        self._undo.close()
