"""The storage of interrupt messages as the host reaches it: through registers and host memory, and by nothing else.

A store hands out *shares*: numbers of what its entries are made of (entries, tables, queues' storages). A domain has a share and
gets entries out of that alone. Methods with one underscore are the places where a host can be wrong: tests replace them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import ExitStack
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from device_model.config import Organisation
from host_ctl.interrupts.interrupt import ADDRESS, ADDRESS_HI, CONTROL, DATA, Interrupt
from host_ctl.interrupts.organisation import FACTS, Facts, part_size
from host_ctl.interrupts.owner import HasBlock, NoOwnerId, StoreExhausted, Subdevice
from host_ctl.interrupts.pool import Pool
from host_ctl.physical import PhysicalDevice

Share = Pool
"""What a domain may hand out."""


@dataclass(slots=True)
class Space:
    """An owner's place in the store, from attach() to detach(); organisations add what they keep."""

    owner: Subdevice
    share: Share


class Place(NamedTuple):
    """An entry that has been taken, and what its owner's guest calls it."""

    entry: int
    handle: int
    space: Space


class Store(ABC):
    """One organisation. `mdev_vectors`: what a VM's part or table is made for, where those have one size."""

    ORGANISATION: ClassVar[Organisation]
    INTERRUPT: ClassVar[type[Interrupt]]
    CLEAN: ClassVar[tuple[int, int, int, int]]
    """Words of an entry that belongs to nobody."""

    def __init__(self, chip: PhysicalDevice, mdev_vectors: int) -> None:
        self.chip = chip
        self.part = part_size(mdev_vectors)
        self.places: dict[int, Place] = {}
        self._spaces: dict[str, Space] = {}

    @property
    def facts(self) -> Facts:
        """What this organisation is."""
        return FACTS[self.ORGANISATION]

    # ---- shares ----

    @abstractmethod
    def whole(self) -> Share:
        """The share of a domain over the whole device; not beside shares that are reserved, which are made of the same."""

    @abstractmethod
    def reserve(self, owner: Subdevice, count: int) -> Share:
        """The share of one VM's domain, in which there is place for `count`. StoreExhausted: there is none left."""

    @abstractmethod
    def give_up(self, share: Share) -> None:
        """Takes back what reserve() gave; nothing of it may be in use."""

    @abstractmethod
    def free_entries(self, share: Share | None) -> int | None:
        """Entries that mdevs to come can get: out of a share, or (None) each with a share of its own. None: no bound."""

    @abstractmethod
    def available(self, vectors: int, share: Share | None) -> int | None:
        """How many more mdevs with so many vectors have place: in a share, or (None) each with one of its own. None: no bound."""

    # ---- owners ----

    def attach(self, owner: Subdevice, count: int, share: Share) -> Space:
        """Makes what leads to the owner's entries. NoOwnerId, HasBlock, StoreExhausted, StoreRefused: nothing is left of it."""
        if owner.owner_id is None:
            kind = self.facts.id_kind
            raise NoOwnerId(
                f"{owner.name} has no {kind}: store one with the subdevice before its interrupts are allocated"
            )
        if owner.name in self._spaces:
            raise HasBlock(f"{owner.name} has interrupts already: free them first")
        with ExitStack() as undo:
            space = self._attach(owner, count, share, undo)
            undo.pop_all()
        self._spaces[owner.name] = space
        return space

    @abstractmethod
    def _attach(self, owner: Subdevice, count: int, share: Share, undo: ExitStack) -> Space:
        """What attach() does for this organisation; `undo` is run if it fails."""

    def detach(self, space: Space) -> None:
        """Takes apart what attach() made; all entries of it have been given back. Idempotent."""
        if space.owner.name in self._spaces:
            self._detach(space)
            del self._spaces[space.owner.name]

    @abstractmethod
    def _detach(self, space: Space) -> None:
        """What detach() does for this organisation. Can be run again after a failure."""

    def _owner_id_of(self, owner: Subdevice) -> int:
        """The ID that the hardware is told."""
        assert owner.owner_id is not None, "attach() refuses an owner without an ID"
        return owner.owner_id

    # ---- entries ----

    def take(self, space: Space) -> Place:
        """An entry of the owner's. StoreExhausted: there is none left for it."""
        place = self._take(space)
        self.places[place.entry] = place
        return place

    @abstractmethod
    def _take(self, space: Space) -> Place:
        """Which entry, by which handle."""

    def give_back(self, place: Place) -> None:
        """Takes back an entry that has been cleared, or was never programmed."""
        self._give_back(place)
        self.places.pop(place.entry, None)

    @abstractmethod
    def _give_back(self, place: Place) -> None:
        """Into the share or the owner's numbers."""

    def interrupt(self, entry: int, handle: int, owner: Subdevice) -> Interrupt:
        """An entry that has been taken, to be programmed."""
        return self.INTERRUPT(self, entry, handle, owner)

    def clear(self, entry: int) -> None:
        """Masked and nobody's first, then without handle and message. Its owner's work queue is quiet."""
        self._clear(entry)

    @abstractmethod
    def _clear(self, entry: int) -> None:
        """What clear() does for this organisation."""

    @abstractmethod
    def read(self, entry: int, register: int) -> int:
        """Reads 4 bytes of an entry: register 0 and 4 are the address, 8 the data, 12 the control word."""

    @abstractmethod
    def write(self, entry: int, register: int, value: int) -> None:
        """Writes 4 bytes of an entry."""

    def is_clean(self, entry: int) -> bool:
        """Whether it holds what an entry of nobody does: anything else would be inherited by its next owner."""
        words = tuple(self.read(entry, register) for register in (ADDRESS, ADDRESS_HI, DATA, CONTROL))
        return words == self.CLEAN

    # ---- books ----

    @property
    def in_use(self) -> int:
        """Entries that belong to a block."""
        return len(self.places)

    @abstractmethod
    def dirty_entries(self) -> list[int]:
        """Entries of nobody that are not clean, or to which something leads."""

    def roots(self) -> dict[str, int]:
        """By the hardware: queue_roots, work queues that lead to storage; vm_objects that are Valid; host_memory_pages in use."""
        return {}

    def _exhausted(self, owner: Subdevice, count: int, free: int, total: int, what: str) -> StoreExhausted:
        return StoreExhausted(
            f"{owner.name} needs {count} {what}, {free} of {total} are free: destroy an mdev, or give the device a larger store"
        )
