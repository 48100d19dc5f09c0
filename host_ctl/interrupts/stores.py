"""The store that a device has, as the host reaches it."""

from __future__ import annotations

from device_model.config import Organisation
from host_ctl.interrupts.array import ArrayStore
from host_ctl.interrupts.msix import MsixStore
from host_ctl.interrupts.queue import QueueStore
from host_ctl.interrupts.store import Store
from host_ctl.interrupts.table import TableStore
from host_ctl.physical import PhysicalDevice

STORES: dict[Organisation, type[Store]] = {
    kind.ORGANISATION: kind for kind in (ArrayStore, TableStore, QueueStore, MsixStore)
}


def make_store(chip: PhysicalDevice, mdev_vectors: int) -> Store:
    """The store of the device's organisation, for mdevs with up to `mdev_vectors` vectors where parts have one size."""
    return STORES[Organisation(chip.device.config.organisation)](chip, mdev_vectors)
