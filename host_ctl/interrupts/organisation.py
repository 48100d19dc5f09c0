"""What the organisations of a message store are, and which scopes of interrupt domain make sense with each."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from device_model.config import Organisation

PAGE_ENTRIES = 256
"""Arrays and pools come in multiples of so many entries (GENCAP[30:25]); a page of host memory holds as many."""
MAX_ARRAY = 63 * PAGE_ENTRIES
MAX_POOL = 1 << 21
MAX_TABLE = 2048
"""Entries of one VM's table."""
MAX_MSIX = 2048
MAX_HANDLES = 1 << 16
"""An interrupt handle has 16 bits in a descriptor (DSA specification 8.1)."""


class IdKind(enum.StrEnum):
    """What the hardware compares or follows to find out whose an entry is. Opaque to all but the store."""

    PASID = "PASID"
    VM_ID = "VM_ID"


class Scope(enum.StrEnum):
    """How many interrupt domains there are."""

    DEVICE = "device"
    """One over the whole store."""
    VM = "vm"
    """One for each mdev, over a part of the store: the domain is the boundary."""


@dataclass(frozen=True, slots=True)
class Facts:
    """An organisation in words."""

    organisation: Organisation
    what: str
    id_kind: IdKind
    id_place: str
    handle: str
    bound: str
    local_handles: bool
    """Each owner's handles are numbered by themselves: those of two owners are the same numbers."""

    @property
    def name(self) -> str:
        """As on the command line."""
        return self.organisation.name.lower()


FACTS = {
    facts.organisation: facts
    for facts in (
        Facts(
            Organisation.ARRAY,
            "a fixed array of entries in the device, shared by all",
            IdKind.PASID,
            "in each entry",
            "the entry's index in the device",
            f"entries of the device, at most {MAX_ARRAY}",
            local_handles=False,
        ),
        Facts(
            Organisation.TABLE,
            "a table of its own for each VM, found by VM_ID and VM object",
            IdKind.VM_ID,
            "in the VM object that leads to the table; none in entries",
            "the index in the VM's own table",
            f"a pool of at most {MAX_POOL} entries, {MAX_TABLE} a table, 4,095 VMs",
            local_handles=True,
        ),
        Facts(
            Organisation.QUEUE,
            "pages of host memory for each work queue, made on demand",
            IdKind.PASID,
            "in each entry, beside the queue's own pointer",
            "the index in the queue's own storage",
            f"host memory; {MAX_HANDLES} a queue by the width of a handle",
            local_handles=True,
        ),
        Facts(
            Organisation.MSIX,
            "the function's own MSI-X table with a side table of owners",
            IdKind.PASID,
            "in the side table (MSIXPERM)",
            "the vector of the device's table",
            f"vectors of the table, at most {MAX_MSIX}; vector 0 is the device's own",
            local_handles=False,
        ),
    )
}

_SENSELESS = {
    (Organisation.MSIX, Scope.VM): (
        "MSI-X belongs to the PCI function: one table, one capability, one domain made by the PCI core; "
        "a VM's share of it has no function of its own to hang a domain on"
    )
}


def why_not(organisation: Organisation, scope: Scope) -> str | None:
    """The reason why a domain of this scope makes no sense over such a store; None: it does."""
    return _SENSELESS.get((organisation, scope))


COMBINATIONS = tuple(
    (organisation, scope) for organisation in Organisation for scope in Scope if why_not(organisation, scope) is None
)
"""The seven that make sense."""


@dataclass(frozen=True, slots=True)
class StoreSize:
    """Sizes of a device's store, as in DeviceConfig."""

    num_ims: int
    num_msix: int


def part_size(vectors: int) -> int:
    """Entries of one VM's part of an array, and of one table: the smallest power of two that holds `vectors`.

    A single size makes reserving and giving back O(1) and leaves no holes that fit nobody; what a VM does not use of its part is
    lost to the others. ValueError: no table has so many.
    """
    if not 1 <= vectors <= MAX_TABLE:
        raise ValueError(f"a VM's part of a store has 1 to {MAX_TABLE} entries, not {vectors}")
    return 1 << (vectors - 1).bit_length()


def store_size(organisation: Organisation, scope: Scope, mdevs: int, vectors: int) -> StoreSize:
    """The smallest store that holds `mdevs` with `vectors` each; whether a device can be that large is the device's to say."""
    if organisation is Organisation.QUEUE:
        return StoreSize(0, 0)
    if organisation is Organisation.MSIX:
        return StoreSize(0, min(MAX_MSIX, mdevs * vectors + 1))
    by_parts = organisation is Organisation.TABLE or scope is Scope.VM
    needed = mdevs * (part_size(vectors) if by_parts else vectors)
    return StoreSize(-(-needed // PAGE_ENTRIES) * PAGE_ENTRIES, 0)
