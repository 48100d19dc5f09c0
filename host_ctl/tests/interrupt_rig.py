"""A real device without an engine, a store and domains over it: what the tests of interrupt domains work on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from device_model.config import DeviceConfig
from device_model.device import Device
from host_ctl.interrupts import (
    COMBINATIONS,
    DomainScope,
    Interrupt,
    Organisation,
    Scope,
    Store,
    Subdevice,
    VectorBlock,
    make_store,
    open_domains,
)
from host_ctl.physical import PhysicalDevice

ENTRIES = 256
"""Of arrays, pools and MSI-X tables (without vector 0)."""
WQS = 8
PART = 16
"""Entries of a part or a table."""
ADDRESS, DATA = 0xFEE0_1230, 0x77
BOUNDED = [pair for pair in COMBINATIONS if pair[0] is not Organisation.QUEUE]
LOCAL = [pair for pair in COMBINATIONS if pair[0] in {Organisation.TABLE, Organisation.QUEUE}]
ON_DEMAND = [pair for pair in COMBINATIONS if pair not in BOUNDED]
GLOBAL = [pair for pair in COMBINATIONS if pair not in LOCAL]


def name_of(pair: object) -> str:
    """table-vm."""
    return f"{pair[0].name.lower()}-{pair[1]}" if isinstance(pair, tuple) else str(pair)


class InjectedError(Exception):
    """The planned failure."""


class WatchedDevice(Device):
    """Remembers what was written and can fail at a call; `failing`: calls until one raises, counted down. None: none does."""

    CALLS = ("write", "memory_page", "memory_free", "memory_write", "memory_update", "release_entry")

    def __init__(self, config: DeviceConfig) -> None:
        self.log: list[tuple[object, ...]] = []
        self.failing: int | None = None
        super().__init__(config, run_engine=False)

    def _noted(self, name: str, *arguments: int) -> Any:
        if self.failing == 0:
            self.failing = None
            raise InjectedError(name)
        if self.failing is not None:
            self.failing -= 1
        self.log.append((name, *arguments))
        return getattr(super(), name)(*arguments)

    def write(self, offset: int, value: int, size: int = 4) -> None:
        self._noted("write", offset, value, size)

    def memory_page(self) -> int:
        return int(self._noted("memory_page"))

    def memory_free(self, address: int) -> None:
        self._noted("memory_free", address)

    def memory_write(self, address: int, value: int, size: int = 4) -> None:
        self._noted("memory_write", address, value, size)

    def memory_update(self, address: int, clear: int, set_: int) -> int:
        return int(self._noted("memory_update", address, clear, set_))

    def release_entry(self, entry: int) -> None:
        self._noted("release_entry", entry)


class Rig:
    """close() when done."""

    def __init__(self, organisation: Organisation, scope: Scope) -> None:
        self.device = WatchedDevice(small_device(organisation, WQS))
        self.chip = PhysicalDevice(self.device, wq_size=4)
        self.domains: DomainScope = open_domains(make_store(self.chip, PART), scope)
        self.device.log.clear()

    @property
    def store(self) -> Store:
        return self.domains.store

    def owner(self, number: int = 1) -> Subdevice:
        """Of work queue `number`, with an ID that is not that number."""
        return Subdevice(f"mdev {number}", number + 100, number)

    def block(self, number: int = 1, count: int = 2) -> VectorBlock:
        return self.domains.allocate_block(self.owner(number), count)

    def programmed(self, number: int = 1, count: int = 2) -> tuple[VectorBlock, list[Interrupt]]:
        """A block of which all interrupts are open."""
        block = self.block(number, count)
        interrupts = [block.parcel() for _ in range(count)]
        for interrupt in interrupts:
            interrupt.program(ADDRESS, DATA)
        return block, interrupts

    def state(self) -> tuple[object, ...]:
        """Books and hardware: what has to be the same after something that failed."""
        domains = self.domains
        available = tuple(domains.available(vectors) for vectors in (1, PART))
        return domains.in_use, domains.capacity, available, domains.dirty_entries(), domains.store.roots()


def small_device(organisation: Organisation, wqs: int = 4) -> DeviceConfig:
    """Work queues of 4 descriptors, and ENTRIES entries that can be handed out, if the store has a bound."""
    in_device = organisation in {Organisation.ARRAY, Organisation.TABLE}
    return DeviceConfig(
        num_wqs=wqs,
        total_wq_size=4 * wqs,
        num_ims=ENTRIES if in_device else 0,
        num_msix=ENTRIES + 1 if organisation is Organisation.MSIX else 0,
        organisation=organisation,
    )


@contextmanager
def open_rig(organisation: Organisation, scope: Scope) -> Iterator[Rig]:
    """A rig that is closed at the end."""
    rig = Rig(organisation, scope)
    try:
        yield rig
    finally:
        rig.device.close()


def each_of(combinations: list[tuple[Organisation, Scope]]) -> pytest.MarkDecorator:
    """Runs a test with a rig of each of these, as the fixture `rig`."""
    return pytest.mark.parametrize("rig", combinations, ids=name_of, indirect=True)
