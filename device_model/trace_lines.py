"""One line of text for each record of a trace: an access with decoded registers, a descriptor, a decision of the ledger."""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple

from device_model import names
from device_model.layout import BAR0, CONFIG, Found, Layout
from device_model.ledger import NO_ENTRY, Drop, Kind, LedgerRecord, Refusal
from device_model.names_registers import CMD

_RECORD = struct.Struct("<3QIHBB64s")
RECORD_SIZE = _RECORD.size
"""Bytes of one record in the C ring (vdev/trace.h)."""
_DESCRIPTOR = struct.Struct("<IIQQQIHH24s")
_DATA = 64
_FIELDS: dict[int, tuple[str, str, str]] = {
    0x00: ("", "", ""),
    0x01: ("list", "", "count"),
    0x02: ("", "", ""),
    0x04: ("pattern", "dst", "size"),
    0x05: ("src1", "src2", "size"),
    0x06: ("src", "pattern", "size"),
    0x07: ("src1", "src2", "size"),
    0x08: ("delta", "dst", "size"),
    0x10: ("src", "", "size"),
    0x20: ("", "dst", "size"),
}
"""Operation -> what bytes 16, 24 and 32 of its descriptor are; others: src, dst, size (8.3)."""


class What(enum.IntEnum):
    """What a record is about (enum trace_kind)."""

    READ = 1
    WRITE = 2
    DESCRIPTOR = 3
    REFUSED = 4
    RESET = 5
    ATTACHED = 6
    DETACHED = 7


_EVENTS = {What.RESET: "function-level reset", What.ATTACHED: "a VM is attached", What.DETACHED: "the VM is gone"}


class TraceRecord(NamedTuple):
    """struct trace_record."""

    seq: int
    time_ns: int
    offset: int
    mdev: int
    size: int
    kind: int
    region: int
    data: bytes


def decode(raw: bytes) -> list[TraceRecord]:
    """Whole records; raises struct.error if `raw` is not a multiple of RECORD_SIZE bytes."""
    return [TraceRecord._make(fields) for fields in _RECORD.iter_unpack(raw)]


def access_line(record: TraceRecord, layout: Layout | None) -> str:
    """What the guest did, without time and mdev. layout: None where the device has none."""
    kind = What(record.kind)
    if kind in _EVENTS:
        return _EVENTS[kind]
    region = names.REGIONS.get(record.region, f"region {record.region}")
    where = f"{region}+{record.offset:#x}"
    if kind is What.REFUSED:
        return f"{where} {record.size} bytes: not taken"
    if kind is What.DESCRIPTOR:
        found = layout.find(record.region, record.offset) if layout else None
        return f"{found.name if found else where} <= {descriptor(record.data)}"
    arrow = "->" if kind is What.READ else "<-"
    if record.size > 8:
        return f"{where} {arrow} {record.size} bytes"
    found_all = layout.covering(record.region, record.offset, record.size) if layout else []
    return _access(record, arrow, where, found_all)


def _access(record: TraceRecord, arrow: str, where: str, found: list[Found]) -> str:
    value = int.from_bytes(record.data[: record.size], "little")
    digits = f"{value:#0{2 * record.size + 2}x}"
    if not found:
        return f"{where} {arrow} {digits} (no register)"
    words = [text for one in found if (text := _meaning(record, arrow, value, one))]
    name = ", ".join(("config." if record.region == CONFIG else "") + one.name for one in found)
    absent = "" if any(one.present for one in found) else " (not modelled)"
    if record.region == BAR0 and found[0].register is CMD and arrow == "<-" and record.size >= 4:
        return f"CMD <- {words[0]}"
    return " ".join([name, arrow, digits, *words]) + absent


def _meaning(record: TraceRecord, arrow: str, value: int, found: Found) -> str:
    """The part of the value that belongs to this register, in words."""
    shift = (found.offset - record.offset) * 8
    part = value >> shift if shift >= 0 else value << -shift
    part &= (1 << 8 * found.register.size) - 1
    if found.register is CMD and arrow == "<-":
        return names.command(part)
    return found.register.describe(part)


def descriptor(raw: bytes) -> str:
    """64 bytes as words: `Memory Move CRAV|RCR|RCI handle=0x3 record=0x80000 src=0x1000 dst=0x2000 size=4096`."""
    first, word, record, one, two, size, handle, _, _ = _DESCRIPTOR.unpack(raw)
    opcode, flags = word >> 24, word & 0xFFFFFF
    words = [names.operation(opcode), names.flags(flags)]
    if flags >> 4 & 1 or handle:
        words.append(f"handle={handle:#x}")
    if flags >> 2 & 1 or record:
        words.append(f"record={record:#x}")
    labels = _FIELDS.get(opcode, ("src", "dst", "size"))
    words += [f"{label}={value:#x}" for label, value in zip(labels[:2], (one, two), strict=True) if label]
    if labels[2]:
        words.append(f"{labels[2]}={size}")
    if first:
        words.append(f"pasid={first & 0xFFFFF}" + (" priv" if first >> 31 else ""))
    return " ".join(words)


def ledger_line(record: LedgerRecord) -> str:
    """A decision of the device, without time and mdev: `#17 REFUSED because NOT_REQUESTED handle=0x3 entry=5`."""
    kind = _name(Kind, record.kind)
    words = [f"#{record.cause} {kind}" if record.cause else kind]
    if record.kind in (Kind.REFUSED, Kind.VANISHED) and record.reason:
        words.append(f"because {_name(Refusal, record.reason)}")
    elif record.kind == Kind.DROPPED:
        words.append(f"because {_name(Drop, record.reason)}")
    elif record.kind == Kind.COMPLETED:
        words.append(names.named(names.STATUS, record.status))
    if record.target:
        words.append(f"vector={record.vector}" + (f" of mdev {record.target}" if record.target != record.requester else ""))
    if record.entry != NO_ENTRY:
        words.append(f"entry={record.entry}")
    if record.cause and record.kind in (Kind.REFUSED, Kind.GRANTED):
        words.append(f"handle={record.handle:#x}")
    return " ".join(words)


def _name(kinds: type[enum.IntEnum], value: int) -> str:
    try:
        return kinds(value).name
    except ValueError:
        return str(value)
