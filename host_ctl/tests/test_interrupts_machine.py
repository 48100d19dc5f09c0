"""Random histories of interrupt domains against a plain model, for every organisation and scope, on a real device."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from host_ctl.interrupts import COMBINATIONS, Organisation, Scope, StoreExhausted, VectorBlock
from host_ctl.tests.interrupt_rig import ADDRESS, DATA, ENTRIES, PART, WQS, InjectedError, Rig, name_of

EXAMPLES = int(os.environ.get("VDSA_EXAMPLES", "25"))
PAGE = 256
which = st.integers(0, WQS - 1)
how_many = st.one_of(st.integers(1, PART), st.sampled_from([PART + 1, 100, ENTRIES, ENTRIES + 1, 513]))


class Domains(RuleBasedStateMachine):
    """The model: owner -> how many entries it has. What an allocation must answer follows from that alone."""

    organisation = Organisation.ARRAY
    scope = Scope.DEVICE

    def __init__(self) -> None:
        super().__init__()
        self.rig = Rig(self.organisation, self.scope)
        self.blocks: dict[int, VectorBlock] = {}
        self.sizes: dict[int, int] = {}

    def teardown(self) -> None:
        for block in self.blocks.values():
            self.rig.domains.free_block(block)
        try:
            assert self.rig.domains.in_use == 0
            assert not any(self.rig.store.roots().values())
        finally:
            self.rig.device.close()

    def _available(self, vectors: int) -> int | None:
        """How many more owners can have so many."""
        if self.organisation is Organisation.QUEUE:
            return None
        if self._parts_are_cut():
            return ENTRIES // PART - len(self.blocks) if vectors <= PART else 0
        return (ENTRIES - sum(self.sizes.values())) // vectors

    def _fits(self, count: int) -> bool:
        return self._available(count) != 0

    def _parts_are_cut(self) -> bool:
        return self.organisation is Organisation.TABLE or self.scope is Scope.VM

    @rule(number=which, count=how_many)
    def allocate(self, number: int, count: int) -> None:
        if number in self.blocks:
            return
        if not self._fits(count):
            with pytest.raises(StoreExhausted):
                self.rig.block(number, count)
            return
        self._keep(number, self.rig.block(number, count), count)

    def _keep(self, number: int, block: VectorBlock, count: int) -> None:
        assert len(block.entries) == len(block.handles) == count
        self.blocks[number], self.sizes[number] = block, count

    @rule(number=which)
    def program(self, number: int) -> None:
        block = self.blocks.get(number)
        while block and len(block.interrupts) < len(block.places):
            block.parcel().program(ADDRESS, DATA)

    @rule(number=which)
    def free(self, number: int) -> None:
        block = self.blocks.pop(number, None)
        if block is not None:
            del self.sizes[number]
            self.rig.domains.free_block(block)
            self.rig.domains.free_block(block)

    @rule(number=which, count=st.integers(1, PART), call=st.integers(0, 60))
    def allocate_with_a_failure(self, number: int, count: int, call: int) -> None:
        """A call fails, if it comes to that: then nothing has happened."""
        if number in self.blocks or not self._fits(count):
            return
        before = self.rig.state()
        self.rig.device.failing = call
        try:
            self._keep(number, self.rig.block(number, count), count)
        except InjectedError:
            assert self.rig.state() == before
        finally:
            self.rig.device.failing = None

    @rule(number=which, call=st.integers(0, 60))
    def free_with_a_failure(self, number: int, call: int) -> None:
        """What is not freed stays its owner's; freeing again goes on where it stopped."""
        block = self.blocks.get(number)
        if block is None:
            return
        self.rig.device.failing = call
        try:
            self.rig.domains.free_block(block)
        except InjectedError:
            self.rig.device.failing = None
            self.rig.domains.free_block(block)
        finally:
            self.rig.device.failing = None
        del self.blocks[number], self.sizes[number]

    @invariant()
    def nothing_is_given_twice(self) -> None:
        entries = [entry for block in self.blocks.values() for entry in block.entries]
        assert len(set(entries)) == len(entries) == sum(self.sizes.values())
        for block in self.blocks.values():
            assert len(set(block.handles)) == len(block.handles)
        if not self.rig.store.facts.local_handles:
            assert all(block.handles == block.entries for block in self.blocks.values())

    @invariant()
    def counters_are_exact(self) -> None:
        domains, taken = self.rig.domains, sum(self.sizes.values())
        lost = len(self.blocks) * PART - taken if self._parts_are_cut() else 0
        bounded = self.organisation is not Organisation.QUEUE
        assert domains.in_use == taken
        assert domains.capacity == (ENTRIES - lost if bounded else None)
        for vectors in (1, PART, PART + 1):
            assert domains.available(vectors) == self._available(vectors)

    @invariant()
    def hardware_has_what_the_books_have(self) -> None:
        owners = len(self.blocks)
        pages = owners + sum(-(-size // PAGE) for size in self.sizes.values())
        assert self.rig.domains.store.roots() == {
            Organisation.TABLE: {"queue_roots": owners, "vm_objects": owners},
            Organisation.QUEUE: {"queue_roots": owners, "host_memory_pages": pages},
        }.get(self.organisation, {})

    @invariant()
    def what_is_free_is_clean(self) -> None:
        assert self.rig.domains.dirty_entries() == []


@pytest.mark.parametrize("pair", COMBINATIONS, ids=name_of)
def test_no_entry_is_given_twice_and_no_counter_wrong_whatever_happens(pair: tuple[Organisation, Scope]) -> None:
    machine = type("Machine", (Domains,), {"organisation": pair[0], "scope": pair[1]})

    run_state_machine_as_test(machine, settings=settings(max_examples=EXAMPLES, stateful_step_count=20, deadline=None))
