"""The ledger's records as Python values: every decision on the way of an interrupt (device_model/core/ledger.h)."""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from typing import NamedTuple

NO_ENTRY = 0xFFFF_FFFF
"""`LedgerRecord.entry` where no entry of the message store was involved."""

_RECORD = struct.Struct("<4Q4I3H5B5x")
RECORD_SIZE = _RECORD.size
"""Bytes of one record in the C ring."""


class Kind(enum.IntEnum):
    """What was decided (enum ledger_kind)."""

    ACCEPTED = 1
    DROPPED = 2
    REFUSED = 3
    GRANTED = 4
    COMPLETED = 5
    FIRED = 6
    PENDED = 7
    IGNORED = 8
    REMAPPED = 9
    BLOCKED = 10
    INJECTED = 11
    VM_PENDED = 12
    LOST = 13
    ABORTED = 14
    VANISHED = 15


class Refusal(enum.IntEnum):
    """Why an interrupt handle was refused with status 0x19 (DSA specification 5.4, table 5-2)."""

    OUT_OF_RANGE = 1
    NOT_REQUESTED = 2
    PASID_ENABLE = 3
    PASID = 4
    NO_STORAGE = 5


class Drop(enum.IntEnum):
    """Why a portal write was not taken into a work queue (DSA specification 9.3, 5.8)."""

    WQ_DISABLED = 1
    WQ_FULL = 2
    PARTIAL = 3


class LedgerRecord(NamedTuple):
    """One decision. Fields and units are those of struct ledger_record."""

    seq: int
    time_ns: int
    cause: int
    """Number of the descriptor that led to this decision, device-wide from 1; 0: none."""
    detail: int
    requester: int
    """Id of the mdev whose portal took the descriptor; 0: none."""
    target: int
    """Id of the mdev that owns the vector, from REMAPPED on; else 0."""
    pasid: int
    entry: int
    handle: int
    vector: int
    wq: int
    kind: int
    reason: int
    status: int
    opcode: int
    flags: int


def decode(raw: bytes | memoryview) -> Iterator[LedgerRecord]:
    """Decodes whole records; raises struct.error if `raw` is not a multiple of RECORD_SIZE bytes."""
    return map(LedgerRecord._make, _RECORD.iter_unpack(raw))
