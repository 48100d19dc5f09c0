"""PASIDs and VM_IDs are handed out in a circle, once each, and exhaustion is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_ctl.interrupts.vm_id import VmIdAllocator, VmIdExhausted
from host_ctl.pasid import MAX_PASID, PasidAllocator, PasidExhausted


def test_pasid_that_was_freed_comes_back_last() -> None:
    pasids = PasidAllocator(1, 4)
    first = pasids.allocate()
    pasids.free(first)

    assert [pasids.allocate() for _ in range(4)] == [2, 3, 4, first]


def test_pasids_in_use_are_passed_over() -> None:
    pasids = PasidAllocator(1, 4)
    held = [pasids.allocate() for _ in range(4)]
    pasids.free(held[2])

    assert pasids.allocate() == held[2]


def test_exhaustion_is_a_typed_error_and_takes_nothing() -> None:
    pasids = PasidAllocator(1, 2)
    pasids.allocate()
    second = pasids.allocate()

    with pytest.raises(PasidExhausted, match="destroy an mdev"):
        pasids.allocate()
    assert pasids.in_use == 2
    pasids.free(second)
    assert pasids.allocate() == second


def test_circle_goes_over_the_end_of_20_bits() -> None:
    pasids = PasidAllocator(MAX_PASID - 1)
    held = pasids.allocate(), pasids.allocate()
    pasids.free(held[0])

    assert held == (MAX_PASID - 1, MAX_PASID)
    assert pasids.allocate() == MAX_PASID - 1


@pytest.mark.parametrize("pasid", [0, 1, 99])
def test_freeing_what_was_not_handed_out_is_refused(pasid: int) -> None:
    with pytest.raises(ValueError, match="not in use"):
        PasidAllocator().free(pasid)


def test_freeing_twice_is_refused() -> None:
    pasids = PasidAllocator()
    pasid = pasids.allocate()
    pasids.free(pasid)

    with pytest.raises(ValueError, match="not in use"):
        pasids.free(pasid)


@pytest.mark.parametrize(("first", "last"), [(0, 5), (-1, 5), (5, 4), (1, MAX_PASID + 1)])
def test_range_that_holds_the_hosts_own_or_no_pasid_is_refused(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="20 bits"):
        PasidAllocator(first, last)


@given(st.lists(st.integers(0, 7), max_size=200))
def test_no_pasid_is_ever_held_twice(frees: list[int]) -> None:
    """After each allocation one of those held may go; the allocator is always nearly full."""
    pasids = PasidAllocator(1, 8)
    held = [pasids.allocate() for _ in range(8)]
    for index in frees:
        pasids.free(held.pop(index))
        held.append(pasids.allocate())

        assert sorted(held) == list(range(1, 9))
        assert pasids.in_use == 8


def test_vm_ids_are_12_bits_in_a_circle_without_the_hosts_own() -> None:
    vm_ids = VmIdAllocator()
    held = [vm_ids.allocate() for _ in range(4095)]

    assert (held, vm_ids.left) == (list(range(1, 4096)), 0)
    with pytest.raises(VmIdExhausted, match="all 4095 VM_IDs are in use"):
        vm_ids.allocate()
    with pytest.raises(ValueError, match="12 bits"):
        VmIdAllocator(1, 4096)


def test_vm_id_that_was_freed_comes_back_last() -> None:
    vm_ids = VmIdAllocator(1, 3)
    vm_ids.free(vm_ids.allocate())

    assert [vm_ids.allocate() for _ in range(3)] == [2, 3, 1]
