"""One descriptor, from its checks to its completion interrupt (5.4, 5.8.1, 8.2, 8.3).

Checks have no order, and what a failed operation has written is not said: then `Seen` tells what the device did, which must be
one of the things that it may have done.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from device_model.tests.model.descriptor import (
    BAD_FLAGS,
    BAD_HANDLE,
    BATCH,
    DRAIN,
    FENCE,
    MEMMOVE,
    NOOP,
    OPERATIONS,
    RCR,
    Descriptor,
    Terms,
)
from device_model.tests.model.ims import Ims
from device_model.tests.model.memory import Memory
from device_model.tests.model.queue import Queue
from device_model.tests.model.status import Error

SUCCESS, BATCH_FAILURES, LIST_FAULT = 0x01, 0x05, 0x06
RECORD_FAULT, RECORD_MISALIGNED, READ_ERROR, WRITE_ERROR = 0x1A, 0x1B, 0x20, 0x21
QUIET = frozenset({SUCCESS, BATCH_FAILURES})
"""No error: without a record, or unless one is requested, nobody hears of it (5.8.1)."""


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

    @property
    def user_interrupts(self) -> bool: ...

    def memory(self, pasid_enable: bool, pasid: int) -> Memory | None: ...

    def error(self, error: Error) -> None: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the operation ended: one of `statuses`."""

    statuses: frozenset[int]
    completed: int = 0
    """Descriptors of a batch."""
    address: int = 0
    """Where a page fault was."""


@dataclass(slots=True)
class Execution:
    """Of a descriptor of `queue`. `member`: its index, if it is one of a batch."""

    chip: Chip
    queue: Queue
    raw: bytes
    seen: Seen
    member: int | None = None
    descriptor: Descriptor = field(init=False)
    space: Memory | None = None

    def run(self) -> bool:
        """True: it ended with Status equal to Success."""
        self.descriptor = descriptor = Descriptor.parse(self.raw)
        queue = self.queue
        self.space = self.chip.memory(queue.pasid_enable, queue.pasid)
        if descriptor.has_record and self._record_is_wrong():
            return False
        terms = self._terms()
        failed = descriptor.failed(terms)
        refused = descriptor.interrupts and not self.chip.ims.accepts(
            descriptor.handle, queue.pasid_enable, queue.pasid
        )
        if refused:
            failed |= {BAD_HANDLE}
        outcome = Outcome(failed) if failed else self._operate()
        self._complete(outcome)
        if descriptor.interrupts and terms.may_interrupt and not refused:
            self.chip.ims.raise_(descriptor.handle)
        return outcome.statuses == {SUCCESS}

    def _record_is_wrong(self) -> bool:
        """5.4: then it is discarded, whether the record would have been written or not."""
        record = self.descriptor.record
        if record % 32:
            self._error(RECORD_MISALIGNED)
        elif self._reach(record, 32) < 32:
            self._error(RECORD_FAULT)
        else:
            return False
        return True

    def _terms(self) -> Terms:
        queue = self.queue
        may_interrupt = self.chip.user_interrupts or not queue.pasid_enable
        in_batch = self.member is not None
        return Terms(self.chip.operations, queue.max_transfer, queue.max_batch, in_batch, may_interrupt)

    # ---- operations ----

    def _operate(self) -> Outcome:
        """Drain: a queue is processed in order, so those before have ended (3.12)."""
        if self.descriptor.opcode == MEMMOVE:
            return self._move()
        if self.descriptor.opcode == BATCH:
            return self._batch()
        assert self.descriptor.opcode in (NOOP, DRAIN)
        return Outcome(frozenset({SUCCESS}))

    def _batch(self) -> Outcome:
        """3.8, 3.9: the list is read once; a fence after a failure abandons what follows; the batch ends after its members."""
        d = self.descriptor
        readable = self._reach(d.source, 64 * d.size) // 64
        members = self.space.read(d.source, 64 * readable) if self.space and readable else b""
        good, done = True, 0
        for done in range(readable):
            raw = members[64 * done : 64 * done + 64]
            if raw[4] & FENCE and not good:
                return Outcome(frozenset({BATCH_FAILURES}), done)
            good &= Execution(self.chip, self.queue, raw, self.seen, done).run()
        if readable < d.size:
            return Outcome(frozenset({LIST_FAULT}), readable, d.source + self._reach(d.source, 64 * d.size))
        return Outcome(frozenset({SUCCESS if good else BATCH_FAILURES}), d.size)

    def _reach(self, address: int, size: int) -> int:
        return self.space.reach(address, size) if self.space else 0

    def _move(self) -> Outcome:
        d = self.descriptor
        readable, writable = self._reach(d.source, d.size), self._reach(d.destination, d.size)
        data = self.space.read(d.source, readable) if self.space and readable else b""
        if readable == writable == d.size and self.space:
            self.space.write(d.destination, data)
            return Outcome(frozenset({SUCCESS}))
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

    def _complete(self, outcome: Outcome) -> None:
        """5.8.1. The record, if there is one, can be written."""
        descriptor = self.descriptor
        good = outcome.statuses <= QUIET
        if not descriptor.has_record:
            if not good:
                self._error(self._which(outcome.statuses, self.seen.error_code()), outcome.address)
        elif self.space and (not good or descriptor.flags & RCR):
            self.space.write(descriptor.record, self._record(self.space, outcome))

    @staticmethod
    def _which(allowed: frozenset[int], seen: int | None) -> int:
        return seen if seen in allowed and seen is not None else min(allowed)

    def _record(self, space: Memory, outcome: Outcome) -> bytes:
        """Bytes without a meaning are zero here, but for those that the specification calls undefined for this status."""
        seen = self.seen.memory(space, self.descriptor.record, 32)
        status = self._which(outcome.statuses, seen[0])
        record = bytearray(32)
        record[0] = status
        if self.descriptor.opcode == BATCH and status in (*QUIET, LIST_FAULT):
            record[1] = seen[1] & 1  # Result has a meaning with Batch Continuation Support only
            record[4:8] = outcome.completed.to_bytes(4, "little")
        elif status in (READ_ERROR, WRITE_ERROR):
            record[1] = seen[1] & 1  # Memory Move: which end it began at
            record[4:16] = seen[4:16]  # undefined: no page fault (8.2.4, 8.2.5)
        elif status == BAD_FLAGS:
            record[16:19] = self._invalid_flags().to_bytes(3, "little")
        if status == LIST_FAULT:
            address = int.from_bytes(seen[8:16], "little")
            same_page = address >> 12 == outcome.address >> 12  # bits 11:0 may be 0
            record[8:16] = (address if same_page else outcome.address).to_bytes(8, "little")
        return bytes(record)

    def _invalid_flags(self) -> int:
        return self.descriptor.invalid_flags(OPERATIONS[self.descriptor.opcode], self._terms())

    def _error(self, code: int, address: int = 0) -> None:
        descriptor = self.descriptor
        info = None
        if code == BAD_FLAGS:
            info = self._invalid_flags()
        elif code == BAD_HANDLE:
            info = descriptor.handle
        address = descriptor.record if code == RECORD_FAULT else address
        queue = self.queue
        self.chip.error(Error(code, queue.index, descriptor.opcode, queue.pasid, info, address, self.member))
