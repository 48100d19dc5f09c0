"""The largest device of each organisation, and how so many vectors are dealt out to virtual machines."""

from __future__ import annotations

from device_model.config import DeviceConfig, Organisation
from host_ctl.interrupts.organisation import MAX_ARRAY, MAX_HANDLES, MAX_MSIX, MAX_POOL, MAX_TABLE

MAX_WQS = 255
"""Work queues of a device (WQCAP, DSA specification 9.2.4)."""
WQ_SIZE = 8
VMS = 128
"""About so many VMs share a store that is filled; where one cannot have that many vectors there are more."""

_MOST_OF_A_VM = {
    Organisation.ARRAY: MAX_ARRAY,
    Organisation.TABLE: MAX_TABLE,
    Organisation.QUEUE: MAX_HANDLES,
    Organisation.MSIX: MAX_MSIX,
}
_ENTRIES = {Organisation.ARRAY: MAX_ARRAY, Organisation.TABLE: MAX_POOL}


def largest(organisation: Organisation) -> DeviceConfig:
    """The largest device there can be of this organisation."""
    return DeviceConfig(
        num_wqs=MAX_WQS,
        total_wq_size=MAX_WQS * WQ_SIZE,
        num_ims=_ENTRIES.get(organisation, 0),
        num_msix=MAX_MSIX if organisation is Organisation.MSIX else 0,
        organisation=organisation,
    )


def entries_of(config: DeviceConfig) -> int | None:
    """Entries that a device's store can give out; None: memory is its only bound."""
    return max(config.num_ims, config.num_msix - 1) if config.organisation != Organisation.QUEUE else None


def most_entries(organisation: Organisation) -> int | None:
    """The same of the largest device."""
    return entries_of(largest(organisation))


def block_size(organisation: Organisation, vectors: int) -> int:
    """Vectors of each VM where `vectors` are dealt out to about VMS of them: a power of two, as parts of a store are."""
    most = most_entries(organisation)
    share = -(-(vectors if most is None else min(vectors, most)) // VMS)
    return min(max(8, 1 << (share - 1).bit_length()), _MOST_OF_A_VM[organisation])


def blocks(vectors: int, size: int) -> list[int]:
    """`vectors` in blocks of `size`, and what is left over in a last one."""
    whole, rest = divmod(vectors, size)
    return [size] * whole + ([rest] if rest else [])
