"""Capacity and cost of one combination, as `vdsa compare` and `make bench` show them. No guests, no QEMU."""

from __future__ import annotations

from collections.abc import Sequence

from device_model.config import Organisation
from host_ctl.capacity.bounds import MDEV_VECTORS, UsedUp, most_of_a_device, most_of_a_vm, use_up
from host_ctl.capacity.cost import SIZES, Costs, Progress, measure_costs
from host_ctl.capacity.driver import load_driver
from host_ctl.capacity.filled import parts
from host_ctl.capacity.footprint import Footprint, footprint
from host_ctl.capacity.sizes import MAX_WQS, largest
from host_ctl.comparison import Capacity, Combination, Cost
from host_ctl.ids import IdAllocator
from host_ctl.interrupts import FACTS, IdKind
from host_ctl.interrupts.organisation import MAX_HANDLES
from host_ctl.interrupts.vm_id import VmIdAllocator
from host_ctl.pasid import PasidAllocator
from host_ctl.remapping import NUM_ENTRIES

FEW, MANY = 1, 1024
"""Vectors of each VM: what a vector takes lies between what it takes with these."""


def _silent(_: str) -> None:
    pass


def measure(
    combination: Combination, sizes: Sequence[int] = SIZES, progress: Progress = _silent
) -> tuple[Capacity, list[Cost]]:
    """progress is told what is being done. `steps` is not counted here: see steps_that_must_be_right().

    MeasurementFailed, or what domains and devices raise: it could not be measured; nothing is left behind.
    """
    return measure_capacity(combination, progress), list(costs_and_ratios(combination, sizes, progress).costs)


def costs_and_ratios(combination: Combination, sizes: Sequence[int] = SIZES, progress: Progress = _silent) -> Costs:
    """As measure(), the costs alone and what they are compared with."""
    return measure_costs(combination, sizes, load_driver(), progress)


def measure_capacity(combination: Combination, progress: Progress = _silent) -> Capacity:
    """What there is place for, found by taking it until the next is refused."""
    progress(f"{combination}: using up the store")
    device, vm = most_of_a_device(combination), most_of_a_vm(combination)
    progress(f"{combination}: using up a host with mdevs")
    used = use_up(combination)
    few, usual, many = (footprint(combination, vectors) for vectors in (FEW, MDEV_VECTORS, MANY))
    return Capacity(
        combination=combination,
        vectors_device=None if device is None else device.vectors,
        vectors_vm=vm.vectors,
        bound_by=f"{FACTS[parts(combination)[0]].bound}. {_used(used)}. {_other_bounds(combination)}",
        exhaustion=used.refusal,
        bytes_per_vector_host=round(usual.host, 1),
        bytes_per_vector_device=round(usual.device, 2),
        steps=None,
        device_state=f"{_state(combination)}; {_by_size(few, usual, many)}",
    )


# ---- in words ----


def _used(used: UsedUp) -> str:
    left = f"mdevs with 1 that still had place: {used.small}"
    reserved = f"; reserved for VMs and not used by them: {used.reserved:,} entries" if used.reserved else ""
    return f"Mdevs with {MDEV_VECTORS} vectors until one was refused: {used.mdevs} ({used.vectors:,} vectors); {left}{reserved}"


def _other_bounds(combination: Combination) -> str:
    """Those that are not the store's."""
    organisation, _ = parts(combination)
    allocators: list[IdAllocator] = [PasidAllocator()]
    if FACTS[organisation].id_kind is IdKind.VM_ID:
        allocators.append(VmIdAllocator())
    ids = ", ".join(f"{one.left:,} {one.KIND}s" for one in allocators)
    return (
        f"Not the store's: {MAX_WQS} work queues a device, {NUM_ENTRIES:,} interrupt remapping entries a host, "
        f"{MAX_HANDLES:,} handles (16 bits), {ids}"
    )


def _state(combination: Combination) -> str:
    organisation, _ = parts(combination)
    config = largest(organisation)
    match organisation:
        case Organisation.TABLE:
            return (
                f"{config.num_ims:,} entries of 16 bytes, 4,096 VM objects of 16 bytes, a VM_ID of 4 bytes for each of "
                f"{config.num_wqs} work queues"
            )
        case Organisation.QUEUE:
            return f"a context of 16 bytes for each of {config.num_wqs} work queues; entries and directories are host memory"
        case Organisation.MSIX:
            return f"{config.num_msix:,} vectors of 16 bytes, 8 bytes of MSIXPERM and a pending bit each"
        case _:
            return f"{config.num_ims:,} entries of 16 bytes, the owner's PASID in each"


def _by_size(few: Footprint, usual: Footprint, many: Footprint) -> str:
    sizes = f"{FEW}, {MDEV_VECTORS} or {MANY:,} vectors a VM"
    device = " / ".join(f"{one.device:,.4g}" for one in (few, usual, many))
    storage = " / ".join(f"{one.storage:,.4g}" for one in (few, usual, many))
    books = " / ".join(f"{one.books:,.0f}" for one in (few, usual, many))
    in_memory = f", pages of host memory {storage}" if few.storage else ""
    return f"bytes a vector with {sizes}: device {device}{in_memory}, books of the host {books}"
