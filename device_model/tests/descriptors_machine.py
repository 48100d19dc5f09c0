"""The part of the state machines that submits descriptors: right ones, and any others."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from device_model.tests.lives_machine import Lives
from device_model.tests.lockstep import Guest
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
    SOURCE,
    around,
    counts,
    descriptor,
    failing,
    fences,
    fire_flags,
    flag,
    forged,
    handles,
    lists,
    members,
    named_members,
    places,
    portals,
    records,
    sizes,
    ways,
    which_guest,
)


class Descriptors(Lives):
    """Guests store to their portals whatever they like, whole or in pieces."""

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

    @rule(index=which_guest, kinds=named_members, run=flag)
    def batch_well(self, index: int, kinds: list[str], run: bool) -> None:
        """Nothing wrong with it, but perhaps the handles of its members."""
        guest = self._guest(index)
        if guest:
            guest.vdev.put(LIST, b"".join(self._member(guest, kind, number) for number, kind in enumerate(kinds)))
            record = RECORDS + 32 * len(kinds)
            guest.vdev.store(0x1000, descriptor(1, CRAV | RCR, record, 0, source=LIST, size=len(kinds)))
            self._submitted(guest, run)

    @rule(index=which_guest, kind=failing, fence=fences, before=around, between=around, after=around)
    def fenced(
        self, index: int, kind: str, fence: str, before: list[str], between: list[str], after: list[str]
    ) -> None:
        """Perhaps a failure, and then a fence: with nothing else wrong."""
        guest = self._guest(index)
        if guest:
            kinds = [*before, kind, *between, fence, *after]
            guest.vdev.put(RECORDS, bytes(32 * (len(kinds) + 1)))
            guest.vdev.put(LIST, b"".join(self._member(guest, name, number) for number, name in enumerate(kinds)))
            record = RECORDS + 32 * len(kinds)
            guest.vdev.store(0x1000, descriptor(1, CRAV | RCR, record, 0, source=LIST, size=len(kinds)))
            self._submitted(guest, True)

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
