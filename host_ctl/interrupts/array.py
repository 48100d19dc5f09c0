"""Organisation `array`: the IMS of DSA specification 9.2.28, a fixed array of entries with a PASID in each."""

from __future__ import annotations

from device_model.config import Organisation
from host_ctl.interrupts.entries import EntryStore
from host_ctl.interrupts.interrupt import (
    ADDRESS,
    CONTROL,
    DATA,
    IGNORE,
    MASK,
    PASID_ENABLE,
    PENDING,
    Interrupt,
)
from host_ctl.interrupts.owner import StoreExhausted, Subdevice
from host_ctl.interrupts.pool import Pool
from host_ctl.interrupts.store import Share
from host_ctl.physical import Command, PhysicalDevice

RESET_ADDRESS = 0xFEE0_0000
_STRIDE = 16
_IMS_HANDLE = 1 << 16
"""Operand bit of a handle command that names an IMS entry (9.2.12)."""


class ArrayInterrupt(Interrupt):
    """An entry with its owner's PASID in its control word."""

    def mask(self) -> None:
        self._own(MASK)

    def unmask(self) -> None:
        self._own(0)

    def disarm(self) -> None:
        self.store.write(self.entry, CONTROL, MASK)  # without PASID Enable: no queue of a guest passes the check (7.5.4)

    @property
    def pending(self) -> bool:
        return bool(self.control & PENDING)

    def release_handle(self) -> None:
        self.store.chip.command(Command.RELEASE_INT_HANDLE, self.entry | _IMS_HANDLE)

    def _own(self, mask: int) -> None:
        """Ignore stays as it is: it is the guest's (7.5.4). A change of it between the read and the write is lost."""
        owner_id = self.store._owner_id_of(self.owner)
        self.store.write(self.entry, CONTROL, self.control & IGNORE | owner_id << 12 | PASID_ENABLE | mask)


class ArrayStore(EntryStore):
    """Domains of VMs get parts of one size: reserving one is O(1), and what a VM does not use of it is lost to others."""

    ORGANISATION = Organisation.ARRAY
    INTERRUPT = ArrayInterrupt
    CLEAN = (RESET_ADDRESS, 0, 0, MASK)

    def __init__(self, chip: PhysicalDevice, mdev_vectors: int) -> None:
        super().__init__(chip, mdev_vectors)
        self._parts = Pool(range(chip.num_ims // self.part))

    @property
    def entries(self) -> range:
        return range(self.chip.num_ims)

    def reserve(self, owner: Subdevice, count: int) -> Share:
        if count > self.part:
            raise StoreExhausted(
                f"{owner.name} needs {count} entries, and a VM's part of this array has {self.part}: "
                "make the host for mdevs with more vectors"
            )
        part = self._parts.take()
        if part is None:
            raise self._exhausted(owner, 1, 0, len(self._parts), f"part of {self.part} entries")
        return Pool(range(part * self.part, (part + 1) * self.part))

    def give_up(self, share: Share) -> None:
        self._parts.give_back(share.numbers.start // self.part)

    def free_entries(self, share: Share | None) -> int | None:
        return self._parts.free * self.part if share is None else super().free_entries(share)

    def available(self, vectors: int, share: Share | None) -> int | None:
        if share is not None:
            return super().available(vectors, share)
        return self._parts.free if vectors <= self.part else 0

    def _clear(self, entry: int) -> None:
        self.write(entry, CONTROL, MASK)
        self.chip.command(Command.RELEASE_INT_HANDLE, entry | _IMS_HANDLE)
        self.write(entry, ADDRESS, RESET_ADDRESS)
        self.write(entry, DATA, 0)

    def read(self, entry: int, register: int) -> int:
        return self.chip.device.read(self.chip.ims_base + entry * _STRIDE + register)

    def write(self, entry: int, register: int, value: int) -> None:
        self.chip.device.write(self.chip.ims_base + entry * _STRIDE + register, value)
