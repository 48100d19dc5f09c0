"""Mistakes of the host with its store: each a class put over the store's own, wrong in one step.

A mistake is made once, for the second owner that comes, so that it is known whom it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack

from host_ctl.host import Host
from host_ctl.interrupts import Organisation, Store, Subdevice
from host_ctl.interrupts.array import ArrayStore
from host_ctl.interrupts.entries import EntryStore
from host_ctl.interrupts.pool import Pool
from host_ctl.interrupts.queue import Page, QueueSpace, QueueStore
from host_ctl.interrupts.store import Place, Share, Space
from host_ctl.interrupts.table import TableSpace, TableStore

_EMPTY: Pool = Pool(range(0))


class Mistaken(Store):
    """What mistakes have in common: who came second, and books that do not mind what has been given twice."""

    _owners: tuple[str, ...] = ()

    def _is_second(self, owner: Subdevice) -> bool:
        if owner.name not in self._owners:
            self._owners = (*self._owners, owner.name)
        return self._owners.index(owner.name) == 1

    def clear(self, entry: int) -> None:
        if entry in self.places:
            super().clear(entry)

    def give_back(self, place: Place) -> None:
        if place.entry in self.places:
            super().give_back(place)


# ---- a wrong ID ----


class TellsWrongId(Mistaken):
    """Programs the ID of the owner that came before: in its entries, or in what leads its work queue to a table."""

    _earlier: int | None = None
    _told: Mapping[str, int] = {}

    def _owner_id_of(self, owner: Subdevice) -> int:
        if owner.name not in self._told:
            right = super()._owner_id_of(owner)
            wrong = self._earlier if self._is_second(owner) and self._earlier is not None else right
            self._told, self._earlier = {**self._told, owner.name: wrong}, right
        return self._told[owner.name]


# ---- given twice ----


class GivesSlotTwice(Mistaken):
    """Gives the slot that it has given last out of what it deals them from once more."""

    _given: Place | None = None
    _again = True

    def _dealt_from(self, space: Space) -> object:
        return space.share

    def take(self, space: Space) -> Place:
        last = self._given
        if self._is_second(space.owner) and self._again and last and self._dealt_from(last.space) is self._dealt_from(space):
            self._again = False
            place = self.places[last.entry] = Place(last.entry, last.handle, space)
        else:
            place = self._given = super().take(space)
        return place


class GivesHandleTwice(GivesSlotTwice):
    """Where a slot is an index of its owner's own storage."""

    def _dealt_from(self, space: Space) -> object:
        return space


class GivesPartTwice(Mistaken, ArrayStore):
    """Reserves the part for the second VM that the first has."""

    _first: Share = _EMPTY

    def reserve(self, owner: Subdevice, count: int) -> Share:
        if self._is_second(owner):
            return Pool(self._first.numbers)
        self._first = super().reserve(owner, count)
        return self._first

    def give_up(self, share: Share) -> None:
        if share.numbers.start // self.part in self._parts.used:
            super().give_up(share)


class GivesTableTwice(Mistaken, TableStore):
    """Leads the second VM to the table that the first has."""

    _first: int = 0

    def reserve(self, owner: Subdevice, count: int) -> Share:
        if self._is_second(owner):
            return Pool(range(self._first, self._first + 1))
        share = super().reserve(owner, count)
        self._first = share.numbers.start
        return share

    def give_up(self, share: Share) -> None:
        if share.numbers.start in self._tables.used:
            super().give_up(share)

    def _take_table(self, owner: Subdevice, share: Share) -> int:
        if len(share) > 1 and self._is_second(owner):
            return self._first
        self._first = super()._take_table(owner, share)
        return self._first

    def _give_table_back(self, share: Share, table: int) -> None:
        if table in share.used:
            super()._give_table_back(share, table)


class GivesPageTwice(Mistaken, QueueStore):
    """Leads the second work queue to the page of entries that the first has."""

    _first: int = 0

    def _grow(self, space: QueueSpace, number: int) -> Page:
        if number not in space.pages and self._is_second(space.owner):
            self._link(space, number, self._first | 1)
            space.pages[number] = Page(self._first)
        page = super()._grow(space, number)
        self._first = self._first or page.address
        return page

    def _free_page(self, address: int) -> None:
        if not any(page.address == address for space in self._queue_spaces() for page in space.pages.values()):
            super()._free_page(address)

    def _shrink(self, space: QueueSpace, number: int) -> None:
        page = space.pages.pop(number)
        self._link(space, number, 0)
        self._free_page(page.address)

    def _queue_spaces(self) -> list[QueueSpace]:
        return [space for space in self._spaces.values() if isinstance(space, QueueSpace)]


# ---- given back in a state that it must not be in ----


class ForgetsEntries(Mistaken):
    """Takes entries back as they are."""

    def _clear(self, entry: int) -> None:
        """Forgotten."""


class ForgetsQueues(Mistaken, QueueStore):
    """Frees storage that a work queue still leads to."""

    def _cut(self, wq: int) -> None:
        """Forgotten."""

    def _link(self, space: QueueSpace, number: int, pointer: int) -> None:
        if pointer:
            super()._link(space, number, pointer)


class ForgetsTables(Mistaken, TableStore):
    """Gives a table back that a work queue and a VM object still lead to."""

    def _cut(self, space: TableSpace) -> None:
        """Forgotten."""


class LeavesVmId(Mistaken, TableStore):
    """Takes the VM object away, and leaves its number in the work queue."""

    def _cut(self, space: TableSpace) -> None:
        queue = self._queue(space.owner)
        left = self._read(queue)
        super()._cut(space)
        self._write(queue, left)


# ---- exhaustion ----


class TakesNoneForEntry0(Mistaken, EntryStore):
    """Takes "there is none" for the number 0."""

    def _take(self, space: Space) -> Place:
        return super()._take(space) if space.share.free else Place(0, 0, space)

    def _attach(self, owner: Subdevice, count: int, share: Share, undo: ExitStack) -> Space:
        return Space(owner, share)

    def give_back(self, place: Place) -> None:
        if place.entry in place.space.share.used:
            super().give_back(place)


class TakesNoneForPart0(TakesNoneForEntry0, ArrayStore):
    """The same, where a VM's domain is a part of an array."""

    def reserve(self, owner: Subdevice, count: int) -> Share:
        return super().reserve(owner, count) if self._parts.free else Pool(range(self.part))

    def give_up(self, share: Share) -> None:
        if share.numbers.start // self.part in self._parts.used:
            super().give_up(share)


class TakesNoneForTable0(GivesTableTwice):
    """The same, of tables."""

    def reserve(self, owner: Subdevice, count: int) -> Share:
        return TableStore.reserve(self, owner, count) if self._tables.free else Pool(range(1))

    def _take_table(self, owner: Subdevice, share: Share) -> int:
        return TableStore._take_table(self, owner, share) if share.free else 0


def replace_store(mistakes: Mapping[Organisation, type]) -> Callable[[Host], None]:
    """Plants the mistake that suits the store, put over the class of the host's own. Where there is none, nothing."""

    def plant(host: Host) -> None:
        right = host.parts.domain
        mistake = mistakes.get(right.store.ORGANISATION)
        if mistake is not None:
            bases = (mistake,) if issubclass(mistake, type(right.store)) else (mistake, type(right.store))
            kind: type[Store] = type(mistake.__name__, bases, {})
            host.parts.domain = type(right)(kind(host.parts.chip, right.store.part))

    return plant


def everywhere(mistake: type) -> dict[Organisation, type]:
    """The same mistake in all organisations."""
    return dict.fromkeys(Organisation, mistake)
