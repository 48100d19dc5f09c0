"""The host's interrupt domain over the device's IMS: organisation `array`, one domain for the whole device.

The store is a fixed array of entries shared by all subdevices, with a PASID in each entry. A block of entries is allocated
when an mdev is created, its vectors are parcelled out one by one, and all are freed after the mdev's work has been drained.
The owner's ID stands in the (sub)device before its interrupts are allocated: one without an ID gets none.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from host_ctl.errors import HostError
from host_ctl.physical import Command, PhysicalDevice

_ADDRESS, _ADDRESS_HI, _DATA, _CONTROL = 0, 4, 8, 12
_MASK, _PENDING, _IGNORE, _PASID_ENABLE = 1 << 0, 1 << 1, 1 << 2, 1 << 3
RESET_ADDRESS, RESET_DATA, RESET_CONTROL = 0xFEE0_0000, 0, _MASK
"""What an entry holds that belongs to nobody (9.2.28)."""


class ImsExhausted(HostError):  # noqa: N818
    """The IMS has fewer free entries than a block needs."""


class NoOwnerId(HostError):  # noqa: N818
    """Interrupts were asked for a subdevice that has no ID yet."""


@dataclass(slots=True)
class Subdevice:
    """What interrupts are allocated for. `owner_id` is the PASID: opaque to the domain but for where the store keeps it."""

    name: str
    owner_id: int | None = None


@dataclass(slots=True)
class ImsInterrupt:
    """One entry of the store, parcelled out to one vector."""

    entry: int
    chip: PhysicalDevice
    owner_id: int

    @property
    def handle(self) -> int:
        """The interrupt handle that names this entry in a descriptor; the hardware's handles are its indices."""
        return self.entry

    def program(self, address: int, data: int) -> None:
        """Writes message and owner while masked, then unmasks: no moment with a message but no owner."""
        self.chip.ims_write(self.entry, _CONTROL, self._control(masked=True))
        self.chip.ims_write(self.entry, _ADDRESS, address)
        self.chip.ims_write(self.entry, _ADDRESS_HI, 0)
        self.chip.ims_write(self.entry, _DATA, data)
        self.unmask()

    def mask(self) -> None:
        """When it returns, no message of this entry is on its way."""
        self.chip.ims_write(self.entry, _CONTROL, self._control(masked=True))

    def unmask(self) -> None:
        """An interrupt that is pending is sent now."""
        self.chip.ims_write(self.entry, _CONTROL, self._control(masked=False))

    def disarm(self) -> None:
        """Masked, without PASID Enable: no work queue of a guest passes the check any more (7.5.4)."""
        self.chip.ims_write(self.entry, _CONTROL, _MASK)

    @property
    def pending(self) -> bool:
        """The entry's Pending bit."""
        return bool(self.chip.ims_read(self.entry, _CONTROL) & _PENDING)

    def release_handle(self) -> None:
        """The handle is refused from now on, whoever uses it."""
        self.chip.command(Command.RELEASE_INT_HANDLE, self.entry | 1 << 16)

    def _control(self, *, masked: bool) -> int:
        """Ignore stays as it is: it is the guest's (7.5.4). A change of it between the read and the write is lost."""
        ignore = self.chip.ims_read(self.entry, _CONTROL) & _IGNORE
        return ignore | self.owner_id << 12 | _PASID_ENABLE | (_MASK if masked else 0)


@dataclass(slots=True)
class VectorBlock:
    """Entries allocated together for one subdevice. `parcel` hands them out one by one."""

    owner: Subdevice
    owner_id: int
    chip: PhysicalDevice
    entries: list[int]
    interrupts: list[ImsInterrupt] = field(default_factory=list)

    def parcel(self) -> ImsInterrupt:
        """The next interrupt of the block. ImsExhausted: all have been handed out."""
        if len(self.interrupts) == len(self.entries):
            raise ImsExhausted(f"{self.owner.name} has used all {len(self.entries)} interrupts of its block")
        interrupt = ImsInterrupt(self.entries[len(self.interrupts)], self.chip, self.owner_id)
        self.interrupts.append(interrupt)
        return interrupt


class ArrayDomain:
    """Allocates and frees entries in O(1) each. An entry that was freed last is given out first."""

    def __init__(self, chip: PhysicalDevice) -> None:
        self.chip = chip
        self._free = list(range(chip.num_ims - 1, -1, -1))
        self._used: set[int] = set()

    @property
    def in_use(self) -> int:
        """Entries that belong to a block."""
        return len(self._used)

    def allocate_block(self, owner: Subdevice, count: int) -> VectorBlock:
        """`count` entries for `owner`. NoOwnerId: it has no ID. ImsExhausted: too few left, and none was taken."""
        if owner.owner_id is None:
            raise NoOwnerId(
                f"{owner.name} has no PASID: store one with the subdevice before its interrupts are allocated"
            )
        if count > len(self._free):
            raise ImsExhausted(
                f"{owner.name} needs {count} IMS entries, {len(self._free)} of {self.chip.num_ims} are free: "
                "destroy an mdev, or give the device a larger IMS"
            )
        return VectorBlock(owner, owner.owner_id, self.chip, [self._take() for _ in range(count)])

    def free_block(self, block: VectorBlock) -> None:
        """Wipes the entries and takes them back. The owner's work queue must be quiet. Idempotent."""
        while block.entries:
            entry = block.entries[-1]
            self._clear(entry)
            self._give_back(entry)
            block.entries.pop()

    def _take(self) -> int:
        entry = self._free.pop()
        self._used.add(entry)
        return entry

    def _give_back(self, entry: int) -> None:
        self._used.remove(entry)
        self._free.append(entry)

    def _clear(self, entry: int) -> None:
        """Masked and without an owner first, then without a handle and a message."""
        self.chip.ims_write(entry, _CONTROL, RESET_CONTROL)
        self.chip.command(Command.RELEASE_INT_HANDLE, entry | 1 << 16)
        self.chip.ims_write(entry, _ADDRESS, RESET_ADDRESS)
        self.chip.ims_write(entry, _DATA, RESET_DATA)

    def dirty_entries(self) -> list[int]:
        """Free entries that do not hold their reset values: each would be inherited by its next owner."""
        return [entry for entry in self._free if not self._is_clean(entry)]

    def _is_clean(self, entry: int) -> bool:
        return (
            self.chip.ims_read(entry, _ADDRESS) == RESET_ADDRESS
            and self.chip.ims_read(entry, _DATA) == RESET_DATA
            and self.chip.ims_read(entry, _CONTROL) == RESET_CONTROL
        )
