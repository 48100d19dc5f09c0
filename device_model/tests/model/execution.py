"""One descriptor, from its checks to its completion interrupt (5.4, 5.8.1, 8.2, 8.3).

Checks have no order, and what a failed operation has written is not said: then `Seen` tells what the device did, which must be
one of the things that it may have done.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from device_model.tests.model.descriptor import BAD_FLAGS, BAD_HANDLE, MEMMOVE, NOOP, OPERATIONS, RCR, Descriptor
from device_model.tests.model.ims import Ims
from device_model.tests.model.memory import Memory
from device_model.tests.model.queue import Queue, Work
from device_model.tests.model.status import Error

SUCCESS, RECORD_FAULT, RECORD_MISALIGNED, READ_ERROR, WRITE_ERROR = 0x01, 0x1A, 0x1B, 0x20, 0x21


class Seen(Protocol):
    """What can be seen of the device after it has processed the descriptor."""

    def memory(self, memory: Memory, address: int, size: int) -> bytes:
        """The same bytes of the real memory."""

    def error_code(self) -> int | None:
        """The code that the error was recorded with; None: it was not recorded anywhere."""


class Chip(Protocol):
    """What the execution needs of the device."""

    ims: Ims
    operations: frozenset[int]

    def memory(self, pasid_enable: bool, pasid: int) -> Memory | None: ...

    def error(self, error: Error) -> None: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the operation ended: one of `statuses`."""

    statuses: frozenset[int]
    moved: int = 0
    """Bytes of the whole transfer if it succeeded."""


@dataclass(slots=True)
class Execution:
    """Of the oldest descriptor of `queue`."""

    chip: Chip
    queue: Queue
    work: Work
    seen: Seen
    descriptor: Descriptor = field(init=False)
    space: Memory | None = None

    def run(self) -> None:
        self.descriptor = Descriptor.parse(self.work.raw)
        self.space = self.chip.memory(self.queue.pasid_enable, self.queue.pasid)
        descriptor = self.descriptor
        if descriptor.has_record and descriptor.record % 32:
            self._error(RECORD_MISALIGNED)
            return
        failed = descriptor.failed(self.chip.operations, self.queue.max_transfer)
        refused = descriptor.interrupts and not self.chip.ims.accepts(
            descriptor.handle, self.queue.pasid_enable, self.queue.pasid
        )
        if refused:
            failed |= {BAD_HANDLE}
        outcome = Outcome(failed) if failed else self._operate()
        completed = self._complete(outcome)
        if descriptor.interrupts and completed and not refused:
            self.chip.ims.raise_(descriptor.handle)

    # ---- operations ----

    def _operate(self) -> Outcome:
        if self.descriptor.opcode == MEMMOVE:
            return self._move()
        assert self.descriptor.opcode == NOOP
        return Outcome(frozenset({SUCCESS}))

    def _reach(self, address: int, size: int) -> int:
        return self.space.reach(address, size) if self.space else 0

    def _move(self) -> Outcome:
        d = self.descriptor
        readable, writable = self._reach(d.source, d.size), self._reach(d.destination, d.size)
        data = self.space.read(d.source, readable) if self.space and readable else b""
        if readable == writable == d.size and self.space:
            self.space.write(d.destination, data)
            return Outcome(frozenset({SUCCESS}), d.size)
        self._take_over_partial_write(d.destination, data[:writable])
        found = {READ_ERROR: readable < d.size, WRITE_ERROR: writable < d.size}
        return Outcome(frozenset(code for code, failed in found.items() if failed))

    def _take_over_partial_write(self, address: int, data: bytes) -> None:
        """Of an operation that failed any byte may have been written. The record, written later, is left out."""
        if not self.space or not data:
            return
        old, now = self.space.read(address, len(data)), self.seen.memory(self.space, address, len(data))
        record = range(self.descriptor.record, self.descriptor.record + 32 if self.descriptor.has_record else 0)
        settled = (
            n if n in (o, w) and at not in record else o
            for at, (o, n, w) in enumerate(zip(old, now, data, strict=True), address)
        )
        self.space.write(address, bytes(settled))

    # ---- completion ----

    def _complete(self, outcome: Outcome) -> bool:
        """5.8.1. False: the descriptor was discarded, for its record could not be written."""
        descriptor = self.descriptor
        good = outcome.statuses == {SUCCESS}
        if not descriptor.has_record:
            if not good:
                self._error(self._which(outcome.statuses, self.seen.error_code()))
            return True
        if good and not descriptor.flags & RCR:
            return True
        if not self.space or self.space.reach(descriptor.record, 32) < 32:
            self._error(RECORD_FAULT)
            return False
        self.space.write(descriptor.record, self._record(self.space, outcome))
        return True

    @staticmethod
    def _which(allowed: frozenset[int], seen: int | None) -> int:
        return seen if seen in allowed and seen is not None else min(allowed)

    def _record(self, space: Memory, outcome: Outcome) -> bytes:
        """Bytes without a meaning are zero here, but for those that the specification calls undefined for this status."""
        seen = self.seen.memory(space, self.descriptor.record, 32)
        status = self._which(outcome.statuses, seen[0])
        record = bytearray(32)
        record[0] = status
        if status == SUCCESS:
            # Departure (8.2.4: "if the operation fully completed, this field is 0"): the size is there.
            completed = int.from_bytes(seen[4:8], "little")
            record[4:8] = (completed if completed in (0, outcome.moved) else 0).to_bytes(4, "little")
        elif status in (READ_ERROR, WRITE_ERROR):
            record[4:16] = seen[4:16]  # undefined: no page fault (8.2.4, 8.2.5)
        elif status == BAD_FLAGS:
            invalid = self.descriptor.invalid_flags(OPERATIONS[self.descriptor.opcode])
            record[16:19] = invalid.to_bytes(3, "little")
        return bytes(record)

    def _error(self, code: int) -> None:
        descriptor = self.descriptor
        info = None
        if code == BAD_FLAGS:
            info = descriptor.invalid_flags(OPERATIONS[descriptor.opcode])
        elif code == BAD_HANDLE:
            info = descriptor.handle
        address = descriptor.record if code == RECORD_FAULT else 0
        self.chip.error(Error(code, self.queue.index, descriptor.opcode, self.queue.pasid, info, address))
