"""How many vectors there is place for, found by taking them until the next is refused.

By the store alone: of one VM, and of the whole device. And by mdevs of a host, where what is used up first refuses the next one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from device_model.config import DeviceConfig
from device_model.device import Device
from host_ctl.capacity.collections_off import no_collections
from host_ctl.capacity.filled import parts
from host_ctl.capacity.sizes import WQ_SIZE, block_size, entries_of, largest
from host_ctl.comparison import Combination
from host_ctl.errors import HostError
from host_ctl.host import Host
from host_ctl.ids import IdAllocator
from host_ctl.interrupts import DomainScope, IdKind, StoreExhausted, Subdevice, make_store, open_domains
from host_ctl.interrupts.organisation import MAX_TABLE, PAGE_ENTRIES
from host_ctl.interrupts.vm_id import VmIdAllocator
from host_ctl.mdev_type import MAX_VECTORS
from host_ctl.pasid import PasidAllocator
from host_ctl.physical import PhysicalDevice

MDEV_TYPE = "dsa-1dwq-v1"
MDEV_VECTORS = 100
"""Of each mdev that the host is used up with: no power of two, so that what is cut off in parts of a store is seen."""


@contextmanager
def opened(
    combination: Combination, mdev_vectors: int, config: DeviceConfig | None = None
) -> Iterator[tuple[DomainScope, IdAllocator]]:
    """Domains over the store of the largest device (or that of `config`), and the allocator of its owners' IDs."""
    organisation, scope = parts(combination)
    with no_collections(), Device(config or largest(organisation), run_engine=False) as device:
        domains = open_domains(make_store(PhysicalDevice(device, wq_size=WQ_SIZE), mdev_vectors), scope)
        by_pasid = domains.store.facts.id_kind is IdKind.PASID
        yield domains, PasidAllocator() if by_pasid else VmIdAllocator()


@dataclass(frozen=True, slots=True)
class Most:
    """The largest number there was place for, and what one more was refused with."""

    vectors: int
    refusal: str


def most_of_a_vm(combination: Combination) -> Most:
    """Vectors that one VM gets from an empty store that was made for large ones: a new one for each attempt."""

    def refusal(count: int) -> str | None:
        with opened(combination, MAX_TABLE) as (domains, ids):
            try:
                domains.allocate_block(Subdevice("the VM", ids.allocate(), 0), count)
            except StoreExhausted as error:
                return str(error)
        return None

    return _largest(refusal)


def _largest(refusal: Callable[[int], str | None]) -> Most:
    """Doubles until it is refused, then halves the interval."""
    granted, refused = 0, 1
    while refusal(refused) is None:
        granted, refused = refused, 2 * refused
    while refused - granted > 1:
        middle = (granted + refused) // 2
        granted, refused = (middle, refused) if refusal(middle) is None else (granted, middle)
    return Most(granted, refusal(refused) or "")


def most_of_a_device(combination: Combination, config: DeviceConfig | None = None) -> Most | None:
    """Vectors that the store gives out to VMs without end. None: nothing but memory would end it."""
    organisation, _ = parts(combination)
    entries = entries_of(config or largest(organisation))
    if entries is None:
        return None
    count = block_size(organisation, entries)
    refusal = ""
    with opened(combination, count, config) as (domains, ids):
        while count:
            owner = Subdevice(f"vm {ids.in_use}", ids.allocate(), 0)
            try:
                domains.allocate_block(owner, count)
            except StoreExhausted as error:
                refusal = refusal or str(error)
                count //= 2
        return Most(domains.in_use, refusal)


@dataclass(frozen=True, slots=True)
class UsedUp:
    """A host that has given out mdevs until it refused one.

    vectors: of these mdevs together. reserved: entries that belong to a VM's part of the store or to its table and that it does
    not use. small: mdevs with one vector that there was place for after that; small_refusal: what ended those.
    """

    mdevs: int
    vectors: int
    refusal: str
    reserved: int
    host_pages: int
    small: int
    small_refusal: str


def use_up(combination: Combination, vectors: int = MDEV_VECTORS, config: DeviceConfig | None = None) -> UsedUp:
    """Makes mdevs with so many vectors until the next is refused, then mdevs with one.

    HostError: one that was refused left something behind.
    """
    organisation, scope = parts(combination)
    host = Host(config or largest(organisation), scope=scope, mdev_vectors=vectors, wq_size=WQ_SIZE)
    try:
        with tempfile.TemporaryDirectory(prefix="vdsa-") as folder:
            mdevs, refusal = _create_all(host, vectors, Path(folder))
            in_use, reserved, pages = host.parts.domain.in_use, _reserved(host), host.device.memory_pages
            small, small_refusal = _create_all(host, 1, Path(folder))
    finally:
        host.close()
    return UsedUp(mdevs, in_use, refusal, reserved, pages, small, small_refusal)


def _reserved(host: Host) -> int:
    """Entries that nobody uses and nobody else can get."""
    domain, config = host.parts.domain, host.device.config
    capacity = domain.capacity
    if capacity is None:
        directories = domain.store.roots()["queue_roots"]
        return (host.device.memory_pages - directories) * PAGE_ENTRIES - domain.in_use
    return (entries_of(config) or 0) - capacity


def _create_all(host: Host, vectors: int, folder: Path) -> tuple[int, str]:
    """How many there was place for, and what the next was refused with."""
    for made in range(1 << 20):
        before = _books(host)
        try:
            host.create(MDEV_TYPE, min(vectors, MAX_VECTORS), folder)
        except HostError as error:
            if _books(host) != before:
                raise HostError(f"a refused mdev left something behind ({error}): look at how mdevs are made") from error
            return made, f"{type(error).__name__}: {error}"
    raise HostError("a host has no end of mdevs: look at its work queues")


def _books(host: Host) -> tuple[int, ...]:
    chip, domain = host.parts.chip, host.parts.domain
    return (
        chip.wqs_in_use,
        domain.in_use,
        host.parts.pasids.in_use,
        host.parts.vm_ids.in_use,
        host.parts.remapping.in_use,
        host.device.memory_pages,
    )
