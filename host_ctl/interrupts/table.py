"""Organisation `table`: a work queue has a VM_ID, that leads to a VM object, and the object to the VM's own table of entries.

No entry has an owner's ID in it. What keeps VMs apart is where the pointers lead, and the table's bound.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field

from device_model.config import Organisation
from host_ctl.interrupts.interrupt import ADDRESS, CONTROL, DATA, IGNORE, MASK, PENDING, Interrupt
from host_ctl.interrupts.owner import StoreExhausted, StoreRefused, Subdevice
from host_ctl.interrupts.pool import Pool
from host_ctl.interrupts.store import Place, Share, Space, Store
from host_ctl.physical import PhysicalDevice

RESET_ADDRESS = 0xFEE0_0000
MAX_VM_ID = 4095
_OBJECTS, _ENTRIES, _STRIDE = 0x10000, 0x20000, 16
_FIRST, _COUNT, _OBJECT_CONTROL = 0, 4, 8
_OBJECT_VALID, _QUEUE_VALID = 1 << 0, 1 << 31


class TableInterrupt(Interrupt):
    """An entry of the owner's table. The owner stands in what leads to the table, so nothing of it is written here."""

    def mask(self) -> None:
        self.store.write(self.entry, CONTROL, self.control & IGNORE | MASK)

    def unmask(self) -> None:
        self.store.write(self.entry, CONTROL, self.control & IGNORE)

    def disarm(self) -> None:
        self.store.write(self.entry, CONTROL, MASK)
        self.release_handle()

    @property
    def pending(self) -> bool:
        return bool(self.control & PENDING)

    def release_handle(self) -> None:
        self.store.chip.device.release_entry(self.entry)


@dataclass(slots=True)
class TableSpace(Space):
    """first: the pool's entry that the table begins at. handles: those of the table, from 0."""

    table: int = 0
    first: int = 0
    handles: Pool = field(default_factory=lambda: Pool(range(0)))


class TableStore(Store):
    """Tables of one size, cut from the pool: any free one is as good as another, so no hole fits nobody, and taking one is O(1).

    A table's bound is exactly its mdev's vectors; entries beyond it are lost to others until the table is free.
    """

    ORGANISATION = Organisation.TABLE
    INTERRUPT = TableInterrupt
    CLEAN = (RESET_ADDRESS, 0, 0, MASK)

    def __init__(self, chip: PhysicalDevice, mdev_vectors: int) -> None:
        super().__init__(chip, mdev_vectors)
        self._tables = Pool(range(chip.device.config.num_ims // self.part))

    # ---- shares: tables ----

    def whole(self) -> Share:
        return Pool(self._tables.numbers)

    def reserve(self, owner: Subdevice, count: int) -> Share:
        self._check_size(owner, count)
        table = self._tables.take()
        if table is None:
            raise self._no_table(owner, self._tables)
        return Pool(range(table, table + 1))

    def give_up(self, share: Share) -> None:
        self._tables.give_back(share.numbers.start)

    def free_entries(self, share: Share | None) -> int | None:
        return (self._tables if share is None else share).free * self.part

    def available(self, vectors: int, share: Share | None) -> int | None:
        return (self._tables if share is None else share).free if vectors <= self.part else 0

    def _check_size(self, owner: Subdevice, count: int) -> None:
        if count > self.part:
            raise StoreExhausted(
                f"{owner.name} needs {count} entries, and a table of this pool has {self.part}: "
                "make the host for mdevs with more vectors"
            )

    def _no_table(self, owner: Subdevice, share: Share) -> StoreExhausted:
        return self._exhausted(owner, 1, share.free, len(share), f"table of {self.part} entries")

    # ---- from work queue to table ----

    def _attach(self, owner: Subdevice, count: int, share: Share, undo: ExitStack) -> Space:
        self._check_size(owner, count)
        table = self._take_table(owner, share)
        undo.callback(self._give_table_back, share, table)
        space = TableSpace(owner, share, table, table * self.part, Pool(range(count)))
        self._check_unused(owner)
        undo.callback(self._cut, space)
        self._make_object(space, count)
        self._point(owner)
        return space

    def _take_table(self, owner: Subdevice, share: Share) -> int:
        table = share.take()
        if table is None:
            raise self._no_table(owner, share)
        return table

    def _give_table_back(self, share: Share, table: int) -> None:
        share.give_back(table)

    def _check_unused(self, owner: Subdevice) -> None:
        if self._read(self._object(owner) + _OBJECT_CONTROL) & _OBJECT_VALID:
            raise StoreRefused(f"the VM object of {owner.name} (VM_ID {owner.owner_id}) is Valid already: its last owner left it")

    def _make_object(self, space: TableSpace, count: int) -> None:
        base = self._object(space.owner)
        self._write(base + _FIRST, space.first)
        self._write(base + _COUNT, count)
        self._write(base + _OBJECT_CONTROL, _OBJECT_VALID)
        if not self._read(base + _OBJECT_CONTROL) & _OBJECT_VALID:
            raise StoreRefused(
                f"the device refused a table of {count} entries from {space.first} for {space.owner.name}: "
                "the host's pool is larger than the device's"
            )

    def _point(self, owner: Subdevice) -> None:
        """The work queue leads to the VM object from now on."""
        self._write(self._queue(owner), self._owner_id_of(owner) | _QUEUE_VALID)

    def _cut(self, space: TableSpace) -> None:
        """First nothing new comes to the table, then no message of it is on its way."""
        self._write(self._queue(space.owner), 0)
        self._write(self._object(space.owner) + _OBJECT_CONTROL, 0)

    def _detach(self, space: Space) -> None:
        assert isinstance(space, TableSpace)
        self._cut(space)
        self._give_table_back(space.share, space.table)

    def _queue(self, owner: Subdevice) -> int:
        assert owner.wq is not None, "a VM_ID is a work queue's"
        return owner.wq * 4

    def _object(self, owner: Subdevice) -> int:
        assert owner.owner_id is not None
        return _OBJECTS + owner.owner_id * _STRIDE

    # ---- entries ----

    def _take(self, space: Space) -> Place:
        assert isinstance(space, TableSpace)
        handle = space.handles.take()
        if handle is None:
            raise StoreExhausted(f"{space.owner.name} has used all {len(space.handles)} entries of its table")
        return Place(space.first + handle, handle, space)

    def _give_back(self, place: Place) -> None:
        assert isinstance(place.space, TableSpace)
        place.space.handles.give_back(place.handle)

    def _clear(self, entry: int) -> None:
        self.write(entry, CONTROL, MASK)
        self.chip.device.release_entry(entry)
        self.write(entry, ADDRESS, RESET_ADDRESS)
        self.write(entry, DATA, 0)

    def read(self, entry: int, register: int) -> int:
        return self._read(_ENTRIES + entry * _STRIDE + register)

    def write(self, entry: int, register: int, value: int) -> None:
        self._write(_ENTRIES + entry * _STRIDE + register, value)

    # ---- books ----

    def dirty_entries(self) -> list[int]:
        """Entries of tables that VM objects of nobody lead to: a table that becomes Valid begins clean, so nothing else can be
        inherited.
        """
        dirty: set[int] = set()
        for base in self._valid_objects():
            first, count = self._read(base + _FIRST), self._read(base + _COUNT)
            dirty |= {entry for entry in range(first, first + count) if entry not in self.places}
        return sorted(dirty)

    def roots(self) -> dict[str, int]:
        queues = sum(bool(self._read(4 * wq) & _QUEUE_VALID) for wq in range(self.chip.num_wqs))
        return {"queue_roots": queues, "vm_objects": len(self._valid_objects())}

    def _valid_objects(self) -> list[int]:
        bases = (_OBJECTS + vm * _STRIDE for vm in range(MAX_VM_ID + 1))
        return [base for base in bases if self._read(base + _OBJECT_CONTROL) & _OBJECT_VALID]

    def _read(self, offset: int) -> int:
        return self.chip.device.read(self.chip.ims_base + offset)

    def _write(self, offset: int, value: int) -> None:
        self.chip.device.write(self.chip.ims_base + offset, value)
