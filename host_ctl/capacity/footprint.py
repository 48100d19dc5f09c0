"""What a vector takes: of the host's memory, measured on the books that it really keeps, and of state in the hardware."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass

from device_model.config import Organisation
from host_ctl.capacity.bounds import opened
from host_ctl.capacity.filled import parts
from host_ctl.capacity.sizes import MAX_WQS, most_entries
from host_ctl.comparison import Combination
from host_ctl.interrupts import Scope, Subdevice
from host_ctl.interrupts.organisation import MAX_TABLE, part_size

PAGE = 4096
MEASURED = 12_000
"""About so many vectors are allocated to be measured, and fewer where a store has fewer."""
_ENTRY, _VM_OBJECT, _WQ_VM_ID, _CONTEXT, _PERMISSION, _PENDING = 16, 16, 4, 16, 8, 1 / 8
"""Bytes as registers: of an entry, a VM object, a work queue's VM_ID, its context; of a vector in MSIXPERM and the PBA."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes by the vector: books, Python objects of the host; storage, pages of host memory; device, registers and state."""

    books: float
    storage: float
    device: float

    @property
    def host(self) -> float:
        """All of the host's memory."""
        return self.books + self.storage


def footprint(combination: Combination, vectors: int) -> Footprint:
    """With VMs of so many vectors each. StoreExhausted: there is no place for a single one."""
    organisation, _ = parts(combination)
    most = min(MEASURED, most_entries(organisation) or MEASURED)
    vms = max(1, min(MAX_WQS, most // vectors))
    held = vectors * vms
    with opened(combination, min(vectors, MAX_TABLE)) as (domains, ids):
        owners = [Subdevice(f"vm {index}", ids.allocate(), index) for index in range(vms)]
        tracemalloc.start()
        try:
            blocks = [domains.allocate_block(owner, vectors) for owner in owners]
            for block in blocks:
                for _ in block.places:
                    block.parcel()
            books, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        pages = domains.store.chip.device.memory_pages
    return Footprint(books / held, pages * PAGE / held, _device_bytes(combination, vectors))


def _device_bytes(combination: Combination, vectors: int) -> float:
    """State of the device for a vector of a VM with so many, entries included that are reserved for the VM and not used."""
    organisation, scope = parts(combination)
    part = part_size(min(vectors, MAX_TABLE))
    match organisation:
        case Organisation.TABLE:
            return (_ENTRY * part + _VM_OBJECT + _WQ_VM_ID) / vectors
        case Organisation.QUEUE:
            return _CONTEXT / vectors
        case Organisation.MSIX:
            return _ENTRY + _PERMISSION + _PENDING
        case _:
            return _ENTRY * (part / vectors if scope is Scope.VM else 1)
