"""Sizes and kinds: what a physical device is made with, and what the host composed for a virtual one."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Feature(enum.IntFlag):
    """Bits of DeviceConfig.features (enum idxd_features)."""

    OPCFG = 1
    """WQCAP[54]: WQCFG has 64 bytes, and says which operations a work queue takes."""
    NO_HANDLES = 2
    """No interrupt handle commands: a handle is the index of an entry."""
    NO_CMDCAP = 4
    """GENCAP[4] is 0: commands 1 to 12 and no others, so no handles either."""
    FIXED_CONFIG = 8
    """GENCAP[31] is 0: groups, sizes and limits are fixed; mode and PASID are not."""
    NO_PASID = 16
    """No PASID capability: no work queue can have PASID Enable."""
    EVENT_LOG = 32
    """GENCAP[14:13] is 1: errors may go to a log in memory."""


class Organisation(enum.IntEnum):
    """How the message store of the device is organised (core/store.h, enum organisation)."""

    ARRAY = 0
    """Entries in the device, shared by all, the owner's PASID in each."""
    TABLE = 1
    """A VM_ID of the work queue leads to its machine's own table in the device."""
    QUEUE = 2
    """Entries in host memory, found by pointers from the work queue's context."""
    MSIX = 3
    """The device's MSI-X table with a PASID for each vector beside it."""


@dataclass(frozen=True, slots=True)
class DeviceConfig:
    """Size of the physical device (DSA specification 9.2.2, 9.2.4)."""

    num_wqs: int = 128
    """Work queues, 1 to 255."""
    total_wq_size: int = 8192
    """Descriptors over all work queues, 1 to 65,535."""
    num_ims: int = 2048
    """Entries of the message store: array, a multiple of 256, at most 16,128, 0 for none; table, of the pool, a multiple of 256,
    at most 2,097,152; queue and msix: 0."""
    max_xfer_log2: int = 21
    max_batch_log2: int = 5
    num_groups: int = 1
    num_engines: int = 1
    num_msix: int = 0
    """Vectors of the device's own MSI-X table; 0: none."""
    kind: int = 0
    """0: DSA, 1: IAA (enum idxd_kind)."""
    features: int = 0
    """What it can do more or less than the usual one: Feature."""
    organisation: int = Organisation.ARRAY
    """Of the message store; msix needs num_msix."""

    def fields(self) -> dict[str, int]:
        """As struct idxd_config has them."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class VdevConfig:
    """What the host composed for one virtual device; register values are those that the guest reads."""

    id: int
    wq: int
    vectors: tuple[tuple[int, int], ...]
    """(IMS entry, interrupt handle) of vectors 1 and up."""
    gencap: int
    wqcap: int
    grpcap: int
    engcap: int
    opcap: int
    cmdcap: int
    wq_size: int
    wq_mode: int
    wq_limits: int
    vmm_owns_msix: bool = False
    mapped_portal: bool = False
    """The guest maps its portals (vdev/vmapped.c) instead of trapping at each store."""


@dataclass(frozen=True, slots=True)
class OwnVdevConfig:
    """A virtual device that is a device of its own: its sizes, without an IMS and with num_msix vectors."""

    id: int
    device: DeviceConfig
    vmm_owns_msix: bool = False
    mapped_portal: bool = False
