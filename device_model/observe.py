"""What a virtual device has seen its guest do: counters, registers touched that are not there, the register it keeps reading.

All of it is recorded in C, always (vdev/observe.h); here it gets names. Nothing here decides anything.
"""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass
from typing import Any

from device_model import names
from device_model.layout import BAR0, BAR2, CONFIG, Layout

STALE_S = 2.0
"""A guest that has not read for so long does not poll any more: it has stopped, or its machine has."""


class Touch(enum.IntEnum):
    """What was wrong with an access (enum touch_kind)."""

    READ_UNKNOWN = 1
    WRITE_UNKNOWN = 2
    READ_ONLY = 3
    BITS = 4
    READ_SIZE = 5
    WRITE_SIZE = 6


_WORDS = {
    Touch.READ_UNKNOWN: "read, not modelled",
    Touch.WRITE_UNKNOWN: "written, not modelled",
    Touch.READ_ONLY: "written, read-only",
    Touch.BITS: "bits set that are reserved or read-only",
    Touch.READ_SIZE: "read with a size or alignment that is not taken",
    Touch.WRITE_SIZE: "written with a size or alignment that is not taken",
}


@dataclass(frozen=True, slots=True)
class Touched:
    """Accesses of one kind to one place that the device does not model."""

    register: str
    """Its name in the specification, or `BAR0+0x1234` where that names none."""
    region: str
    """BAR0, BAR2 or config."""
    offset: int
    """In bytes: of 4 of them, in BAR2 of a page."""
    kind: Touch
    fields: tuple[str, ...]
    """Of bits that were set: the fields they lie in, and `reserved 0x..` for those in none."""
    mask: int
    """All bits set in such writes, within the 4 bytes at `offset`."""
    size: int
    """Bytes of the first such access, at most 255."""
    count: int
    first_ns: int
    """CLOCK_MONOTONIC, to some milliseconds."""

    @property
    def direction(self) -> str:
        """`read` or `write`."""
        return "read" if self.kind in (Touch.READ_UNKNOWN, Touch.READ_SIZE) else "write"

    @property
    def words(self) -> str:
        """What was done, without where: `bits set that are reserved or read-only: reserved 0xff00`."""
        detail = f": {', '.join(self.fields)}" if self.kind is Touch.BITS else ""
        sized = f" ({self.size} bytes)" if self.kind in (Touch.READ_SIZE, Touch.WRITE_SIZE) else ""
        return f"{_WORDS[self.kind]}{detail}{sized}"

    def __str__(self) -> str:
        return f"{self.register} ({self.offset:#x} in {self.region}): {self.words}, {self.count:,} times"


@dataclass(frozen=True, slots=True)
class BurnDown:
    """All of one device. overflow: accesses that found no place in its table, which does not grow."""

    touched: tuple[Touched, ...]
    overflow: int


@dataclass(frozen=True, slots=True)
class Polling:
    """Reads of one register that gave the same value each time, with no other access in between."""

    register: str
    region: str
    offset: int
    value: int
    meaning: str
    """The value's fields in words; empty: it has none."""
    reads: int
    since_ns: int
    """CLOCK_MONOTONIC, to some milliseconds."""
    seconds: float

    def __str__(self) -> str:
        decoded = f" = {self.meaning}" if self.meaning else ""
        where = f"{self.offset:#x}" if self.region == "BAR0" else f"{self.offset:#x} in {self.region}"
        return (
            f"{self.register} ({where}), value {self.value:#x}{decoded}, {self.reads:,} times in {self.seconds:.1f} s"
        )


@dataclass(frozen=True, slots=True)
class RegionCounts:
    """Accesses by region. A descriptor that comes in pieces is eight writes of BAR2."""

    bar0: int = 0
    bar2: int = 0
    config: int = 0


@dataclass(frozen=True, slots=True)
class Completions:
    """Descriptors that ended, by the class of their status (DSA specification 5.8.1)."""

    success: int = 0
    """0x01, and 0x02: success with false predicate."""
    refused: int = 0
    """0x19: interrupt handle."""
    error: int = 0
    """Any other."""


@dataclass(frozen=True, slots=True)
class VdevStats:
    """Counters of a virtual device since it was made, all as of one moment (vdev/observe.h)."""

    interrupts: int
    """Sent into the VM."""
    interrupts_lost: int
    descriptors: int
    """Whole 64-byte stores to a portal."""
    partial_stores: int
    resets: int
    reads: RegionCounts
    writes: RegionCounts
    accesses_refused: int
    """Of a size or place that a region does not take."""
    by_operation: dict[int, int]
    """Operation -> descriptors stored; without zeros. Those in a batch are not counted: they are in the VM's memory."""
    commands: dict[int, int]
    """Command code -> writes of CMD, also those discarded; without zeros."""
    errors: int
    """Errors that went to SWERROR, also those that found it taken."""
    bytes_read: int
    """Moved out of the VM's memory by the device."""
    bytes_written: int
    """Moved into it: data, and completion records."""
    accepted: int
    """Descriptors taken into a work queue."""
    dropped: int
    """Portal writes not taken: a disabled or full queue, a store in pieces."""
    aborted: int
    completions: Completions
    interrupts_pended: int
    """Held back by a mask, at the IMS entry or at the virtual MSI-X entry."""
    interrupts_ignored: int


def read_stats(ffi: Any, lib: Any, vdev: Any) -> VdevStats:
    """The counters of the device behind a `struct vdev *`."""
    raw = ffi.new("struct observe_stats *")
    lib.vdev_observe_stats(vdev, raw)
    ledger = raw.ledger
    return VdevStats(
        interrupts=raw.interrupts, interrupts_lost=raw.interrupts_lost, descriptors=raw.descriptors,
        partial_stores=raw.partial_stores, resets=raw.resets, reads=RegionCounts(*raw.reads),
        writes=RegionCounts(*raw.writes), accesses_refused=raw.accesses_refused, by_operation=_not_zero(raw.opcodes),
        commands=_not_zero(raw.commands), errors=raw.errors, bytes_read=raw.dma_read_bytes,
        bytes_written=raw.dma_written_bytes, accepted=ledger.accepted, dropped=ledger.dropped, aborted=ledger.aborted,
        completions=Completions(ledger.succeeded, ledger.refused, ledger.failed), interrupts_pended=ledger.pended,
        interrupts_ignored=ledger.ignored,
    )  # fmt: skip


def _not_zero(counts: Any) -> dict[int, int]:
    return {number: count for number, count in enumerate(counts) if count}


def read_layout(ffi: Any, lib: Any, vdev: Any) -> Layout:
    """What the device behind a `struct vdev *` shows of itself."""
    buffer = ffi.new("uint8_t[8]")

    def peek(region: int, offset: int, size: int) -> int:
        lib.vdev_peek(vdev, region, offset, buffer, size)
        return int.from_bytes(ffi.buffer(buffer, size)[:], "little")

    return Layout.read(peek, lib.vdev_region_size(vdev, BAR2))


def tell_layout(ffi: Any, lib: Any, vdev: Any, layout: Layout) -> int:
    """Tells the device what registers there are; 0, or -errno: they do not fit its regions."""
    for region in (BAR0, BAR2, CONFIG):
        ranges = layout.ranges(region)
        result = int(lib.vdev_observe_map(vdev, region, ffi.new("struct observe_range[]", ranges), len(ranges)))
        if result:
            return result
    return 0


def read_burn_down(ffi: Any, lib: Any, vdev: Any, layout: Layout) -> BurnDown:
    """What the guest has touched so far, in the order of the first time."""
    raw = ffi.new("struct observe_touch[]", lib.OBSERVE_TOUCHES)
    overflow = ffi.new("uint64_t *")
    count = lib.vdev_observe_touches(vdev, raw, lib.OBSERVE_TOUCHES, overflow)
    return BurnDown(tuple(_touched(raw[number], layout) for number in range(count)), int(overflow[0]))


def _touched(raw: Any, layout: Layout) -> Touched:
    region, offset, bits = int(raw.region), int(raw.offset), int(raw.bits)
    kind = Touch(raw.kind)
    return Touched(
        register=_name(layout, region, offset), region=names.REGIONS[region], offset=offset, kind=kind,
        fields=_fields(layout, region, offset, bits), mask=bits, size=int(raw.size), count=int(raw.count),
        first_ns=int(raw.first_ns),
    )  # fmt: skip


def _name(layout: Layout, region: int, offset: int) -> str:
    found = layout.covering(region, offset, 1 if region == BAR2 else 4)
    if not found:
        return f"{names.REGIONS[region]}+{offset:#x}"
    return " and ".join(one.name for one in found)


def _fields(layout: Layout, region: int, offset: int, bits: int) -> tuple[str, ...]:
    """Names of the bits of 4 bytes: they may be the upper half of a register, or several small ones."""
    words: list[str] = []
    for found in layout.covering(region, offset, 4) if region != BAR2 else []:
        shift = (found.offset - offset) * 8
        own = (bits >> shift if shift >= 0 else bits << -shift) & (1 << 8 * found.register.size) - 1
        words += found.register.bits(own)
        bits &= ~(own << shift if shift >= 0 else own >> -shift)
    return tuple([*words, f"reserved {bits:#x}"] if bits else words)


def read_polling(ffi: Any, lib: Any, vdev: Any, layout: Layout) -> tuple[Polling | None, Polling | None]:
    """(what the guest keeps reading now, what it has kept reading for the longest time)."""
    watches = ffi.new("struct observe_watch[2]")
    lib.vdev_observe_polling(vdev, watches, watches + 1)
    now, longest = (_polling(watch, layout) if watch.reads else None for watch in watches)
    idle_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - int(watches[0].last_ns)
    return now if idle_ns < STALE_S * 1e9 else None, longest


def _polling(watch: Any, layout: Layout) -> Polling:
    region, offset, value = int(watch.region), int(watch.offset), int(watch.value)
    found = layout.find(region, offset)
    return Polling(
        register=_name(layout, region, offset) if found is None else found.name,
        region=names.REGIONS[region], offset=offset, value=value,
        meaning=found.register.describe(value << (offset - found.offset) * 8) if found and region != BAR2 else "",
        reads=int(watch.reads), since_ns=int(watch.since_ns), seconds=(watch.last_ns - watch.since_ns) / 1e9,
    )  # fmt: skip
