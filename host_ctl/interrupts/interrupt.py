"""One interrupt of a store: an entry parcelled out to one vector."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from host_ctl.interrupts.owner import Subdevice

if TYPE_CHECKING:
    from host_ctl.interrupts.store import Store

ADDRESS, ADDRESS_HI, DATA, CONTROL = 0, 4, 8, 12
"""Words of an entry, in every organisation."""
MASK, PENDING, IGNORE, PASID_ENABLE, REQUESTED = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 4
"""Bits of its control word; which of them exist depends on the organisation."""


class Interrupt(ABC):
    """entry: its number in the whole device (ledger, books). handle: 16 bits, what the owner's guest puts into descriptors."""

    def __init__(self, store: Store, entry: int, handle: int, owner: Subdevice) -> None:
        self.store, self.entry, self.handle, self.owner = store, entry, handle, owner

    def program(self, address: int, data: int) -> None:
        """Masked and its owner's first, then the message, then open: no moment with a message and no owner."""
        self.mask()
        self.store.write(self.entry, ADDRESS, address)
        self.store.write(self.entry, ADDRESS_HI, 0)
        self.store.write(self.entry, DATA, data)
        self.unmask()

    @abstractmethod
    def mask(self) -> None:
        """Its owner's, and masked. When it returns, no message of this entry is on its way."""

    @abstractmethod
    def unmask(self) -> None:
        """Its owner's, and open. An interrupt that is pending is sent now."""

    @abstractmethod
    def disarm(self) -> None:
        """Masked and nobody's: its owner's own guest is refused too, until unmask() (`table`: and its guest has asked for the
        handle again)."""

    @property
    @abstractmethod
    def pending(self) -> bool:
        """Whether an interrupt waits for the mask to end."""

    @property
    def message(self) -> tuple[int, int]:
        """(address, data) as the store holds them."""
        low, high = self.store.read(self.entry, ADDRESS), self.store.read(self.entry, ADDRESS_HI)
        return low | high << 32, self.store.read(self.entry, DATA)

    @property
    def control(self) -> int:
        """The control word as the store holds it."""
        return self.store.read(self.entry, CONTROL)

    @abstractmethod
    def release_handle(self) -> None:
        """The handle is refused from now on, whoever uses it."""
