"""The Interrupt Message Storage: an array of entries, and the handles that were given out for them (9.2.28, 3.7, 5.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from device_model.tests.model import choices

FEE = 0xFEE


@dataclass(slots=True)
class Entry:
    """An entry as 9.2.28 describes it, and whether Request Interrupt Handle has returned a handle for it."""

    address: int = 0xFEE0_0000
    data: int = 0
    mask: bool = True
    pending: bool = False
    ignore: bool = False
    pasid_enable: bool = False
    pasid: int = 0
    requested: bool = False

    @property
    def control(self) -> int:
        flags = self.mask | self.pending << 1 | self.ignore << 2 | self.pasid_enable << 3
        return flags | self.pasid << 12

    def words(self) -> tuple[int, int]:
        return self.address, self.data | self.control << 32


@dataclass(slots=True)
class Ims:
    """`send(address, data)` takes a message that leaves the device."""

    send: Callable[[int, int], None]
    entries: list[Entry] = field(default_factory=list)

    def reset(self) -> None:
        self.entries[:] = [Entry() for _ in self.entries]

    # ---- registers ----

    def write(self, offset: int, size: int, value: int) -> None:
        entry, register = self.entries[offset // 16], offset % 16
        if size == 8:
            if register == 0:
                self._write_address(entry, value)
            else:
                entry.data = value & 0xFFFFFFFF
                self._write_control(entry, value >> 32)
        elif register == 0:
            self._write_address(entry, entry.address >> 32 << 32 | value)
        elif register == 4:
            self._write_address(entry, value << 32 | entry.address & 0xFFFFFFFF)
        elif register == 8:
            entry.data = value
        else:
            self._write_control(entry, value)

    @staticmethod
    def _write_address(entry: Entry, value: int) -> None:
        if value >> 20 == FEE:
            entry.address = value & ~3

    def _write_control(self, entry: Entry, value: int) -> None:
        entry.mask, entry.ignore, entry.pasid_enable = bool(value & 1), bool(value & 4), bool(value & 8)
        entry.pasid = value >> 12
        if not entry.mask and entry.pending:
            entry.pending = False
            self.send(entry.address, entry.data)

    # ---- handles; the handle of an entry is its index ----

    def request(self, index: int) -> bool:
        if index >= len(self.entries):
            return False
        self.entries[index].requested = True
        return True

    def release(self, index: int) -> bool:
        if index >= len(self.entries):
            return False
        self.entries[index].requested = False
        if choices.RELEASE_CLEARS_PENDING:
            self.entries[index].pending = False
        return True

    def accepts(self, handle: int, pasid_enable: bool, pasid: int) -> bool:
        """The checks of table 5-2 and 5.4, made before a descriptor is executed."""
        if handle >= len(self.entries):
            return False
        entry = self.entries[handle]
        return entry.requested and entry.pasid_enable == pasid_enable and (not pasid_enable or entry.pasid == pasid)

    def raise_(self, handle: int) -> None:
        """A completion interrupt whose handle was accepted."""
        entry = self.entries[handle]
        if entry.ignore:
            return
        if entry.mask:
            entry.pending = True
        else:
            self.send(entry.address, entry.data)
