"""INTCAUSE, CMDSTATUS and SWERROR: registers that say what has happened (9.2.11, 9.2.13, 9.2.15), the same in both devices.

`settle(seen)` gives what the register must read as, with what is undefined taken from `seen`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

VALID, OVERFLOW, DESC_VALID, WQ_VALID, BATCH_MEMBER = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 4
WRITE, INFO_VALID = 1 << 5, 1 << 7
ACTIVE = 1 << 31
CAUSE_SWERR, CAUSE_COMMAND, CAUSE_HALT = 1 << 0, 1 << 1, 1 << 4
RECORD_FAULT = 0x1A
PAGE_FAULTS = (0x03, 0x04, 0x06, RECORD_FAULT, 0x1F)


@dataclass(slots=True)
class IntCause:
    """All bits W1C."""

    value: int = 0

    def set(self, bits: int) -> None:
        self.value |= bits

    def clear(self, bits: int) -> None:
        self.value &= ~bits


@dataclass(slots=True)
class CommandStatus:
    """Active, then an error out of those that apply (checks have no order, 5.1 and 5.2), or success with a result."""

    active: bool = False
    errors: frozenset[int] = frozenset()
    result: int = 0

    def finish(self, errors: frozenset[int] | set[int] = frozenset(), result: int = 0) -> None:
        self.active, self.errors, self.result = False, frozenset(errors), result

    def settle(self, seen: int) -> int:
        if self.active:
            return seen | ACTIVE  # the other fields are unspecified
        if self.errors:
            return seen if seen in self.errors else min(self.errors)
        return self.result << 8


@dataclass(frozen=True, slots=True)
class Error:
    """What is recorded. `info` is the upper half of the second word; desc, wq: whether there is one."""

    code: int
    wq: int | None = None
    operation: int | None = None
    pasid: int = 0
    info: int | None = None
    address: int = 0
    member: int | None = None
    """Index within the batch."""


@dataclass(slots=True)
class SwError:
    """Valid and Overflow are W1C and never cleared by the device; the first error stays until Valid is cleared."""

    valid: bool = False
    overflow: bool = False
    error: Error = field(default_factory=lambda: Error(0))

    def record(self, error: Error) -> bool:
        """True: Valid went from 0 to 1."""
        if self.valid:
            self.overflow = True
            return False
        self.valid, self.error = True, error
        return True

    def clear(self, bits: int) -> None:
        self.valid = self.valid and not bits & VALID
        if bits & OVERFLOW:
            self.overflow = False

    def settle(self, seen: tuple[int, ...]) -> tuple[int, ...]:
        flags = VALID * self.valid | OVERFLOW * self.overflow
        if not self.valid:  # all but Overflow is undefined
            return (seen[0] & ~(VALID | OVERFLOW) | flags, *seen[1:])
        error = self.error
        first = flags | error.code << 8
        mask = VALID | OVERFLOW | DESC_VALID | WQ_VALID | INFO_VALID | 0xFF << 8
        if error.wq is not None:
            first |= WQ_VALID | error.wq << 16
            mask |= 0xFF << 16
        if error.operation is not None:
            first |= DESC_VALID | error.operation << 32 | error.pasid << 40
            mask |= BATCH_MEMBER | 0xFF << 32 | 0xFFFFF << 40
        words = [seen[0] & ~mask | first, seen[1], seen[2], seen[3]]
        if error.member is not None:
            words[0] |= BATCH_MEMBER
            words[1] = seen[1] & ~0xFFFF | error.member
        if error.info is not None:
            words[0] |= INFO_VALID
            words[1] = words[1] & 0xFFFFFFFF | error.info << 32
        if error.code in PAGE_FAULTS:
            words[0] = words[0] & ~WRITE | (WRITE if error.code == RECORD_FAULT else 0)
            words[2] = error.address & (~0xFFF if seen[2] & 0xFFF == 0 else -1)  # bits 11:0 may be 0
        return tuple(words)
