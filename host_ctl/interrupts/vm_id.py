"""VM_IDs: which VM object a work queue of a device with tables leads to."""

from __future__ import annotations

from host_ctl.ids import IdAllocator, IdsExhausted


class VmIdExhausted(IdsExhausted):
    """All VM_IDs of the allocator's range are in use."""


class VmIdAllocator(IdAllocator):
    """12 bits."""

    KIND, BITS, EXHAUSTED = "VM_ID", 12, VmIdExhausted
