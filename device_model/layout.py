"""Where the registers of one device lie, and which of their bits a guest may set: all taken from what the device itself shows.

The capability registers say what there is (a register behind a capability that is not claimed is not there), OFFSETS and the
MSI-X capability where the tables are (DSA specification 9.2.7, 9.1.2). So it fits every type of virtual device, and hardware.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from device_model import names_registers as r
from device_model.names_registers import Register

BAR0, BAR2, CONFIG = 0, 2, 7
"""Regions, by VFIO's number."""
PAGE = 0x1000
ANY_WRITE = 1
"""`Range.flags`: writes are fine whatever their size and value (vdev/observe.h)."""
PORTALS = ("unlimited MSI-X", "limited MSI-X", "unlimited IMS", "limited IMS")
"""Pages of a work queue in BAR2 (9.3)."""

Reader = Callable[[int, int, int], int]
"""(region, offset, size) -> value: a look at the device that the guest's counters do not count."""
Range = tuple[int, int, int, int, int]
"""struct observe_range: first, stride, count, writable, flags."""


@dataclass(frozen=True, slots=True)
class Place:
    """`count` registers of a kind, `stride` bytes apart. name: `{}` is the index. present: false: only its name is known."""

    name: str
    register: Register
    first: int
    stride: int = 0
    count: int = 1
    writable: int = 0
    flags: int = 0
    present: bool = True

    def index(self, offset: int) -> int | None:
        """Which of them covers the byte at `offset`; None: none does."""
        index, within = divmod(offset - self.first, self.stride or max(1, self.register.size))
        return index if 0 <= index < self.count and within < self.register.size else None


@dataclass(frozen=True, slots=True)
class Found:
    """A register at its place."""

    name: str
    register: Register
    offset: int
    present: bool


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Capability registers, as read."""

    version: int
    gencap: int
    wqcap: int
    grpcap: int
    offsets: tuple[int, int]
    cmdcap: int
    mode_support: bool

    @classmethod
    def read(cls, read: Reader) -> Capabilities:
        """Takes the values of the device behind `read`."""
        offsets = read(BAR0, 0x60, 8), read(BAR0, 0x68, 8)
        gencap = read(BAR0, 0x10, 8)
        first_wq = (offsets[0] >> 16 & 0xFFFF) * 0x100
        return cls(
            version=read(BAR0, 0x00, 4), gencap=gencap, wqcap=read(BAR0, 0x20, 8), grpcap=read(BAR0, 0x30, 8),
            offsets=offsets, cmdcap=read(BAR0, 0xB0, 8) if gencap >> 4 & 1 else 0,
            mode_support=bool(first_wq) and bool(read(BAR0, first_wq + 24, 4) >> 29 & 1),
        )  # fmt: skip

    @property
    def configurable(self) -> bool:
        """Configuration Support."""
        return bool(self.gencap >> 31 & 1)

    @property
    def event_log(self) -> bool:
        return bool(self.gencap >> 13 & 3)

    @property
    def inter_domain(self) -> bool:
        return bool(self.gencap >> 6 & 1)

    @property
    def ims_entries(self) -> int:
        return (self.gencap >> 25 & 0x3F) * 256

    @property
    def wqs(self) -> int:
        return self.wqcap >> 16 & 0xFF

    @property
    def wqcfg_size(self) -> int:
        """Bytes of one WQCFG."""
        return 1 << (self.wqcap >> 24 & 0xF) + 5

    def table(self, name: str) -> int:
        """Offset of a table in BAR0: of a field of OFFSETS; 0: there is none."""
        for register, value in zip(r.OFFSETS, self.offsets, strict=True):
            for field in register.fields:
                if field.name == name:
                    return field.of(value) * 0x100
        raise KeyError(name)


def _bits(register: Register, *names: str) -> int:
    return sum(field.mask for field in register.fields if field.name in names)


def _fixed(caps: Capabilities) -> Iterator[Place]:
    """BAR0 below the tables, and the two at its end."""

    def at(offset: int, register: Register, present: bool = True, writable: int | None = None) -> Place:
        allowed = register.writable if writable is None else writable
        return Place(register.name, register, offset, present=present, writable=allowed)

    for offset, register in ((0x00, r.VERSION), (0x10, r.GENCAP), (0x20, r.WQCAP), (0x30, r.GRPCAP), (0x38, r.ENGCAP)):
        yield at(offset, register)
    for first, several, present in (
        (0x40, r.OPCAP, True), (0x60, r.OFFSETS, True), (0xC0, r.SWERROR, True), (0xE0, r.EVLCFG, caps.event_log),
        (0x180, r.DSACAP, caps.version >= 0x300),
    ):  # fmt: skip
        for number, register in enumerate(several):
            yield at(first + 8 * number, register, present)
    yield at(0x80, r.GENCFG, writable=_gencfg_writable(caps))
    for offset, register in ((0x88, r.GENCTRL), (0x90, r.GENSTS), (0x98, r.INTCAUSE), (0xA0, r.CMD), (0xA8, r.CMDSTATUS)):
        yield at(offset, register)
    yield at(0xB0, r.CMDCAP, bool(caps.gencap >> 4 & 1))
    yield at(0xF0, r.EVLSTATUS, caps.event_log)
    yield at(0x100, r.IDCAP, caps.inter_domain)
    yield at(0x108, r.IDBR, caps.inter_domain)
    yield at(0xE000, r.CMDPARAM, bool(caps.cmdcap >> 17 & 1))
    yield Place("DUMMY", r.DUMMY, 0xF000, flags=ANY_WRITE)


def _gencfg_writable(caps: Capabilities) -> int:
    allowed = _bits(r.GENCFG, "EventLogEnable") if caps.event_log else 0
    if caps.configurable:
        allowed |= _bits(r.GENCFG, "UserInterrupts", *(["GlobalLimit"] if caps.grpcap >> 17 & 1 else []))
    return allowed


def _wqcfg_writable(caps: Capabilities) -> list[int]:
    """Of each dword (table 9-7); what may be written at some times only counts as writable."""
    handle, mode = r.WQCFG[4].writable if caps.wqcap >> 53 & 1 else 0, 0
    if caps.configurable or caps.mode_support:
        mode = _bits(r.WQCFG[2], "Dedicated", "PASID", "PASIDEnable", "Priv")
    if caps.configurable:
        optional = [("BlockOnFault", caps.gencap & 1), ("ATSDisable", caps.wqcap >> 50 & 1), ("PRSDisable", caps.wqcap >> 55 & 1)]
        mode |= _bits(r.WQCFG[2], "Priority", *(name for name, there in optional if there))
    limits = _bits(r.WQCFG[3], "MaxTransferLog2", "MaxBatchLog2") if caps.configurable else 0
    opcfg = 0xFFFFFFFF if caps.configurable and caps.wqcap >> 54 & 1 else 0
    return [
        0xFFFF if caps.configurable else 0, 0xFFFF if caps.configurable or caps.mode_support else 0, mode, limits,
        handle, r.WQCFG[5].writable if handle else 0, r.WQCFG[6].writable if handle else 0, 0, *[opcfg] * 8,
    ]  # fmt: skip


def _tables(caps: Capabilities, vectors: int) -> Iterator[Place]:
    """Those that OFFSETS names."""
    wqs, groups = caps.wqs, caps.grpcap & 0xFF
    if first := caps.table("WQCFG"):
        dwords = min(caps.wqcfg_size // 4, len(r.WQCFG))
        for number, (register, writable) in enumerate(zip(r.WQCFG[:dwords], _wqcfg_writable(caps), strict=False)):
            name = f"WQCFG[{{}}].{register.name}"
            yield Place(name, register, first + 4 * number, caps.wqcfg_size, wqs, writable)
    if first := caps.table("GRPCFG"):
        allowed = 0xFFFF_FFFF_FFFF_FFFF if caps.configurable else 0
        for word in range(4):
            yield Place(f"GRPCFG[{{}}].WQs[{word}]", r.GRPCFG_WQS, first + 8 * word, 64, groups, allowed)
        yield Place("GRPCFG[{}].Engines", r.GRPCFG_ENGINES, first + 32, 64, groups, allowed)
        yield Place("GRPCFG[{}].Flags", r.GRPCFG_FLAGS, first + 40, 64, groups, allowed & r.GRPCFG_FLAGS.writable)
    if first := caps.table("MSIXPERM"):
        yield Place("MSIXPERM[{}]", r.MSIXPERM, first, 8, vectors, r.MSIXPERM.writable)
    if (first := caps.table("IMS")) and caps.ims_entries:
        for number, register in enumerate(r.IMS):
            yield Place(f"IMS[{{}}].{register.name}", register, first + 4 * number, 16, caps.ims_entries, register.writable)
    if first := caps.table("Perfmon"):
        yield Place("PERFMON", r.PERFMON, first, flags=ANY_WRITE)


def _msix(read: Reader, capability: int) -> Iterator[Place]:
    """The table and the PBA, where the capability says, if that is BAR0."""
    vectors = (read(CONFIG, capability + 2, 2) & 0x7FF) + 1
    table, pba = read(CONFIG, capability + 4, 4), read(CONFIG, capability + 8, 4)
    if table & 7 == 0:
        for number, register in enumerate(r.MSIX):
            first = (table & ~7) + 4 * number
            yield Place(f"MSIX[{{}}].{register.name}", register, first, 16, vectors, register.writable)
    if pba & 7 == 0:
        yield Place("PBA[{}]", r.PBA, pba & ~7, 8, (vectors + 63) // 64)


def _config_capabilities(read: Reader) -> dict[int, int]:
    """Offset to id. A list that runs in a circle ends."""
    found: dict[int, int] = {}
    offset = read(CONFIG, 0x34, 1) & ~3
    while 0x40 <= offset <= 0xFC and offset not in found:
        head = read(CONFIG, offset, 2)
        found[offset] = head & 0xFF
        offset = head >> 8 & ~3
    return found


def _config(capabilities: dict[int, int]) -> Iterator[Place]:
    for offset, register in r.CONFIG.items():
        yield Place(register.name, register, offset, writable=register.writable)
    for start, number in capabilities.items():
        for offset, register in r.CAPABILITIES.get(number, {}).items():
            yield Place(register.name, register, start + offset, writable=register.writable)
        if number not in r.CAPABILITIES:
            size = min([other for other in capabilities if other > start] + [start + 0x40, 0x100]) - start
            name = f"Capability {number:#04x}"
            yield Place(name, Register(name, size, ()), start, flags=ANY_WRITE)


def _portals(caps: Capabilities, size: int) -> Iterator[Place]:
    for page, what in enumerate(PORTALS):
        count = min(caps.wqs, size // (4 * PAGE))
        present = page < 2 or caps.ims_entries > 0
        portal = Register(what, PAGE, ())
        yield Place(f"WQ {{}}'s portal, {what}", portal, page * PAGE, 4 * PAGE, count, present=present)


class Layout:
    """The registers of one device. Made by Layout.read()."""

    def __init__(self, places: dict[int, list[Place]]) -> None:
        self._places = places
        self._found: dict[tuple[int, int], Found] = {}

    @classmethod
    def read(cls, read: Reader, bar2_size: int) -> Layout:
        """Looks at the device behind `read`; bar2_size in bytes."""
        caps = Capabilities.read(read)
        capabilities = _config_capabilities(read)
        msix = next((offset for offset, number in capabilities.items() if number == r.MSIX_CAPABILITY), None)
        vectors = 0 if msix is None else (read(CONFIG, msix + 2, 2) & 0x7FF) + 1
        return cls({
            BAR0: [*_fixed(caps), *_tables(caps, vectors), *(_msix(read, msix) if msix is not None else ())],
            BAR2: list(_portals(caps, bar2_size)),
            CONFIG: list(_config(capabilities)),
        })  # fmt: skip

    def find(self, region: int, offset: int) -> Found | None:
        """The register that covers a byte; None: the specification names none there."""
        if region == BAR2:
            offset -= offset % PAGE
        found = self._found.get((region, offset)) or next(self._search(region, offset), None)
        if found is not None:  # of what is not there a guest may ask for anything
            self._found[region, offset] = found
        return found

    def _search(self, region: int, offset: int) -> Iterator[Found]:
        for place in self._places.get(region, ()):
            if (index := place.index(offset)) is not None:
                name = place.name.format(index)
                yield Found(name, place.register, place.first + index * place.stride, place.present)

    def covering(self, region: int, offset: int, size: int) -> list[Found]:
        """The registers that an access of `size` bytes covers, in order; each once."""
        found: dict[int, Found] = {}
        for byte in range(offset, offset + size):
            if (one := self.find(region, byte)) is not None:
                found[one.offset] = one
        return list(found.values())

    def ranges(self, region: int) -> list[Range]:
        """What is there, for vdev_observe_map(): in units of 4 bytes, in BAR2 of a page."""
        if region == BAR2:
            return [(p.first, p.stride, p.count, 0, p.flags) for p in self._places[BAR2] if p.present]
        if region == CONFIG:
            return _by_dword(self._places[CONFIG])
        return [one for place in self._places[region] if place.present for one in _units(place)]


def _units(place: Place) -> Iterator[Range]:
    """The dwords of a register, and of all its like."""
    if place.count == 1 and place.register.size > 8:
        yield place.first, 4, place.register.size // 4, place.writable, place.flags
        return
    for dword in range(place.register.size // 4):
        writable = place.writable >> 32 * dword & 0xFFFFFFFF
        yield place.first + 4 * dword, place.stride, place.count, writable, place.flags


def _by_dword(places: list[Place]) -> list[Range]:
    """Registers of one and two bytes share a unit with their neighbours."""
    dwords: dict[int, list[int]] = {}
    for place in places:
        for byte in range(place.register.size):
            at = place.first + byte
            unit = dwords.setdefault(at & ~3, [0, 0])
            unit[0] |= (place.writable >> 8 * byte & 0xFF) << at % 4 * 8
            unit[1] |= place.flags
    return [(offset, 0, 1, writable, flags) for offset, (writable, flags) in sorted(dwords.items())]


