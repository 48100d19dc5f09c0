"""Mdev types: what each offers to a guest, in the words of mdev management (name, description, device_api, available_instances).

Two kinds. A type over a work queue shares the physical device with other mdevs (DSA specification 7.5); a type with `own` is a
device of its own, which shares nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from device_model.config import DeviceConfig, Feature, OwnVdevConfig, VdevConfig
from host_ctl.errors import HostError
from host_ctl.interrupts import Interrupt

MAX_VECTORS = 255
"""IMS-backed vectors of one mdev: its MSI-X table has 256 entries, and vector 0 is emulated."""
MAX_OWN_DEVICES = 128
"""Devices of their own on one host: each has threads."""
_OVERLAP_CACHE_COMMANDS = 0x16
_CONFIGURABLE = 1 << 31
_EVENT_LOG = 1 << 13 | 1 << 32
"""Entries of 64 bytes; a full log drops. Linux up to 6.12 takes it for granted when it lets go of a device."""
_DEDICATED = 1 << 49
_COMMANDS = 0x7FE
"""Commands 1 to 10: all but those by PASID."""
_HANDLE_COMMANDS = 1 << 13 | 1 << 14


class UnknownType(HostError):  # noqa: N818
    """No mdev type of that name."""


@dataclass(frozen=True, slots=True)
class MdevType:
    """An mdev type. does_not: what a guest may miss, a sentence each."""

    name: str
    description: str
    does_not: tuple[str, ...]
    device_api: str = "vfio-user"
    max_xfer_log2: int = 21
    max_batch_log2: int = 5
    configurable: bool = False
    """GENCAP[31]: the guest writes GRPCFG and WQCFG before it enables them."""
    own: DeviceConfig | None = None
    """Sizes of its own device; None: it is made of a work queue and IMS entries of the shared one."""

    @property
    def vectors(self) -> range:
        """How many vectors besides vector 0 it can have."""
        return range(1, MAX_VECTORS + 1) if self.own is None else range(self.own.num_msix - 1, self.own.num_msix)

    def check_vectors(self, vectors: int) -> None:
        """HostError: no mdev of this type has that many vectors besides vector 0."""
        least, most = self.vectors[0], self.vectors[-1]
        if vectors not in self.vectors:
            choice = f"{least} to {most} IMS-backed vectors" if most > least else f"exactly {least} besides vector 0"
            raise HostError(f"an mdev of type {self.name} has {choice}, not {vectors}")

    def config(
        self, mdev_id: int, wq: int, wq_size: int, interrupts: Sequence[Interrupt], *, eventfd: bool
    ) -> VdevConfig:
        """What the guest sees. GENCAP: overlapping copy, cache control, commands, event log; no IMS."""
        configurable = _CONFIGURABLE if self.configurable else 0
        return VdevConfig(
            id=mdev_id,
            wq=wq,
            vectors=tuple((interrupt.entry, interrupt.handle) for interrupt in interrupts),
            gencap=_OVERLAP_CACHE_COMMANDS | _EVENT_LOG | self.max_xfer_log2 << 16 | self.max_batch_log2 << 21 | configurable,
            wqcap=_DEDICATED | 1 << 16 | wq_size,
            grpcap=1,
            engcap=1,
            opcap=1 << 0x00 | 1 << 0x03,
            cmdcap=_COMMANDS | _HANDLE_COMMANDS,
            wq_size=wq_size,
            wq_mode=1 | 1 << 4,
            wq_limits=self.max_xfer_log2 | self.max_batch_log2 << 5,
            vmm_owns_msix=eventfd,
        )

    def own_config(self, mdev_id: int, *, eventfd: bool) -> OwnVdevConfig:
        """Its own device. ValueError: it has none."""
        if self.own is None:
            raise ValueError(f"{self.name} is made of parts of the shared device")
        return OwnVdevConfig(mdev_id, self.own, vmm_owns_msix=eventfd)


_VIRTUAL = (
    "no PASID, ATS or PRS: the guest's descriptors use its own physical addresses",
    "no shared mode, no inter-domain operations, no IMS of the guest's",
    "no event log entries for Drain and Batch (5.9): their records go to their addresses",
    "Linux's idxd driver needs exactly 1 IMS-backed vector: it takes vector n to be that of work queue n - 1",
)
_OWN = (
    "no PASID, ATS or PRS: the guest's descriptors use its own physical addresses",
    "no shared mode, no inter-domain operations, no IMS, no interrupt handles",
    "no event log entries for Drain and Batch (5.9): their records go to their addresses",
    "it shares no work queue, entry or PASID with other mdevs, so it shows nothing about the isolation of what is shared",
)

TYPES = {
    mdev_type.name: mdev_type
    for mdev_type in (
        MdevType(
            "dsa-1dwq-v1",
            "one dedicated work queue, interrupt handles mandatory, configuration read-only to the guest",
            (
                *_VIRTUAL,
                "the guest cannot set group, size or limits; Linux cannot enable the queue a second time without a re-bind",
            ),
        ),
        MdevType(
            "dsa-1dwq-cfg-v1",
            "one dedicated work queue, interrupt handles mandatory, configured by the guest",
            (*_VIRTUAL, "priority and traffic classes are kept, and mean nothing beside one queue"),
            configurable=True,
        ),
        MdevType(
            "dsa-pf-v1",
            "a device of its own, configured by the guest: 4 work queues, 4 groups, 2 engines, 5 vectors, no interrupt handles",
            _OWN,
            configurable=True,
            own=DeviceConfig(
                num_wqs=4, total_wq_size=128, num_ims=0, num_groups=4, num_engines=2, num_msix=5,
                features=Feature.NO_HANDLES | Feature.NO_PASID | Feature.EVENT_LOG,
            ),
        ),
        MdevType(
            "iax-1dwq-v1",
            "an IAA device of its own, for a driver's probe and configuration: 1 work queue, 2 vectors, no interrupt handles",
            (
                *_OWN,
                "no event log",
                "it executes No-op and Drain only: no compression, decompression, filtering, encryption or CRC",
            ),
            configurable=True,
            own=DeviceConfig(
                num_wqs=1, total_wq_size=64, num_ims=0, num_groups=1, num_engines=1, num_msix=2, kind=1,
                features=Feature.NO_HANDLES | Feature.NO_PASID,
            ),
        ),
    )
}  # fmt: skip


def find_type(name: str) -> MdevType:
    """The mdev type of that name. UnknownType: there is none."""
    if name not in TYPES:
        raise UnknownType(f"no mdev type {name!r}; there are: {', '.join(sorted(TYPES))}")
    return TYPES[name]
