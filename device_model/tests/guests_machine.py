"""The state machine of guests that do whatever they can, under a host that does what it should."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from device_model.tests.descriptors_machine import Descriptors
from device_model.tests.lockstep import Guest
from device_model.tests.model_inputs import (
    CRAV,
    END,
    FULL,
    RECORDS,
    codes,
    descriptor,
    dwords,
    ends,
    flag,
    gates,
    handles,
    interesting,
    operands,
    which_guest,
    which_vector,
)


class Guests(Descriptors):
    """Registers, commands, interrupts held back, resets, a VM that goes and comes."""

    @rule(index=which_guest, code=codes, operand=operands, interrupt=flag)
    def command(self, index: int, code: int, operand: int, interrupt: bool) -> None:
        guest = self._guest(index)
        if guest:
            guest.vdev.write(0xA0, code << 20 | operand | interrupt << 31)
            self.lockstep.check(guest)

    @rule(index=which_guest, enable=st.sampled_from([(1, 6), (2, 1, 6), (9, 6), (10, 6), (7, 6), (5, 1, 6)]))
    def enable(self, index: int, enable: tuple[int, ...]) -> None:
        """What it takes to go on, after this or that."""
        guest = self._guest(index)
        if guest:
            for code in enable:
                guest.vdev.write(0xA0, code << 20 | (1 if code >= 7 else 0))
            self.lockstep.check(guest)

    @rule(
        index=which_guest,
        release=flag,
        by_handle=flag,
        vector=which_vector,
        handle=handles,
        more=st.sampled_from([0, 0, 0, 1, 2, 8]),
    )
    def handle_command(self, index: int, release: bool, by_handle: bool, vector: int, handle: str, more: int) -> None:
        guest = self._guest(index)
        if guest:
            operand = self._handle(guest, handle) if by_handle else vector
            guest.vdev.write(0xA0, (13 + release) << 20 | operand | more << 16)
            self.lockstep.check(guest)

    @rule(index=which_guest, vector=which_vector)
    def use_released(self, index: int, vector: int) -> None:
        """A handle that was good a moment ago."""
        guest = self._guest(index)
        if guest:
            number = vector % len(guest.mdev.handles)
            guest.vdev.store(0x1000, descriptor(0, FULL, RECORDS, guest.mdev.handles[number]))
            guest.vdev.write(0xA0, 14 << 20 | number + 1)
            guest.vdev.store(0x1000, descriptor(0, FULL, RECORDS + 32, guest.mdev.handles[number]))
            self._submitted(guest, True)

    @rule(index=which_guest, offset=interesting, size=st.sampled_from([4, 4, 4, 8, 1, 2]), value=dwords, upper=dwords)
    def register(self, index: int, offset: int, size: int, value: int, upper: int) -> None:
        guest = self._guest(index)
        if guest:
            whole = (value | upper << 32) & (1 << 8 * size) - 1
            guest.vdev.write(offset // size * size, whole, size)
            self.lockstep.check(guest)

    @rule(index=which_guest, clear=st.sampled_from([1, 1, 2, 3, 0]))
    def errors(self, index: int, clear: int) -> None:
        """Two, and one more when software has cleared this of SWERROR."""
        guest = self._guest(index)
        if guest:
            for _ in range(2):
                guest.vdev.store(0x1000, descriptor(0, CRAV, RECORDS + 8, 0))
            self._submitted(guest, True)
            guest.vdev.write(0xC0, clear)
            guest.vdev.store(0x1000, descriptor(0, CRAV, END, 0))
            self._submitted(guest, True)

    # ---- interrupts ----

    @rule(index=which_guest, vector=which_vector, register=st.sampled_from([12, 12, 12, 0, 4, 8]), value=dwords)
    def vector_register(self, index: int, vector: int, register: int, value: int) -> None:
        guest = self._guest(index)
        if guest:
            guest.vdev.write(guest.vdev.model.tables.msix + 16 * vector + register, value)
            self.lockstep.check(guest)

    @rule(index=which_guest, vector=which_vector, gate=gates, end=ends)
    def held_back(self, index: int, vector: int, gate: str, end: str) -> None:
        """An interrupt that has to wait for something, which may never come."""
        guest = self._guest(index)
        if not guest:
            return
        number = vector % len(guest.mdev.handles)
        self.lockstep.end_host_command()
        self._gate(guest, number, gate, closed=True)
        self.lockstep.check(guest)
        for i in range(2):
            guest.vdev.store(0x1000, descriptor(0, FULL, RECORDS + 32 * i, guest.mdev.handles[number]))
        self._submitted(guest, True)
        if end == "open":
            self._gate(guest, number, gate, closed=False)
        elif end == "release":
            guest.vdev.write(0xA0, 14 << 20 | number + 1)
        elif end == "ignore":
            guest.vdev.write(guest.vdev.model.tables.permissions + 8 * (number + 1), 4)
        self.lockstep.check(guest)

    @staticmethod
    def _gate(guest: Guest, number: int, gate: str, *, closed: bool) -> None:
        interrupt = guest.mdev.interrupts[number]
        if gate in ("ims", "disarmed") and not closed:
            interrupt.unmask()
        elif gate == "ims":
            interrupt.mask()
        elif gate == "disarmed":
            interrupt.disarm()
        elif gate == "vector":
            guest.vdev.write(guest.vdev.model.tables.msix + 16 * (number + 1) + 12, int(closed))
        elif gate == "function":
            guest.vdev.write_config(0x83, bytes([0xC0 if closed else 0x80]))
        elif gate == "disabled":
            guest.vdev.write_config(0x83, bytes([0x00 if closed else 0x80]))

    @rule(index=which_guest, vector=which_vector, value=st.sampled_from([0, 4, 4, 8, 0xC, 0xFFFFFFFF]))
    def permissions(self, index: int, vector: int, value: int) -> None:
        guest = self._guest(index)
        if guest:
            guest.vdev.write(guest.vdev.model.tables.permissions + 8 * vector, value)
            self.lockstep.check(guest)

    @rule(
        index=which_guest,
        what=st.sampled_from([(0x83, 0x80), (0x83, 0xC0), (0x83, 0x40), (0x83, 0), (4, 6), (4, 6), (4, 2), (4, 4)]),
    )
    def function(self, index: int, what: tuple[int, int]) -> None:
        """MSI-X enable and function mask, bus master."""
        self._write_config(index, what[0], bytes([what[1]]))

    @rule(
        index=which_guest,
        offset=st.sampled_from([0, 2, 4, 6, 0x10, 0x14, 0x18, 0x24, 0x34, 0x3C, 0x40, 0x48, 0x80, 0x83, 0x84, 0xF8]),
        data=st.binary(min_size=1, max_size=8),
    )
    def any_config(self, index: int, offset: int, data: bytes) -> None:
        self._write_config(index, offset, data)

    def _write_config(self, index: int, offset: int, data: bytes) -> None:
        guest = self._guest(index)
        if guest:
            guest.vdev.write_config(offset, data)
            self.lockstep.check(guest)

    # ---- resets, and a VM that goes and comes ----

    @rule(index=which_guest, how=st.sampled_from(["function", "vmm"]), start=flag)
    def reset(self, index: int, how: str, start: bool) -> None:
        guest = self._guest(index)
        if guest:
            if how == "function":
                guest.vdev.write_config(0x48, b"\x00\x80")
            else:
                guest.vdev.reset()
            if start:
                self.lockstep.start(guest)
            self.lockstep.check(guest)

    @rule(index=which_guest, attach=flag)
    def vm(self, index: int, attach: bool) -> None:
        guest = self._guest(index)
        if guest:
            if attach and not guest.vdev.model.attached:
                guest.vdev.attach()
            elif not attach:
                guest.vdev.detach()
            self.lockstep.check(guest)
