"""Interrupt remapping: which vector of which virtual device a message of the physical device means (VT-d specification 5.1)."""

from __future__ import annotations

from dataclasses import dataclass

from device_model.device import Device
from device_model.virtual_device import Vdev
from host_ctl.errors import HostError

NUM_ENTRIES = 1 << 16


class RemappingExhausted(HostError):  # noqa: N818
    """The interrupt remapping table is full."""


@dataclass(frozen=True, slots=True)
class RemapEntry:
    """An entry of the table and the message that leads to it."""

    index: int

    @property
    def address(self) -> int:
        """Message address in remappable format: index[14:0] in bits 19:5, index[15] in bit 2, bit 4 set."""
        return 0xFEE0_0010 | (self.index & 0x7FFF) << 5 | (self.index >> 15) << 2

    @property
    def data(self) -> int:
        """Message data: no subhandle."""
        return 0


class RemappingTable:
    """Owns the entries; O(1) each way."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._free = list(range(NUM_ENTRIES - 1, -1, -1))

    @property
    def in_use(self) -> int:
        """Entries that lead somewhere."""
        return NUM_ENTRIES - len(self._free)

    def allocate(self, vdev: Vdev, vector: int) -> RemapEntry:
        """An entry that leads to `vector` of `vdev`. RemappingExhausted: there is none."""
        if not self._free:
            raise RemappingExhausted(f"all {NUM_ENTRIES} interrupt remapping entries are in use: destroy an mdev first")
        entry = RemapEntry(self._free[-1])
        self._device.remap_set(entry.index, vdev, vector)
        self._free.pop()
        return entry

    def free(self, entry: RemapEntry) -> None:
        """Returns when no message is on its way through the entry; then it may be reused."""
        self._device.remap_clear(entry.index)
        self._free.append(entry.index)
