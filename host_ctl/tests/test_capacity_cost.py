"""Cost: what is timed is what was meant, in a store as full as it says; how much is done does not depend on how full it is."""

from __future__ import annotations

from ctypes import CDLL

import pytest

from host_ctl.capacity.cost import SAMPLE, measure_costs
from host_ctl.capacity.driver import MeasurementFailed, load_driver
from host_ctl.capacity.filled import SAMPLE_WQ, Filled
from host_ctl.comparison import Combination
from host_ctl.interrupts import Subdevice
from host_ctl.tests.capacity_rig import SEVEN, calls_of

ARRAY, TABLE, QUEUE = Combination("array", "device"), Combination("table", "device"), Combination("queue", "vm")
each = pytest.mark.parametrize("combination", SEVEN, ids=str)


@pytest.fixture(scope="module")
def library() -> CDLL:
    return load_driver()


# ---- a store that is filled ----


@each
def test_filled_store_has_as_many_vectors_in_use_as_asked_for(combination: Combination, library: CDLL) -> None:
    with Filled(combination, 1500, library) as filled:
        assert (filled.reached, filled.domains.in_use, filled.why) == (1500, 1500, "")


def test_store_that_is_full_says_what_refused_more(library: CDLL) -> None:
    with Filled(ARRAY, 20_000, library) as filled:
        assert filled.reached == 16_128
        assert "0 of 16128 are free" in filled.why


@each
def test_freeing_everything_brings_all_counters_back_to_zero(combination: Combination, library: CDLL) -> None:
    with Filled(combination, 1500, library) as filled:
        empty = dict.fromkeys(filled.domains.store.roots(), 0)
        while filled.vms:
            filled.remove_last()

        assert (filled.domains.in_use, filled.ids.in_use, filled.domains.dirty_entries()) == (0, 0, [])
        assert filled.domains.store.roots() == empty


@each
def test_each_interrupt_leaves_out_of_its_owners_entry(combination: Combination, library: CDLL) -> None:
    with Filled(combination, 1500, library) as filled:
        assert len(filled.fire(filled.vms, 300)) == 300


def test_interrupt_that_does_not_leave_fails_the_measurement(library: CDLL) -> None:
    with Filled(TABLE, 16, library) as filled:
        for vm in filled.vms:
            vm.block.interrupts[0].disarm()

        with pytest.raises(MeasurementFailed, match="came to interrupt remapping"):
            filled.fire(filled.vms, 200)


def test_owners_that_share_a_work_queue_take_turns(library: CDLL) -> None:
    with Filled(TABLE, 8 * 300, library, block=8) as filled:
        groups = filled.groups()
        for group in groups:
            filled.turn_to(group)
            filled.fire(group, 50)

        assert [len(group) for group in groups] == [SAMPLE_WQ, 300 - SAMPLE_WQ]


# ---- how much is done ----


@each
def test_as_much_is_done_for_a_block_in_a_full_store_as_in_an_empty_one(combination: Combination, library: CDLL) -> None:
    def life(filled: Filled, number: int) -> None:
        block = filled.domains.allocate_block(Subdevice(f"sample {number}", filled.ids.allocate(), SAMPLE_WQ), SAMPLE)
        for _ in range(SAMPLE):
            block.parcel().program(0xFEE0_0010, 0)
        filled.free(block)

    done = []
    for vectors in (16, 1900):
        with Filled(combination, vectors, library) as filled:
            life(filled, 0)
            done.append(calls_of(lambda filled=filled: life(filled, 1)))  # type: ignore[misc]

    assert done[0] == done[1]
    assert done[0].total() > 20 * SAMPLE


# ---- costs ----


def test_costs_say_how_many_vectors_there_could_be(library: CDLL) -> None:
    told: list[str] = []

    measured = measure_costs(ARRAY, (1000, 65_536), library, told.append, rounds=2)

    reached = {(cost.operation, cost.vectors): (cost.reached, bool(cost.why)) for cost in measured.costs}
    assert set(reached.values()) == {(1000, False), (16_128, True)}
    assert len(reached) == 6
    assert all(cost.p50_ns and cost.p99_ns and cost.p50_ns <= cost.p99_ns for cost in measured.costs)
    assert any("filling" in line for line in told)


def test_fire_is_compared_with_an_array_of_as_many_vectors_where_there_is_one(library: CDLL) -> None:
    measured = measure_costs(QUEUE, (1000,), library, lambda _: None, rounds=2)

    beside = [(ratio.vectors, ratio.to) for ratio in measured.ratios if ratio.to.startswith("array")]
    assert beside == [(1000, "array/device with 1,000"), (16_128, "array/device with 16,128")]
    assert all(ratio.ratio > 0 for ratio in measured.ratios)
