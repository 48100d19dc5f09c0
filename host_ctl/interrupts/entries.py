"""What stores with one row of entries for all have in common: the share is entries, and the handle is the entry's number."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import ExitStack

from host_ctl.interrupts.owner import StoreExhausted, Subdevice
from host_ctl.interrupts.pool import Pool
from host_ctl.interrupts.store import Place, Share, Space, Store


class EntryStore(Store):
    """Entries are numbered in the whole device; nothing but the owner's ID beside each keeps owners apart."""

    @property
    @abstractmethod
    def entries(self) -> range:
        """Those that can be handed out."""

    def whole(self) -> Share:
        return Pool(self.entries)

    def _attach(self, owner: Subdevice, count: int, share: Share, undo: ExitStack) -> Space:
        if count > share.free:
            raise self._exhausted(owner, count, share.free, len(share), "entries of its domain")
        return Space(owner, share)

    def _detach(self, space: Space) -> None:
        """Nothing leads to entries but their numbers."""

    def _take(self, space: Space) -> Place:
        entry = space.share.take()
        if entry is None:
            raise StoreExhausted(f"the domain of {space.owner.name} has no entry left: destroy an mdev")
        return Place(entry, entry, space)

    def _give_back(self, place: Place) -> None:
        place.space.share.give_back(place.entry)

    def free_entries(self, share: Share | None) -> int | None:
        assert share is not None, "a store without parts has one share"
        return share.free

    def available(self, vectors: int, share: Share | None) -> int | None:
        assert share is not None, "a store without parts has one share"
        return share.free // vectors

    def dirty_entries(self) -> list[int]:
        return [entry for entry in self.entries if entry not in self.places and not self.is_clean(entry)]
