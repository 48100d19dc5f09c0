"""A work queue: configuration (9.2.24, table 9-7), what is queued, and the commands that wait for quiet (3.15)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

DISABLED, ENABLED, DRAINING = 0, 1, 2
MODE_SUPPORT = 1 << 29


def _merge(old: int, value: int, mask: int) -> int:
    return old & ~mask | value & mask


@dataclass(frozen=True, slots=True)
class Work:
    """A descriptor in the queue."""

    raw: bytes


@dataclass(slots=True)
class Waiter:
    """A command that covers the first `left` descriptors still queued; `done` is called when none of them is left."""

    left: int
    disable: bool
    done: Callable[[], None]


@dataclass(slots=True)
class Queue:
    """Limits are log2. `size` is that of WQCFG; `room` what the device was enabled with."""

    index: int
    size: int = 0
    threshold: int = 0
    mode: int = 0
    limits: int = 0
    state: int = DISABLED
    room: int = 0
    work: list[Work] = field(default_factory=list)
    waiters: list[Waiter] = field(default_factory=list)
    passed_over: int = 0
    """Descriptors of other queues that were taken while this one had work."""

    @property
    def pasid_enable(self) -> bool:
        return bool(self.mode >> 28 & 1)

    @property
    def pasid(self) -> int:
        return self.mode >> 8 & 0xFFFFF

    @property
    def max_transfer(self) -> int:
        return 1 << (self.limits & 0x1F)

    @property
    def max_batch(self) -> int:
        return 1 << (self.limits >> 5 & 0xF)

    def words(self) -> tuple[int, int, int, int]:
        status = len(self.work) | MODE_SUPPORT | self.state << 30
        return self.size | self.threshold << 32, self.mode | self.limits << 32, 0, status

    def write(self, dword: int, value: int, lanes: int, device_disabled: bool) -> None:
        """lanes: the bits that the write brings."""
        if dword == 0 and device_disabled:
            self.size = _merge(self.size, value, lanes & 0xFFFF)
        elif dword == 1:
            self.threshold = _merge(self.threshold, value, lanes & 0xFFFF)
        elif dword == 2 and self.state == DISABLED:
            self.mode = _merge(self.mode, value, lanes & 0x3FFFFFF1)  # no block on fault, ATS, PRS here
        elif dword == 3 and self.state == DISABLED:
            self.limits = _merge(self.limits, value, lanes & 0x1FF)

    def enable_errors(self, max_transfer_log2: int, max_batch_log2: int) -> set[int]:
        """5.2, without what is checked of the device."""
        batch = self.limits >> 5 & 0xF
        found = {
            0x21: self.state != DISABLED,
            0x22: self.room == 0,
            0x23: not self.mode >> 4 & 0xF,
            0x24: not self.mode & 1,
            0x27: not 0 < batch <= max_batch_log2,
            0x28: self.limits & 0x1F > max_transfer_log2,
            0x2A: self.pasid_enable and bool(self.mode >> 29 & 1),  # there is no privileged mode
        }
        return {code for code, failed in found.items() if failed}

    def clear_config(self) -> None:
        """Reset WQ: everything but the size."""
        self.threshold = self.mode = self.limits = 0

    # ---- commands ----

    def start(self, done: Callable[[], None], *, disable: bool, abort: bool) -> None:
        """`abort` abandons what is queued; `disable` ends in the state Disabled."""
        if disable and self.state == ENABLED:
            self.state = DRAINING
        if abort:
            self.work.clear()
            for waiter in self.waiters:
                waiter.left = 0
        self.waiters.append(Waiter(len(self.work), disable, done))
        self.tell()

    def take(self) -> Work:
        """The oldest descriptor. finish() must follow when it has been processed."""
        self.passed_over = 0
        return self.work.pop(0)

    def finish(self) -> None:
        for waiter in self.waiters:
            waiter.left = max(0, waiter.left - 1)
        self.tell()

    def tell(self) -> None:
        while self.waiters and self.waiters[0].left == 0:
            waiter = self.waiters.pop(0)
            if waiter.disable:
                self.state = DISABLED
            waiter.done()
