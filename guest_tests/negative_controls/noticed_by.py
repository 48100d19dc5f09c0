"""Which scenarios have to notice which planted fault."""

from __future__ import annotations

from guest_tests.controls import Scenario
from guest_tests.scenarios import (
    test_delivery,
    test_forged_batches,
    test_forgery,
    test_hotplug,
    test_masking,
    test_storage,
)

NOTICED_BY: dict[str, list[Scenario]] = {
    "pasid-check-skipped": [
        test_forgery.test_handles_of_other_guests_are_refused_and_their_owners_stay_silent,
        test_storage.test_guest_is_refused_at_storage_that_is_not_its_own_any_more,
    ],
    "pasid-enable-ignored": [
        test_forgery.test_disarmed_entry_refuses_its_owner_and_strangers,
        test_storage.test_guest_is_refused_at_storage_that_is_not_its_own_any_more,
    ],
    "check-after-execution": [test_forgery.test_refused_memmove_writes_nothing],
    "pending-on-refusal": [test_masking.test_forged_handle_leaves_a_victim_masked_by_the_host_without_pending],
    "mask-ignored": [test_masking.test_entry_masked_by_the_host_keeps_one_interrupt_until_unmasked],
    "handle-state-ignored": [test_forgery.test_released_handle_is_refused_until_it_is_requested_again],
    "batch-member-not-checked": [
        test_forged_batches.test_forged_handles_in_a_batch_are_refused_and_its_other_members_run,
        test_storage.test_guest_is_refused_at_storage_that_is_not_its_own_any_more,
    ],
    "bound-unchecked": [test_forgery.test_handles_out_of_range_are_refused],
    "wrong-id-programmed": [],
    "wrong-pasid-in-queue": [],
    "freed-without-drain": [test_storage.test_descriptors_in_flight_at_unplug_interrupt_nobody_else],
    "id-reused-in-flight": [test_storage.test_descriptors_in_flight_at_unplug_interrupt_nobody_else],
    "slot-given-twice": [test_delivery.test_every_vector_reaches_its_owner_and_nobody_else],
    "part-given-twice": [test_delivery.test_every_vector_reaches_its_owner_and_nobody_else],
    "foreign-handle-returned": [],
    "foreign-portal-mapped": [],
    "remap-elsewhere": [],
    "slot-not-cleared": [test_hotplug.test_interrupt_pending_at_unplug_does_not_come_to_the_next_owner],
    "freed-while-referenced": [],
    "exhaustion-is-slot-0": [test_storage.test_mdev_that_finds_no_room_is_refused_and_nobody_loses_an_interrupt],
}
"""Fault -> scenarios that should notice it. Plugging itself fires and is watched, and so is what is left after unplugging."""
