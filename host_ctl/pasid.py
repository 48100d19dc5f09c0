"""PASIDs: which address space a request of the device belongs to (PCI Express base specification 6.20)."""

from __future__ import annotations

from host_ctl.ids import IdAllocator, IdsExhausted

MAX_PASID = (1 << 20) - 1


class PasidExhausted(IdsExhausted):
    """All PASIDs of the allocator's range are in use."""


class PasidAllocator(IdAllocator):
    """20 bits."""

    KIND, BITS, EXHAUSTED = "PASID", 20, PasidExhausted
