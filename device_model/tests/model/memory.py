"""Memory of a virtual machine: one range of addresses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Memory:
    """`data` lies at `base`."""

    base: int
    data: bytearray

    def reach(self, address: int, size: int) -> int:
        """Bytes from `address` on that are memory, at most `size`. Addresses do not wrap at 2^64."""
        if not self.base <= address < self.base + len(self.data):
            return 0
        return min(size, self.base + len(self.data) - address)

    def read(self, address: int, size: int) -> bytes:
        return bytes(self.data[address - self.base : address - self.base + size])

    def write(self, address: int, data: bytes) -> None:
        self.data[address - self.base : address - self.base + len(data)] = data
