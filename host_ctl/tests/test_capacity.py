"""Capacity: what is taken until it is refused, what a vector takes, and how steps are counted."""

from __future__ import annotations

import pytest

from host_ctl.capacity import measure_capacity, steps_that_must_be_right
from host_ctl.capacity.bounds import MDEV_VECTORS, most_of_a_device, most_of_a_vm, use_up
from host_ctl.capacity.footprint import footprint
from host_ctl.capacity.sizes import largest, most_entries
from host_ctl.comparison import Cell, Combination, FaultRow, Group, Outcome
from host_ctl.interrupts import Organisation
from host_ctl.tests.capacity_rig import SEVEN, small

ARRAY, ARRAY_VM = Combination("array", "device"), Combination("array", "vm")
TABLE, QUEUE, MSIX = Combination("table", "device"), Combination("queue", "device"), Combination("msix", "device")
BOUNDED = [one for one in SEVEN if one.store != "queue"]


# ---- how many ----


@pytest.mark.parametrize("combination", BOUNDED, ids=str)
def test_all_entries_of_a_bounded_store_can_be_given_out_and_not_one_more(combination: Combination) -> None:
    most = most_of_a_device(combination, small(combination))

    assert most is not None
    assert most.vectors == 256
    assert " 0 of " in most.refusal


def test_store_in_host_memory_has_no_number_of_vectors() -> None:
    assert most_of_a_device(QUEUE) is None


@pytest.mark.parametrize(
    ("combination", "vectors", "refusal"),
    [
        (ARRAY_VM, 2048, "VM's part"),
        (TABLE, 2048, "table"),
        (QUEUE, 65_536, "handle tells 65536 apart"),
        (MSIX, 2047, "2047 of 2047 are free"),
    ],
    ids=str,
)
def test_one_vm_gets_so_many_vectors_and_is_refused_one_more(
    combination: Combination, vectors: int, refusal: str
) -> None:
    most = most_of_a_vm(combination)

    assert most.vectors == vectors
    assert str(vectors + 1) in most.refusal
    assert refusal in most.refusal


def test_largest_devices_are_as_large_as_the_specification_allows() -> None:
    entries = {organisation: most_entries(organisation) for organisation in Organisation}

    assert {largest(organisation).num_wqs for organisation in Organisation} == {255}
    assert list(entries.values()) == [16_128, 1 << 21, None, 2047]


# ---- a host that is used up ----


def test_mdevs_of_a_central_domain_leave_what_smaller_ones_can_have() -> None:
    used = use_up(ARRAY, 100, small(ARRAY))

    assert (used.mdevs, used.vectors, used.reserved) == (2, 200, 0)
    assert used.refusal.startswith("StoreExhausted: mdev 3 needs 100")
    assert (used.small, used.small_refusal) == (6, "WqsExhausted: all 8 work queues are in use: destroy an mdev first")


def test_domains_of_vms_keep_what_they_do_not_use_from_others() -> None:
    used = use_up(ARRAY_VM, 100, small(ARRAY_VM))

    assert (used.mdevs, used.vectors, used.reserved, used.small) == (2, 200, 56, 0)
    assert "part of 128 entries" in used.refusal


def test_pages_of_a_queue_are_for_256_vectors_and_a_directory() -> None:
    used = use_up(QUEUE, 100, small(QUEUE))

    assert (used.mdevs, used.host_pages, used.reserved) == (8, 16, 8 * (256 - 100))
    assert used.refusal.startswith("WqsExhausted")


# ---- what a vector takes ----


@pytest.mark.parametrize("combination", SEVEN, ids=str)
def test_books_take_less_for_each_vector_of_a_larger_vm(combination: Combination) -> None:
    few, many = footprint(combination, 1), footprint(combination, 512)

    assert 0 < many.books < few.books


def test_device_keeps_for_a_vector_what_its_organisation_needs() -> None:
    device = {str(one): round(footprint(one, 100).device, 2) for one in SEVEN}

    assert device == {
        "array/device": 16, "array/vm": 20.48, "table/device": 20.68, "table/vm": 20.68, "queue/device": 0.16, "queue/vm": 0.16,
        "msix/device": 24.12,
    }  # fmt: skip


def test_only_a_queue_takes_pages_of_host_memory() -> None:
    pages = {str(one): footprint(one, 1).storage for one in SEVEN}

    assert {one: taken for one, taken in pages.items() if taken} == {"queue/device": 8192, "queue/vm": 8192}


def test_capacity_of_a_device_tells_what_refused_and_what_else_bounds_it() -> None:
    capacity = measure_capacity(MSIX)

    assert (capacity.vectors_device, capacity.vectors_vm, capacity.steps) == (2047, 2047, None)
    assert capacity.exhaustion.startswith(f"StoreExhausted: mdev 21 needs {MDEV_VECTORS}")
    assert "65,536 interrupt remapping entries" in capacity.bound_by
    assert "255 work queues" in capacity.bound_by


# ---- steps ----


def row(name: str, group: Group) -> FaultRow:
    return FaultRow(id=name, group=group, title=name, what=name)


def cell(row: str, combination: Combination, outcome: Outcome) -> Cell:
    return Cell(row=row, combination=combination, outcome=outcome, why="so it was", seconds=0.0)


def test_steps_are_the_mistakes_of_the_host_that_reach_another_vm() -> None:
    rows = [row("wrong-id", "host"), row("not-cleared", "host"), row("forged", "guest"), row("no-check", "hardware")]
    cells = [
        cell("wrong-id", ARRAY, "leaked"), cell("not-cleared", ARRAY, "denied"), cell("forged", ARRAY, "leaked"),
        cell("no-check", ARRAY, "leaked"), cell("wrong-id", TABLE, "contained"), cell("not-cleared", TABLE, "harmed_own"),
    ]  # fmt: skip

    assert steps_that_must_be_right(cells, rows) == {ARRAY: 2, TABLE: 0}
