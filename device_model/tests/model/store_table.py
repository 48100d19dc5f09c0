"""Organisation `table`: a work queue has a VM_ID, that leads to a VM object, and that to the machine's own table of entries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from device_model.ledger import NO_ENTRY, Refusal
from device_model.tests.model.ims import Entry, Ims
from device_model.tests.model.store import Place, SlotStore, Terms

OBJECTS, ENTRIES, VMS, MOST = 0x10000, 0x20000, 4096, 2048
_VALID, _WQ_VALID = 1, 1 << 31


class PlainEntries(Ims):
    """Without fields for PASIDs."""

    def _write_control(self, entry: Entry, value: int) -> None:
        super()._write_control(entry, value & 5)


@dataclass(slots=True)
class Object:
    """Where the table of a machine lies in the pool."""

    first: int = 0
    count: int = 0
    valid: bool = False

    def entries(self) -> range:
        return range(self.first, self.first + self.count)


@dataclass(slots=True)
class TableStore(SlotStore):
    """`watched_vms`: VM objects that are compared."""

    wqs: int = 4
    watched_vms: Iterable[int] = ()
    vm_of: list[int] = field(default_factory=list)
    objects: dict[int, Object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.entries_at = ENTRIES
        pool = [Entry() for _ in range(self.count)]
        self.slots = PlainEntries(lambda address, data: self.fire(self._current, address), pool)
        self.vm_of = [0] * self.wqs

    def find(self, terms: Terms, handle: int) -> tuple[int, int]:
        vm = self.vm_of[terms.wq]
        table = self.objects.get(vm & 0xFFF, Object())
        if not vm & _WQ_VALID or not table.valid:
            return Refusal.NO_STORAGE, NO_ENTRY
        if handle >= table.count:
            return Refusal.OUT_OF_RANGE, NO_ENTRY
        entry = table.first + handle
        return 0 if self.slots.entries[entry].requested else Refusal.NOT_REQUESTED, entry

    def in_a_table(self, entry: int) -> bool:
        return any(table.valid and entry in table.entries() for table in self.objects.values())

    # ---- registers ----

    def write(self, offset: int, size: int, value: int) -> None:
        at = offset - self.base
        if at >= ENTRIES:
            if self.in_a_table((at - ENTRIES) // 16):
                SlotStore.write(self, offset, size, value)
            return
        self._write_dword(at, value & 0xFFFFFFFF)
        if size == 8:
            self._write_dword(at + 4, value >> 32)

    def _write_dword(self, at: int, value: int) -> None:
        if at >= OBJECTS:
            self._write_object(self.objects.setdefault((at - OBJECTS) // 16, Object()), at % 16, value)
        elif 0 <= at // 4 < self.wqs:
            self.vm_of[at // 4] = value & (_WQ_VALID | 0xFFF)

    def _write_object(self, table: Object, register: int, value: int) -> None:
        if register == 8:
            self._set_valid(table, bool(value & _VALID))
        elif register == 0 and not table.valid:
            table.first = value
        elif register == 4 and not table.valid:
            table.count = value

    def _set_valid(self, table: Object, valid: bool) -> None:
        fits = 1 <= table.count <= MOST and table.first + table.count <= self.count
        if valid != table.valid and (fits or not valid):
            table.valid = valid
            self._empty(table)

    def _empty(self, table: Object) -> None:
        for entry in table.entries():
            self.slots.entries[entry] = Entry()

    def reset(self) -> None:
        self.vm_of = [0] * self.wqs
        for table in self.objects.values():
            if table.valid:
                self._empty(table)
        self.objects.clear()

    # ---- what is to be seen ----

    def words(self, entry: int) -> tuple[int, int]:
        return SlotStore.words(self, entry) if self.in_a_table(entry) else (0, 0)

    def watch(self) -> dict[Place, int]:
        seen = SlotStore.watch(self)
        for wq in range(0, self.wqs, 2):
            seen["bar", self.base + 4 * wq] = self.vm_of[wq] | self.vm_of[wq + 1] << 32
        for vm in self.watched_vms:
            table, at = self.objects.get(vm, Object()), self.base + OBJECTS + 16 * vm
            seen["bar", at], seen["bar", at + 8] = table.first | table.count << 32, int(table.valid)
        return seen
