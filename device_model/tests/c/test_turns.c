/*
 * test_turns.c - turns as running engines take them: which descriptors of a queue go together, and that they count as so many turns.
 */
#include "turns_rig.h"

static struct rig rig;

static void a_queue_that_is_alone_gets_so_many_descriptors_done_in_a_turn(void)
{
	turns_up(&rig, 1);
	submit_moves(&rig, 0, TURN_DESCRIPTORS + 3);
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(moved(&rig, TURN_DESCRIPTORS + 3), TURN_DESCRIPTORS);
	CHECK(idxd_engine_turn(rig.idxd, 1)); /* any engine goes on */
	CHECK_EQUAL(moved(&rig, TURN_DESCRIPTORS + 3), TURN_DESCRIPTORS + 3);
	CHECK(!idxd_engine_turn(rig.idxd, 0));
	rig_destroy(&rig);
}

static void a_step_is_one_descriptor(void)
{
	turns_up(&rig, 1);
	submit_moves(&rig, 0, 3);
	CHECK(idxd_engine_step(rig.idxd, 0));
	CHECK_EQUAL(moved(&rig, 3), 1);
	rig_destroy(&rig);
}

static void a_turn_ends_with_the_descriptor_that_reaches_so_many_bytes(void)
{
	static const uint32_t sizes[] = { TURN_BYTES / 2, TURN_BYTES / 2 - 1, 1, 1 };

	turns_up(&rig, 1);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		submit_move(&rig, i, sizes[i]);
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(number_of(&rig, LEDGER_COMPLETED), 3);
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(number_of(&rig, LEDGER_COMPLETED), 1);
	rig_destroy(&rig);
}

static void while_another_queue_has_work_each_turn_is_one_descriptor(void)
{
	turns_up(&rig, 15);
	rig_noops(&rig, 0, 40);
	rig_noops(&rig, 1, 20);
	for (unsigned i = 0; i < 19; i++) {
		unsigned counts[256] = { 0 };

		CHECK(idxd_engine_turn(rig.idxd, 0));
		CHECK(idxd_engine_turn(rig.idxd, 0));
		rig_count(&rig, LEDGER_COMPLETED, counts);
		CHECK_EQUAL(counts[0], 1);
		CHECK_EQUAL(counts[1], 1);
	}
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK(idxd_engine_turn(rig.idxd, 0)); /* alone now */
	CHECK_EQUAL(number_of(&rig, LEDGER_COMPLETED), 1 + 21);
	rig_destroy(&rig);
}

/* When `alone` descriptors of queue 0 came first. */
static void take_order_after(unsigned alone, uint32_t priority, advance_fn *advance, uint16_t order[AFTER])
{
	turns_up(&rig, priority);
	rig_noops(&rig, 0, alone);
	advance_all(&rig, advance);
	CHECK_EQUAL(number_of(&rig, LEDGER_COMPLETED), alone);
	take_order(&rig, advance, order);
	rig_destroy(&rig);
}

static void descriptors_of_one_turn_count_as_turns_each(void)
{
	for (uint32_t priority = 1; priority < 5; priority++) {
		for (unsigned alone = 1; alone < 10; alone++) {
			uint16_t by_steps[AFTER], by_turns[AFTER];

			take_order_after(alone, priority, idxd_engine_step, by_steps);
			take_order_after(alone, priority, idxd_engine_turn, by_turns);
			CHECK(memcmp(by_steps, by_turns, sizeof(by_steps)) == 0);
		}
	}
}

static void a_batch_has_turns_of_its_own(void)
{
	const struct rig_desc noop = { .opcode = OP_NOOP };
	const struct rig_desc batch = { .opcode = OP_BATCH, .source = LIST, .size = 2 };

	turns_up(&rig, 1);
	rig_encode(&noop, rig.memory + LIST);
	rig_encode(&noop, rig.memory + LIST + 64);
	rig_noops(&rig, 0, 2);
	rig_submit_to(&rig, 0, PORTAL_IMS, &batch);
	rig_noops(&rig, 0, 2);
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(number_of(&rig, LEDGER_COMPLETED), 2);
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(number_of(&rig, LEDGER_COMPLETED), 3);
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(number_of(&rig, LEDGER_COMPLETED), 2);
	rig_destroy(&rig);
}

static void each_descriptor_is_noted_as_of_who_submitted_it(void)
{
	static const uint32_t requesters[] = { 7, 7, 9, 7 };
	const struct ledger_record *records;
	uint8_t raw[64];
	size_t count;

	turns_up(&rig, 1);
	rig_encode(&(struct rig_desc){ .opcode = OP_NOOP }, raw);
	for (unsigned i = 0; i < 4; i++)
		idxd_submit(rig.idxd, 0, PORTAL_IMS, raw, requesters[i]);
	advance_all(&rig, idxd_engine_turn);
	records = rig_take(&rig, LEDGER_COMPLETED, &count);
	CHECK_EQUAL(count, 4);
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQUAL(records[i].requester, requesters[i]);
	rig_destroy(&rig);
}

int main(void)
{
	RUN(a_queue_that_is_alone_gets_so_many_descriptors_done_in_a_turn);
	RUN(a_step_is_one_descriptor);
	RUN(a_turn_ends_with_the_descriptor_that_reaches_so_many_bytes);
	RUN(while_another_queue_has_work_each_turn_is_one_descriptor);
	RUN(descriptors_of_one_turn_count_as_turns_each);
	RUN(a_batch_has_turns_of_its_own);
	RUN(each_descriptor_is_noted_as_of_who_submitted_it);
	return 0;
}
