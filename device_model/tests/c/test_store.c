/* test_store.c - the promises of core/store.h, one function each, over all organisations that make them. One thread. */
#include <string.h>

#include "store_rig.h"

static struct store_rig rig;

/* The body once for each organisation. */
#define EACH                                                                                                     \
	for (int each_ = STORE_ARRAY; each_ <= STORE_MSIX && (store_rig_make(&rig, (enum organisation)each_), 1); \
	     store_rig_drop(&rig), each_++)

static uint16_t mine(uint32_t n)
{
	return store_rig_handle(&rig, 1, n);
}

static void check_last(uint8_t kind, uint8_t reason, uint32_t entry)
{
	const struct ledger_record record = store_rig_record(&rig);

	CHECK_EQUAL(record.kind, kind);
	CHECK_EQUAL(record.reason, reason);
	CHECK_EQUAL(record.entry, entry);
}

/* ---- in all organisations ---- */

static void own_handle_is_granted_and_sends_once_from_its_entry(void)
{
	uint8_t kinds[16];

	EACH {
		store_rig_arm(&rig, 1, 3, 0xCAFE);
		CHECK_EQUAL(store_rig_check(&rig, 1, mine(3)), REFUSAL_NONE);
		CHECK_EQUAL(rig.messages, 0);
		store_rig_raise(&rig, 1, mine(3));
		CHECK_EQUAL(rig.messages, 1);
		CHECK(rig.last.address == MSI_ADDRESS_BASE && rig.last.data == 0xCAFE);
		CHECK_EQUAL(rig.last.entry, store_rig_entry(&rig, 1, 3));
		CHECK_EQUAL(rig.last.witness.requester, 2);
		CHECK_EQUAL(store_rig_kinds(&rig, kinds), 2);
		CHECK(kinds[0] == LEDGER_GRANTED && kinds[1] == LEDGER_FIRED);
	}
}

static void masked_entry_keeps_one_interrupt_and_sends_it_at_unmask(void)
{
	uint8_t kinds[16];

	EACH {
		store_rig_arm(&rig, 1, 3, 0xCAFE);
		store_rig_mask(&rig, 1, 3, true);
		for (unsigned i = 0; i < 3; i++)
			store_rig_raise(&rig, 1, mine(3));
		CHECK(store_rig_pending(&rig, 1, 3));
		CHECK_EQUAL(rig.messages, 0);
		store_rig_mask(&rig, 1, 3, false);
		store_rig_mask(&rig, 1, 3, false);
		CHECK_EQUAL(rig.messages, 1);
		CHECK_EQUAL(rig.last.data, 0xCAFE);
		CHECK(!store_rig_pending(&rig, 1, 3));
		CHECK_EQUAL(store_rig_kinds(&rig, kinds), 4);
		CHECK(kinds[0] == LEDGER_PENDED && kinds[2] == LEDGER_PENDED && kinds[3] == LEDGER_FIRED);
	}
}

static void ignored_interrupt_is_dropped_and_not_remembered(void)
{
	EACH {
		store_rig_arm(&rig, 1, 3, 1);
		store_set_ignore(rig.store, store_rig_entry(&rig, 1, 3), true);
		store_rig_raise(&rig, 1, mine(3));
		check_last(LEDGER_IGNORED, 0, store_rig_entry(&rig, 1, 3));
		store_set_ignore(rig.store, store_rig_entry(&rig, 1, 3), false);
		store_rig_mask(&rig, 1, 3, false);
		CHECK_EQUAL(rig.messages, 0);
		store_rig_raise(&rig, 1, mine(3));
		CHECK_EQUAL(rig.messages, 1);
	}
}

static void handle_is_good_from_request_to_release_and_nothing_stays_pending(void)
{
	EACH {
		const uint32_t entry = store_rig_entry(&rig, 1, 3);

		store_rig_arm(&rig, 1, 3, 1);
		store_rig_mask(&rig, 1, 3, true);
		store_rig_raise(&rig, 1, mine(3));
		CHECK(store_release_handle(rig.store, entry));
		CHECK(!store_rig_pending(&rig, 1, 3));
		CHECK_EQUAL(store_rig_check(&rig, 1, mine(3)), REFUSAL_NOT_REQUESTED);
		check_last(LEDGER_REFUSED, REFUSAL_NOT_REQUESTED, entry);
		CHECK(store_request_handle(rig.store, entry));
		CHECK_EQUAL(store_rig_check(&rig, 1, mine(3)), REFUSAL_NONE);
		store_rig_mask(&rig, 1, 3, false);
		CHECK_EQUAL(rig.messages, 0);
	}
}

static void refusal_leaves_a_masked_entry_without_pending(void)
{
	EACH {
		store_rig_arm(&rig, 1, 3, 1);
		store_rig_mask(&rig, 1, 3, true);
		CHECK(store_release_handle(rig.store, store_rig_entry(&rig, 1, 3)));
		CHECK(store_rig_check(&rig, 1, mine(3)) != REFUSAL_NONE);
		CHECK(!store_rig_pending(&rig, 1, 3));
	}
}

static void no_handle_of_65536_leads_to_entries_of_another(void)
{
	EACH {
		for (uint32_t wq = 0; wq < STORE_WQS; wq++)
			for (uint32_t n = 0; n < STORE_HANDLES; n++)
				store_rig_arm(&rig, wq, n, wq);
		for (uint32_t handle = 0; handle <= 0xFFFF; handle++) {
			if (store_rig_check(&rig, 1, (uint16_t)handle) != REFUSAL_NONE)
				continue;
			store_rig_raise(&rig, 1, (uint16_t)handle);
			CHECK_EQUAL(rig.last.data, 1);
		}
		CHECK_EQUAL(rig.messages, STORE_HANDLES);
	}
}

static void entries_that_there_are_not_cannot_be_named(void)
{
	EACH {
		CHECK(!store_has_entry(rig.store, UINT32_MAX));
		CHECK(!store_request_handle(rig.store, UINT32_MAX));
		CHECK(!store_release_handle(rig.store, UINT32_MAX));
		CHECK(!store_pending(rig.store, UINT32_MAX));
		store_set_ignore(rig.store, UINT32_MAX, true);
		store_wait_sent(rig.store, UINT32_MAX);
		CHECK(store_has_entry(rig.store, store_rig_entry(&rig, 1, STORE_HANDLES - 1)));
	}
	CHECK(!store_has_entry(NULL, 0));
	CHECK_EQUAL(store_size(NULL), 0);
}

static void vector_of_the_device_itself_is_nobodys_entry(void)
{
	store_rig_make(&rig, STORE_MSIX);
	CHECK(!store_has_entry(rig.store, 0));
	CHECK(!store_request_handle(rig.store, 0));
	CHECK(store_has_entry(rig.store, 255) && !store_has_entry(rig.store, 256));
	CHECK_EQUAL(store_rig_check(&rig, 1, 0), REFUSAL_NOT_REQUESTED);
	CHECK_EQUAL(store_size(rig.store), 0);
	store_rig_drop(&rig);
}

static void registers_outside_and_odd_accesses_do_nothing(void)
{
	EACH {
		const uint64_t end = store_size(rig.store);

		for (unsigned size = 0; size <= 16; size++)
			store_write(rig.store, end, size, UINT64_MAX);
		CHECK_EQUAL(store_read(rig.store, end, 8), 0);
		CHECK_EQUAL(store_read(rig.store, UINT64_MAX - 7, 8), 0);
		store_write(rig.store, UINT64_MAX - 3, 4, UINT64_MAX);
		for (uint64_t at = 0; at < 16; at++) {
			store_write(rig.store, at, 2, UINT64_MAX);
			CHECK_EQUAL(store_read(rig.store, at, 2), 0);
			CHECK_EQUAL(at % 4 ? store_read(rig.store, at, 4) : 0, 0);
		}
	}
}

static void reset_forgets_owners_and_what_was_pending(void)
{
	EACH {
		store_rig_arm(&rig, 1, 3, 1);
		store_rig_mask(&rig, 1, 3, true);
		store_rig_raise(&rig, 1, mine(3));
		if (rig.msix)
			msix_reset_permissions(rig.msix);
		store_reset(rig.store);
		CHECK(store_rig_check(&rig, 1, mine(3)) != REFUSAL_NONE);
		CHECK_EQUAL(rig.messages, 0);
		if (rig.organisation != STORE_QUEUE)
			CHECK(!store_rig_pending(&rig, 1, 3));
	}
}

/* ---- between check and raise ---- */

static void check_vanished(uint8_t reason, uint32_t entry)
{
	store_rig_raise(&rig, 1, mine(3));
	check_last(LEDGER_VANISHED, reason, entry);
	CHECK_EQUAL(rig.messages, 0);
}

static void make_checked(enum organisation organisation)
{
	store_rig_make(&rig, organisation);
	store_rig_arm(&rig, 1, 3, 0xCAFE);
	CHECK_EQUAL(store_rig_check(&rig, 1, mine(3)), REFUSAL_NONE);
}

static void array_and_msix_send_to_whoever_holds_the_entry_by_then(void)
{
	for (int which = STORE_ARRAY; which <= STORE_MSIX; which += STORE_MSIX - STORE_ARRAY) {
		make_checked((enum organisation)which);
		store_rig_give(&rig, 1, 3, PASID_BASE + 2);
		store_rig_raise(&rig, 1, mine(3));
		CHECK_EQUAL(rig.messages, 1);
		CHECK_EQUAL(rig.last.data, 0xBAD);
		CHECK_EQUAL(store_rig_check(&rig, 1, mine(3)), REFUSAL_PASID);
		store_rig_drop(&rig);
	}
}

static void released_between_check_and_raise_vanishes(void)
{
	for (int which = STORE_TABLE; which <= STORE_QUEUE; which++) {
		make_checked((enum organisation)which);
		CHECK(store_release_handle(rig.store, store_rig_entry(&rig, 1, 3)));
		check_vanished(REFUSAL_NOT_REQUESTED, store_rig_entry(&rig, 1, 3));
		store_rig_mask(&rig, 1, 3, true);
		check_vanished(REFUSAL_NOT_REQUESTED, store_rig_entry(&rig, 1, 3));
		CHECK(!store_rig_pending(&rig, 1, 3));
		store_rig_drop(&rig);
	}
}

static void table_taken_away_between_check_and_raise_vanishes(void)
{
	make_checked(STORE_TABLE);
	store_write(rig.store, TABLE_OBJECTS + 8 * TABLE_OBJECT_STRIDE + TABLE_OBJECT_CTRL, 4, 0);
	check_vanished(REFUSAL_NO_STORAGE, UINT32_MAX);
	store_rig_drop(&rig);
	make_checked(STORE_TABLE);
	store_write(rig.store, 4, 4, 8);
	check_vanished(REFUSAL_NO_STORAGE, UINT32_MAX);
	store_rig_drop(&rig);
	make_checked(STORE_TABLE);
	store_rig_table(&rig, 8, 48, 3, true);
	check_vanished(REFUSAL_OUT_OF_RANGE, UINT32_MAX);
	store_rig_drop(&rig);
}

/* No ID is in the entry: a work queue is given to another machine when it is disabled, and not before. */
static void table_leads_to_the_machine_that_the_queue_has_by_then(void)
{
	make_checked(STORE_TABLE);
	store_rig_arm(&rig, 2, 3, 0xBEEF);
	store_write(rig.store, 4, 4, TABLE_WQ_VALID | 9);
	store_rig_raise(&rig, 1, mine(3));
	CHECK_EQUAL(rig.last.data, 0xBEEF);
	store_rig_drop(&rig);
}

static void queue_that_leads_nowhere_between_check_and_raise_vanishes(void)
{
	const uint64_t none = 0;

	make_checked(STORE_QUEUE);
	store_write(rig.store, QUEUE_CONTEXT_STRIDE + QUEUE_CTRL, 4, 0);
	check_vanished(REFUSAL_NO_STORAGE, UINT32_MAX);
	store_rig_drop(&rig);
	make_checked(STORE_QUEUE);
	CHECK(host_memory_write(rig.memory, rig.directory[1], &none, 8));
	check_vanished(REFUSAL_NO_STORAGE, UINT32_MAX);
	store_rig_drop(&rig);
	make_checked(STORE_QUEUE);
	CHECK_EQUAL(host_memory_free(rig.memory, rig.directory[1]), 0);
	check_vanished(REFUSAL_NO_STORAGE, UINT32_MAX);
	store_rig_drop(&rig);
	make_checked(STORE_QUEUE);
	CHECK_EQUAL(host_memory_free(rig.memory, rig.page[1]), 0);
	check_vanished(REFUSAL_NO_STORAGE, UINT32_MAX);
	store_rig_drop(&rig);
}

static void queues_page_that_has_another_owner_by_then_vanishes(void)
{
	make_checked(STORE_QUEUE);
	CHECK_EQUAL(host_memory_free(rig.memory, rig.page[1]), 0);
	CHECK_EQUAL(host_memory_page(rig.memory), rig.page[1]);
	check_vanished(REFUSAL_NOT_REQUESTED, store_rig_entry(&rig, 1, 3));
	store_rig_give(&rig, 1, 3, PASID_BASE + 2);
	check_vanished(REFUSAL_PASID, store_rig_entry(&rig, 1, 3));
	store_rig_drop(&rig);
}

/* ---- table ---- */

static void entry_in_no_valid_table_reads_0_and_takes_nothing(void)
{
	const uint64_t at = TABLE_ENTRIES + 200 * IMS_STRIDE;

	store_rig_make(&rig, STORE_TABLE);
	store_write(rig.store, at + IMS_DATA, 8, 0x5500000000 | 77);
	CHECK_EQUAL(store_read(rig.store, at, 8) | store_read(rig.store, at + 8, 8), 0);
	store_rig_table(&rig, 30, 200, 1, true);
	CHECK_EQUAL(store_read(rig.store, at, 8), MSI_ADDRESS_BASE);
	CHECK_EQUAL(store_read(rig.store, at + 8, 8), (uint64_t)IMS_CTRL_MASK << 32);
	store_write(rig.store, at + IMS_DATA, 4, 77);
	store_rig_table(&rig, 30, 200, 1, false);
	CHECK_EQUAL(store_read(rig.store, at + IMS_DATA, 4), 0);
	store_rig_table(&rig, 30, 200, 1, true);
	CHECK_EQUAL(store_read(rig.store, at + IMS_DATA, 4), 0);
	store_rig_drop(&rig);
}

static void overlapping_tables_are_emptied_by_each_other_and_end_apart(void)
{
	const uint64_t at = TABLE_ENTRIES + 200 * IMS_STRIDE;

	store_rig_make(&rig, STORE_TABLE);
	store_rig_table(&rig, 30, 190, 20, true);
	store_write(rig.store, at + IMS_DATA, 4, 77);
	store_rig_table(&rig, 31, 200, 20, true);
	CHECK_EQUAL(store_read(rig.store, at + IMS_DATA, 4), 0);
	store_write(rig.store, at + IMS_DATA, 4, 78);
	store_rig_table(&rig, 30, 190, 20, false);
	CHECK_EQUAL(store_read(rig.store, at, 8), MSI_ADDRESS_BASE);
	CHECK_EQUAL(store_read(rig.store, at + IMS_DATA, 4), 0);
	store_reset(rig.store);
	CHECK_EQUAL(store_read(rig.store, at, 8), 0);
	store_rig_drop(&rig);
}

/* ---- queue ---- */

static void write_entry(uint32_t n, uint64_t address, uint64_t rest)
{
	CHECK(host_memory_write(rig.memory, rig.page[1] + n * IMS_STRIDE, &address, 8));
	CHECK(host_memory_write(rig.memory, rig.page[1] + n * IMS_STRIDE + 8, &rest, 8));
}

static void queue_sends_to_local_apics_only(void)
{
	const uint64_t addresses[] = { 0, 0xFED00000, 0xFEF00000, 0x1FEE00000, UINT64_MAX, 0x1000 };
	const uint64_t ctrl = (uint64_t)((PASID_BASE + 1) << 12 | IMS_CTRL_PASID_EN | QUEUE_CTRL_REQUESTED) << 32;

	store_rig_make(&rig, STORE_QUEUE);
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		write_entry(3, addresses[i], ctrl);
		CHECK_EQUAL(store_rig_check(&rig, 1, 3), REFUSAL_NONE);
		check_vanished(0, store_rig_entry(&rig, 1, 3));
		write_entry(3, addresses[i], ctrl | (uint64_t)IMS_CTRL_PENDING << 32);
		store_rig_sync(&rig, 1, 3);
		check_last(LEDGER_VANISHED, 0, store_rig_entry(&rig, 1, 3));
		CHECK(!store_rig_pending(&rig, 1, 3));
	}
	CHECK_EQUAL(rig.messages, 0);
	write_entry(3, 0xFEEFFFFF, ctrl);
	store_rig_raise(&rig, 1, 3);
	CHECK_EQUAL(rig.last.address, 0xFEEFFFFC);
	store_rig_drop(&rig);
}

static void sync_of_a_released_entry_drops_what_is_pending(void)
{
	store_rig_make(&rig, STORE_QUEUE);
	write_entry(3, MSI_ADDRESS_BASE, (uint64_t)IMS_CTRL_PENDING << 32);
	store_rig_sync(&rig, 1, 3);
	CHECK(!store_rig_pending(&rig, 1, 3));
	write_entry(3, MSI_ADDRESS_BASE, (uint64_t)(IMS_CTRL_PENDING | IMS_CTRL_MASK) << 32);
	store_rig_sync(&rig, 1, 3);
	CHECK(!store_rig_pending(&rig, 1, 3));
	CHECK_EQUAL(rig.messages, 0);
	store_rig_drop(&rig);
}

static void sync_takes_indices_of_16_bits_of_queues_that_lead_somewhere(void)
{
	store_rig_make(&rig, STORE_QUEUE);
	store_rig_arm(&rig, 1, 3, 1);
	store_rig_mask(&rig, 1, 3, true);
	store_rig_raise(&rig, 1, 3);
	CHECK(host_memory_update(rig.memory, rig.page[1] + 3 * IMS_STRIDE + IMS_CTRL, IMS_CTRL_MASK, 0, NULL));
	store_rig_sync(&rig, 1, 0x10003);
	store_rig_sync(&rig, 0, 3);
	store_rig_sync(&rig, 1, 0xFFFF);
	CHECK_EQUAL(rig.messages, 0);
	store_rig_sync(&rig, 1, 3);
	store_rig_sync(&rig, 1, 3);
	CHECK_EQUAL(rig.messages, 1);
	CHECK_EQUAL(store_read(rig.store, QUEUE_CONTEXT_STRIDE + QUEUE_SYNC, 4), 0);
	store_rig_drop(&rig);
}

/* Pointers that no page can have: the last ones have entries whose numbers do not fit. */
static void pointer_to_where_no_memory_is_leads_nowhere(void)
{
	const uint64_t pointers[] = { 1, 0xFFFF000 | 1, 0xFFFFFF000 | 1, 0x1000000000 | 1, UINT64_MAX, 0x1000, 0 };

	store_rig_make(&rig, STORE_QUEUE);
	for (size_t i = 0; i < sizeof(pointers) / sizeof(pointers[0]); i++) {
		CHECK(host_memory_write(rig.memory, rig.directory[1], &pointers[i], 8));
		for (uint32_t handle = 0; handle <= 255; handle += 255)
			CHECK_EQUAL(store_rig_check(&rig, 1, (uint16_t)handle), REFUSAL_NO_STORAGE);
		store_rig_sync(&rig, 1, 255);
	}
	store_rig_drop(&rig);
}

static void sizes_outside_the_range_are_refused(void)
{
	const struct interrupt_sink sink = { 0 };
	struct store_config config = { .num_wqs = 1 };

	for (config.organisation = STORE_ARRAY; config.organisation <= 5; config.organisation++) {
		const uint32_t bad[] = { 1, 255, STORE_MAX_POOL + 256, UINT32_MAX };

		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			config.entries = bad[i];
			CHECK(!store_create(&config, &sink, NULL));
		}
		config.entries = 0; /* queue: without memory, msix: without a table */
		CHECK(!store_create(&config, &sink, NULL));
	}
	config = (struct store_config){ .organisation = STORE_ARRAY, .num_wqs = 1, .entries = STORE_MAX_ARRAY + 256 };
	CHECK(!store_create(&config, &sink, NULL));
}

int main(void)
{
	RUN(own_handle_is_granted_and_sends_once_from_its_entry);
	RUN(masked_entry_keeps_one_interrupt_and_sends_it_at_unmask);
	RUN(ignored_interrupt_is_dropped_and_not_remembered);
	RUN(handle_is_good_from_request_to_release_and_nothing_stays_pending);
	RUN(refusal_leaves_a_masked_entry_without_pending);
	RUN(no_handle_of_65536_leads_to_entries_of_another);
	RUN(entries_that_there_are_not_cannot_be_named);
	RUN(vector_of_the_device_itself_is_nobodys_entry);
	RUN(registers_outside_and_odd_accesses_do_nothing);
	RUN(reset_forgets_owners_and_what_was_pending);
	RUN(array_and_msix_send_to_whoever_holds_the_entry_by_then);
	RUN(released_between_check_and_raise_vanishes);
	RUN(table_taken_away_between_check_and_raise_vanishes);
	RUN(table_leads_to_the_machine_that_the_queue_has_by_then);
	RUN(queue_that_leads_nowhere_between_check_and_raise_vanishes);
	RUN(queues_page_that_has_another_owner_by_then_vanishes);
	RUN(entry_in_no_valid_table_reads_0_and_takes_nothing);
	RUN(overlapping_tables_are_emptied_by_each_other_and_end_apart);
	RUN(queue_sends_to_local_apics_only);
	RUN(sync_of_a_released_entry_drops_what_is_pending);
	RUN(sync_takes_indices_of_16_bits_of_queues_that_lead_somewhere);
	RUN(pointer_to_where_no_memory_is_leads_nowhere);
	RUN(sizes_outside_the_range_are_refused);
	return 0;
}
