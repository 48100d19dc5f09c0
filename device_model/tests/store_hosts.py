"""How a host reaches each organisation of the message store: the same steps, by registers and host memory alone.

An owner has a work queue and `count` entries; n is the number of an entry among its own. Nothing here decides who may do what.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

from device_model.config import Organisation
from device_model.tests.chip_rig import Chip
from device_model.tests.core_rig import Cmd

MASK, PENDING, IGNORE, PASID_ENABLE, REQUESTED = 1, 2, 4, 8, 16
FEE = 0xFEE0_0000
TABLE_OBJECTS, TABLE_ENTRIES, VALID, WQ_VALID = 0x10000, 0x20000, 1, 1 << 31
PAGE = 0x1000


@dataclass(slots=True)
class Owner:
    """Who has a work queue. `vm`: its VM_ID, that only a table looks at."""

    wq: int
    pasid: int
    vm: int
    count: int = 0
    first: int = 0
    """Its first entry: array, msix and table."""
    directory: int = 0
    pages: dict[int, int] | None = None
    """queue: number of a page in the directory, and its address."""

    def address(self, n: int) -> int:
        """Of the message of its entry n: another for each."""
        return FEE | self.wq << 12 | (n & 0x7F) << 5

    def control(self) -> int:
        """PASID fields of its entries."""
        return self.pasid << 12 | PASID_ENABLE


class Requesting(Protocol):
    """A device that gives virtual devices' commands too."""

    def request_entry(self, entry: int) -> bool: ...


class StoreHost(ABC):
    """One organisation."""

    def __init__(self, chip: Chip, device: Requesting) -> None:
        self.chip = chip
        self._device = device

    @abstractmethod
    def attach(self, owner: Owner, first: int, count: int) -> None:
        """Makes what leads from its work queue to its entries. They are nobody's handles yet. `first`: in the device."""

    def detach(self, owner: Owner) -> None:
        """Takes it away, and what the entries held."""
        for n in range(owner.count):
            self.clear(owner, n)
        owner.count = 0

    def entry(self, owner: Owner, n: int) -> int:
        """Its number in the whole device."""
        return owner.first + n

    def handle(self, owner: Owner, n: int) -> int:
        return owner.first + n

    @abstractmethod
    def words(self, entry: int) -> tuple[int, int, int]:
        """Address, data, control word."""

    @abstractmethod
    def program(self, owner: Owner, n: int, *, data: int = 0, control: int | None = None, address: int | None = None) -> None:
        """Message, then the control word: of the owner and not masked unless `control` says so."""

    @abstractmethod
    def mask(self, owner: Owner, n: int, masked: bool) -> None:
        """An interrupt that is pending is sent when it is not masked any more."""

    @abstractmethod
    def request(self, owner: Owner, n: int) -> None:
        """The handle is good from now on."""

    def _request(self, entry: int) -> None:
        """As a virtual device does it, for organisations whose handles CMD does not name."""
        assert self._device.request_entry(entry)

    def release(self, owner: Owner, n: int) -> None:
        """The handle is good no more, and nothing is pending."""
        self.chip.device.release_entry(self.entry(owner, n))

    def arm(self, owner: Owner, n: int, data: int = 0) -> int:
        """program() and request(); its handle."""
        self.program(owner, n, data=data)
        self.request(owner, n)
        return self.handle(owner, n)

    def clear(self, owner: Owner, n: int) -> None:
        """As it was when it was nobody's."""
        self.release(owner, n)
        self.program(owner, n, control=MASK, address=FEE)

    def pending(self, owner: Owner, n: int) -> bool:
        return bool(self.words(self.entry(owner, n))[2] & PENDING)


class SlotsHost(StoreHost):
    """Entries are registers of the device."""

    registers = 0

    def _at(self, entry: int) -> int:
        return self.chip.ims + self.registers + 16 * entry

    def words(self, entry: int) -> tuple[int, int, int]:
        low, high = self.chip.read(self._at(entry), 8), self.chip.read(self._at(entry) + 8, 8)
        return low, high & 0xFFFFFFFF, high >> 32

    def program(self, owner: Owner, n: int, *, data: int = 0, control: int | None = None, address: int | None = None) -> None:
        at = self._at(self.entry(owner, n))
        self.chip.write(at, owner.address(n) if address is None else address, 8)
        self.chip.write(at + 8, data)
        self.chip.write(at + 12, owner.control() if control is None else control)

    def mask(self, owner: Owner, n: int, masked: bool) -> None:
        at = self._at(self.entry(owner, n)) + 12
        self.chip.write(at, self.chip.read(at) & ~MASK | masked)


class ArrayHost(SlotsHost):
    """A handle is an entry of the whole device."""

    def attach(self, owner: Owner, first: int, count: int) -> None:
        owner.first, owner.count = first, count

    def request(self, owner: Owner, n: int) -> None:
        self.chip.succeed(Cmd.REQUEST_HANDLE, 1 << 16 | self.entry(owner, n))

    def release(self, owner: Owner, n: int) -> None:
        self.chip.succeed(Cmd.RELEASE_HANDLE, 1 << 16 | self.entry(owner, n))


class TableHost(SlotsHost):
    """A handle is an index into the owner's own table."""

    registers = TABLE_ENTRIES

    def table(self, vm: int, first: int, count: int, *, valid: bool = True) -> None:
        at = self.chip.ims + TABLE_OBJECTS + 16 * vm
        self.chip.write(at + 8, 0)
        self.chip.write(at, first | count << 32, 8)
        self.chip.write(at + 8, int(valid))

    def lead(self, wq: int, vm: int | None) -> None:
        self.chip.write(self.chip.ims + 4 * wq, 0 if vm is None else WQ_VALID | vm)

    def attach(self, owner: Owner, first: int, count: int) -> None:
        owner.first, owner.count = first, count
        self.table(owner.vm, first, count)
        self.lead(owner.wq, owner.vm)

    def detach(self, owner: Owner) -> None:
        owner.count = 0
        self.lead(owner.wq, None)
        self.table(owner.vm, 0, 0, valid=False)

    def handle(self, owner: Owner, n: int) -> int:
        return n

    def request(self, owner: Owner, n: int) -> None:
        self._request(self.entry(owner, n))


class QueueHost(StoreHost):
    """A handle is an index into the storage of the owner's work queue, in host memory."""

    def context(self, wq: int, directory: int, *, valid: bool = True) -> None:
        at = self.chip.ims + 16 * wq
        self.chip.write(at + 8, 0)
        self.chip.write(at, directory, 8)
        self.chip.write(at + 8, int(valid))

    def sync(self, wq: int, handle: int) -> None:
        self.chip.write(self.chip.ims + 16 * wq + 12, handle)

    def link(self, owner: Owner, number: int, page: int) -> None:
        """The pointer of the directory; 0: none."""
        self.chip.device.memory_write(owner.directory + 8 * number, page | 1 if page else 0, 8)
        self.sync(owner.wq, number * 256)

    def grow(self, owner: Owner, number: int) -> int:
        """A page of entries, if there is none yet."""
        assert owner.pages is not None
        if number not in owner.pages:
            owner.pages[number] = self.chip.device.memory_page()
            self.link(owner, number, owner.pages[number])
        return owner.pages[number]

    def shrink(self, owner: Owner, number: int) -> None:
        """The device is told before the page is free for others."""
        assert owner.pages is not None
        self.link(owner, number, 0)
        self.chip.device.memory_free(owner.pages.pop(number))

    def attach(self, owner: Owner, first: int, count: int) -> None:
        del first
        owner.count, owner.pages, owner.directory = count, {}, self.chip.device.memory_page()
        self.context(owner.wq, owner.directory)
        for number in range((count + 255) // 256):
            self.grow(owner, number)

    def detach(self, owner: Owner) -> None:
        assert owner.pages is not None
        owner.count = 0
        self.context(owner.wq, 0, valid=False)
        for page in (*owner.pages.values(), owner.directory):
            self.chip.device.memory_free(page)
        owner.pages = {}

    def entry(self, owner: Owner, n: int) -> int:
        assert owner.pages is not None
        return owner.pages[n // 256] // 16 + n % 256

    def handle(self, owner: Owner, n: int) -> int:
        return n

    def words(self, entry: int) -> tuple[int, int, int]:
        low, high = (self.chip.device.memory_read(16 * entry + at, 8) for at in (0, 8))
        return low, high & 0xFFFFFFFF, high >> 32

    def program(self, owner: Owner, n: int, *, data: int = 0, control: int | None = None, address: int | None = None) -> None:
        at = 16 * self.entry(owner, n)
        self.chip.device.memory_write(at, owner.address(n) if address is None else address, 8)
        self.chip.device.memory_write(at + 8, data)
        kept = PENDING | REQUESTED
        self.chip.device.memory_update(at + 12, ~kept & 0xFFFF_FFFF, owner.control() if control is None else control)
        self.sync(owner.wq, n)

    def mask(self, owner: Owner, n: int, masked: bool) -> None:
        clear, more = (0, MASK) if masked else (MASK, 0)
        self.chip.device.memory_update(16 * self.entry(owner, n) + 12, clear, more)
        self.sync(owner.wq, n)

    def request(self, owner: Owner, n: int) -> None:
        self._request(self.entry(owner, n))

    def clear(self, owner: Owner, n: int) -> None:
        self.release(owner, n)
        self.program(owner, n, control=0, address=0)


class MsixHost(StoreHost):
    """A handle is a vector of the device's own table; vector 0 is the device's."""

    def attach(self, owner: Owner, first: int, count: int) -> None:
        owner.first, owner.count = 1 + first, count

    def words(self, entry: int) -> tuple[int, int, int]:
        """With the permissions as the control word, and Mask and Pending of table and PBA in it."""
        low, high = (self.chip.read(self.chip.table + 16 * entry + at, 8) for at in (0, 8))
        pending = self.chip.read(self.chip.pba + entry // 64 * 8, 8) >> entry % 64 & 1
        return low, high & 0xFFFFFFFF, self.chip.read(self.chip.msixperm + 8 * entry) | high >> 32 | pending << 1

    def program(self, owner: Owner, n: int, *, data: int = 0, control: int | None = None, address: int | None = None) -> None:
        vector = self.entry(owner, n)
        value = owner.control() if control is None else control
        self.chip.write(self.chip.table + 16 * vector, owner.address(n) if address is None else address, 8)
        self.chip.write(self.chip.table + 16 * vector + 8, data)
        self.chip.write(self.chip.msixperm + 8 * vector, value & ~3)
        self.chip.mask(vector, bool(value & MASK))

    def mask(self, owner: Owner, n: int, masked: bool) -> None:
        self.chip.mask(self.entry(owner, n), masked)

    def request(self, owner: Owner, n: int) -> None:
        self.chip.request(self.entry(owner, n))

    def release(self, owner: Owner, n: int) -> None:
        self.chip.succeed(Cmd.RELEASE_HANDLE, self.entry(owner, n))


HOSTS: dict[Organisation, type[StoreHost]] = {
    Organisation.ARRAY: ArrayHost,
    Organisation.TABLE: TableHost,
    Organisation.QUEUE: QueueHost,
    Organisation.MSIX: MsixHost,
}
