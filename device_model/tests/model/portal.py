"""A guest's portals: 64-byte stores that arrive whole or as eight pieces (9.3, 7.5.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

OWN_PAGES = 2
"""MSI-X portals; the IMS pages are dummies."""


@dataclass(slots=True)
class Portal:
    """Each 64-byte slot of each page gathers by itself: ascending pieces of 8 bytes from its start, or nothing."""

    submit: Callable[[bytes], None]
    slots: dict[int, bytes] = field(default_factory=dict)
    """Number of the slot, what it has gathered."""

    def write(self, offset: int, data: bytes) -> None:
        if offset >= OWN_PAGES * 0x1000:
            return
        slot, at = divmod(offset, 64)
        gathered = self.slots.pop(slot, b"")
        if len(data) == 64:
            self.submit(data)
        elif len(data) == 8:
            if at != len(gathered):
                gathered = b""
            if at == len(gathered):
                self._gather(slot, gathered + data)

    def _gather(self, slot: int, gathered: bytes) -> None:
        if len(gathered) == 64:
            self.submit(gathered)
        else:
            self.slots[slot] = gathered

    def clear(self) -> None:
        self.slots.clear()
