"""Descriptors as a guest writes them to a portal (DSA specification 8.1): 64 bytes, made field by field."""

from __future__ import annotations

import enum
import struct

_LAYOUT = struct.Struct("<IIQQQIHH24s")
SIZE = _LAYOUT.size


class Flag(enum.IntFlag):
    """Descriptor flags (8.1.2)."""

    FENCE = 1 << 0
    CRAV = 1 << 2
    RCR = 1 << 3
    RCI = 1 << 4


class Opcode(enum.IntEnum):
    """Operations (8.1.3)."""

    NOOP = 0x00
    BATCH = 0x01
    MEMMOVE = 0x03


class Status(enum.IntEnum):
    """Completion status codes (table 5-5)."""

    NONE = 0x00
    SUCCESS = 0x01
    BATCH = 0x05
    """A batch whose members did not all succeed."""
    HANDLE = 0x19


WITH_RECORD = Flag.CRAV | Flag.RCR
"""A completion record is written whatever happens."""


def descriptor(
    opcode: int,
    *,
    flags: Flag = WITH_RECORD,
    record: int = 0,
    source: int = 0,
    destination: int = 0,
    size: int = 0,
    handle: int = 0,
    pasid: int = 0,
    privileged: bool = False,
) -> bytes:
    """A descriptor. Addresses are guest-physical, `size` in bytes; `pasid` is what a dedicated queue must ignore."""
    return _LAYOUT.pack(
        pasid | privileged << 31, flags | opcode << 24, record, source, destination, size, handle, 0, bytes(24)
    )


def firing_noop(record: int, handle: int, *, pasid: int = 0) -> bytes:
    """A No-op that requests a record and an interrupt by `handle`."""
    return descriptor(Opcode.NOOP, flags=WITH_RECORD | Flag.RCI, record=record, handle=handle, pasid=pasid)
