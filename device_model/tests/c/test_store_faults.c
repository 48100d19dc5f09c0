/*
 * test_store_faults.c - each defect that can be planted into a message store (core/fault.h) shows in every organisation that has
 * the place for it, and in no other. Built with VDSA_PLANTED_FAULTS.
 */
#include "store_rig.h"

static struct store_rig rig;

enum { NONE = 0, ARRAY = 1 << STORE_ARRAY, TABLE = 1 << STORE_TABLE, QUEUE = 1 << STORE_QUEUE, MSIX = 1 << STORE_MSIX };

static void plant(enum planted_fault fault)
{
	store_plant_fault(rig.store, fault);
	if (rig.msix)
		msix_plant_fault(rig.msix, fault);
}

static uint16_t mine(uint32_t n)
{
	return store_rig_handle(&rig, 1, n);
}

static bool granted(uint32_t wq, uint16_t handle, bool pasid_enable, uint8_t flags)
{
	const struct witness witness = { .pasid = PASID_BASE + wq, .wq = (uint16_t)wq, .handle = handle, .flags = flags };

	return (rig.msix ? msix_check(rig.msix, &witness, pasid_enable) : store_check(rig.store, &witness, pasid_enable)) == REFUSAL_NONE;
}

/* ---- what must not be, and is with one defect or another ---- */

static bool entry_of_another_pasid_is_taken(void)
{
	store_rig_give(&rig, 1, 3, PASID_BASE + 2);
	return granted(1, mine(3), true, 0);
}

static bool entry_of_another_pasid_is_taken_for_a_member(void)
{
	store_rig_give(&rig, 1, 3, PASID_BASE + 2);
	return granted(1, mine(3), true, LEDGER_F_MEMBER);
}

/* array, queue, msix: PASID Enable differs. table: a work queue without Valid, and a VM object without. */
static bool what_is_not_enabled_is_taken(void)
{
	bool taken;

	if (rig.organisation != STORE_TABLE)
		return granted(1, mine(3), false, 0);
	store_write(rig.store, 4, 4, 8);
	taken = granted(1, mine(3), true, 0);
	store_write(rig.store, 4, 4, TABLE_WQ_VALID | 8);
	store_write(rig.store, TABLE_OBJECTS + 8 * TABLE_OBJECT_STRIDE + TABLE_OBJECT_CTRL, 4, 0);
	CHECK(store_request_handle(rig.store, store_rig_entry(&rig, 1, 3)));
	return granted(1, mine(3), true, 0) && taken;
}

static bool refused_use_becomes_pending(void)
{
	store_rig_mask(&rig, 1, 3, true);
	CHECK(store_release_handle(rig.store, store_rig_entry(&rig, 1, 3)));
	(void)granted(1, mine(3), true, 0);
	return store_rig_pending(&rig, 1, 3);
}

static bool masked_entry_sends(void)
{
	store_rig_mask(&rig, 1, 3, true);
	store_rig_raise(&rig, 1, mine(3));
	return rig.messages > 0;
}

static bool released_handle_is_taken(void)
{
	CHECK(store_release_handle(rig.store, store_rig_entry(&rig, 1, 3)));
	return granted(1, mine(3), true, 0);
}

/* array and msix: the index wraps to entry 3 of the owner. table: it reaches into the next machine's. */
static bool handle_behind_the_end_is_taken(void)
{
	store_rig_arm(&rig, 2, 3, 1);
	switch (rig.organisation) {
	case STORE_TABLE:
		return granted(1, STORE_HANDLES + 3, true, 0);
	case STORE_QUEUE:
		return granted(1, 256 + 3, true, 0) || granted(1, 0xFF03, true, 0);
	default:
		return granted(1, (uint16_t)(256 + mine(3)), true, 0);
	}
}

struct sign {
	bool (*shows)(void);
	enum planted_fault fault;
	unsigned where;
};

static const struct sign signs[] = {
	{ entry_of_another_pasid_is_taken, FAULT_PASID_CHECK_SKIPPED, ARRAY | QUEUE | MSIX },
	{ entry_of_another_pasid_is_taken_for_a_member, FAULT_MEMBER_PASID_SKIPPED, ARRAY | QUEUE | MSIX },
	{ entry_of_another_pasid_is_taken_for_a_member, FAULT_PASID_CHECK_SKIPPED, ARRAY | QUEUE | MSIX },
	{ what_is_not_enabled_is_taken, FAULT_PASID_ENABLE_IGNORED, ARRAY | TABLE | QUEUE | MSIX },
	{ refused_use_becomes_pending, FAULT_PENDING_ON_REFUSAL, ARRAY | TABLE | QUEUE | MSIX },
	{ masked_entry_sends, FAULT_MASK_IGNORED, ARRAY | TABLE | QUEUE | MSIX },
	{ released_handle_is_taken, FAULT_HANDLE_STATE_IGNORED, ARRAY | TABLE | QUEUE | MSIX },
	{ handle_behind_the_end_is_taken, FAULT_BOUND_UNCHECKED, ARRAY | TABLE | MSIX },
};

/* No entry of a table has a PASID: what is planted into its comparison changes nothing, and the entry is its machine's. */
static bool has_pasids(bool (*shows)(void))
{
	return rig.organisation != STORE_TABLE ||
	       (shows != entry_of_another_pasid_is_taken && shows != entry_of_another_pasid_is_taken_for_a_member);
}

static bool shown(enum organisation organisation, const struct sign *sign, enum planted_fault fault)
{
	bool is;

	store_rig_make(&rig, organisation);
	store_rig_arm(&rig, 1, 3, 1);
	plant(fault);
	is = has_pasids(sign->shows) && sign->shows();
	store_rig_drop(&rig);
	return is;
}

static bool is_due(const struct sign *sign, enum planted_fault fault, unsigned which)
{
	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (signs[i].shows == sign->shows && signs[i].fault == fault && (signs[i].where & which))
			return true;
	return false;
}

static void each_defect_shows_where_it_can_and_nowhere_else(void)
{
	for (int organisation = STORE_ARRAY; organisation <= STORE_MSIX; organisation++)
		for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
			for (int fault = FAULT_NONE; fault <= FAULT_BOUND_UNCHECKED; fault++) {
				const bool due = is_due(&signs[i], (enum planted_fault)fault, 1u << organisation);

				if (shown((enum organisation)organisation, &signs[i], (enum planted_fault)fault) != due) {
					fprintf(stderr, "organisation %d, sign %zu, fault %d\n", organisation, i, fault);
					exit(1);
				}
			}
}

static void table_sends_to_its_machine_whatever_is_planted_into_pasids(void)
{
	const enum planted_fault faults[] = { FAULT_NONE, FAULT_PASID_CHECK_SKIPPED, FAULT_MEMBER_PASID_SKIPPED };

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		store_rig_make(&rig, STORE_TABLE);
		store_rig_arm(&rig, 1, 3, 1);
		plant(faults[i]);
		for (uint32_t handle = 0; handle <= 0xFFFF; handle++)
			CHECK_EQUAL(granted(1, (uint16_t)handle, true, LEDGER_F_MEMBER), handle == 3);
		store_rig_raise(&rig, 1, 3);
		CHECK_EQUAL(rig.last.entry, store_rig_entry(&rig, 1, 3));
		store_rig_drop(&rig);
	}
}

int main(void)
{
	RUN(each_defect_shows_where_it_can_and_nowhere_else);
	RUN(table_sends_to_its_machine_whatever_is_planted_into_pasids);
	return 0;
}
