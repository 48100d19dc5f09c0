"""The state machine of a host that writes anything into the physical device, and of guests that do whatever they can.

Nobody is safe from such a host; but the device still does exactly what was written into it.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from device_model.tests.guests_machine import Guests
from device_model.tests.lockstep import WQS
from device_model.tests.model_inputs import FULL, RECORDS, descriptor, dwords, flag, which_guest, which_vector

which_entry = st.sampled_from([*range(16), 128, 255, 255])
which_queue = st.integers(0, WQS - 1)
controls = st.sampled_from([0, 1, 4, 5, 8, 9, 0xC, 0xD, 0xFFFFFFFF])
host_operands = st.sampled_from(
    [0, 1, 2, 3, 4, 7, 0x1F, 0x20, 0x11, 0x10001, 0x100, 0xFF, 0xFFFFF, 0x10003, 0x1000F, 0x100FF, 0x2FFFF]
)
host_codes = st.sampled_from([1, 2, 3, 4, 6, 7, 8, 9, 10, 13, 13, 13, 14, 14, 0, 11, 12, 15, 31])
host_registers = st.sampled_from(
    [
        0x88,
        0x98,
        0xC0,
        0x88,
        0x98,
        0xC0,
        0x1000C,
        0x00,
        0x10,
        0x80,
        0x88,
        0x90,
        0x98,
        0xA8,
        0xB0,
        0xC0,
        0xC8,
        0xE0,
        0x600,
        0x620,
        0x628,
        0x640,
        0xF000,
    ]
)


class Hosts(Guests):
    """Guests, and a host that may do wrong.

    What it did to the IOMMU is put right before an mdev goes: the library asks for that.
    """

    strict = False

    def __init__(self) -> None:
        super().__init__()
        self._crossed: set[int] = set()

    def _pasid(self, index: int) -> int:
        guest = self._guest(index)
        return guest.mdev.pasid if guest else index

    @rule(entry=which_entry, register=st.sampled_from([0, 4, 8]), value=dwords, wide=flag, upper=dwords)
    def write_message(self, entry: int, register: int, value: int, wide: bool, upper: int) -> None:
        base = self.lockstep.chip.ims_base + 16 * entry
        if wide:
            self.lockstep.device.write(base + register // 8 * 8, value | upper << 32, 8)
        else:
            self.lockstep.device.write(base + register, value)
        self.lockstep.check()

    @rule(entry=which_entry, owner=which_guest, control=controls, shown=st.sampled_from([0, 0, 0, 2, 0xFF0]))
    def write_control(self, entry: int, owner: int, control: int, shown: int) -> None:
        self.lockstep.parts.domain.store.write(entry, 12, self._pasid(owner) << 12 & 0xFFFFFFFF | control | shown)
        self.lockstep.check()

    @rule(code=host_codes, operand=host_operands, interrupt=flag)
    def host_command(self, code: int, operand: int, interrupt: bool) -> None:
        """Handles are of the IMS, but for some that name no table entry."""
        operand ^= 1 << 16 if code in (13, 14) else 0
        self.lockstep.device.write(0xA0, code << 20 | operand | interrupt << 31)
        self.lockstep.check()

    @rule(index=which_guest, code=st.sampled_from([7, 8, 9]))
    def command_while_the_host_drains(self, index: int, code: int) -> None:
        guest = self._guest(index)
        if guest:
            self.lockstep.start(guest)
            self.lockstep.end_host_command()
            guest.vdev.store(0x1000, descriptor(0, FULL, RECORDS, guest.mdev.handles[0]))
            self.lockstep.device.write(0xA0, 7 << 20 | 1 << guest.mdev.wq)
            guest.vdev.write(0xA0, code << 20 | 1)
            self.lockstep.check()

    @rule(
        queue=which_queue,
        owner=which_guest,
        flags=st.sampled_from([0x10000011, 0x11, 0x10000010, 0x30000011, 0x1000001F, 0]),
    )
    def queue_mode(self, queue: int, owner: int, flags: int) -> None:
        """Written whatever the state; taken only while it is disabled, so often after Reset WQ."""
        self._write_queue(queue, 2, self._pasid(owner) << 8 | flags)

    @rule(queue=which_queue, owner=which_guest, limits=st.sampled_from([0xB5, 0xB5, 0xB6, 0x15, 0xD5, 0x2C]))
    def queue_anew(self, queue: int, owner: int, limits: int) -> None:
        """Reset and given to whomever."""
        self.lockstep.device.write(0xA0, 10 << 20 | 1 << queue)
        self._write_queue(queue, 2, self._pasid(owner) << 8 | 0x10000011)
        self._write_queue(queue, 3, limits)

    @rule(queue=which_queue, dword=st.integers(0, 7), value=dwords)
    def queue_config(self, queue: int, dword: int, value: int) -> None:
        self._write_queue(queue, dword, value & 0xF if dword == 0 else value)

    def _write_queue(self, queue: int, dword: int, value: int) -> None:
        self.lockstep.device.write(self.lockstep.device.model.layout.queue_table + 32 * queue + 4 * dword, value)
        self.lockstep.check()

    @rule(offset=host_registers, value=dwords, size=st.sampled_from([4, 4, 4, 1, 2]))
    def host_register(self, offset: int, value: int, size: int) -> None:
        """Or just beyond the store."""
        beyond = self.lockstep.chip.ims_base + 16 * 256
        at = offset if offset < 0x10000 else beyond + offset - 0x10000
        self.lockstep.device.write(at, value & (1 << 8 * size) - 1, size)
        self.lockstep.check()

    @rule(index=which_guest, bound=flag)
    def pasid_entry(self, index: int, bound: bool) -> None:
        guest = self._guest(index)
        if guest and bound:
            self.lockstep.device.pasid_set(guest.mdev.pasid, guest.vdev)
        elif guest:
            self.lockstep.device.pasid_clear(guest.mdev.pasid)
        self.lockstep.check()

    @rule(index=which_guest, vector=which_vector, other=which_guest, to=which_vector, clear=flag)
    def remap_elsewhere(self, index: int, vector: int, other: int, to: int, clear: bool) -> None:
        guest, target = self._guest(index), self._guest(other)
        if not guest or not target:
            return
        entry = guest.remaps[vector % len(guest.mdev.handles)]
        if clear:
            self.lockstep.device.remap_clear(entry)
        else:
            self.lockstep.device.remap_set(entry, target.vdev, to)
            self._crossed.add(entry)
        self.lockstep.check()

    def _uncross(self) -> None:
        for guest in self.lockstep.guests:
            for vector, entry in enumerate(guest.remaps, start=1):
                if entry in self._crossed:
                    self.lockstep.device.remap_set(entry, guest.vdev, vector)
        self._crossed.clear()

    def _before_destroy(self) -> None:
        self._uncross()

    @rule()
    @precondition(lambda self: self.lockstep.device.model.state == 0)
    def configure(self) -> None:
        """The device anew, and every mdev's part of it, as the host makes it."""
        self._again()

    @rule(sure=st.sampled_from([False, False, False, True]), index=which_guest, vector=which_vector, asked=flag)
    def reset_device(self, sure: bool, index: int, vector: int, asked: bool) -> None:
        """And a handle of before: it is good no more, unless it is asked for again."""
        if not sure:
            return
        guest = self._guest(index)
        if guest:
            self.lockstep.start(guest)
        self.lockstep.end_host_command()
        self.lockstep.device.write(0xA0, 5 << 20)
        self.lockstep.check()
        self._again()
        if guest:
            number = vector % len(guest.mdev.handles)
            guest.vdev.write(0xA0, 6 << 20)
            if asked:
                guest.vdev.write(0xA0, 13 << 20 | number + 1)
            guest.vdev.store(0x1000, descriptor(0, FULL, RECORDS, guest.mdev.handles[number]))
            self._submitted(guest, True)

    def _again(self) -> None:
        self.lockstep.configure()
        self.lockstep.check()
