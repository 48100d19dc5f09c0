"""Blocks of interrupts, in every organisation and scope: who gets entries, which, and what is left when there are none."""

from __future__ import annotations

import pytest

from host_ctl.errors import HostError
from host_ctl.interrupts import NoOwnerId, Organisation, Scope, StoreExhausted, Subdevice, VectorBlock
from host_ctl.tests.interrupt_rig import BOUNDED, ENTRIES, GLOBAL, LOCAL, ON_DEMAND, PART, WQS, Rig, each_of

PARTS = [pair for pair in BOUNDED if pair[0] is Organisation.TABLE or pair[1] is Scope.VM]
WHOLE = [pair for pair in BOUNDED if pair not in PARTS]
VM = [pair for pair in (*BOUNDED, *LOCAL) if pair[1] is Scope.VM]


def test_subdevice_without_an_id_gets_no_interrupts(rig: Rig) -> None:
    before = rig.state()

    with pytest.raises(NoOwnerId, match=str(rig.store.facts.id_kind)):
        rig.domains.allocate_block(Subdevice("mdev 1", wq=1), 1)
    assert rig.state() == before


def test_entries_belong_to_one_block_and_handles_are_distinct_within_it(rig: Rig) -> None:
    blocks = [rig.block(number, PART) for number in (1, 2, 3)]
    entries = [entry for block in blocks for entry in block.entries]

    assert len(set(entries)) == 3 * PART == rig.domains.in_use
    assert all(len(set(block.handles)) == PART for block in blocks)
    assert all(0 <= handle < 1 << 16 for block in blocks for handle in block.handles)


@each_of(LOCAL)
def test_owners_of_storage_of_their_own_have_the_same_handles(rig: Rig) -> None:
    first, second = rig.block(1, 3), rig.block(2, 3)

    assert first.handles == second.handles == [0, 1, 2]
    assert set(first.entries).isdisjoint(second.entries)


@each_of(GLOBAL)
def test_handles_of_one_row_of_entries_are_the_entries_numbers(rig: Rig) -> None:
    first, second = rig.block(1, 3), rig.block(2, 3)

    assert (first.handles, second.handles) == (first.entries, second.entries)


def test_second_block_of_an_owner_is_refused_and_takes_nothing(rig: Rig) -> None:
    rig.block(1)
    before = rig.state()

    with pytest.raises(HostError, match="mdev 1 has"):
        rig.block(1)
    assert rig.state() == before


def test_owner_can_have_a_block_again_when_it_has_freed_its_own(rig: Rig) -> None:
    rig.domains.free_block(rig.block(1, 3))

    assert len(rig.block(1, 5).entries) == 5


def test_block_parcels_out_each_entry_once(rig: Rig) -> None:
    block = rig.block(1, 3)
    interrupts = [block.parcel() for _ in range(3)]

    assert [(i.entry, i.handle) for i in interrupts] == list(zip(block.entries, block.handles, strict=True))
    with pytest.raises(StoreExhausted, match="all 3"):
        block.parcel()


@each_of(WHOLE)
def test_exhaustion_of_entries_is_a_typed_error_and_takes_nothing(rig: Rig) -> None:
    rig.block(1, ENTRIES - 3)
    before = rig.state()

    with pytest.raises(StoreExhausted, match="3 of 256 are free"):
        rig.block(2, 4)
    assert rig.state() == before
    assert len(rig.block(2, 3).entries) == 3


@each_of(PARTS)
def test_more_than_a_part_holds_is_a_typed_error_and_takes_nothing(rig: Rig) -> None:
    before = rig.state()

    with pytest.raises(StoreExhausted, match=f"has {PART}"):
        rig.block(1, PART + 1)
    assert rig.state() == before


@each_of(PARTS)
def test_exhaustion_of_parts_is_a_typed_error_and_takes_nothing(rig: Rig) -> None:
    for number in range(ENTRIES // PART):
        rig.domains.allocate_block(Subdevice(f"mdev {number}", number + 1, number % WQS), 1)
    before = rig.state()

    with pytest.raises(StoreExhausted, match="0 of 16 are free"):
        rig.domains.allocate_block(Subdevice("one more", 1000, 0), 1)
    assert rig.state() == before


@each_of(ON_DEMAND)
def test_storage_on_demand_has_no_bound_but_the_width_of_a_handle(rig: Rig) -> None:
    before = rig.state()
    block = rig.block(1, 1 << 16)
    pages, handles = rig.store.roots()["host_memory_pages"], set(block.handles)
    rig.domains.free_block(block)

    assert pages == 1 + 256
    assert handles == set(range(1 << 16))
    assert rig.state() == before
    with pytest.raises(StoreExhausted, match="65536"):
        rig.block(1, (1 << 16) + 1)


@each_of(BOUNDED)
def test_capacity_is_what_can_be_handed_out_in_the_end(rig: Rig) -> None:
    """Of mdevs with 5 vectors until there is place for none: each takes what it leaves of its part from all others."""
    number, lost = 0, []
    while rig.domains.available(5):
        rig.domains.allocate_block(Subdevice(f"mdev {number}", number + 1, number % WQS), 5)
        lost.append(ENTRIES - (rig.domains.capacity or 0))
        number += 1

    in_parts = (rig.store.ORGANISATION, rig.domains.SCOPE) in PARTS
    assert lost == [(PART - 5) * (taken + 1) if in_parts else 0 for taken in range(number)]
    assert number == (ENTRIES // PART if in_parts else ENTRIES // 5)
    assert rig.domains.in_use == 5 * number
    with pytest.raises(StoreExhausted):
        rig.domains.allocate_block(Subdevice("one more", 1000, 0), 5)


def test_freeing_a_block_twice_gives_nothing_back_twice(rig: Rig) -> None:
    first, second = rig.block(1), rig.block(2)
    rig.domains.free_block(first)
    rig.domains.free_block(first)
    third = rig.block(3, PART)

    assert rig.domains.in_use == 2 + PART
    assert set(third.entries).isdisjoint(second.entries)


def test_what_was_freed_last_is_given_out_first(rig: Rig) -> None:
    """The hardest case for those who come next: they get what the last owner had."""
    rig.block(1)
    block = rig.block(2, 3)
    entries = list(block.entries)
    rig.domains.free_block(block)

    assert set(rig.block(2, 3).entries) == set(entries)


@each_of(VM)
def test_domain_of_a_vm_cannot_hand_out_what_is_not_its_own(rig: Rig) -> None:
    victim, own = rig.block(1, 2), rig.block(2, PART)
    before = rig.state()

    with pytest.raises(StoreExhausted):
        own.domain.allocate_block(rig.owner(3), 1)
    assert rig.state() == before
    assert set(own.entries).isdisjoint(victim.entries)


@each_of(VM)
def test_domain_of_a_vm_gives_its_part_back_when_it_goes(rig: Rig) -> None:
    before = rig.state()
    blocks: list[VectorBlock] = [rig.block(number) for number in (1, 2, 3)]
    for block in blocks:
        rig.domains.free_block(block)

    assert rig.state() == before


@pytest.mark.parametrize("number", [1, 2])
def test_blocks_of_others_stay_as_they_are_when_one_is_freed(rig: Rig, number: int) -> None:
    blocks = {n: rig.programmed(n) for n in (1, 2, 3)}
    freed = blocks.pop(number)[0]
    seen = [(i.message, i.control) for _, interrupts in blocks.values() for i in interrupts]
    rig.domains.free_block(freed)

    assert [(i.message, i.control) for _, interrupts in blocks.values() for i in interrupts] == seen
