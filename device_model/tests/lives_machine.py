"""The part of the state machines that is the host's and the engine's: mdevs that come and go."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from device_model.tests.lockstep import Guest, Lockstep
from device_model.tests.model_inputs import (
    SLOTS,
    VECTORS,
    flag,
    which_guest,
    which_vector,
)


class Lives(RuleBasedStateMachine):
    """Mdevs come and go, entries are masked and unmasked, the engine works when it is told to."""

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

    def _submitted(self, guest: Guest, run: bool) -> None:
        self.lockstep.check(guest)
        while run and self._step():
            pass
