"""PCI config space of a virtual device (appendix C; PCI Express base specification 7.5, 7.7.2)."""

from __future__ import annotations

from dataclasses import dataclass

COMMAND, DEVICE_CONTROL, MSIX_CONTROL = 0x04, 0x48, 0x82
WRITABLE = {
    0x04: 0x06,  # memory, bus master
    0x05: 0x04,  # interrupt disable
    0x3C: 0xFF,
    0x48: 0xFF,
    0x49: 0x7F,
    0x83: 0xC0,
}
BARS = {0: 0xFFFF0000, 1: 0xFFFFFFFF, 2: 0xFFFFC000, 3: 0xFFFFFFFF}
"""Address bits: BAR0 is 64 KiB, BAR2 16 KiB, both 64 bits wide."""


def _mask(offset: int) -> int:
    if 0x10 <= offset < 0x20:
        return BARS[(offset - 0x10) // 4] >> offset % 4 * 8 & 0xFF
    return WRITABLE.get(offset, 0)


@dataclass(slots=True)
class ConfigSpace:
    """`data` as it is at power-on; only what is writable ever changes."""

    data: bytearray
    initial: bytes

    def write(self, offset: int, data: bytes) -> bool:
        """True: a function-level reset was initiated."""
        reset = False
        for at, byte in enumerate(data, offset):
            mask = _mask(at)
            self.data[at] = self.data[at] & ~mask | byte & mask
            reset |= at == DEVICE_CONTROL + 1 and bool(byte & 0x80)
        return reset

    @property
    def bus_master(self) -> bool:
        return bool(self.data[COMMAND] & 4)

    @property
    def msix_enabled(self) -> bool:
        return bool(self.data[MSIX_CONTROL + 1] & 0x80)

    @property
    def function_mask(self) -> bool:
        return bool(self.data[MSIX_CONTROL + 1] & 0x40)

    def clear(self) -> None:
        self.data[:] = self.initial
