"""Hypothesis strategies: descriptors of every operation over memory with boundaries and holes, and contents that get them far."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass

from hypothesis import strategies as st

from device_model.tests import reference_operations as ref
from device_model.tests.core_rig import CRAV, RCR

Island = tuple[tuple[int, int, bool], ...]
"""Start, size, writable of each region. Starts and ends next to a hole are multiples of 8: a word is there, or is not."""
Layout = tuple[Island, ...]
"""Groups of regions: operands lie in different ones for the most part."""

OPCODES = (0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x20)
STRICT, CACHE = 1 << 13, 1 << 8


def raw_descriptor(
    opcode: int,
    *,
    flags: int = CRAV | RCR,
    record: int = 0,
    source: int = 0,
    destination: int = 0,
    size: int = 0,
    tail: bytes = b"",
) -> bytes:
    """64 bytes; `tail`: from byte 40 on."""
    return struct.pack("<IIQQQII24s", 0, flags | opcode << 24, record, source, destination, size, 0, tail)


class Case:
    """A descriptor and the memory that it finds."""

    def __init__(self, desc: bytes, regions: tuple[ref.Region, ...]) -> None:
        self.desc, self.regions = desc, regions

    def __repr__(self) -> str:
        return f"Case({self.desc.hex(' ', 8)}, {self.regions})"

    def memory(self) -> ref.ReferenceMemory:
        """A copy of it."""
        return ref.ReferenceMemory([ref.Region(r.start, bytearray(r.data), r.writable) for r in self.regions])


def addresses(island: Island) -> st.SearchStrategy[int]:
    """Anywhere, and near each boundary."""
    edges = sorted({edge for start, size, _ in island for edge in (start, start + size)})
    near = st.builds(lambda edge, by: edge + by, st.sampled_from(edges), st.integers(-40, 40))
    return st.one_of(near, st.integers(edges[0], edges[-1]), st.integers(edges[0], edges[-1]).map(lambda a: a & ~7))


SIZES = st.one_of(st.integers(1, 70), st.integers(1, 1100), st.integers(1, 5000))


def rarely(draw: st.DrawFn) -> bool:
    return draw(st.integers(0, 9)) == 9


def contents(draw: st.DrawFn, layout: Layout) -> tuple[ref.Region, ...]:
    """All regions alike but for some bytes, or random ones."""
    source = random.Random(draw(st.integers(0, 1 << 32)))
    changes = draw(st.sampled_from([0, 1, 5, 60, -1]))
    regions = []
    for start, size, writable in (region for island in layout for region in island):
        data = bytearray(source.randbytes(size) if changes < 0 else b"\x5a" * size)
        for _ in range(changes):
            data[source.randrange(size)] ^= source.randrange(1, 256)
        regions.append(ref.Region(start, data, writable))
    return tuple(regions)


def put(regions: tuple[ref.Region, ...], address: int, data: bytes) -> None:
    """Those bytes that are memory."""
    for region in regions:
        for i, value in enumerate(data):
            if 0 <= address + i - region.start < len(region.data):
                region.data[address + i - region.start] = value


def delta_record(draw: st.DrawFn, size: int) -> bytes:
    """Mostly in order and within a transfer of this size."""
    words = sorted(draw(st.sets(st.integers(0, max(size // 8 - 1, 0)), min_size=1, max_size=60)))
    if rarely(draw):
        words[draw(st.integers(0, len(words) - 1))] = draw(st.integers(0, 0xFFFF))
    source = random.Random(draw(st.integers(0, 1 << 32)))
    return b"".join(struct.pack("<H8s", word, source.randbytes(8)) for word in words)


def dif_fields(draw: st.DrawFn, desc: bytes, regions: tuple[ref.Region, ...]) -> None:
    """Fields as they should be, but for a few."""
    d = ref.Descriptor(desc)
    in_size, block = ref.dif_sizes(d)[0], ref.BLOCK_SIZES[desc[42] & 3]
    tags = ref.Tags.of(d, 48, desc[40])
    memory = ref.ReferenceMemory(list(regions))
    for number in range(d.size // in_size):
        at = d.source + number * in_size
        try:
            guard = ref.guard_tag(memory.read_bytes(at, block), desc[42])
        except ref.Fault:
            return
        made = struct.pack(">HHI", guard, tags.masked, tags.reference)
        escapes = [b"\xff" * 8, made[:2] + b"\xff" * 6, made[:2] + b"\xff\xff" + made[4:], bytes(8)]
        put(regions, at + block, draw(st.sampled_from(escapes)) if draw(st.integers(0, 5)) == 5 else made)
        tags.step()


@dataclass
class _Parts:
    """What one operation adds to a descriptor."""

    flags: int
    size: int
    source: int
    destination: int
    tail: bytes = b""
    record: bytes = b""


def _compare(draw: st.DrawFn, p: _Parts, opcode: int) -> None:
    p.flags |= draw(st.sampled_from([0, ref.CHECK_RESULT]))
    p.tail = bytes([draw(st.integers(0, 3))])
    if opcode == ref.COMPARE_PATTERN:
        p.destination = int.from_bytes(b"\x5a" * 8, "little") ^ (draw(st.integers(1, 1 << 63)) if rarely(draw) else 0)


def _delta(draw: st.DrawFn, p: _Parts, opcode: int, spare: int) -> None:
    if not rarely(draw):
        p.size, p.source, p.destination = max(p.size & ~7, 8), p.source & ~7, p.destination & ~7
    if opcode == ref.CREATE_DELTA:
        p.flags |= draw(st.sampled_from([0, ref.CHECK_RESULT]))
        most = draw(st.one_of(st.integers(80, 130), st.integers(80, 3000))) - (20 if rarely(draw) else 0)
        p.tail = struct.pack("<QII", spare, most, 0) + bytes([draw(st.integers(0, 15))])
        return
    p.record = delta_record(draw, p.size)
    p.tail = struct.pack("<I", max(0, len(p.record) + (draw(st.integers(-20, 20)) if rarely(draw) else 0)))


def _crc(draw: st.DrawFn, p: _Parts, spare: int) -> None:
    p.flags |= draw(st.integers(0, 7)) << 16
    if p.flags & ref.READ_SEED:
        p.tail = struct.pack("<QQ", 0, spare if rarely(draw) else spare & ~3)
    else:
        p.tail = struct.pack("<I", draw(st.integers(0, 0xFFFFFFFF)))


def _dif(draw: st.DrawFn, p: _Parts, opcode: int) -> None:
    dif_flags = draw(st.sampled_from([0, 0, 1, 1, 2, 3])) | draw(st.integers(0, 3)) << 2
    source_flags = 0 if opcode == ref.DIF_INSERT else draw(st.integers(0, 255))
    dest_flags = draw(st.integers(0, 31)) << 3 if opcode in (ref.DIF_INSERT, ref.DIF_UPDATE) else 0
    reference = st.one_of(st.integers(0, 0xFFFFFFFF), st.just(0xFFFFFFFF))
    tag = st.one_of(st.integers(0, 0xFFFF), st.sampled_from([0, 0xFFFF, 0xFFFE, 0xF000]))
    tags = [struct.pack("<IHH", draw(reference), draw(tag), draw(tag)) for _ in range(2)]
    if opcode == ref.DIF_INSERT:
        tags[0] = bytes(8)
    if opcode in (ref.DIF_CHECK, ref.DIF_STRIP):
        tags[1] = bytes(8)
    p.tail = bytes([source_flags, dest_flags, dif_flags]).ljust(8, b"\0") + tags[0] + tags[1]
    block = ref.BLOCK_SIZES[dif_flags & 3] + (0 if opcode == ref.DIF_INSERT else 8)
    most = 2 if block > 4000 else 7
    p.size = block * draw(st.integers(1, most)) + (draw(st.integers(-9, 9)) if rarely(draw) else 0)


@st.composite
def cases(draw: st.DrawFn, layout: Layout, opcode: int) -> Case:
    """A case of an operation; some are refused, some fault. No range wraps."""
    regions = contents(draw, layout)
    islands = list(layout[:1]) * 3 if rarely(draw) else draw(st.permutations(layout))
    source, destination, spare = (draw(addresses(island)) for island in islands)
    p = _Parts(CRAV | RCR, draw(SIZES), source, destination)
    if opcode == ref.FILL:
        p.source = draw(st.integers(0, (1 << 64) - 1))
    elif opcode in (ref.COMPARE, ref.COMPARE_PATTERN):
        _compare(draw, p, opcode)
    elif opcode in (ref.CREATE_DELTA, ref.APPLY_DELTA):
        _delta(draw, p, opcode, spare)
    elif opcode == ref.DUALCAST_COPY:
        p.tail = struct.pack("<Q", spare if rarely(draw) else (spare & ~0xFFF) | (p.destination & 0xFFF))
    elif opcode in (ref.CRC, ref.COPY_CRC):
        _crc(draw, p, spare)
    elif opcode != ref.CACHE_FLUSH:
        _dif(draw, p, opcode)
    if opcode in (ref.CRC, ref.DIF_CHECK):
        p.destination = 0
    if opcode == ref.CACHE_FLUSH:
        p.source = 0
    desc = raw_descriptor(
        opcode, flags=p.flags, source=p.source, destination=p.destination, size=p.size, tail=p.tail
    )
    put(regions, p.source, p.record)
    if ref.DIF_CHECK <= opcode <= ref.DIF_UPDATE and opcode != ref.DIF_INSERT:
        dif_fields(draw, desc, regions)
    return Case(desc, regions)
