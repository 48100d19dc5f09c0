"""Each planted fault is noticed, by a finding of the kind that it should lead to; with no fault planted there is none."""

from __future__ import annotations

import pytest

from guest_tests.arena import Arena
from guest_tests.planted import FAULTS, Fault
from guest_tests.scenarios import test_delivery, test_forged_batches, test_forgery, test_hotplug, test_masking

NOTICED_BY = {
    "pasid-check-skipped": [test_forgery.test_handles_of_other_guests_are_refused_and_their_owners_stay_silent],
    "pasid-enable-ignored": [test_forgery.test_disarmed_entry_refuses_its_owner_and_strangers],
    "check-after-execution": [test_forgery.test_refused_memmove_writes_nothing],
    "pending-on-refusal": [test_masking.test_forged_handle_leaves_a_victim_masked_by_the_host_without_pending],
    "mask-ignored": [test_masking.test_entry_masked_by_the_host_keeps_one_interrupt_until_unmasked],
    "handle-state-ignored": [test_forgery.test_released_handle_is_refused_until_it_is_requested_again],
    "batch-member-not-checked": [test_forged_batches.test_forged_handles_in_a_batch_are_refused_and_its_other_members_run],
    "slot-not-cleared": [test_hotplug.test_unplugged_guest_keeps_no_way_to_fire],
    "slot-given-twice": [test_delivery.test_every_vector_reaches_its_owner_and_nobody_else],
    "remap-elsewhere": [test_delivery.test_every_vector_reaches_its_owner_and_nobody_else],
    "foreign-handle-returned": [test_delivery.test_every_vector_reaches_its_owner_and_nobody_else],
}
"""Fault -> scenarios that should notice it. Plugging itself fires and is watched too."""


async def test_without_a_fault_nothing_is_found(arena: Arena) -> None:
    """The control of the controls: else a broken harness would "notice" everything."""
    scenarios = list(dict.fromkeys(scenario for chosen in NOTICED_BY.values() for scenario in chosen))

    run = await arena.run(None, scenarios)

    assert run.findings == {}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
async def test_planted_fault_is_noticed(arena: Arena, fault: Fault) -> None:
    run = await arena.run(fault, NOTICED_BY[fault.id])

    assert run.caught_by(fault), f"missed; found instead: {run.findings or 'nothing'}"
