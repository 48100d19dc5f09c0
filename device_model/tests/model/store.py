"""What all organisations of the message store have in common: a handle is followed and judged, then its entry acts (5.4, 3.7).

`array` is here too: the IMS with its entries.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field

from device_model.ledger import NO_ENTRY, Kind, Refusal
from device_model.tests.model.ims import Entry, Ims

Place = tuple[str, int]
"""Where 8 bytes can be seen: ("bar", offset in BAR0) or ("memory", address)."""
Decision = tuple[Kind, int, int]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a work queue runs with."""

    wq: int
    pasid_enable: bool
    pasid: int


@dataclass(slots=True)
class Store(ABC):
    """`decisions`, `sent`: since they were last taken. `base`: of its registers in BAR0."""

    base: int
    decisions: list[Decision] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    """Addresses of messages."""

    def use(self, terms: Terms, handle: int) -> None:
        """A descriptor that asks for an interrupt, alone in the device: nothing comes between its check and its end."""
        reason, entry = self.find(terms, handle)
        self.decisions.append((Kind.REFUSED if reason else Kind.GRANTED, int(reason), entry))
        if not reason:
            self.complete(entry, terms, handle)

    @abstractmethod
    def find(self, terms: Terms, handle: int) -> tuple[int, int]:
        """Why it is refused, 0: it is not; the entry that it leads to, or NO_ENTRY."""

    @abstractmethod
    def complete(self, entry: int, terms: Terms, handle: int) -> None:
        """A completion interrupt: ignored, pending or sent."""

    @abstractmethod
    def write(self, offset: int, size: int, value: int) -> None:
        """Into BAR0: 4 or 8 bytes, aligned."""

    @abstractmethod
    def request(self, entry: int) -> None: ...

    @abstractmethod
    def release(self, entry: int) -> None: ...

    @abstractmethod
    def reset(self) -> None:
        """Reset Device."""

    def flr(self) -> None:
        """Function-level reset."""
        self.reset()

    @abstractmethod
    def watch(self) -> dict[Place, int]:
        """What is to be seen of it, 8 bytes each."""

    @abstractmethod
    def entry_at(self, place: Place) -> int | None:
        """The entry that these bytes belong to."""

    def fire(self, entry: int, address: int) -> None:
        self.decisions.append((Kind.FIRED, 0, entry))
        self.sent.append(address)

    def take(self) -> tuple[list[Decision], list[int]]:
        """Since the last call."""
        taken = self.decisions, self.sent
        self.decisions, self.sent = [], []
        return taken


@dataclass(slots=True)
class SlotStore(Store):
    """Entries in the device, from `entries_at` on; `watched` ones are compared."""

    count: int = 256
    entries_at: int = 0
    watched: Iterable[int] = ()
    slots: Ims = field(init=False)
    _current: int = 0

    def __post_init__(self) -> None:
        self.slots = Ims(lambda address, data: self.fire(self._current, address), [Entry() for _ in range(self.count)])

    def write(self, offset: int, size: int, value: int) -> None:
        at = offset - self.base - self.entries_at
        if 0 <= at < 16 * self.count:
            self._current = at // 16
            self.slots.write(at, size, value)

    def complete(self, entry: int, terms: Terms, handle: int) -> None:
        self._current = entry
        slot = self.slots.entries[entry]
        if slot.ignore or slot.mask:
            self.decisions.append((Kind.IGNORED if slot.ignore else Kind.PENDED, 0, entry))
        self.slots.raise_(entry)

    def request(self, entry: int) -> None:
        self.slots.request(entry)

    def release(self, entry: int) -> None:
        self.slots.release(entry)

    def reset(self) -> None:
        self.slots.reset()

    def watch(self) -> dict[Place, int]:
        seen: dict[Place, int] = {}
        for entry in self.watched:
            at = self.base + self.entries_at + 16 * entry
            seen["bar", at], seen["bar", at + 8] = self.words(entry)
        return seen

    def words(self, entry: int) -> tuple[int, int]:
        return self.slots.entries[entry].words()

    def entry_at(self, place: Place) -> int | None:
        at = place[1] - self.base - self.entries_at
        return at // 16 if at >= 0 else None


@dataclass(slots=True)
class ArrayStore(SlotStore):
    """A handle is an entry of the whole device, in which its owner's PASID is compared."""

    def find(self, terms: Terms, handle: int) -> tuple[int, int]:
        if handle >= self.count:
            return Refusal.OUT_OF_RANGE, NO_ENTRY
        entry = self.slots.entries[handle]
        return judge(entry.requested, entry.pasid_enable, entry.pasid, terms), handle


def judge(requested: bool, pasid_enable: bool, pasid: int, terms: Terms) -> int:
    """The checks of table 5-2 of an entry with a PASID in or beside it."""
    if not requested:
        return Refusal.NOT_REQUESTED
    if pasid_enable != terms.pasid_enable:
        return Refusal.PASID_ENABLE
    return Refusal.PASID if pasid_enable and pasid != terms.pasid else 0
