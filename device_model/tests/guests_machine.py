"""The state machine of guests that do whatever they can, under a host that does what it should."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from device_model.tests.lockstep import Guest, Lockstep
from device_model.tests.model_inputs import (
    CRAV,
    DESTINATION,
    END,
    FENCE,
    FULL,
    LIST,
    RCI,
    RCR,
    RECORDS,
    SLOTS,
    SOURCE,
    VECTORS,
    codes,
    counts,
    descriptor,
    dwords,
    ends,
    fire_flags,
    flag,
    forged,
    gates,
    handles,
    interesting,
    lists,
    members,
    operands,
    places,
    portals,
    records,
    sizes,
    ways,
    which_guest,
    which_vector,
)


class Guests(RuleBasedStateMachine):
    """The host creates, destroys, masks and unmasks; guests do what they like; the engine works when it is told to."""

    strict = True

    def __init__(self) -> None:
        super().__init__()
        self.lockstep = Lockstep(SLOTS, self.strict)

    def teardown(self) -> None:
        try:
            self._end()
        finally:
            self.lockstep.close()

    def _end(self) -> None:
        """All that is queued is carried out, and nothing is left of anybody who is gone."""
        while self.lockstep.device.model.busy():
            self._step()
        self._before_destroy()
        for slot in range(SLOTS):
            self.lockstep.destroy(slot)
            self.lockstep.check(anybody=True)
        if self.strict:
            self.lockstep.check_wiped()

    def _before_destroy(self) -> None:
        """For a host that has something to put right."""

    def _guest(self, index: int) -> Guest | None:
        guests = self.lockstep.guests
        return guests[index % len(guests)] if guests else None

    def _handle(self, guest: Guest, kind: str) -> int:
        own = guest.mdev.handles
        others = [handle for other in self.lockstep.guests if other is not guest for handle in other.mdev.handles]
        found: dict[str, Sequence[int]] = {
            "own": own,
            "own 2": own[1:] or own,
            "other": others or own,
            "other 2": others[1:] or own,
            "stale": self.lockstep.stale or own,
            "free": [15],
            "last": [255],
            "outside": [256],
            "ones": [0xFFFF],
            "next": [own[-1] + 1],
        }
        return found[kind][0]

    def _step(self) -> bool:
        guest = self.lockstep.step()
        self.lockstep.check(guest)
        return guest is not None

    # ---- the start ----

    @initialize(vectors=st.tuples(*[st.integers(1, VECTORS)] * 3), started=st.integers(0, 7))
    def begin(self, vectors: tuple[int, int, int], started: int) -> None:
        for slot, count in enumerate(vectors):
            guest = self.lockstep.create(slot, count)
            if not started >> slot & 1:
                self.lockstep.start(guest)
        self.lockstep.check(anybody=True)

    # ---- the engine ----

    @rule(steps=st.integers(1, 4))
    def engine(self, steps: int) -> None:
        for _ in range(steps):
            self._step()

    @rule()
    def engine_until_idle(self) -> None:
        while self._step():
            pass

    # ---- the host ----

    @rule(slot=which_guest, vectors=st.integers(1, VECTORS), started=flag)
    def create(self, slot: int, vectors: int, started: bool) -> None:
        if self.lockstep.by_slot[slot]:
            return
        guest = self.lockstep.create(slot, vectors)
        if started:
            self.lockstep.start(guest)
        self.lockstep.check(guest)

    @rule(slot=which_guest, anew=flag)
    def destroy(self, slot: int, anew: bool) -> None:
        """And another in its place at once: it gets the same entries, and so the same handles."""
        if not self.lockstep.by_slot[slot]:
            return
        self._before_destroy()
        self.lockstep.destroy(slot)
        self.lockstep.check()
        if anew:
            guest = self.lockstep.create(slot, VECTORS)
            self.lockstep.start(guest)
            self.lockstep.check(guest)

    @rule(
        index=which_guest,
        vector=which_vector,
        what=st.sampled_from(["mask", "unmask", "mask", "unmask", "disarm", "release_handle"]),
    )
    def host_on_entry(self, index: int, vector: int, what: str) -> None:
        guest = self._guest(index)
        if guest:
            self.lockstep.end_host_command()
            interrupt = guest.mdev.interrupts[vector % len(guest.mdev.interrupts)]
            getattr(interrupt, what)()
            self.lockstep.check(guest)

    # ---- descriptors ----

    def _submitted(self, guest: Guest, run: bool) -> None:
        self.lockstep.check(guest)
        while run and self._step():
            pass

    @rule(index=which_guest, handle=handles, flags=fire_flags, record=records, word=forged, portal=portals, way=ways)
    def fire(
        self, index: int, handle: str, flags: int, record: int, word: int, portal: int, way: tuple[int, bool]
    ) -> None:
        """By No-op or Drain, carried out at once or not."""
        guest = self._guest(index)
        if guest:
            record = record if flags & CRAV else 0
            guest.vdev.store(portal, descriptor(way[0], flags, record, self._handle(guest, handle), word=word))
            self._submitted(guest, way[1])

    @rule(index=which_guest, handle=handles, count=st.integers(1, 5), run=flag)
    def fire_well(self, index: int, handle: str, count: int, run: bool) -> None:
        """Nothing wrong with it, but perhaps the handle."""
        guest = self._guest(index)
        if guest:
            for i in range(count):
                guest.vdev.store(0x1000, descriptor(0, FULL, RECORDS + 32 * i, self._handle(guest, handle)))
            self._submitted(guest, run)

    @rule(index=which_guest, handle=handles, flags=fire_flags, places=places, size=sizes, record=records, run=flag)
    def move(
        self, index: int, handle: str, flags: int, places: tuple[int, int], size: int, record: int, run: bool
    ) -> None:
        guest = self._guest(index)
        if guest:
            named = self._handle(guest, handle) if flags & RCI else 0
            record = record if flags & CRAV else 0
            guest.vdev.put(SOURCE, bytes((size + i) & 0xFF for i in range(64)))
            guest.vdev.store(0x1000, descriptor(3, flags, record, named, source=places[0], to=places[1], size=size))
            self._submitted(guest, run)

    @rule(index=which_guest, handle=handles, run=flag)
    def move_well(self, index: int, handle: str, run: bool) -> None:
        """Nothing wrong with it, but perhaps the handle."""
        guest = self._guest(index)
        if guest:
            named = self._handle(guest, handle)
            guest.vdev.put(SOURCE, bytes((named + i + 1) & 0xFF for i in range(64)))
            guest.vdev.store(0x1000, descriptor(3, FULL, RECORDS, named, source=SOURCE, to=DESTINATION, size=64))
            self._submitted(guest, run)

    @rule(index=which_guest, handle=handles, flags=fire_flags, kinds=members, count=counts, place=lists, run=flag)
    def batch(
        self, index: int, handle: str, flags: int, kinds: list[str], count: int | None, place: int, run: bool
    ) -> None:
        """Its own handle is any; so are its members'."""
        guest = self._guest(index)
        if not guest:
            return
        made = b"".join(self._member(guest, kind, number) for number, kind in enumerate(kinds))
        guest.vdev.put(LIST, made)
        guest.vdev.put(END - 128, made[:128])
        record = RECORDS + 32 * 7 if flags & CRAV else 0
        named = self._handle(guest, handle) if flags & RCI else 0
        size = len(kinds) if count is None else count
        guest.vdev.store(0x1000, descriptor(1, flags, record, named, source=place, size=size))
        self._submitted(guest, run)

    def _member(self, guest: Guest, kind: str, number: int) -> bytes:
        own, record = self._handle(guest, "own"), RECORDS + 32 * number
        if kind == "move":
            return descriptor(3, FULL, record, own, source=SOURCE, to=DESTINATION + 64 * number, size=64)
        if kind in ("other", "stale", "outside"):
            return descriptor(0, FULL, record, self._handle(guest, kind))
        return {
            "fire": descriptor(0, FULL, record, own),
            "fence": descriptor(0, CRAV | RCR | FENCE, record, 0),
            "fence and fire": descriptor(0, FULL | FENCE, record, own),
            "silent": descriptor(0, 0, 0, 0),
            "silent failure": descriptor(0x55, RCI, 0, own),
            "opcode": descriptor(0x55, FULL, record, own),
            "flags": descriptor(0, FULL | 1 << 22, record, own),
            "batch": descriptor(1, FULL, record, own, source=LIST, size=2),
            "drain": descriptor(2, FULL, record, own),
            "misaligned record": descriptor(0, FULL, record + 8, own),
            "record outside": descriptor(0, FULL, END, own),
        }[kind]

    @rule(index=which_guest, handle=handles, at=st.integers(0, 63), value=st.integers(0, 255), moves=flag)
    def malformed(self, index: int, handle: str, at: int, value: int, moves: bool) -> None:
        """One byte is anything."""
        guest = self._guest(index)
        if not guest:
            return
        raw = bytearray(descriptor(0, FULL, RECORDS, self._handle(guest, handle)))
        if moves:
            raw = bytearray(
                descriptor(3, FULL, RECORDS, self._handle(guest, handle), source=SOURCE, to=DESTINATION, size=100)
            )
        raw[at] = value
        if not self._known_operation(raw[7]):
            return
        guest.vdev.store(0x1000, bytes(raw))
        self._submitted(guest, True)

    def _known_operation(self, opcode: int) -> bool:
        """The model knows it, or the device does not have it."""
        known = opcode in self.lockstep.device.model.operations
        return known or not self.lockstep.device.read(0x40 + opcode // 64 * 8, 8) >> opcode % 64 & 1

    @rule(
        index=which_guest,
        portal=portals,
        first=st.integers(0, 7),
        count=st.integers(1, 9),
        odd=st.sampled_from([0, 0, 0, 1, 2, 4]),
    )
    def store_pieces(self, index: int, portal: int, first: int, count: int, odd: int) -> None:
        """Ascending, from any one on; perhaps a store of another size before the last."""
        guest = self._guest(index)
        if guest:
            raw = descriptor(0, FULL, RECORDS, self._handle(guest, "own"))
            for piece in range(first, first + count):
                at = piece % 8 * 8
                if odd and piece == first + count - 1:
                    guest.vdev.store(portal + at, bytes(odd))
                guest.vdev.store(portal + at, raw[at : at + 8])
            self.lockstep.check(guest)

    @rule(index=which_guest, at=st.sampled_from([SOURCE, SOURCE + 0x800, RECORDS, END - 64]), byte=st.integers(1, 255))
    def own_memory(self, index: int, at: int, byte: int) -> None:
        guest = self._guest(index)
        if guest:
            guest.vdev.put(at, bytes((byte + i) & 0xFF for i in range(64)))
            self.lockstep.check(guest)

    # ---- registers ----

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
