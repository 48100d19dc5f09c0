"""Organisation `queue`: storage in host memory, made for each work queue when interrupts are allocated, and freed with them.

A work queue's context leads to a directory page, that to pages of 256 entries; each entry has its owner's PASID. Nothing but
memory and the width of a handle bounds them. The device may read memory at any time: what it must not see is taken away first,
and after each change it is told to look again (SYNC).
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field

from device_model.config import Organisation
from device_model.errors import DeviceError
from host_ctl.interrupts.interrupt import (
    ADDRESS,
    CONTROL,
    DATA,
    IGNORE,
    MASK,
    PASID_ENABLE,
    PENDING,
    REQUESTED,
    Interrupt,
)
from host_ctl.interrupts.organisation import MAX_HANDLES, PAGE_ENTRIES
from host_ctl.interrupts.owner import StoreExhausted, StoreRefused, Subdevice
from host_ctl.interrupts.pool import Pool
from host_ctl.interrupts.store import Place, Share, Space, Store
from host_ctl.physical import PhysicalDevice

_ENTRY, _POINTER = 16, 8
_DIRECTORY, _CONTEXT_CONTROL, _SYNC, _CONTEXT = 0, 8, 12, 16
_VALID = 1
_OWNER = PASID_ENABLE | 0xFFFFF << 12


class QueueInterrupt(Interrupt):
    """An entry in memory. Its control word is changed bit by bit: the device sets bits of it at the same time."""

    def __init__(self, store: Store, entry: int, handle: int, owner: Subdevice) -> None:
        super().__init__(store, entry, handle, owner)
        assert isinstance(store, QueueStore)
        self.store: QueueStore = store

    def program(self, address: int, data: int) -> None:
        self.mask()
        self.store.chip.device.memory_write(self.entry * _ENTRY + ADDRESS, address, 8)
        self.store.write(self.entry, DATA, data)
        self.unmask()

    def mask(self) -> None:
        self._own(clear=0, set_=MASK)

    def unmask(self) -> None:
        self._own(clear=MASK, set_=0)

    def disarm(self) -> None:
        self.store.update(self.entry, _OWNER, MASK)

    @property
    def pending(self) -> bool:
        return bool(self.control & PENDING)

    def release_handle(self) -> None:
        self.store.update(self.entry, REQUESTED | PENDING, 0)

    def _own(self, *, clear: int, set_: int) -> None:
        """One step: no moment at which it is open and not yet its owner's."""
        owner = self.store._owner_id_of(self.owner) << 12 | PASID_ENABLE
        self.store.update(self.entry, (_OWNER & ~owner) | clear, owner | set_)


@dataclass(slots=True)
class Page:
    """A page of entries: its address in host memory, and how many of its entries are taken."""

    address: int
    taken: int = 0


@dataclass(slots=True)
class QueueSpace(Space):
    """The storage of one work queue; pages by their index in the directory."""

    wq: int = 0
    directory: int = 0
    pages: dict[int, Page] = field(default_factory=dict)
    handles: Pool = field(default_factory=lambda: Pool(range(MAX_HANDLES)))


class QueueStore(Store):
    """A share is work queues: whose storage a domain may make. The central domain has all of them, a VM's its own."""

    ORGANISATION = Organisation.QUEUE
    INTERRUPT = QueueInterrupt
    CLEAN = (0, 0, 0, 0)

    def __init__(self, chip: PhysicalDevice, mdev_vectors: int) -> None:
        super().__init__(chip, mdev_vectors)
        self._queues = Pool(range(chip.num_wqs))

    # ---- shares: work queues ----

    def whole(self) -> Share:
        return Pool(self._queues.numbers)

    def reserve(self, owner: Subdevice, count: int) -> Share:
        self._check_size(owner, count)
        wq = self._wq(owner)
        self._claim(owner, self._queues)
        return Pool(range(wq, wq + 1))

    def give_up(self, share: Share) -> None:
        self._queues.give_back(share.numbers.start)

    def free_entries(self, share: Share | None) -> int | None:
        return None

    def available(self, vectors: int, share: Share | None) -> int | None:
        return None if vectors <= MAX_HANDLES else 0

    def _check_size(self, owner: Subdevice, count: int) -> None:
        if count > MAX_HANDLES:
            raise StoreExhausted(f"{owner.name} needs {count} entries, and an interrupt handle tells {MAX_HANDLES} apart")

    def _claim(self, owner: Subdevice, share: Share) -> None:
        if not share.claim(self._wq(owner)):
            raise StoreExhausted(
                f"work queue {owner.wq} of {owner.name} has storage already, or is none of the domain's: "
                "free the interrupts of its owner first"
            )

    @staticmethod
    def _wq(owner: Subdevice) -> int:
        assert owner.wq is not None, "storage is a work queue's"
        return owner.wq

    # ---- from work queue to pages ----

    def _attach(self, owner: Subdevice, count: int, share: Share, undo: ExitStack) -> Space:
        self._check_size(owner, count)
        wq = self._wq(owner)
        self._claim(owner, share)
        undo.callback(share.give_back, wq)
        if self._context_read(wq, _CONTEXT_CONTROL) & _VALID:
            raise StoreRefused(f"work queue {wq} of {owner.name} leads to storage already: its last owner's was not freed whole")
        directory = self._new_page(owner)
        undo.callback(self._free_page, directory)
        undo.callback(self._cut, wq)
        self._point(owner, wq, directory)
        return QueueSpace(owner, share, wq, directory)

    def _point(self, owner: Subdevice, wq: int, directory: int) -> None:
        base = self.chip.ims_base + wq * _CONTEXT
        self.chip.device.write(base + _DIRECTORY, directory, 8)
        self.chip.device.write(base + _CONTEXT_CONTROL, _VALID)
        if not self._context_read(wq, _CONTEXT_CONTROL) & _VALID:
            raise StoreRefused(f"the device refused directory {directory:#x} for work queue {wq} of {owner.name}")

    def _cut(self, wq: int) -> None:
        """When it returns, no message of this queue is on its way, and the device looks at none of its pages."""
        self.chip.device.write(self.chip.ims_base + wq * _CONTEXT + _CONTEXT_CONTROL, 0)
        self.chip.device.write(self.chip.ims_base + wq * _CONTEXT + _DIRECTORY, 0, 8)

    def _detach(self, space: Space) -> None:
        assert isinstance(space, QueueSpace)
        self._cut(space.wq)
        if space.directory:
            self._free_page(space.directory)
            space.directory = 0
        space.share.give_back(space.wq)

    def _new_page(self, owner: Subdevice) -> int:
        """A page of zeros. StoreExhausted: host memory has none."""
        try:
            return self.chip.device.memory_page()
        except DeviceError as error:
            raise StoreExhausted(
                f"host memory has no page for the interrupts of {owner.name} ({error}): destroy an mdev"
            ) from error

    def _free_page(self, address: int) -> None:
        self.chip.device.memory_free(address)

    def _grow(self, space: QueueSpace, number: int) -> Page:
        """The page of that number, made if there is none."""
        page = space.pages.get(number)
        if page is None:
            page = Page(self._new_page(space.owner))
            with ExitStack() as undo:
                undo.callback(self._free_page, page.address)
                self._link(space, number, page.address | _VALID)
                undo.pop_all()
            space.pages[number] = page
        return page

    def _shrink(self, space: QueueSpace, number: int) -> None:
        """Takes a page away: the device is told before its memory is free for others."""
        self._link(space, number, 0)
        self._free_page(space.pages[number].address)
        del space.pages[number]

    def _link(self, space: QueueSpace, number: int, pointer: int) -> None:
        self.chip.device.memory_write(space.directory + number * _POINTER, pointer, 8)
        self._sync(space.wq, number * PAGE_ENTRIES)

    # ---- entries ----

    def _take(self, space: Space) -> Place:
        assert isinstance(space, QueueSpace)
        handle = space.handles.take()
        if handle is None:
            raise StoreExhausted(f"{space.owner.name} has used all {MAX_HANDLES} interrupt handles")
        try:
            page = self._grow(space, handle // PAGE_ENTRIES)
        except BaseException:
            space.handles.give_back(handle)
            raise
        page.taken += 1
        return Place(page.address // _ENTRY + handle % PAGE_ENTRIES, handle, space)

    def _give_back(self, place: Place) -> None:
        space, number = place.space, place.handle // PAGE_ENTRIES
        assert isinstance(space, QueueSpace)
        page = space.pages[number]
        if page.taken == 1:
            self._shrink(space, number)
        page.taken -= 1
        space.handles.give_back(place.handle)

    def _clear(self, entry: int) -> None:
        self.update(entry, _OWNER, MASK)
        self.update(entry, REQUESTED | PENDING | IGNORE, 0)
        self.chip.device.memory_write(entry * _ENTRY + ADDRESS, 0, 8)
        self.write(entry, DATA, 0)
        self.update(entry, MASK, 0)

    def update(self, entry: int, clear: int, set_: int) -> None:
        """Takes bits of the control word away and adds others, in one step, and has the device look at the entry again."""
        place = self.places[entry]
        assert isinstance(place.space, QueueSpace)
        self.chip.device.memory_update(entry * _ENTRY + CONTROL, clear, set_)
        self._sync(place.space.wq, place.handle)

    def read(self, entry: int, register: int) -> int:
        return self.chip.device.memory_read(entry * _ENTRY + register, 4)

    def write(self, entry: int, register: int, value: int) -> None:
        self.chip.device.memory_write(entry * _ENTRY + register, value, 4)

    def _sync(self, wq: int, handle: int) -> None:
        self.chip.device.write(self.chip.ims_base + wq * _CONTEXT + _SYNC, handle)

    def _context_read(self, wq: int, register: int) -> int:
        return self.chip.device.read(self.chip.ims_base + wq * _CONTEXT + register)

    # ---- books ----

    def dirty_entries(self) -> list[int]:
        """In pages of storage that there is; a page that is made anew is zeros."""
        spaces = [space for space in self._spaces.values() if isinstance(space, QueueSpace)]
        firsts = [page.address // _ENTRY for space in spaces for page in space.pages.values()]
        entries = (entry for first in firsts for entry in range(first, first + PAGE_ENTRIES))
        return [entry for entry in entries if entry not in self.places and not self.is_clean(entry)]

    def roots(self) -> dict[str, int]:
        queues = sum(bool(self._context_read(wq, _CONTEXT_CONTROL) & _VALID) for wq in range(self.chip.num_wqs))
        return {"queue_roots": queues, "host_memory_pages": self.chip.device.memory_pages}
