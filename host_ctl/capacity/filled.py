"""A device whose store is in use up to so many vectors: by real domains of a real device, with no guest and no mdev.

A device has at most 255 work queues, and a store may have more owners than that: so this is made at the level of domain and
store. Owners share work queues then, in groups, one of each queue's at a time.
"""

from __future__ import annotations

import random
from array import array
from ctypes import CDLL
from dataclasses import dataclass
from typing import Self

from device_model.config import Organisation
from device_model.device import Device
from device_model.ledger import Kind
from host_ctl.capacity.collections_off import no_collections
from host_ctl.capacity.driver import Driver, MeasurementFailed, Shot, Words
from host_ctl.capacity.sizes import MAX_WQS, WQ_SIZE, block_size, blocks, largest
from host_ctl.comparison import Combination
from host_ctl.ids import IdAllocator
from host_ctl.interrupts import (
    IdKind,
    Interrupt,
    Scope,
    StoreExhausted,
    Subdevice,
    VectorBlock,
    make_store,
    open_domains,
)
from host_ctl.interrupts.interrupt import ADDRESS, ADDRESS_HI, CONTROL, DATA
from host_ctl.interrupts.organisation import MAX_TABLE
from host_ctl.interrupts.table import TableStore
from host_ctl.interrupts.vm_id import VmIdAllocator
from host_ctl.pasid import PasidAllocator
from host_ctl.physical import Command, PhysicalDevice
from host_ctl.remapping import NUM_ENTRIES, RemapEntry

SAMPLE_WQ = MAX_WQS - 1
"""The work queue of blocks that are allocated and freed to be timed; those that fill the store have the others."""
_TABLE_ENTRIES = 0x20000
_CHECKED = 16


def parts(combination: Combination) -> tuple[Organisation, Scope]:
    """A combination as the host's own types."""
    return Organisation[combination.store.upper()], Scope(combination.domain)


@dataclass(frozen=True, slots=True)
class Vm:
    """An owner with its block, and the work queue that its descriptors come by."""

    owner: Subdevice
    block: VectorBlock
    wq: int


class Filled:
    """vms: who has the vectors. reached: how many there could be. why: what the next block was refused with."""

    def __init__(self, combination: Combination, vectors: int, library: CDLL, *, block: int | None = None) -> None:
        """block: vectors of each VM; default: see block_size().

        MeasurementFailed: what filled it is not what the host itself would have left.
        """
        self.organisation, scope = parts(combination)
        self.combination, self.why = combination, ""
        self.device = Device(largest(self.organisation), run_engine=False)
        try:
            self.chip = PhysicalDevice(self.device, wq_size=WQ_SIZE)
            self.block = block or block_size(self.organisation, vectors)
            self.domains = open_domains(make_store(self.chip, min(self.block, MAX_TABLE)), scope)
            self.driver = Driver(library, self.device, msix=self.organisation is Organisation.MSIX)
            self.ids: IdAllocator = PasidAllocator() if self._by_pasid else VmIdAllocator()
            self.vms: list[Vm] = []
            self._random = random.Random(1)
            self._fill(vectors)
        except BaseException:
            self.device.close()
            raise

    @property
    def _by_pasid(self) -> bool:
        return self.domains.store.facts.id_kind is IdKind.PASID

    # ---- filling ----

    def _fill(self, vectors: int) -> None:
        with no_collections():
            for count in blocks(vectors, self.block):
                if not self._fit(count):
                    break
        self.reached = self.domains.in_use
        self._check_repeated()

    def _fit(self, count: int) -> bool:
        """A VM with so many vectors; if there is no place for it, smaller ones until there is none for one vector. False then."""
        wanted = count
        while count:
            try:
                self._add_vm(count)
            except StoreExhausted as error:
                self.why = self.why or str(error)
                count //= 2
            else:
                wanted -= count
                count = min(count, wanted)
        return not self.why

    def _add_vm(self, count: int) -> None:
        index = len(self.vms)
        owner = Subdevice(f"vm {index}", self.ids.allocate(), index % SAMPLE_WQ)
        try:
            block = self.domains.allocate_block(owner, count)
        except StoreExhausted:
            self.ids.free(owner.owner_id or 0)
            raise
        vm = Vm(owner, block, index % SAMPLE_WQ)
        self._program(block)
        self.driver.request_handles(array("I", block.entries))
        if index < SAMPLE_WQ:
            self._enable_wq(vm)
        self.vms.append(vm)

    def _program(self, block: VectorBlock) -> None:
        """Where there are many, the host's own code programs the first and the others get the same words (checked at the end)."""
        first, *others = [block.parcel() for _ in block.places]
        message = RemapEntry(first.entry % NUM_ENTRIES)
        first.program(message.address, message.data)
        match self.organisation:
            case Organisation.TABLE:
                offset = self.chip.ims_base + _TABLE_ENTRIES + (first.entry + 1) * 16
                self.driver.program_registers(offset, len(others), self._words(first))
            case Organisation.QUEUE:
                self.driver.program_memory(array("I", block.entries[1:]), self._words(first))
            case _:
                for other in others:
                    other.program(message.address, message.data)

    def _words(self, interrupt: Interrupt) -> Words:
        low, high, data, control = (
            self.domains.store.read(interrupt.entry, word) for word in (ADDRESS, ADDRESS_HI, DATA, CONTROL)
        )
        return Words(low | high << 32, data, control)

    def _check_repeated(self) -> None:
        """Entries that were filled the faster way: do they hold what the host's own code leaves there."""
        for vm in self._random.choices(self.vms, k=_CHECKED):
            interrupt = self._random.choice(vm.block.interrupts)
            held = bytes(self._words(interrupt))
            interrupt.program(*interrupt.message)
            if bytes(self._words(interrupt)) != held:
                raise MeasurementFailed(f"entry {interrupt.entry} of {self.combination} was not filled as the host programs it")

    def _enable_wq(self, vm: Vm) -> None:
        pasid = vm.owner.owner_id if self._by_pasid else vm.wq + 1
        self.chip.program_wq(vm.wq, pasid or 0, max_xfer_log2=21, max_batch_log2=5)
        self.chip.command(Command.ENABLE_WQ, vm.wq)

    def remove_last(self) -> None:
        """Takes the last VM's vectors away, so that there is place for blocks that are timed."""
        vm = self.vms.pop()
        self.free(vm.block)

    def free(self, block: VectorBlock) -> None:
        """As when an mdev goes: disarmed, cleared, given back."""
        for interrupt in block.interrupts:
            interrupt.disarm()
        self.domains.free_block(block)
        self.ids.free(block.owner.owner_id or 0)

    # ---- firing ----

    def groups(self) -> list[list[Vm]]:
        """Owners that have work queues at the same time."""
        return [self.vms[first : first + SAMPLE_WQ] for first in range(0, len(self.vms), SAMPLE_WQ)]

    def turn_to(self, group: list[Vm]) -> None:
        """Their work queues are those of this group from now on."""
        store = self.domains.store
        if isinstance(store, TableStore):
            for vm in group:
                store._point(vm.owner)

    def fire(self, group: list[Vm], count: int) -> array[int]:
        """Nanoseconds of `count` interrupts, each out of an entry chosen from all of the group's, and checked in the ledger.

        MeasurementFailed: one did not leave the device, or not out of its owner's entry.
        """
        chosen = [(vm, self._random.randrange(len(vm.block.places))) for vm in self._random.choices(group, k=count)]
        self.device.read_ledger()
        times = self.driver.fire([Shot(vm.wq, vm.block.places[vector].handle) for vm, vector in chosen])
        records, lost = self.device.read_ledger()
        fired = [record.entry for record in records if record.kind == Kind.FIRED]
        arrived = sum(record.kind == Kind.BLOCKED for record in records)
        if lost or arrived != count or fired != [vm.block.places[vector].entry for vm, vector in chosen]:
            raise MeasurementFailed(f"{count} interrupts were fired in {self.combination}, {arrived} came to interrupt remapping")
        return times

    # ---- the end ----

    def close(self) -> None:
        """The device goes as it is. Idempotent."""
        self.device.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
