/*
 * test_turns.c - turns as running engines take them: several descriptors of a queue that is alone, and never more than steps of
 * one would have done.
 */
#include "../../core/idxd_internal.h"
#include "engine_rig.h"

enum { RECORDS = 0x1000, DATA = 0x100000, TARGETS = 0x200000, LIST = 0x8000, WQS = 3, PASID = 77 };

static struct rig rig;

static void bring_up(uint32_t priority)
{
	const struct idxd_config config = {
		.num_wqs = WQS, .total_wq_size = 512, .num_ims = 256, .max_xfer_log2 = 21, .max_batch_log2 = 10, .num_groups = 1,
		.num_engines = 2,
	};

	rig_create(&rig, &config);
	rig_group(&rig, 0, 7, 3);
	rig_enable(&rig, 128);
	for (uint32_t i = 0; i < WQS; i++) {
		idxd_bar0_write(rig.idxd, RIG_WQS + 32 * i + 8, 4, 1 | priority << 4 | PASID << 8 | 1u << 28);
		idxd_bar0_write(rig.idxd, RIG_WQS + 32 * i + 12, 4, 21 | 10 << 5);
		CHECK_EQUAL(idxd_wq_enable(rig.idxd, i), CMDERR_NONE);
	}
}

static struct rig_desc move_of(unsigned index, uint32_t size)
{
	return (struct rig_desc){
		.opcode = OP_MEMMOVE, .flags = DESC_F_CRAV | DESC_F_RCR, .record = RECORDS + 32 * index, .source = DATA,
		.destination = TARGETS + 64 * index, .size = size,
	};
}

/* Moves of 64 bytes in queue 0, each with a record and a target of its own. */
static void submit_moves(unsigned count)
{
	memset(rig.memory + DATA, 0x5A, 64);
	for (unsigned i = 0; i < count; i++) {
		const struct rig_desc move = move_of(i, 64);

		rig_submit_to(&rig, 0, PORTAL_IMS, &move);
	}
}

/* How many of `count` moves have a record, and their data: those before any without. */
static unsigned moved(unsigned count)
{
	unsigned ended = 0;

	while (ended < count && rig.memory[RECORDS + 32 * ended] == STATUS_SUCCESS)
		ended++;
	for (unsigned i = 0; i < count; i++) {
		CHECK_EQUAL(rig.memory[RECORDS + 32 * i], i < ended ? STATUS_SUCCESS : 0);
		CHECK_EQUAL(rig.memory[TARGETS + 64 * i], i < ended ? 0x5A : 0);
	}
	return ended;
}

static struct ledger_record records[RIG_LEDGER];

/* Records of this kind that have come since the last call, in their order. */
static size_t take_records(uint8_t kind)
{
	uint64_t lost = 0;
	const size_t count = ledger_read(rig.ledger, records, RIG_LEDGER, &lost);
	size_t kept = 0;

	CHECK_EQUAL(lost, 0);
	for (size_t i = 0; i < count; i++)
		if (records[i].kind == kind)
			records[kept++] = records[i];
	return kept;
}

static void a_queue_that_is_alone_gets_so_many_descriptors_done_in_a_turn(void)
{
	bring_up(1);
	submit_moves(TURN_DESCRIPTORS + 3);
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(moved(TURN_DESCRIPTORS + 3), TURN_DESCRIPTORS);
	CHECK(idxd_engine_turn(rig.idxd, 1)); /* any engine goes on */
	CHECK_EQUAL(moved(TURN_DESCRIPTORS + 3), TURN_DESCRIPTORS + 3);
	CHECK(!idxd_engine_turn(rig.idxd, 0));
	rig_destroy(&rig);
}

static void a_step_is_one_descriptor(void)
{
	bring_up(1);
	submit_moves(3);
	CHECK(idxd_engine_step(rig.idxd, 0));
	CHECK_EQUAL(moved(3), 1);
	rig_destroy(&rig);
}

static void a_turn_ends_with_the_descriptor_that_reaches_so_many_bytes(void)
{
	static const uint32_t sizes[] = { TURN_BYTES / 2, TURN_BYTES / 2 - 1, 1, 1 };
	const unsigned count = sizeof(sizes) / sizeof(sizes[0]);

	bring_up(1);
	for (unsigned i = 0; i < count; i++) {
		const struct rig_desc move = move_of(i, sizes[i]);

		rig_submit_to(&rig, 0, PORTAL_IMS, &move);
	}
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(take_records(LEDGER_COMPLETED), 3);
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(take_records(LEDGER_COMPLETED), 1);
	rig_destroy(&rig);
}

static void while_another_queue_has_work_each_turn_is_one_descriptor(void)
{
	bring_up(15);
	rig_noops(&rig, 0, 40);
	rig_noops(&rig, 1, 20);
	for (unsigned i = 0; i < 19; i++) {
		CHECK(idxd_engine_turn(rig.idxd, 0));
		CHECK(idxd_engine_turn(rig.idxd, 0));
		CHECK_EQUAL(take_records(LEDGER_COMPLETED), 2);
		CHECK(records[0].wq != records[1].wq);
	}
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK(idxd_engine_turn(rig.idxd, 0)); /* alone now */
	CHECK_EQUAL(take_records(LEDGER_COMPLETED), 1 + 21);
	rig_destroy(&rig);
}

enum { AFTER = 24 };

/* The queues whose descriptors end one after the other, when `alone` descriptors of queue 0 came first. */
static void order_after(unsigned alone, uint32_t priority, bool (*one)(struct idxd *idxd, uint32_t engine), uint16_t order[AFTER])
{
	bring_up(priority);
	rig_noops(&rig, 0, alone);
	while (one(rig.idxd, 0))
		;
	CHECK_EQUAL(take_records(LEDGER_COMPLETED), alone);
	for (uint32_t wq = 0; wq < WQS; wq++)
		rig_noops(&rig, wq, AFTER / WQS);
	while (one(rig.idxd, 0))
		;
	CHECK_EQUAL(take_records(LEDGER_COMPLETED), AFTER);
	for (unsigned i = 0; i < AFTER; i++)
		order[i] = records[i].wq;
	rig_destroy(&rig);
}

static void descriptors_of_one_turn_count_as_turns_each(void)
{
	for (uint32_t priority = 1; priority < 5; priority++) {
		for (unsigned alone = 1; alone < 10; alone++) {
			uint16_t by_steps[AFTER], by_turns[AFTER];

			order_after(alone, priority, idxd_engine_step, by_steps);
			order_after(alone, priority, idxd_engine_turn, by_turns);
			CHECK(memcmp(by_steps, by_turns, sizeof(by_steps)) == 0);
		}
	}
}

static void a_batch_has_turns_of_its_own(void)
{
	const struct rig_desc noop = { .opcode = OP_NOOP };
	const struct rig_desc batch = { .opcode = OP_BATCH, .source = LIST, .size = 2 };

	bring_up(1);
	rig_encode(&noop, rig.memory + LIST);
	rig_encode(&noop, rig.memory + LIST + 64);
	rig_noops(&rig, 0, 2);
	rig_submit_to(&rig, 0, PORTAL_IMS, &batch);
	rig_noops(&rig, 0, 2);
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(take_records(LEDGER_COMPLETED), 2);
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(take_records(LEDGER_COMPLETED), 3);
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(take_records(LEDGER_COMPLETED), 2);
	rig_destroy(&rig);
}

static void each_descriptor_is_noted_as_of_who_submitted_it(void)
{
	static const uint32_t requesters[] = { 7, 7, 9, 7 };
	uint8_t raw[64];

	bring_up(1);
	rig_encode(&(struct rig_desc){ .opcode = OP_NOOP }, raw);
	for (unsigned i = 0; i < 4; i++)
		idxd_submit(rig.idxd, 0, PORTAL_IMS, raw, requesters[i]);
	while (idxd_engine_turn(rig.idxd, 0))
		;
	CHECK_EQUAL(take_records(LEDGER_COMPLETED), 4);
	for (unsigned i = 0; i < 4; i++)
		CHECK_EQUAL(records[i].requester, requesters[i]);
	rig_destroy(&rig);
}

/* ---- while an engine is at it: something comes with the first access to the record of a move ---- */

enum { MOVES = 6, MET = 2 };

static struct wq_waiter waiter;
static enum wq_command meanwhile;
static uint64_t trigger;
static unsigned ends;
static uint8_t last_status; /* when it was told */

static void told(struct wq_waiter *self)
{
	(void)self;
	ends++;
	last_status = rig.memory[RECORDS + 32 * (MOVES - 1)];
}

static void give_command(struct rig *self, uint64_t iova)
{
	if (iova != trigger)
		return;
	self->on_access = NULL;
	waiter = (struct wq_waiter){ .done = told };
	CHECK_EQUAL(idxd_wq_start(self->idxd, 0, meanwhile, &waiter), CMDERR_NONE);
	CHECK_EQUAL(ends, 0);
}

static void turn_with(enum wq_command command, uint64_t at)
{
	bring_up(1);
	meanwhile = command;
	trigger = at;
	ends = 0;
	submit_moves(MOVES);
	rig.on_access = give_command;
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(ends, 1);
}

static void an_abort_within_a_turn_leaves_what_comes_after_it_undone(void)
{
	static const enum wq_command commands[] = { WQ_ABORT, WQ_RESET, WQ_STOP };
	static uint64_t before[64];

	for (unsigned i = 0; i < 3; i++) {
		turn_with(commands[i], TARGETS + 64 * MET);
		for (unsigned j = 0; j < MOVES; j++) {
			CHECK_EQUAL(rig.memory[RECORDS + 32 * j], j < MET ? STATUS_SUCCESS : 0);
			CHECK(j <= MET || rig.memory[TARGETS + 64 * j] == 0);
		}
		memcpy(before, rig.memory + RECORDS, sizeof(before));
		CHECK(!idxd_engine_turn(rig.idxd, 0));
		CHECK(memcmp(before, rig.memory + RECORDS, sizeof(before)) == 0);
		CHECK_EQUAL(take_records(LEDGER_ABORTED), MOVES - MET);
		for (unsigned j = 0; j < MOVES - MET; j++) {
			CHECK_EQUAL(records[j].cause, MET + j + 1);
			CHECK_EQUAL(records[j].pasid, PASID); /* which a reset has taken away from the queue */
		}
		rig_destroy(&rig);
	}
}

/* Its record is being written, so it has ended; the next one has not been begun. */
static void an_abort_between_two_descriptors_leaves_the_next_untouched(void)
{
	turn_with(WQ_ABORT, RECORDS + 32 * MET);
	CHECK_EQUAL(moved(MOVES), MET + 1);
	CHECK_EQUAL(take_records(LEDGER_ABORTED), MOVES - MET - 1);
	rig_destroy(&rig);
}

static void an_aborted_turn_is_no_hindrance_for_what_comes_next(void)
{
	turn_with(WQ_ABORT, TARGETS + 64 * MET);
	memset(rig.memory + TARGETS, 0, 64 * MOVES);
	memset(rig.memory + RECORDS, 0, 32 * MOVES);
	submit_moves(MOVES);
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(moved(MOVES), MOVES);
	rig_destroy(&rig);
}

static void a_drain_within_a_turn_is_told_when_all_have_ended(void)
{
	static const enum wq_command commands[] = { WQ_DRAIN, WQ_DISABLE };

	for (unsigned i = 0; i < 2; i++) {
		turn_with(commands[i], TARGETS + 64 * MET);
		CHECK_EQUAL(last_status, STATUS_SUCCESS);
		CHECK_EQUAL(take_records(LEDGER_COMPLETED), MOVES);
		rig_destroy(&rig);
	}
}

/* The queues of what ends after an abort that meets the descriptor MET of queue 0. */
static void order_after_abort(uint32_t priority, bool (*one)(struct idxd *idxd, uint32_t engine), uint16_t order[AFTER])
{
	bring_up(priority);
	meanwhile = WQ_ABORT;
	trigger = TARGETS + 64 * MET;
	ends = 0;
	submit_moves(MOVES);
	rig.on_access = give_command;
	while (one(rig.idxd, 0))
		;
	CHECK_EQUAL(take_records(LEDGER_COMPLETED), MET);
	for (uint32_t wq = 0; wq < WQS; wq++)
		rig_noops(&rig, wq, AFTER / WQS);
	while (one(rig.idxd, 0))
		;
	CHECK_EQUAL(take_records(LEDGER_COMPLETED), AFTER);
	for (unsigned i = 0; i < AFTER; i++)
		order[i] = records[i].wq;
	rig_destroy(&rig);
}

static void a_descriptor_that_was_dropped_counts_as_a_turn(void)
{
	for (uint32_t priority = 1; priority < 5; priority++) {
		uint16_t by_steps[AFTER], by_turns[AFTER];

		order_after_abort(priority, idxd_engine_step, by_steps);
		order_after_abort(priority, idxd_engine_turn, by_turns);
		CHECK(memcmp(by_steps, by_turns, sizeof(by_steps)) == 0);
	}
}

static void while_a_command_waits_each_turn_is_one_descriptor(void)
{
	bring_up(1);
	ends = 0;
	submit_moves(MET);
	waiter = (struct wq_waiter){ .done = told };
	CHECK_EQUAL(idxd_wq_start(rig.idxd, 0, WQ_DRAIN, &waiter), CMDERR_NONE);
	rig_noops(&rig, 0, 3);
	for (unsigned i = 0; i < MET; i++) {
		CHECK_EQUAL(ends, 0);
		CHECK(idxd_engine_turn(rig.idxd, 0));
		CHECK_EQUAL(take_records(LEDGER_COMPLETED), 1);
	}
	CHECK_EQUAL(ends, 1);
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(take_records(LEDGER_COMPLETED), 3);
	rig_destroy(&rig);
}

static void give_work_to_another_queue(struct rig *self, uint64_t iova)
{
	if (iova != TARGETS + 64 * MET)
		return;
	self->on_access = NULL;
	rig_noops(self, 1, 1);
}

/* What it leaves undone stays begun. */
static void turn_that_is_called_off(void)
{
	bring_up(1);
	submit_moves(MOVES);
	rig.on_access = give_work_to_another_queue;
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(moved(MOVES), MET + 1);
}

static void a_queue_that_gets_work_ends_the_turn_of_another(void)
{
	turn_that_is_called_off();
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(moved(MOVES), MET + 1); /* it was the other one's */
	CHECK_EQUAL(take_records(LEDGER_COMPLETED), MET + 2);
	CHECK_EQUAL(records[MET + 1].wq, 1);
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(moved(MOVES), MOVES);
	CHECK(!idxd_engine_turn(rig.idxd, 0));
	rig_destroy(&rig);
}

static void stop(struct rig *self, uint64_t iova)
{
	if (iova != TARGETS + 64 * MET)
		return;
	self->on_access = NULL;
	idxd_stop_engines(self->idxd);
}

static void engines_that_are_stopped_leave_the_rest_of_a_turn_where_it_is(void)
{
	bring_up(1);
	submit_moves(MOVES);
	rig.on_access = stop;
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(moved(MOVES), MET + 1);
	idxd_let_engines_run(rig.idxd);
	CHECK(idxd_engine_step(rig.idxd, 0));
	CHECK_EQUAL(moved(MOVES), MET + 2);
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(moved(MOVES), MOVES);
	rig_destroy(&rig);
}

static void what_a_turn_left_undone_comes_before_what_was_submitted_later(void)
{
	turn_that_is_called_off();
	rig_noops(&rig, 0, 1);
	rig_noops(&rig, 1, 1);
	while (idxd_engine_turn(rig.idxd, 0))
		;
	CHECK_EQUAL(take_records(LEDGER_COMPLETED), MOVES + 3);
	for (unsigned i = 0, last = 0; i < MOVES + 3; i++) {
		CHECK(records[i].wq != 0 || records[i].cause > last);
		last = records[i].wq == 0 ? (unsigned)records[i].cause : last;
	}
	rig_destroy(&rig);
}

static void what_a_turn_left_undone_is_dropped_by_an_abort(void)
{
	turn_that_is_called_off();
	CHECK_EQUAL(idxd_wq_command(rig.idxd, 0, WQ_ABORT), CMDERR_NONE);
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK(!idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(moved(MOVES), MET + 1);
	CHECK_EQUAL(take_records(LEDGER_ABORTED), MOVES - MET - 1);
	rig_destroy(&rig);
}

static void what_a_turn_left_undone_is_waited_for_by_a_drain(void)
{
	turn_that_is_called_off();
	ends = 0;
	waiter = (struct wq_waiter){ .done = told };
	CHECK_EQUAL(idxd_wq_start(rig.idxd, 0, WQ_DISABLE, &waiter), CMDERR_NONE);
	while (idxd_engine_turn(rig.idxd, 0))
		CHECK_EQUAL(ends, moved(MOVES) == MOVES);
	CHECK_EQUAL(ends, 1);
	rig_destroy(&rig);
}

static size_t known;

static void look_at_the_ledger(struct rig *self, uint64_t iova)
{
	if (iova != TARGETS + 64 * MET)
		return;
	self->on_access = NULL;
	known = take_records(LEDGER_COMPLETED);
}

/* An error has been reported: whoever sees that finds in the ledger what had ended before it. */
static void the_ledger_knows_all_before_what_leaves_the_device(void)
{
	bring_up(1);
	submit_moves(1);
	rig_submit_to(&rig, 0, PORTAL_IMS, &(struct rig_desc){ .opcode = 0x55 });
	for (unsigned i = 2; i < MOVES; i++) {
		const struct rig_desc move = move_of(i, 64);

		rig_submit_to(&rig, 0, PORTAL_IMS, &move);
	}
	rig.on_access = look_at_the_ledger;
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(rig.errors, 1);
	CHECK_EQUAL(known, 2);
	rig_destroy(&rig);
}

static uint32_t occupied;

static void look_at_the_queue(struct rig *self, uint64_t iova)
{
	if (iova != TARGETS + 64 * MET)
		return;
	self->on_access = NULL;
	occupied = (uint32_t)idxd_bar0_read(self->idxd, RIG_WQS + 32 * 0 + 24, 4) & 0xFFFF;
	rig_noops(self, 0, 128);
	rig_noops(self, 0, 1);
}

/* What is begun is not in the queue any more (9.2.24): there is room for as many as it has places. */
static void what_a_turn_has_begun_takes_no_room_in_the_queue(void)
{
	bring_up(1);
	submit_moves(MOVES);
	rig.on_access = look_at_the_queue;
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(occupied, 0);
	CHECK_EQUAL(take_records(LEDGER_DROPPED), 1);
	CHECK_EQUAL(records[0].reason, DROP_WQ_FULL);
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
	RUN(an_abort_within_a_turn_leaves_what_comes_after_it_undone);
	RUN(an_abort_between_two_descriptors_leaves_the_next_untouched);
	RUN(an_aborted_turn_is_no_hindrance_for_what_comes_next);
	RUN(a_drain_within_a_turn_is_told_when_all_have_ended);
	RUN(while_a_command_waits_each_turn_is_one_descriptor);
	RUN(a_queue_that_gets_work_ends_the_turn_of_another);
	RUN(engines_that_are_stopped_leave_the_rest_of_a_turn_where_it_is);
	RUN(a_descriptor_that_was_dropped_counts_as_a_turn);
	RUN(what_a_turn_left_undone_comes_before_what_was_submitted_later);
	RUN(what_a_turn_left_undone_is_dropped_by_an_abort);
	RUN(what_a_turn_left_undone_is_waited_for_by_a_drain);
	RUN(the_ledger_knows_all_before_what_leaves_the_device);
	RUN(what_a_turn_has_begun_takes_no_room_in_the_queue);
	return 0;
}
