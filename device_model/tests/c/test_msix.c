/* test_msix.c - the promises of core/msix.h, one function each. One thread: the sink itself looks at what must hold. */
#include <string.h>

#include "../../core/msix.h"
#include "../../core/regs.h"
#include "check.h"

enum { VECTORS = 70 }; /* more than one word of pending bits */

static struct interrupt_message last;
static unsigned messages;
static struct msix *msix;
static struct ledger *ledger;
static const struct witness work = { .cause = 7, .accepted_ns = 1, .requester = 3, .pasid = 5, .wq = 2, .handle = 1 };

static void on_message(void *ctx, const struct interrupt_message *message)
{
	(void)ctx;
	last = *message;
	messages++;
}

static void make(const struct msix_config *config)
{
	const struct interrupt_sink sink = { .message = on_message };

	messages = 0;
	ledger = ledger_create(256);
	CHECK(ledger);
	msix = msix_create(config, &sink, ledger);
	CHECK(msix);
}

static void make_default(void)
{
	make(&(struct msix_config){ .vectors = VECTORS, .fired = LEDGER_FIRED, .pended = LEDGER_PENDED });
}

static void drop(void)
{
	msix_destroy(msix);
	ledger_destroy(ledger);
}

static void program(uint32_t vector, uint64_t address, uint32_t data, bool masked)
{
	msix_write(msix, vector * MSIX_STRIDE, 8, address);
	msix_write(msix, vector * MSIX_STRIDE + 8, 8, data | (uint64_t)masked << 32);
}

static void set_mask(uint32_t vector, bool masked)
{
	msix_write(msix, vector * MSIX_STRIDE + MSIX_VCTRL, 4, masked);
}

static void switch_on(void)
{
	msix_set_bus_master(msix, true);
	msix_set_capability(msix, true, false);
}

static unsigned read_kinds(uint8_t kinds[16])
{
	struct ledger_record records[16];
	uint64_t lost = 0;
	const size_t count = ledger_read(ledger, records, 16, &lost);

	for (size_t i = 0; i < count; i++)
		kinds[i] = records[i].kind;
	return (unsigned)count;
}

static void sizes_outside_the_range_are_refused(void)
{
	const struct interrupt_sink sink = { .message = on_message };

	CHECK(!msix_create(&(struct msix_config){ .vectors = 0 }, &sink, NULL));
	CHECK(!msix_create(&(struct msix_config){ .vectors = 2049 }, &sink, NULL));
	make(&(struct msix_config){ .vectors = 2048, .pended = LEDGER_PENDED });
	CHECK_EQUAL(msix_num_vectors(msix), 2048);
	drop();
}

static void power_on_values_are_those_of_the_specification(void)
{
	make_default();
	for (uint32_t i = 0; i < VECTORS; i++) {
		CHECK_EQUAL(msix_read(msix, i * MSIX_STRIDE, 8), 0);
		CHECK_EQUAL(msix_read(msix, i * MSIX_STRIDE + 8, 8), 1ull << 32);
		CHECK_EQUAL(msix_read_perm(msix, i), 0);
	}
	CHECK_EQUAL(msix_read_pba(msix, 0) | msix_read_pba(msix, 1), 0);
	drop();
}

static void message_has_address_and_data_of_its_vector(void)
{
	make_default();
	switch_on();
	program(69, 0x123456789ABCDEFFull, 0xCAFE, false);
	msix_raise(msix, 69, &work);
	CHECK_EQUAL(messages, 1);
	CHECK(last.msix && last.entry == 69 && last.address == 0x123456789ABCDEFCull && last.data == 0xCAFE);
	CHECK_EQUAL(last.witness.cause, 7);
	drop();
}

static void many_raises_while_masked_are_one_message_at_unmask(void)
{
	make_default();
	switch_on();
	program(1, 0xFEE00000, 1, true);
	for (unsigned i = 0; i < 5; i++)
		msix_raise(msix, 1, &work);
	CHECK_EQUAL(messages, 0);
	CHECK_EQUAL(msix_read_pba(msix, 0), 1 << 1);
	set_mask(1, false);
	CHECK_EQUAL(messages, 1);
	CHECK_EQUAL(msix_read_pba(msix, 0), 0);
	CHECK_EQUAL(last.witness.accepted_ns, 0);
	set_mask(1, true);
	set_mask(1, false);
	CHECK_EQUAL(messages, 1);
	drop();
}

static void what_is_written_while_masked_is_what_is_sent(void)
{
	make_default();
	switch_on();
	program(1, 0xFEE01000, 1, true);
	msix_raise(msix, 1, &work);
	program(1, 0xFEE02000, 2, false);
	CHECK_EQUAL(messages, 1);
	CHECK(last.address == 0xFEE02000 && last.data == 2);
	drop();
}

/* state: bits enabled, function mask, bus master; only 0b101 sends. */
static void each_condition_of_the_function_keeps_it_pending(void)
{
	for (unsigned state = 0; state < 8; state++) {
		make_default();
		program(65, 0xFEE00000, 1, false);
		msix_set_capability(msix, state & 1, state & 2);
		msix_set_bus_master(msix, state & 4);
		msix_raise(msix, 65, &work);
		CHECK_EQUAL(messages, state == 5);
		CHECK_EQUAL(msix_read_pba(msix, 1), state == 5 ? 0 : 1 << 1);
		switch_on();
		CHECK_EQUAL(messages, 1);
		CHECK_EQUAL(msix_read_pba(msix, 1), 0);
		drop();
	}
}

static void masked_vector_stays_pending_when_the_function_may_send(void)
{
	make_default();
	program(1, 0xFEE00000, 1, true);
	msix_raise(msix, 1, &work);
	switch_on();
	CHECK_EQUAL(messages, 0);
	set_mask(1, false);
	CHECK_EQUAL(messages, 1);
	drop();
}

static void ignore_drops_completions_only_and_nothing_that_is_pending(void)
{
	make_default();
	switch_on();
	program(1, 0xFEE00000, 1, true);
	msix_raise(msix, 1, &work);
	msix_write_perm(msix, 1, MSIXPERM_IGNORE);
	msix_raise(msix, 1, &work);
	set_mask(1, false);
	CHECK_EQUAL(messages, 1); /* what was pending before */
	msix_raise(msix, 1, &work);
	CHECK_EQUAL(messages, 1);
	CHECK_EQUAL(msix_read_pba(msix, 0), 0);
	msix_signal(msix, 1, &work);
	CHECK_EQUAL(messages, 2);
	drop();
}

static void check_compares_range_enable_and_pasid(void)
{
	struct witness witness = { .cause = 1, .pasid = 5, .handle = 1 };

	make_default();
	switch_on();
	program(1, 0xFEE00000, 1, true);
	CHECK_EQUAL(msix_check(msix, &witness, false), REFUSAL_NONE);
	CHECK_EQUAL(msix_check(msix, &witness, true), REFUSAL_PASID_ENABLE);
	msix_write_perm(msix, 1, 5u << 12 | MSIXPERM_PASID_EN);
	CHECK_EQUAL(msix_check(msix, &witness, true), REFUSAL_NONE);
	CHECK_EQUAL(msix_check(msix, &witness, false), REFUSAL_PASID_ENABLE);
	witness.pasid = 6;
	CHECK_EQUAL(msix_check(msix, &witness, true), REFUSAL_PASID);
	witness.handle = VECTORS;
	CHECK_EQUAL(msix_check(msix, &witness, true), REFUSAL_OUT_OF_RANGE);
	witness.handle = 0xFFFF;
	CHECK_EQUAL(msix_check(msix, &witness, true), REFUSAL_OUT_OF_RANGE);
	CHECK_EQUAL(msix_read_pba(msix, 0), 0);
	CHECK_EQUAL(messages, 0);
	drop();
}

static void handles_must_have_been_requested_if_the_table_has_them(void)
{
	make(&(struct msix_config){ .vectors = 2, .handles = true, .fired = LEDGER_FIRED, .pended = LEDGER_PENDED });
	CHECK_EQUAL(msix_check(msix, &work, false), REFUSAL_NOT_REQUESTED);
	CHECK(!msix_request_handle(msix, 2));
	CHECK(msix_request_handle(msix, 1));
	CHECK_EQUAL(msix_check(msix, &work, false), REFUSAL_NONE);
	msix_raise(msix, 1, &work);
	CHECK(msix_release_handle(msix, 1));
	CHECK_EQUAL(msix_read_pba(msix, 0), 0);
	CHECK_EQUAL(msix_check(msix, &work, false), REFUSAL_NOT_REQUESTED);
	drop();
}

static void reserved_bits_and_what_is_outside_read_as_zero(void)
{
	make_default();
	for (uint32_t i = 0; i < VECTORS; i++) {
		msix_write_perm(msix, i, UINT32_MAX);
		msix_write(msix, i * MSIX_STRIDE + 8, 8, UINT64_MAX);
		CHECK_EQUAL(msix_read_perm(msix, i), 0xFFFFF00C);
		CHECK_EQUAL(msix_read(msix, i * MSIX_STRIDE + 8, 8), 0x1FFFFFFFFll);
	}
	msix_write_perm(msix, VECTORS, UINT32_MAX);
	msix_write(msix, VECTORS * MSIX_STRIDE, 8, UINT64_MAX);
	msix_write(msix, 2, 4, UINT64_MAX);
	msix_write(msix, 4, 8, UINT64_MAX);
	msix_write(msix, 0, 2, UINT64_MAX);
	msix_raise(msix, VECTORS, &work);
	CHECK_EQUAL(msix_read_perm(msix, VECTORS), 0);
	CHECK_EQUAL(msix_read(msix, VECTORS * MSIX_STRIDE, 8), 0);
	CHECK_EQUAL(msix_read(msix, 0, 8), 0);
	CHECK_EQUAL(msix_read_pba(msix, 2), 0);
	drop();
}

static void reset_device_keeps_the_table_and_wipes_the_rest(void)
{
	make(&(struct msix_config){ .vectors = 2, .handles = true, .fired = LEDGER_FIRED, .pended = LEDGER_PENDED });
	switch_on();
	program(1, 0xFEE00000, 1, true);
	msix_request_handle(msix, 1);
	msix_raise(msix, 1, &work);
	msix_write_perm(msix, 1, 5u << 12);
	msix_reset_permissions(msix);
	CHECK_EQUAL(msix_read(msix, 16, 8), 0xFEE00000);
	CHECK_EQUAL(msix_read(msix, 24, 8), 1ull << 32 | 1);
	CHECK_EQUAL(msix_read_perm(msix, 1), 0);
	CHECK_EQUAL(msix_check(msix, &work, false), REFUSAL_NOT_REQUESTED);
	set_mask(1, false);
	CHECK_EQUAL(messages, 0);
	msix_signal(msix, 1, &work);
	CHECK_EQUAL(messages, 1);
	drop();
}

static void flr_wipes_all_and_nothing_is_sent_until_it_is_set_up_again(void)
{
	make_default();
	switch_on();
	program(1, 0xFEE00000, 1, true);
	msix_raise(msix, 1, &work);
	msix_reset(msix);
	CHECK_EQUAL(msix_read(msix, 16, 8), 0);
	CHECK_EQUAL(msix_read(msix, 24, 8), 1ull << 32);
	CHECK_EQUAL(msix_read_pba(msix, 0), 0);
	set_mask(1, false);
	msix_raise(msix, 1, &work);
	CHECK_EQUAL(messages, 0);
	switch_on();
	CHECK_EQUAL(messages, 1);
	drop();
}

static void ledger_has_each_decision_with_the_kinds_of_its_owner(void)
{
	const uint32_t entries[2] = { 11, 12 };
	struct ledger_record record;
	uint64_t lost = 0;
	uint8_t kinds[16];

	make_default();
	switch_on();
	program(1, 0xFEE00000, 1, true);
	msix_check(msix, &work, false);
	msix_check(msix, &work, true);
	msix_raise(msix, 1, &work);
	set_mask(1, false);
	msix_write_perm(msix, 1, MSIXPERM_IGNORE);
	msix_raise(msix, 1, &work);
	CHECK_EQUAL(read_kinds(kinds), 5);
	CHECK(kinds[0] == LEDGER_GRANTED && kinds[1] == LEDGER_REFUSED && kinds[2] == LEDGER_PENDED);
	CHECK(kinds[3] == LEDGER_FIRED && kinds[4] == LEDGER_IGNORED);
	drop();
	make(&(struct msix_config){ .vectors = 2, .pended = LEDGER_VM_PENDED, .target = 9, .entries = entries });
	msix_raise(msix, 1, &work);
	CHECK_EQUAL(ledger_read(ledger, &record, 1, &lost), 1);
	CHECK(record.kind == LEDGER_VM_PENDED && record.target == 9 && record.entry == 12 && record.vector == 1);
	program(1, 0xFEE00000, 1, false);
	switch_on();
	CHECK_EQUAL(messages, 1);
	CHECK_EQUAL(ledger_read(ledger, &record, 1, &lost), 0); /* `fired` 0: left to the sink */
	drop();
}

static void table_elsewhere_sends_whatever_this_one_says(void)
{
	make(&(struct msix_config){ .vectors = 2, .elsewhere = true, .pended = LEDGER_VM_PENDED });
	msix_raise(msix, 1, &work);
	CHECK_EQUAL(messages, 1);
	CHECK_EQUAL(last.entry, 1);
	CHECK_EQUAL(msix_read_pba(msix, 0), 0);
	drop();
}

int main(void)
{
	RUN(sizes_outside_the_range_are_refused);
	RUN(power_on_values_are_those_of_the_specification);
	RUN(message_has_address_and_data_of_its_vector);
	RUN(many_raises_while_masked_are_one_message_at_unmask);
	RUN(what_is_written_while_masked_is_what_is_sent);
	RUN(each_condition_of_the_function_keeps_it_pending);
	RUN(masked_vector_stays_pending_when_the_function_may_send);
	RUN(ignore_drops_completions_only_and_nothing_that_is_pending);
	RUN(check_compares_range_enable_and_pasid);
	RUN(handles_must_have_been_requested_if_the_table_has_them);
	RUN(reserved_bits_and_what_is_outside_read_as_zero);
	RUN(reset_device_keeps_the_table_and_wipes_the_rest);
	RUN(flr_wipes_all_and_nothing_is_sent_until_it_is_set_up_again);
	RUN(ledger_has_each_decision_with_the_kinds_of_its_owner);
	RUN(table_elsewhere_sends_whatever_this_one_says);
	return 0;
}
