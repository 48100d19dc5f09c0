"""Organisation `queue`: the context of a work queue leads to a directory in host memory, that to pages of entries."""

from __future__ import annotations

from dataclasses import dataclass, field

from device_model.ledger import NO_ENTRY, Kind, Refusal
from device_model.tests.model.host_memory import PAGE, HostMemory
from device_model.tests.model.ims import FEE
from device_model.tests.model.store import Place, Store, Terms, judge

_VALID = 1
MASK, PENDING, IGNORE, PASID_ENABLE, REQUESTED = 1, 2, 4, 8, 16
WATCHED, WATCHED_POINTERS = (0, 1, 2, 3, 255), (0, 1, 255)
"""Entries and pointers of each page that are compared."""


@dataclass(slots=True)
class Context:
    """Of a work queue."""

    directory: int = 0
    valid: bool = False


@dataclass(slots=True)
class QueueStore(Store):
    """An entry's number is its address / 16."""

    wqs: int = 4
    memory: HostMemory = field(default_factory=HostMemory)
    contexts: list[Context] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reset()

    def locate(self, wq: int, handle: int) -> int | None:
        """Address of the entry; None: the way ends before."""
        context = self.contexts[wq]
        pointer = self.memory.read(context.directory + 8 * (handle >> 8), 8) if context.valid else None
        if pointer is None or not pointer & _VALID:
            return None
        address = (pointer & -PAGE) + 16 * (handle & 255)
        return None if self.memory.read(address, 8) is None else address

    def find(self, terms: Terms, handle: int) -> tuple[int, int]:
        address = self.locate(terms.wq, handle)
        if address is None:
            return Refusal.NO_STORAGE, NO_ENTRY
        control = self._control(address)
        return judge(bool(control & REQUESTED), bool(control & PASID_ENABLE), control >> 12, terms), address // 16

    def _control(self, address: int) -> int:
        return self.memory.read(address + 12, 4) or 0

    def complete(self, entry: int, terms: Terms, handle: int) -> None:
        control = self._control(16 * entry)
        if control & IGNORE:
            self.decisions.append((Kind.IGNORED, 0, entry))
        elif control & MASK:
            self.memory.update(16 * entry + 12, 0, PENDING)
            self.decisions.append((Kind.PENDED, 0, entry))
        else:
            self._send(entry)

    def _send(self, entry: int) -> None:
        address = self.memory.read(16 * entry, 8) or 0
        if address >> 20 == FEE:
            self.fire(entry, address & ~3)
        else:
            self.decisions.append((Kind.VANISHED, 0, entry))

    def sync(self, wq: int, handle: int) -> None:
        """Looks again at an entry that the host has changed."""
        address = self.locate(wq, handle)
        control = 0 if address is None else self._control(address)
        if address is None or not control & PENDING or (control & REQUESTED and control & MASK):
            return
        self.memory.update(address + 12, PENDING, 0)
        if control & REQUESTED:
            self._send(address // 16)

    # ---- registers ----

    def write(self, offset: int, size: int, value: int) -> None:
        self._write_dword(offset - self.base, value & 0xFFFFFFFF)
        if size == 8:
            self._write_dword(offset - self.base + 4, value >> 32)

    def _write_dword(self, at: int, value: int) -> None:
        wq, register = at // 16, at % 16
        if not 0 <= wq < self.wqs:
            return
        context = self.contexts[wq]
        if register == 8:
            context.valid = bool(value & _VALID)
        elif register == 12:
            if value <= 0xFFFF:
                self.sync(wq, value)
        elif not context.valid:
            other = 0xFFFF_FFFF if register else 0xFFFF_FFFF << 32
            context.directory = (context.directory & other | value << 8 * register) & -PAGE & 2**64 - 1

    def request(self, entry: int) -> None:
        self.memory.update(16 * entry + 12, 0, REQUESTED)

    def release(self, entry: int) -> None:
        self.memory.update(16 * entry + 12, REQUESTED | PENDING, 0)

    def reset(self) -> None:
        self.contexts = [Context() for _ in range(self.wqs)]

    # ---- what is to be seen ----

    def watch(self) -> dict[Place, int]:
        seen: dict[Place, int] = {}
        for wq, context in enumerate(self.contexts):
            seen["bar", self.base + 16 * wq] = context.directory
            seen["bar", self.base + 16 * wq + 8] = int(context.valid)
        offsets = {8 * pointer for pointer in WATCHED_POINTERS}
        offsets |= {16 * entry + at for entry in WATCHED for at in (0, 8)}
        for page in self.memory.pages:
            for offset in offsets:
                seen["memory", page + offset] = self.memory.read(page + offset, 8) or 0
        return seen

    def entry_at(self, place: Place) -> int | None:
        return place[1] // 16 if place[0] == "memory" else None
