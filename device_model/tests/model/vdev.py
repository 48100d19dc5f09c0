"""A virtual device as its guest sees it: registers, commands, handles, resets (chapter 9, 7.5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from device_model.tests.model import choices
from device_model.tests.model.chip import (
    COMMAND_ACTIVE,
    DEVICE_DISABLED,
    DEVICE_DRAINING,
    DEVICE_ENABLED,
    DEVICE_HALTED,
    Chip,
)
from device_model.tests.model.config_space import ConfigSpace
from device_model.tests.model.memory import Memory
from device_model.tests.model.msix import Msix, Vector
from device_model.tests.model.portal import Portal
from device_model.tests.model.queue import DISABLED, ENABLED, MODE_SUPPORT, Queue
from device_model.tests.model.status import (
    CAUSE_COMMAND,
    CAUSE_HALT,
    CAUSE_SWERR,
    CommandStatus,
    Error,
    IntCause,
    SwError,
)

HALTED, PLATFORM = 0x05, 0x03
PCI_CONFIG_CHANGED = 0x51


@dataclass(frozen=True, slots=True)
class Description:
    """What the host composed: queue, (IMS entry, handle) of vectors 1 and up, capabilities."""

    wq: int
    vectors: tuple[tuple[int, int], ...]
    commands: int
    wq_size: int
    wq_mode: int
    wq_limits: int


@dataclass(frozen=True, slots=True)
class Tables:
    """Where they are in BAR0."""

    queue: int
    permissions: int
    msix: int
    pba: int


@dataclass(slots=True, repr=False)
class Vdev:
    """`messages`: every interrupt that has gone into the VM, in order: (address, data)."""

    chip: Chip
    description: Description
    tables: Tables
    config: ConfigSpace
    guest_memory: Memory
    attached: bool = False
    portal_open: bool = True
    messages: list[tuple[int, int]] = field(default_factory=list)
    state: int = DEVICE_DISABLED
    genctrl: int = 0
    causes: IntCause = field(default_factory=IntCause)
    command: CommandStatus = field(default_factory=CommandStatus)
    swerror: SwError = field(default_factory=SwError)
    threshold: int = 0
    mode: int = 0
    live: set[int] = field(default_factory=set)
    """Vectors whose handle was returned and not released."""
    msix: Msix = field(init=False)
    portal: Portal = field(init=False)
    queue: Queue = field(init=False)
    _interrupt: bool = False
    _code: int = 0
    _resetting: bool = False

    def __post_init__(self) -> None:
        entries: list[int | None] = [None, *(entry for entry, _ in self.description.vectors)]
        self.msix = Msix(self._send, [Vector(entry) for entry in entries])
        self.portal = Portal(lambda raw: self.chip.submit(self.description.wq, raw))
        self.queue = self.chip.queues[self.description.wq]
        self.mode = self.description.wq_mode

    # ---- the VM ----

    def _send(self, address: int, data: int) -> None:
        if self.attached:
            self.messages.append((address, data))

    def reachable_memory(self) -> Memory | None:
        return self.guest_memory if self.attached and self.config.bus_master else None

    def attach(self) -> None:
        self.attached = True
        self.portal.clear()

    def interrupt(self, vector: int) -> None:
        if vector < len(self.msix.vectors):
            self.msix.interrupt(vector)

    def error(self, error: Error) -> None:
        """A guest sees its own queue as WQ 0, and no host PASID."""
        shown = replace(error, wq=None if error.wq is None else 0, pasid=0)
        if self.swerror.record(shown) and self.genctrl & 1:
            self._cause(CAUSE_SWERR)

    def _cause(self, bits: int) -> None:
        if not self._resetting:
            self.causes.set(bits)
            self.msix.interrupt(0)

    # ---- accesses ----

    def write_config(self, offset: int, data: bytes) -> None:
        was_master = self.config.bus_master
        reset = self.config.write(offset, data)
        self._apply()
        if was_master and not self.config.bus_master:
            self._halt()
        if reset:
            self.reset()

    def _apply(self) -> None:
        config = self.config
        self.msix.function(
            enabled=config.msix_enabled, function_mask=config.function_mask, bus_master=config.bus_master
        )

    def _halt(self) -> None:
        """5.7, 5.8.2: unless it is Disabled, or on its way there by Reset Device."""
        resetting = self.command.active and self._code == 5
        if self.state in (DEVICE_DISABLED, DEVICE_HALTED) or resetting:
            return
        self.state = DEVICE_HALTED
        self.queue.start(lambda: None, disable=True, abort=True)
        self.error(Error(PCI_CONFIG_CHANGED))
        if self.genctrl & 2:
            self._cause(CAUSE_HALT)

    def write_portal(self, offset: int, data: bytes) -> None:
        if self.portal_open and len(data) in (1, 2, 4, 8, 64) and offset % len(data) == 0:
            self.portal.write(offset, data)

    def write(self, offset: int, size: int, value: int) -> None:
        if size not in (4, 8) or offset % size:
            return
        self._write(offset, value & 0xFFFFFFFF)
        if size == 8:
            self._write(offset + 4, value >> 32)

    def _write(self, offset: int, value: int) -> None:
        count, tables = len(self.msix.vectors), self.tables
        if offset == 0x88:
            self.genctrl = value & 7
        elif offset == 0x98:
            self.causes.clear(value)
        elif offset == 0xA0:
            self.write_command(value)
        elif offset == 0xC0:
            self.swerror.clear(value)
        elif offset == tables.queue + 4:
            self.threshold = value & 0xFFFF
        elif offset == tables.queue + 8:
            if self.queue.state == DISABLED:
                self.mode = self.mode & ~0x3FFFFF00 | value & 0x3FFFFF00
        elif tables.permissions <= offset < tables.permissions + 8 * count:
            if offset % 8 == 0:
                self._write_permissions((offset - tables.permissions) // 8, value)
        elif tables.msix <= offset < tables.msix + 16 * count:
            self.msix.write(offset - tables.msix, value)

    def _write_permissions(self, index: int, value: int) -> None:
        vector = self.msix.vectors[index]
        vector.permissions = value & 0xFFFFF00C
        if vector.entry is not None:
            self.chip.ims.entries[vector.entry].ignore = bool(value & 4)

    def pending_bits(self) -> int:
        """PBA: what waits here or in the IMS (7.5.4)."""
        entries = self.chip.ims.entries
        return sum(
            (v.pending or (v.entry is not None and entries[v.entry].pending)) << i
            for i, v in enumerate(self.msix.vectors)
        )

    def queue_words(self) -> tuple[int, int, int, int]:
        d = self.description
        status = self.queue.state << 30 | MODE_SUPPORT
        return d.wq_size | self.threshold << 32, self.mode | d.wq_limits << 32, 0, status

    # ---- resets ----

    def reset(self) -> None:
        """Function-level reset. Nobody is told of what ends by it."""
        self._resetting = True
        self.queue.start(lambda: None, disable=True, abort=True)
        self._retire()
        self.msix.clear()
        self.config.clear()
        self.portal.clear()
        self.state, self.genctrl = DEVICE_DISABLED, 0
        self.causes, self.command, self.swerror = IntCause(), CommandStatus(), SwError()
        self.threshold, self.mode = 0, self.description.wq_mode
        self._resetting = False

    def _retire(self) -> None:
        self.live.clear()
        for entry, _ in self.description.vectors:
            self.chip.ims.release(entry)
            self.chip.ims.entries[entry].ignore = False

    def _software_reset(self) -> None:
        """Reset Device: table 9-3, all but CMD, CMDSTATUS, SWERROR and the MSI-X table. The host's IMS is not the guest's."""
        self._retire()
        self.state, self.genctrl, self.causes = DEVICE_DISABLED, 0, IntCause()
        for vector in self.msix.vectors:
            vector.permissions, vector.pending = 0, False
        self._reset_queue()

    def _reset_queue(self) -> None:
        self.threshold, self.mode = 0, self.description.wq_mode

    # ---- commands ----

    def write_command(self, value: int) -> None:
        if self.command.active:
            self.error(Error(COMMAND_ACTIVE))
            return
        code, operand = value >> 20 & 0x1F, value & 0xFFFFF
        self.command.active = True
        self._code = code
        self._interrupt = bool(value >> 31)
        commands: dict[int, Callable[[int], None]] = {
            1: self._enable_device,
            2: self._disable_device,
            3: lambda _: self._on_queue(disable=False, abort=False),
            4: lambda _: self._on_queue(disable=False, abort=True),
            5: self._reset_device,
            6: self._enable_queue,
            7: lambda o: self._named(o, disable=True, abort=False),
            8: lambda o: self._named(o, disable=False, abort=False),
            9: lambda o: self._named(o, disable=False, abort=True),
            10: lambda o: self._named(o, disable=True, abort=True),
            13: self._request,
            14: self._release,
        }
        if code not in commands or not self.description.commands >> code & 1:
            self._finish({0x01})
        elif self.state == DEVICE_HALTED and code != 5:
            self._finish({HALTED})
        elif value & 0x7E000000 or (code <= 5 and operand):
            self._finish({0x04})
        else:
            commands[code](operand)

    def _finish(self, errors: set[int] | frozenset[int] = frozenset(), result: int = 0) -> None:
        self.command.finish(errors, result)
        if self._interrupt:
            self._cause(CAUSE_COMMAND)

    def _on_queue(self, *, disable: bool, abort: bool, then: Callable[[], None] = lambda: None) -> None:
        def end() -> None:
            if self.state == DEVICE_HALTED:  # in the meantime
                self._finish({PLATFORM})
                return
            then()
            self._finish()

        if self.queue.state == DISABLED and not (disable and abort):
            end()
        else:
            self.queue.start(end, disable=disable, abort=abort)

    def _enable_device(self, _: int) -> None:
        found = {0x10: self.state != DEVICE_DISABLED, 0x12: not self.config.bus_master}
        errors = {code for code, failed in found.items() if failed}
        if not errors:
            self.state = DEVICE_ENABLED
        self._finish(errors)

    def _disable_device(self, _: int) -> None:
        if self.state != DEVICE_ENABLED:
            self._finish({0x31})
            return
        self.state = DEVICE_DRAINING
        self._on_queue(disable=True, abort=False, then=self._disabled)

    def _disabled(self) -> None:
        self.state = DEVICE_DISABLED

    def _reset_device(self, _: int) -> None:
        self.state = DEVICE_DRAINING
        self._on_queue(disable=True, abort=True, then=self._software_reset)

    def _enable_queue(self, operand: int) -> None:
        found = {
            0x04: operand >> 8 != 0,
            0x02: operand & 0xFF != 0,
            0x20: self.state != DEVICE_ENABLED,
            0x26: bool(self.mode >> 28 & 1),
        }
        errors = {code for code, failed in found.items() if failed}
        if not errors:
            errors = self.chip.enable_queue(self.description.wq)
        self._finish(errors)

    def _named(self, operand: int, *, disable: bool, abort: bool) -> None:
        """Bit 0 is the only queue that there is."""
        resets = disable and abort
        errors = {0x02} if operand & ~1 else set()
        if operand & 1 and not operand >> 16 and not resets and self.queue.state != ENABLED:
            errors.add(0x32)
        if errors or not operand:
            self._finish(errors)
        else:
            self._on_queue(disable=disable, abort=abort, then=self._reset_queue if resets else lambda: None)

    # ---- handles ----

    def _request(self, operand: int) -> None:
        index = operand & 0xFFFF
        errors = {0x04} if operand >> 17 else set()
        if operand >> 16 & 1 or not 0 < index < len(self.msix.vectors):
            errors.add(0x41)
        if errors:
            self._finish(errors)
            return
        entry, handle = self.description.vectors[index - 1]
        self.chip.ims.request(entry)
        self.live.add(index)
        self._finish(result=handle)

    def _release(self, operand: int) -> None:
        if operand >> 17:
            self._finish({0x04, 0x41})
            return
        index = self._released_vector(operand)
        if index not in self.live:
            self._finish({0x41})
            return
        self.live.remove(index)
        self.chip.ims.release(self.description.vectors[index - 1][0])
        self._finish()

    def _released_vector(self, operand: int) -> int:
        handles = {self.description.vectors[index - 1][1]: index for index in self.live}
        is_index = 0 < operand <= len(self.description.vectors)
        if choices.GUEST_RELEASES_BY_HANDLE and not is_index:
            return handles.get(operand, 0)
        return operand
