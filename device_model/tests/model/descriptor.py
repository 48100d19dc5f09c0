"""A descriptor (8.1) and the checks that can be made of it alone (5.4, 5.5). One `Operation` for each operation code."""

from __future__ import annotations

import struct
from dataclasses import dataclass

FENCE, CRAV, RCR, RCI, CR_TC = 1 << 0, 1 << 2, 1 << 3, 1 << 4, 1 << 12
COMMON_FLAGS = CRAV | RCR | RCI | CR_TC
BAD_OPCODE, BAD_FLAGS, NOT_ZERO, BAD_SIZE, BAD_COUNT, BAD_LIST, BAD_HANDLE = 0x10, 0x11, 0x12, 0x13, 0x14, 0x18, 0x19


@dataclass(frozen=True, slots=True)
class Operation:
    """allowed: flags beside the common ones (table 5-3); reserved: ranges of bytes that must be 0; sized: has a Transfer Size;
    counted: has a Descriptor Count and a list; required: flags of which one must be set (table 5-5)."""

    allowed: int = 0
    reserved: tuple[tuple[int, int], ...] = ()
    sized: bool = False
    counted: bool = False
    required: int = 0
    in_batch: bool = True


NOOP, BATCH, DRAIN, MEMMOVE = 0x00, 0x01, 0x02, 0x03
MOVE_FLAGS = 1 << 8 | 1 << 9 | 1 << 10 | 1 << 13
"""Cache Control 1, Address 1 and 2 TC Selector, Strict Ordering; the other cache controls need capabilities."""
OPERATIONS = {
    NOOP: Operation(reserved=((16, 36), (38, 64))),
    # Batch Error, bit 16, needs a capability; so do the readback addresses of Drain, and with them the TC selectors.
    BATCH: Operation(allowed=1 << 9, reserved=((24, 32), (38, 64)), counted=True, in_batch=False),
    DRAIN: Operation(allowed=1 << 18 | 1 << 19, reserved=((16, 36), (38, 64)), required=RCR | RCI, in_batch=False),
    MEMMOVE: Operation(allowed=MOVE_FLAGS, reserved=((38, 64),), sized=True),
}


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which a descriptor is processed. may_interrupt: by GENCFG and WQCFG (table 5-4)."""

    operations: frozenset[int]
    max_transfer: int
    max_batch: int
    in_batch: bool
    may_interrupt: bool


@dataclass(frozen=True, slots=True)
class Descriptor:
    """64 bytes taken apart."""

    raw: bytes
    flags: int
    opcode: int
    record: int
    source: int
    destination: int
    size: int
    handle: int

    @classmethod
    def parse(cls, raw: bytes) -> Descriptor:
        _, second, record, source, destination, size, handle = struct.unpack_from("<IIQQQIH", raw)
        return cls(raw, second & 0xFFFFFF, second >> 24, record, source, destination, size, handle)

    @property
    def has_record(self) -> bool:
        return bool(self.flags & CRAV)

    @property
    def interrupts(self) -> bool:
        return bool(self.flags & RCI)

    def invalid_flags(self, operation: Operation, terms: Terms) -> int:
        """Bits of Invalid Flags: not allowed for the operation, reserved because of others (table 5-4), or missing."""
        invalid = self.flags & ~(COMMON_FLAGS | operation.allowed | (FENCE if terms.in_batch else 0))
        if not self.has_record:
            invalid |= self.flags & (RCR | CR_TC)
        if not terms.may_interrupt:
            invalid |= self.flags & RCI
        if operation.required and not self.flags & operation.required:
            invalid |= operation.required
        return invalid

    def reserved_not_zero(self, operation: Operation) -> bool:
        if (not self.interrupts and self.handle) or (not self.has_record and self.record):
            return True
        return any(any(self.raw[first:end]) for first, end in operation.reserved)

    def failed(self, terms: Terms) -> frozenset[int]:
        """Status codes of the checks that fail; any of them may be reported (5.4)."""
        if self.opcode not in terms.operations or (terms.in_batch and not OPERATIONS[self.opcode].in_batch):
            return frozenset({BAD_OPCODE})
        operation = OPERATIONS[self.opcode]
        found = {
            BAD_FLAGS: self.invalid_flags(operation, terms) != 0,
            NOT_ZERO: self.reserved_not_zero(operation),
            BAD_SIZE: operation.sized and not 0 < self.size <= terms.max_transfer,
            BAD_COUNT: operation.counted and not 1 < self.size <= terms.max_batch,
            BAD_LIST: operation.counted and self.source % 64 != 0,
        }
        return frozenset(code for code, failed in found.items() if failed)
