"""Interrupt domains: who may hand out which entries of a store.

A domain has a share of the store and can get at nothing beyond it. With scope `device` one central domain has the whole store;
with scope `vm` each mdev's own domain has a part that is reserved when the mdev is made, and gives it back when it goes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import ExitStack
from dataclasses import dataclass, field

from host_ctl.errors import HostError
from host_ctl.interrupts.interrupt import Interrupt
from host_ctl.interrupts.organisation import Scope, why_not
from host_ctl.interrupts.owner import NoOwnerId, StoreExhausted, Subdevice
from host_ctl.interrupts.store import Place, Share, Space, Store


@dataclass(slots=True, eq=False)
class VectorBlock:
    """Entries allocated together for one subdevice. `parcel` hands them out one by one."""

    owner: Subdevice
    domain: Domain
    places: list[Place] = field(default_factory=list)
    interrupts: list[Interrupt] = field(default_factory=list)
    space: Space | None = None

    @property
    def entries(self) -> list[int]:
        """Numbers of the entries in the whole device."""
        return [place.entry for place in self.places]

    @property
    def handles(self) -> list[int]:
        """What the owner's guest calls them."""
        return [place.handle for place in self.places]

    def parcel(self) -> Interrupt:
        """The next interrupt of the block. StoreExhausted: all have been handed out."""
        if len(self.interrupts) == len(self.places):
            raise StoreExhausted(f"{self.owner.name} has used all {len(self.places)} interrupts of its block")
        place = self.places[len(self.interrupts)]
        interrupt = self.domain.store.interrupt(place.entry, place.handle, self.owner)
        self.interrupts.append(interrupt)
        return interrupt


class Domain:
    """One interrupt domain over a share of a store."""

    def __init__(self, store: Store, share: Share) -> None:
        self.store, self.share = store, share

    def allocate_block(self, owner: Subdevice, count: int) -> VectorBlock:
        """`count` entries for `owner`. NoOwnerId, HasBlock, StoreExhausted, StoreRefused: nothing was taken."""
        block = VectorBlock(owner, self)
        with ExitStack() as undo:
            block.space = self.store.attach(owner, count, self.share)
            undo.callback(self._detach, block)
            undo.callback(self._give_back, block)
            while len(block.places) < count:
                block.places.append(self.store.take(block.space))
            undo.pop_all()
        return block

    def _give_back(self, block: VectorBlock) -> None:
        """Entries that were taken and never programmed: the one taken last first. Goes on after a failure."""
        with ExitStack() as undo:
            for place in block.places:
                undo.callback(self.store.give_back, place)
        block.places.clear()

    def free_block(self, block: VectorBlock) -> None:
        """Clears the entries and takes them back. The owner's work queue is quiet. Idempotent, and goes on where it failed."""
        while block.places:
            place = block.places[-1]
            self.store.clear(place.entry)
            self.store.give_back(place)
            block.places.pop()
        self._detach(block)

    def _detach(self, block: VectorBlock) -> None:
        if block.space is not None:
            self.store.detach(block.space)
            block.space = None


class DomainScope(ABC):
    """What mdevs get their interrupts from, and where the host's books of them are."""

    SCOPE: Scope

    def __init__(self, store: Store) -> None:
        """HostError: there is no such domain over a store of this organisation."""
        reason = why_not(store.ORGANISATION, self.SCOPE)
        if reason is not None:
            raise HostError(f"no domain of scope {self.SCOPE} over a store of organisation {store.facts.name}: {reason}")
        self.store = store

    @abstractmethod
    def allocate_block(self, owner: Subdevice, count: int) -> VectorBlock:
        """`count` entries for `owner`. NoOwnerId, HasBlock, StoreExhausted, StoreRefused: nothing was taken."""

    @abstractmethod
    def free_block(self, block: VectorBlock) -> None:
        """Clears the entries and takes them back. The owner's work queue is quiet. Idempotent, and goes on where it failed."""

    @property
    def in_use(self) -> int:
        """Entries that belong to a block."""
        return self.store.in_use

    @property
    def capacity(self) -> int | None:
        """Entries in use, and those that mdevs to come can get: without what is reserved and not handed out. None: no bound."""
        free = self.store.free_entries(self._share)
        return None if free is None else self.in_use + free

    def available(self, vectors: int) -> int | None:
        """How many more mdevs with so many vectors there is place for. None: no bound."""
        return self.store.available(vectors, self._share)

    @property
    @abstractmethod
    def _share(self) -> Share | None:
        """Out of which mdevs to come get theirs; None: each gets one of its own."""

    def dirty_entries(self) -> list[int]:
        """Entries of nobody that are not clean, or to which something leads."""
        return self.store.dirty_entries()


class DeviceScope(DomainScope):
    """One central domain, which has the whole store and serves all mdevs."""

    SCOPE = Scope.DEVICE

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.domain = Domain(store, store.whole())

    @property
    def _share(self) -> Share | None:
        return self.domain.share

    def allocate_block(self, owner: Subdevice, count: int) -> VectorBlock:
        return self.domain.allocate_block(owner, count)

    def free_block(self, block: VectorBlock) -> None:
        self.domain.free_block(block)


class VmScope(DomainScope):
    """A domain for each mdev, made with it and closed with it; `domains` has those that are open, by their owners' names."""

    SCOPE = Scope.VM

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.domains: dict[str, Domain] = {}

    @property
    def _share(self) -> Share | None:
        return None

    def open(self, owner: Subdevice, count: int) -> Domain:
        """The domain of `owner`, with place for `count`. HostError: it has one. StoreExhausted: no part is left."""
        if owner.owner_id is None:
            kind = self.store.facts.id_kind
            raise NoOwnerId(f"{owner.name} has no {kind}: store one with the subdevice before its domain is made")
        if owner.name in self.domains:
            raise HostError(f"{owner.name} has a domain already: close it first")
        domain = self.domains[owner.name] = Domain(self.store, self.store.reserve(owner, count))
        return domain

    def close(self, owner: Subdevice) -> None:
        """Gives the part of `owner`'s domain back; its block has been freed. Idempotent."""
        domain = self.domains.get(owner.name)
        if domain is not None:
            self.store.give_up(domain.share)
            del self.domains[owner.name]

    def allocate_block(self, owner: Subdevice, count: int) -> VectorBlock:
        domain = self.open(owner, count)
        with ExitStack() as undo:
            undo.callback(self.close, owner)
            block = domain.allocate_block(owner, count)
            undo.pop_all()
        return block

    def free_block(self, block: VectorBlock) -> None:
        block.domain.free_block(block)
        self.close(block.owner)


_SCOPES: dict[Scope, type[DomainScope]] = {Scope.DEVICE: DeviceScope, Scope.VM: VmScope}


def open_domains(store: Store, scope: Scope) -> DomainScope:
    """The domains of one scope over a store. HostError: that makes no sense, and why."""
    return _SCOPES[scope](store)
