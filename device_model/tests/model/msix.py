"""A virtual MSI-X table with its pending bits (PCI Express base specification 6.1.4, 7.7.2; DSA specification 9.2.22)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Vector:
    """An entry, its pending bit and its MSI-X permissions. `entry`: the IMS entry behind it; None: emulated."""

    entry: int | None
    address: int = 0
    data: int = 0
    mask: bool = True
    pending: bool = False
    permissions: int = 0

    def clear(self) -> None:
        self.address = self.data = self.permissions = 0
        self.mask, self.pending = True, False


@dataclass(slots=True)
class Msix:
    """`send(address, data)` takes a message into the VM."""

    send: Callable[[int, int], None]
    vectors: list[Vector]
    enabled: bool = False
    function_mask: bool = False
    bus_master: bool = False

    def _may_send(self, vector: Vector) -> bool:
        return self.enabled and not self.function_mask and self.bus_master and not vector.mask

    def interrupt(self, index: int) -> None:
        vector = self.vectors[index]
        vector.pending = True
        self._flush(vector)

    def _flush(self, vector: Vector) -> None:
        if vector.pending and self._may_send(vector):
            vector.pending = False
            self.send(vector.address, vector.data)

    def function(self, *, enabled: bool, function_mask: bool, bus_master: bool) -> None:
        """What config space says."""
        self.enabled, self.function_mask, self.bus_master = enabled, function_mask, bus_master
        for vector in self.vectors:
            self._flush(vector)

    def write(self, offset: int, value: int) -> None:
        """4 bytes at an aligned offset of the table."""
        vector, register = self.vectors[offset // 16], offset % 16
        if register == 0:
            vector.address = vector.address >> 32 << 32 | value & ~3
        elif register == 4:
            vector.address = value << 32 | vector.address & 0xFFFFFFFF
        elif register == 8:
            vector.data = value
        else:
            vector.mask = bool(value & 1)
            self._flush(vector)

    def words(self) -> list[int]:
        return [word for v in self.vectors for word in (v.address, v.data | v.mask << 32)]

    def clear(self) -> None:
        self.enabled = self.function_mask = self.bus_master = False
        for vector in self.vectors:
            vector.clear()
