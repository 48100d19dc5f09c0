"""The physical device: BAR0, commands, work queues (chapter 9, 3.15, 5.1 - 5.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from device_model.tests.model.execution import Execution, Seen
from device_model.tests.model.host import Iommu
from device_model.tests.model.ims import Entry, Ims
from device_model.tests.model.memory import Memory
from device_model.tests.model.queue import DISABLED, ENABLED, Queue, Work
from device_model.tests.model.status import CAUSE_COMMAND, CAUSE_SWERR, CommandStatus, Error, IntCause, SwError

DEVICE_DISABLED, DEVICE_ENABLED, DEVICE_DRAINING, DEVICE_HALTED = 0, 1, 2, 3
REQUEST, RELEASE = 13, 14
WQ_FULL, COMMAND_ACTIVE = 0x53, 0x52
RESERVED = dict.fromkeys(range(1, 6), 0xFFFFF) | {6: 0xFFF00, REQUEST: 0xE0000, RELEASE: 0xE0000}
"""Bits of operands that are checked for 0 (table 9-5)."""


class Owner(Protocol):
    """Whom a queue's errors are passed on to."""

    def error(self, error: Error) -> None: ...


@dataclass(frozen=True, slots=True)
class Layout:
    """What the capability registers say of the device."""

    num_wqs: int
    total_wq_size: int
    num_ims: int
    max_transfer_log2: int
    max_batch_log2: int
    operations: frozenset[int]
    commands: int
    """CMDCAP."""
    group_table: int
    queue_table: int
    ims_table: int


@dataclass(slots=True, repr=False)
class Chip:
    """State behind BAR0. Writes are as software makes them; what a command waits for ends in step()."""

    layout: Layout
    iommu: Iommu
    state: int = DEVICE_DISABLED
    gencfg: int = 0
    genctrl: int = 0
    causes: IntCause = field(default_factory=IntCause)
    command: CommandStatus = field(default_factory=CommandStatus)
    swerror: SwError = field(default_factory=SwError)
    group: dict[int, int] = field(default_factory=dict)
    owners: dict[int, Owner] = field(default_factory=dict)
    queues: list[Queue] = field(default_factory=list)
    ims: Ims = field(init=False)
    operations: frozenset[int] = field(init=False)
    _code: int = 0
    _interrupt: bool = False
    _outstanding: int = 0
    _finally: Callable[[], None] = field(default=lambda: None)

    def __post_init__(self) -> None:
        self.ims = Ims(self.iommu.message, [Entry() for _ in range(self.layout.num_ims)])
        self.operations = self.layout.operations
        self.queues = [Queue(index) for index in range(self.layout.num_wqs)]

    # ---- what the execution needs ----

    @property
    def user_interrupts(self) -> bool:
        """GENCFG[12] (9.2.8)."""
        return bool(self.gencfg >> 12 & 1)

    def memory(self, pasid_enable: bool, pasid: int) -> Memory | None:
        return self.iommu.memory(pasid_enable, pasid)

    def error(self, error: Error) -> None:
        """Recorded here, then passed on to the owner of the queue."""
        if self.swerror.record(error) and self.genctrl & 1:
            self.causes.set(CAUSE_SWERR)
        if error.wq in self.owners:
            self.owners[error.wq].error(error)

    # ---- submission (5.3) and arbitration ----

    def submit(self, index: int, raw: bytes) -> None:
        queue = self.queues[index]
        if queue.state != ENABLED:
            return
        if len(queue.work) < queue.room:
            queue.work.append(Work(raw))
        else:
            self.error(Error(WQ_FULL, index))

    def busy(self) -> list[Queue]:
        return [queue for queue in self.queues if queue.work]

    def step(self, index: int, seen: Seen) -> None:
        """The engine processed one descriptor of this queue. AssertionError: it starved another."""
        queue = self.queues[index]
        for other in self.busy():
            other.passed_over += 1
            assert other.passed_over <= len(self.queues), f"work queue {other.index} is starved"
        work = queue.take()
        Execution(self, queue, work.raw, seen).run()
        queue.finish()

    # ---- BAR0 ----

    def write(self, offset: int, size: int, value: int) -> None:
        """Misaligned and outside writes do nothing. The IMS takes 4 and 8 bytes, registers parts of them too, CMD 4."""
        if size not in (1, 2, 4, 8) or offset % size:
            return
        if offset >= self.layout.ims_table:
            if offset < self.layout.ims_table + 16 * self.layout.num_ims and size >= 4:
                self.ims.write(offset - self.layout.ims_table, size, value)
            return
        shift = offset % 4 * 8
        self._write(
            offset & ~3, (value & 0xFFFFFFFF) << shift, 0xFFFFFFFF if size >= 4 else (1 << 8 * size) - 1 << shift
        )
        if size == 8:
            self._write(offset + 4, value >> 32, 0xFFFFFFFF)

    def _write(self, offset: int, value: int, lanes: int) -> None:
        """lanes: the bits that the write brings."""
        layout = self.layout
        if offset == 0x80:
            if self.state == DEVICE_DISABLED:
                self.gencfg = self.gencfg & ~lanes | value & lanes & 1 << 12
        elif offset == 0x88:
            self.genctrl = self.genctrl & ~lanes | value & lanes & 7
        elif offset == 0x98:
            self.causes.clear(value & lanes)
        elif offset == 0xA0:
            if lanes == 0xFFFFFFFF:
                self.write_command(value)
        elif offset == 0xC0:
            self.swerror.clear(value & lanes)
        elif layout.group_table <= offset < layout.group_table + 64:
            if self.state == DEVICE_DISABLED:
                self._write_group(offset - layout.group_table, value, lanes)
        elif layout.queue_table <= offset < layout.queue_table + 32 * layout.num_wqs:
            where = offset - layout.queue_table
            self.queues[where // 32].write(where % 32 // 4, value, lanes, self.state == DEVICE_DISABLED)

    def _write_group(self, at: int, value: int, lanes: int) -> None:
        """9.2.23: bits of queues and engines that there are, and of the flags the two Traffic Classes."""
        there = {0: (1 << self.layout.num_wqs) - 1, 32: 1, 40: 0x3F}.get(at, 0)
        self.group[at] = (self.group.get(at, 0) & ~lanes | value & lanes) & there

    # ---- commands (9.2.12) ----

    def write_command(self, value: int) -> None:
        if self.command.active:
            self.error(Error(COMMAND_ACTIVE))
            return
        code, operand = value >> 20 & 0x1F, value & 0xFFFFF
        self.command.active = True
        self._interrupt = bool(value >> 31)
        commands: dict[int, Callable[[int], None]] = {
            1: self._enable_device,
            2: self._disable_device,
            3: lambda _: self._on_queues(self._enabled(), disable=False, abort=False),
            4: lambda _: self._on_queues(self._enabled(), disable=False, abort=True),
            5: self._reset_device,
            6: self._enable_queue,
            7: lambda o: self._bitmap(o, disable=True, abort=False),
            8: lambda o: self._bitmap(o, disable=False, abort=False),
            9: lambda o: self._bitmap(o, disable=False, abort=True),
            10: self._reset_queues,
            11: lambda o: self._on_queues(self._of_pasid(o), disable=False, abort=False),
            12: lambda o: self._on_queues(self._of_pasid(o), disable=False, abort=True),
            REQUEST: self._handle,
            RELEASE: self._handle,
        }
        self._code = code
        if code not in commands or not self.layout.commands >> code & 1:
            self._finish({0x01})
        elif value & 0x7E000000 or operand & RESERVED.get(code, 0):
            self._finish({0x04})
        else:
            commands[code](operand)

    def _of_pasid(self, pasid: int) -> list[Queue]:
        """Queues are dedicated: all descriptors of one run with its PASID."""
        return [queue for queue in self._enabled() if queue.pasid_enable and queue.pasid == pasid]

    def _finish(self, errors: set[int] | frozenset[int] = frozenset(), result: int = 0) -> None:
        self.command.finish(errors, result)
        if self._interrupt:
            self.causes.set(CAUSE_COMMAND)

    def _enable_device(self, _: int) -> None:
        errors = self._device_errors()
        if not errors:
            self.state = DEVICE_ENABLED
            for queue in self.queues:
                queue.room = queue.size
        self._finish(errors)

    def _device_errors(self) -> set[int]:
        """5.1."""
        grouped = [self.group.get(4 * (i // 32), 0) >> i % 32 & 1 for i in range(len(self.queues))]
        engines = self.group.get(32, 0) | self.group.get(36, 0)
        found = {
            0x10: self.state != DEVICE_DISABLED,
            0x14: sum(queue.size for queue in self.queues) > self.layout.total_wq_size,
            0x15: any(grouped) != (engines != 0),
            0x16: any(bool(queue.size) != bool(inside) for queue, inside in zip(self.queues, grouped, strict=True)),
        }
        return {code for code, failed in found.items() if failed}

    def _disable_device(self, _: int) -> None:
        if self.state != DEVICE_ENABLED:
            self._finish({0x31})
            return
        self.state = DEVICE_DRAINING
        self._on_queues(self._enabled(), disable=True, abort=False, then=self._disabled)

    def _disabled(self) -> None:
        self.state = DEVICE_DISABLED

    def _reset_device(self, _: int) -> None:
        self.state = DEVICE_DRAINING
        self._on_queues(self.queues, disable=True, abort=True, then=self._clear)

    def _clear(self) -> None:
        """Table 9-3, software reset: all but CMD, CMDSTATUS, SWERROR. The whole IMS goes, whoever owns its entries."""
        self.state, self.gencfg, self.genctrl, self.causes = DEVICE_DISABLED, 0, 0, IntCause()
        self.group.clear()
        for queue in self.queues:
            queue.clear_config()
            queue.size = 0
        self.ims.reset()

    def _enable_queue(self, operand: int) -> None:
        self._finish({0x02} if operand >= len(self.queues) else self.enable_queue(operand))

    def enable_queue(self, index: int) -> set[int]:
        """Enables the queue unless a check of 5.2 fails; the codes of all that do."""
        queue = self.queues[index]
        errors = queue.enable_errors(self.layout.max_transfer_log2, self.layout.max_batch_log2)
        if self.state != DEVICE_ENABLED:
            errors.add(0x20)
        if not errors:
            queue.state = ENABLED
        return errors

    def _named(self, operand: int) -> list[int]:
        return [16 * (operand >> 16) + bit for bit in range(16) if operand >> bit & 1]

    def _bitmap(self, operand: int, *, disable: bool, abort: bool) -> None:
        named = self._named(operand)
        known = [index for index in named if index < len(self.queues)]
        errors = {0x02} if known != named else set()
        if any(self.queues[index].state != ENABLED for index in known):
            errors.add(0x32)
        if errors:
            self._finish(errors)
        else:
            self._on_queues([self.queues[index] for index in known], disable=disable, abort=abort)

    def _reset_queues(self, operand: int) -> None:
        named = self._named(operand)
        if any(index >= len(self.queues) for index in named):
            self._finish({0x02})
            return
        queues = [self.queues[index] for index in named]
        for queue in queues:
            queue.clear_config()
        self._on_queues(queues, disable=True, abort=True)

    def _handle(self, operand: int) -> None:
        """Index in the IMS; there is no MSI-X table."""
        index = operand & 0xFFFF
        request = self._code == REQUEST
        known = operand >> 16 and (self.ims.request(index) if request else self.ims.release(index))
        self._finish(frozenset() if known else {0x41}, index if known and request else 0)

    # ---- commands that wait ----

    def _enabled(self) -> list[Queue]:
        return [queue for queue in self.queues if queue.state != DISABLED]

    def _on_queues(
        self, queues: Iterable[Queue], *, disable: bool, abort: bool, then: Callable[[], None] = lambda: None
    ) -> None:
        """Active until all of them are quiet; then `then`, and the end."""
        chosen = list(queues)
        self._outstanding, self._finally = len(chosen), then
        for queue in chosen:
            queue.start(self._quiet, disable=disable, abort=abort)
        if not chosen:
            self._end()

    def _quiet(self) -> None:
        self._outstanding -= 1
        if self._outstanding == 0:
            self._end()

    def _end(self) -> None:
        self._finally()
        self._finish()
