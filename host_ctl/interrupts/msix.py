"""Organisation `msix`: the function's own MSI-X table, and beside it a table of owners (MSIXPERM, DSA specification 9.2.22)."""

from __future__ import annotations

from device_model.config import Organisation
from host_ctl.errors import HostError
from host_ctl.interrupts.entries import EntryStore
from host_ctl.interrupts.interrupt import (
    ADDRESS,
    ADDRESS_HI,
    CONTROL,
    DATA,
    IGNORE,
    MASK,
    PASID_ENABLE,
    Interrupt,
)
from host_ctl.interrupts.organisation import Scope, why_not
from host_ctl.interrupts.owner import Subdevice
from host_ctl.interrupts.store import Share, Store
from host_ctl.physical import Command

_STRIDE, _PERMISSION_STRIDE = 16, 8


class MsixInterrupt(Interrupt):
    """A vector: message and mask in the MSI-X table, the owner's PASID in the side table."""

    def __init__(self, store: Store, entry: int, handle: int, owner: Subdevice) -> None:
        super().__init__(store, entry, handle, owner)
        assert isinstance(store, MsixStore)
        self.store: MsixStore = store

    def mask(self) -> None:
        self.store.write(self.entry, CONTROL, MASK)
        self._own()

    def unmask(self) -> None:
        self._own()
        self.store.write(self.entry, CONTROL, 0)

    def disarm(self) -> None:
        self.store.write(self.entry, CONTROL, MASK)
        self.store.write_permission(self.entry, 0)

    @property
    def pending(self) -> bool:
        return self.store.pending(self.entry)

    def release_handle(self) -> None:
        self.store.chip.command(Command.RELEASE_INT_HANDLE, self.entry)

    def _own(self) -> None:
        """Ignore stays as it is: it is the guest's. A change of it between the read and the write is lost."""
        ignore = self.store.read_permission(self.entry) & IGNORE
        self.store.write_permission(self.entry, ignore | self.store._owner_id_of(self.owner) << 12 | PASID_ENABLE)


class MsixStore(EntryStore):
    """Vector 0 is the device's own. One domain for all: what the PCI function has one of cannot be cut into domains of VMs."""

    ORGANISATION = Organisation.MSIX
    INTERRUPT = MsixInterrupt
    CLEAN = (0, 0, 0, MASK)

    @property
    def entries(self) -> range:
        return range(1, self.chip.num_msix)

    def reserve(self, owner: Subdevice, count: int) -> Share:
        raise HostError(f"no part of this store for {owner.name}: {why_not(self.ORGANISATION, Scope.VM)}")

    def give_up(self, share: Share) -> None:
        raise HostError(f"no part of this store was reserved: {why_not(self.ORGANISATION, Scope.VM)}")

    def _clear(self, entry: int) -> None:
        self.write(entry, CONTROL, MASK)
        self.write_permission(entry, 0)
        self.chip.command(Command.RELEASE_INT_HANDLE, entry)
        self.write(entry, ADDRESS, 0)
        self.write(entry, ADDRESS_HI, 0)
        self.write(entry, DATA, 0)

    def is_clean(self, entry: int) -> bool:
        return super().is_clean(entry) and self.read_permission(entry) == 0

    def read(self, entry: int, register: int) -> int:
        return self.chip.device.read(self.chip.device.msix_table + entry * _STRIDE + register)

    def write(self, entry: int, register: int, value: int) -> None:
        self.chip.device.write(self.chip.device.msix_table + entry * _STRIDE + register, value)

    def read_permission(self, entry: int) -> int:
        """Owner and Ignore of a vector, from the side table."""
        return self.chip.device.read(self.chip.msixperm + entry * _PERMISSION_STRIDE)

    def write_permission(self, entry: int, value: int) -> None:
        """Owner and Ignore of a vector."""
        self.chip.device.write(self.chip.msixperm + entry * _PERMISSION_STRIDE, value)

    def pending(self, entry: int) -> bool:
        """The vector's bit in the PBA."""
        return bool(self.chip.device.read(self.chip.device.msix_pba + entry // 32 * 4) >> entry % 32 & 1)
