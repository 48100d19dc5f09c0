"""What each operation does, written from the DSA specification (8.3, 5.4, appendices A and B), byte by byte and with no library.

It is what the core is compared with. Where the specification leaves freedom, the choice is named in the core's comments.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

SUCCESS, FALSE, DELTA_ORDER, DELTA_OFFSET, DIF_ERROR = 0x01, 0x02, 0x07, 0x08, 0x09
XFER_SIZE, FIELD, OVERLAP, DUALCAST, ALIGNMENT, READ_ERROR, WRITE_ERROR = 0x13, 0x15, 0x16, 0x17, 0x1C, 0x20, 0x21
FILL, COMPARE, COMPARE_PATTERN, CREATE_DELTA, APPLY_DELTA, DUALCAST_COPY = 0x04, 0x05, 0x06, 0x07, 0x08, 0x09
CRC, COPY_CRC, DIF_CHECK, DIF_INSERT, DIF_STRIP, DIF_UPDATE, CACHE_FLUSH = 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x20
CHECK_RESULT, READ_SEED, BYPASS_CRC_REFLECTION, BYPASS_DATA_REFLECTION = 1 << 7, 1 << 16, 1 << 17, 1 << 18
BLOCK_SIZES = (512, 520, 4096, 4104)


class Fault(Exception):  # noqa: N818
    """A byte that cannot be accessed."""

    def __init__(self, status: int, address: int) -> None:
        super().__init__(f"{status:#x} at {address:#x}")
        self.status, self.address = status, address


class Region:
    """Memory from address `start` on."""

    def __init__(self, start: int, data: bytearray, writable: bool = True) -> None:
        self.start, self.data, self.writable = start, data, writable

    def __repr__(self) -> str:
        return f"Region({self.start:#x}, {len(self.data)} bytes, writable={self.writable})"


@dataclass
class ReferenceMemory:
    """Regions that do not overlap."""

    regions: list[Region]

    def _find(self, address: int) -> Region | None:
        return next((r for r in self.regions if r.start <= address < r.start + len(r.data)), None)

    def read(self, address: int) -> int:
        region = self._find(address)
        if region is None:
            raise Fault(READ_ERROR, address)
        return region.data[address - region.start]

    def writable(self, address: int) -> Region:
        region = self._find(address)
        if region is None or not region.writable:
            raise Fault(WRITE_ERROR, address)
        return region

    def write(self, address: int, value: int) -> None:
        region = self.writable(address)
        region.data[address - region.start] = value

    def read_bytes(self, address: int, size: int) -> bytes:
        return bytes(self.read(address + i) for i in range(size))

    def differences(self, after: Sequence[bytes]) -> list[int]:
        """Addresses of the first bytes of each region that are not as they are in `after`."""
        pairs = zip(self.regions, after, strict=True)
        return [
            next(region.start + i for i, value in enumerate(data) if value != region.data[i])
            for region, data in pairs
            if data != region.data
        ]

    def write_bytes(self, address: int, data: bytes) -> None:
        for i, value in enumerate(data):
            self.write(address + i, value)


@dataclass
class Outcome:
    """What the record says. The fault's address is 0 without a fault; tail: bytes 16 to 31."""

    status: int = SUCCESS
    result: int = 0
    bytes_completed: int = 0
    fault_address: int = 0
    tail: bytes = bytes(16)


@dataclass
class Descriptor:
    """A descriptor's common fields, and all of it."""

    raw: bytes
    flags: int = field(init=False)
    opcode: int = field(init=False)
    source: int = field(init=False)
    destination: int = field(init=False)
    size: int = field(init=False)

    def __post_init__(self) -> None:
        word, self.source, self.destination, self.size = struct.unpack_from("<4xI8xQQI", self.raw)
        self.flags, self.opcode = word & 0xFFFFFF, word >> 24

    def get(self, offset: int, size: int) -> int:
        return int.from_bytes(self.raw[offset : offset + size], "little")


# ---- CRCs: polynomial division, a bit at a time ----


def remainder(polynomial: int, width: int, start: int, bits: list[int]) -> int:
    """Of bits as coefficients, highest first, times x^width, with `start` added to the first ones."""
    top, mask, value = 1 << (width - 1), (1 << width) - 1, start
    for bit in bits:
        carry = bool(value & top) ^ bit
        value = (value << 1 & mask) ^ (polynomial if carry else 0)
    return value


def reversed_bits(value: int, width: int) -> int:
    return int(f"{value:0{width}b}"[::-1], 2)


def crc32c(data: bytes, seed: int, flags: int) -> int:
    """The value in the record (table 8-19)."""
    normal = not flags & BYPASS_CRC_REFLECTION
    order = range(7, -1, -1) if flags & BYPASS_DATA_REFLECTION else range(8)
    start = reversed_bits(seed ^ 0xFFFFFFFF, 32) if normal else seed
    value = remainder(0x1EDC6F41, 32, start, [byte >> bit & 1 for byte in data for bit in order])
    return reversed_bits(value, 32) ^ 0xFFFFFFFF if normal else value


def guard_tag(data: bytes, dif_flags: int) -> int:
    start = 0xFFFF if dif_flags & 4 else 0
    value = remainder(0x8BB7, 16, start, [byte >> bit & 1 for byte in data for bit in range(7, -1, -1)])
    return value ^ 0xFFFF if dif_flags & 8 else value


# ---- what is refused, of descriptors whose flags and reserved fields are right ----


def overlap(a: int, a_size: int, b: int, b_size: int) -> bool:
    return a < b + b_size and b < a + a_size


def dif_sizes(d: Descriptor) -> tuple[int, int]:
    """Bytes of a block in source and destination."""
    block = BLOCK_SIZES[d.get(42, 1) & 3]
    source = block if d.opcode == DIF_INSERT else block + 8
    return source, {DIF_CHECK: 0, DIF_STRIP: block}.get(d.opcode, block + 8)


def refusal(d: Descriptor, max_transfer: int) -> int:
    """The status; 0: none."""
    if not 0 < d.size <= max_transfer:
        return XFER_SIZE
    if d.opcode in (CREATE_DELTA, APPLY_DELTA):
        return _delta_refusal(d, max_transfer)
    if d.opcode == DUALCAST_COPY:
        return _dualcast_refusal(d)
    if d.opcode in (CRC, COPY_CRC) and d.flags & READ_SEED and d.get(48, 8) % 4:
        return ALIGNMENT
    read, written = dif_sizes(d) if DIF_CHECK <= d.opcode <= DIF_UPDATE else (1, int(d.opcode == COPY_CRC))
    if d.size % read:
        return XFER_SIZE
    return OVERLAP if written and overlap(d.source, d.size, d.destination, d.size // read * written) else 0


def _dualcast_refusal(d: Descriptor) -> int:
    ranges = (d.source, d.destination, d.get(40, 8))
    if ranges[1] % 4096 != ranges[2] % 4096:
        return DUALCAST
    pairs = ((0, 1), (0, 2), (1, 2))
    return OVERLAP if any(overlap(ranges[a], d.size, ranges[b], d.size) for a, b in pairs) else 0


def _delta_refusal(d: Descriptor, max_transfer: int) -> int:
    create = d.opcode == CREATE_DELTA
    size = d.get(48 if create else 40, 4)
    if d.size > 0x80000:
        return XFER_SIZE
    if not (80 if create else 10) <= size <= max_transfer or (not create and size % 10):
        return FIELD
    if d.destination % 8 or d.size % 8 or (create and d.source % 8):
        return ALIGNMENT
    if not create:
        return OVERLAP if overlap(d.source, size, d.destination, d.size) else 0
    record = d.get(40, 8)
    sources = (d.source, d.destination)
    return OVERLAP if any(overlap(record, size, source, d.size) for source in sources) else 0


# ---- the operations: each may end with Fault; `out` then says how far it got ----


def _checked(d: Descriptor, as_expected: bool) -> int:
    return FALSE if d.flags & CHECK_RESULT and not as_expected else SUCCESS


def _fill(d: Descriptor, memory: ReferenceMemory, out: Outcome) -> None:
    for i in range(d.size):
        out.bytes_completed = i
        memory.write(d.destination + i, d.raw[16 + i % 8])
    out.bytes_completed = 0


def _flush(d: Descriptor, memory: ReferenceMemory, out: Outcome) -> None:
    for i in range(d.size):
        out.bytes_completed = i
        try:
            memory.read(d.destination + i)
        except Fault as fault:
            raise Fault(WRITE_ERROR, fault.address) from None
    out.bytes_completed = 0


def _compare(d: Descriptor, memory: ReferenceMemory, out: Outcome) -> None:
    pattern = d.opcode == COMPARE_PATTERN
    for i in range(d.size):
        out.bytes_completed = i
        first = memory.read(d.source + i)
        if first != (d.raw[24 + i % 8] if pattern else memory.read(d.destination + i)):
            out.result = 1
            break
    else:
        out.bytes_completed = 0
    out.status = _checked(d, out.result == d.raw[40] & 1)


def _create_delta(d: Descriptor, memory: ReferenceMemory, out: Outcome) -> None:
    record, room, used = d.get(40, 8), d.get(48, 4) // 10 * 10, 0
    for at in range(0, d.size, 8):
        out.bytes_completed = at
        first, second = memory.read_bytes(d.source + at, 8), memory.read_bytes(d.destination + at, 8)
        if first == second:
            continue
        if used == room:
            out.result = 2
            break
        memory.write_bytes(record + used, struct.pack("<H", at // 8) + second)
        used += 10
        out.result, out.tail = 1, struct.pack("<I12x", used)
    else:
        out.bytes_completed = 0
    out.status = _checked(d, bool(d.raw[56] >> out.result & 1))


def _apply_delta(d: Descriptor, memory: ReferenceMemory, out: Outcome) -> None:
    last = -1
    for done in range(0, d.get(40, 4), 10):
        out.bytes_completed = done
        delta = memory.read_bytes(d.source + done, 10)
        at = int.from_bytes(delta[:2], "little")
        if at <= last or at * 8 >= d.size:
            out.status = DELTA_ORDER if at <= last else DELTA_OFFSET
            return
        memory.write_bytes(d.destination + at * 8, delta[2:])
        last = at
    out.bytes_completed = 0


def _dualcast(d: Descriptor, memory: ReferenceMemory, out: Outcome) -> None:
    for i in range(d.size):
        out.bytes_completed = i
        value = memory.read(d.source + i)
        targets = d.destination + i, d.get(40, 8) + i
        for target in targets:  # both get the same number of bytes
            memory.writable(target)
        for target in targets:
            memory.write(target, value)
    out.bytes_completed = 0


def _crc(d: Descriptor, memory: ReferenceMemory, out: Outcome) -> None:
    seed, data = d.get(40, 4), bytearray()
    if d.flags & READ_SEED:
        seed = int.from_bytes(memory.read_bytes(d.get(48, 8), 4), "little")
    try:
        for i in range(d.size):
            out.bytes_completed = i
            value = memory.read(d.source + i)
            if d.opcode == COPY_CRC:
                memory.write(d.destination + i, value)
            data.append(value)
        out.bytes_completed = 0
    finally:
        out.tail = struct.pack("<I12x", crc32c(bytes(data), seed, d.flags))


def _dif_errors(found: tuple[int, int, int], expected: tuple[int, int, int], flags: int, mask: int) -> int:
    """8.3.17.4. Guard, application and reference tag."""
    all_f, app_f = found == (0xFFFF, 0xFFFF, 0xFFFFFFFF), found[1] == 0xFFFF
    if flags & 2 and flags & 1 and all_f:
        return 8
    if (flags & 2 and all_f) or (flags & 4 and app_f) or (flags & 8 and app_f and found[2] == 0xFFFFFFFF):
        return 0
    guard = not flags & 0x20 and found[0] != expected[0]
    application = mask != 0xFFFF and found[1] != expected[1]
    reference = not flags & 0x40 and found[2] != expected[2]
    return guard | application << 1 | reference << 2


@dataclass
class Tags:
    """The tags of one side, for the next block."""

    reference: int
    mask: int
    application: int
    flags: int

    @classmethod
    def of(cls, d: Descriptor, offset: int, flags: int) -> Tags:
        reference, mask, application = struct.unpack_from("<IHH", d.raw, offset)
        return cls(reference, mask, application, flags)

    def step(self) -> None:
        if not self.flags & 0x80:
            self.reference = (self.reference + 1) % (1 << 32)
        if self.flags & 0x10:
            self.application = (self.application + 1) % (1 << 16)

    @property
    def masked(self) -> int:
        return self.application & ~self.mask

    def packed(self) -> bytes:
        return struct.pack("<IHH", self.reference, self.mask, self.application)


def _dif(d: Descriptor, memory: ReferenceMemory, out: Outcome) -> None:
    source, destination = Tags.of(d, 48, d.raw[40]), Tags.of(d, 56, d.raw[41])
    (in_size, out_size), block = dif_sizes(d), BLOCK_SIZES[d.raw[42] & 3]
    checks, inserts = d.opcode != DIF_INSERT, d.opcode in (DIF_INSERT, DIF_UPDATE)
    for number in range(d.size // in_size):
        out.bytes_completed = number * in_size
        out.tail = (source.packed() if checks else bytes(8)) + (destination.packed() if inserts else bytes(8))
        whole = memory.read_bytes(d.source + number * in_size, in_size)
        guard = guard_tag(whole[:block], d.raw[42])
        made = [guard, destination.masked, destination.reference]
        if checks:
            found = struct.unpack(">HHI", whole[block:])
            out.result = _dif_errors(found, (guard, source.masked, source.reference), source.flags, source.mask)
            if out.result:
                out.status = DIF_ERROR
                return
            passes = (destination.flags & 0x20, destination.flags & 0x08, destination.flags & 0x40)
            made = [found[i] if passes[i] else made[i] for i in range(3)]
        if out_size:
            to = d.destination + number * out_size
            memory.write_bytes(to, whole[:block] + (struct.pack(">HHI", *made) if inserts else b""))
        source.step()
        destination.step()
    out.bytes_completed = 0
    out.tail = (source.packed() if checks else bytes(8)) + (destination.packed() if inserts else bytes(8))


_OPERATIONS: dict[int, Callable[[Descriptor, ReferenceMemory, Outcome], None]] = {
    FILL: _fill,
    COMPARE: _compare,
    COMPARE_PATTERN: _compare,
    CREATE_DELTA: _create_delta,
    APPLY_DELTA: _apply_delta,
    DUALCAST_COPY: _dualcast,
    CRC: _crc,
    COPY_CRC: _crc,
    DIF_CHECK: _dif,
    DIF_INSERT: _dif,
    DIF_STRIP: _dif,
    DIF_UPDATE: _dif,
    CACHE_FLUSH: _flush,
}


def execute(raw: bytes, memory: ReferenceMemory, max_transfer: int = 1 << 21) -> Outcome:
    """Carries out a descriptor whose flags and reserved fields are right and whose ranges do not wrap."""
    d, out = Descriptor(raw), Outcome()
    refused = refusal(d, max_transfer)
    if refused:
        return Outcome(refused)
    try:
        _OPERATIONS[d.opcode](d, memory, out)
    except Fault as fault:
        out.status, out.fault_address = fault.status, fault.address
    return out
