"""Whatever call to the machine fails while interrupts are allocated or freed: nothing is lost, given twice or left behind."""

from __future__ import annotations

import pytest

from device_model.errors import DeviceError
from host_ctl.interrupts import StoreExhausted
from host_ctl.tests.interrupt_rig import LOCAL, ON_DEMAND, PART, InjectedError, Rig, each_of


def calls_of_allocation(rig: Rig, count: int) -> int:
    """How many calls that can fail an allocation makes; it is undone."""
    rig.device.log.clear()
    block = rig.block(2, count)
    calls = len(rig.device.log)
    rig.domains.free_block(block)
    return calls


@each_of(LOCAL)
def test_failure_at_each_call_of_an_allocation_leaves_nothing(rig: Rig) -> None:
    rig.block(1, 3)
    before = rig.state()
    calls = calls_of_allocation(rig, PART)

    for number in range(calls):
        rig.device.failing = number
        with pytest.raises(InjectedError):
            rig.block(2, PART)
        assert rig.state() == before, f"call {number} of {calls}"
    assert calls >= 4
    assert len(rig.block(2, PART).entries) == PART


@each_of(ON_DEMAND)
@pytest.mark.parametrize("missing", range(4))
def test_host_memory_that_runs_out_at_any_page_is_a_typed_error_and_leaves_nothing(
    rig: Rig, missing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory, and each of three pages of entries."""
    rig.block(1, 3)
    before = rig.state()
    left = iter(range(missing))
    real = rig.device.memory_page

    def memory_page() -> int:
        if next(left, None) is None:
            raise DeviceError("no host memory is left")
        return real()

    monkeypatch.setattr(rig.device, "memory_page", memory_page)
    with pytest.raises(StoreExhausted, match=r"no page for the interrupts of mdev 2 .*destroy an mdev"):
        rig.block(2, 600)
    assert rig.state() == before
    monkeypatch.undo()
    assert len(rig.block(2, 600).entries) == 600


def test_failure_at_each_call_of_freeing_is_made_good_by_freeing_again(rig: Rig) -> None:
    rig.block(1, 3)
    before = rig.state()
    block, _ = rig.programmed(2, 3)
    rig.device.log.clear()
    rig.domains.free_block(block)
    calls = len(rig.device.log)

    for number in range(calls):
        block, _ = rig.programmed(2, 3)
        rig.device.failing = number
        with pytest.raises(InjectedError):
            rig.domains.free_block(block)
        rig.domains.free_block(block)
        assert rig.state() == before, f"call {number} of {calls}"
    assert calls >= 6


def test_what_could_not_be_cleared_is_given_to_nobody(rig: Rig) -> None:
    block, _ = rig.programmed(1, 2)
    entries = list(block.entries)
    rig.device.failing = 0
    with pytest.raises(InjectedError):
        rig.domains.free_block(block)
    others = [rig.block(number, PART) for number in range(2, 8)]

    assert rig.domains.in_use == 2 + 6 * PART
    assert all(set(other.entries).isdisjoint(entries) for other in others)
