"""What stands between the device and the virtual machines: PASID table and interrupt remapping (VT-d specification 5.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from device_model.tests.model.memory import Memory


class Far(Protocol):
    """The far side of an entry of either table: a virtual device."""

    def reachable_memory(self) -> Memory | None: ...

    def interrupt(self, vector: int) -> None: ...


@dataclass(slots=True)
class Iommu:
    """The two tables."""

    pasids: dict[int, Far] = field(default_factory=dict)
    remaps: dict[int, tuple[Far, int]] = field(default_factory=dict)

    def memory(self, pasid_enable: bool, pasid: int) -> Memory | None:
        """Where a requester's DMA goes; None: it faults. Without PASID no virtual machine has memory."""
        far = self.pasids.get(pasid) if pasid_enable else None
        return far.reachable_memory() if far else None

    def message(self, address: int, data: int) -> None:
        """Remappable format: bit 4 set, index[14:0] in bits 19:5, index[15] in bit 2. Anything else reaches nobody."""
        del data
        found = self.remaps.get(address >> 5 & 0x7FFF | (address >> 2 & 1) << 15) if address & 0x10 else None
        if found:
            found[0].interrupt(found[1])
