"""Organisation `msix`: the device's own MSI-X table, with a PASID for each vector in the table beside it (9.2.22)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from device_model.ledger import NO_ENTRY, Kind, Refusal
from device_model.tests.model.store import Place, Store, Terms, judge

MASK, IGNORE, PASID_ENABLE = 1, 4, 8


@dataclass(slots=True)
class Vector:
    """An entry of the table, its pending bit, its permissions and whether its handle was requested."""

    address: int = 0
    data: int = 0
    mask: bool = True
    pending: bool = False
    permissions: int = 0
    requested: bool = False


@dataclass(slots=True)
class MsixStore(Store):
    """`base` is that of the table; the function may send once `on`. A handle is a vector."""

    count: int = 130
    pba: int = 0
    permissions_at: int = 0
    watched: Iterable[int] = ()
    on: bool = False
    vectors: list[Vector] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.vectors = [Vector() for _ in range(self.count)]

    def find(self, terms: Terms, handle: int) -> tuple[int, int]:
        if handle >= self.count:
            return Refusal.OUT_OF_RANGE, NO_ENTRY
        vector = self.vectors[handle]
        enable = bool(vector.permissions & PASID_ENABLE)
        return judge(vector.requested, enable, vector.permissions >> 12, terms), handle

    def complete(self, entry: int, terms: Terms, handle: int) -> None:
        vector = self.vectors[entry]
        if vector.permissions & IGNORE:
            self.decisions.append((Kind.IGNORED, 0, entry))
        elif vector.mask or not self.on:
            vector.pending = True
            self.decisions.append((Kind.PENDED, 0, entry))
        else:
            self.fire(entry, vector.address)

    def write(self, offset: int, size: int, value: int) -> None:
        self._write_dword(offset, value & 0xFFFFFFFF)
        if size == 8:
            self._write_dword(offset + 4, value >> 32)

    def _write_dword(self, offset: int, value: int) -> None:
        if 0 <= offset - self.base < 16 * self.count:
            self._write_table((offset - self.base) // 16, offset % 16, value)
        elif 0 <= offset - self.permissions_at < 8 * self.count and offset % 8 == 0:
            self.vectors[(offset - self.permissions_at) // 8].permissions = value & 0xFFFF_F00C

    def _write_table(self, number: int, register: int, value: int) -> None:
        vector = self.vectors[number]
        if register == 0:
            vector.address = vector.address >> 32 << 32 | value & ~3
        elif register == 4:
            vector.address = value << 32 | vector.address & 0xFFFFFFFF
        elif register == 8:
            vector.data = value
        else:
            vector.mask = bool(value & MASK)
            self._flush(number)

    def _flush(self, number: int) -> None:
        vector = self.vectors[number]
        if vector.pending and not vector.mask and self.on:
            vector.pending = False
            self.fire(number, vector.address)

    def switch_on(self) -> None:
        self.on = True
        for number in range(self.count):
            self._flush(number)

    def request(self, entry: int) -> None:
        self.vectors[entry].requested = True

    def release(self, entry: int) -> None:
        self.vectors[entry].requested = self.vectors[entry].pending = False

    def reset(self) -> None:
        for vector in self.vectors:
            vector.permissions, vector.requested, vector.pending = 0, False, False

    def flr(self) -> None:
        self.on = False
        self.vectors = [Vector() for _ in range(self.count)]

    def watch(self) -> dict[Place, int]:
        seen: dict[Place, int] = {}
        for number in self.watched:
            vector, at = self.vectors[number], self.base + 16 * number
            seen["bar", at], seen["bar", at + 8] = vector.address, vector.data | vector.mask << 32
            seen["bar", self.permissions_at + 8 * number] = vector.permissions
        for word in range((self.count + 63) // 64):
            bits = self.vectors[64 * word : 64 * word + 64]
            seen["bar", self.pba + 8 * word] = sum(vector.pending << i for i, vector in enumerate(bits))
        return seen

    def entry_at(self, place: Place) -> int | None:
        """Of pending bits: none, as the word is that of many."""
        at = place[1]
        if self.permissions_at <= at < self.permissions_at + 8 * self.count:
            return (at - self.permissions_at) // 8
        return (at - self.base) // 16 if self.base <= at < self.base + 16 * self.count else None
