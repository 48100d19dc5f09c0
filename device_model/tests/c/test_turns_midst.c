/*
 * test_turns_midst.c - in the midst of a turn of several descriptors: commands, work for another queue, engines that stop; and what
 * becomes of those that it leaves undone.
 */
#include "turns_rig.h"

enum { MOVES = 6, MET = 2 };

static struct rig rig;

static void begin(void)
{
	turns_up(&rig, 1);
	submit_moves(&rig, 0, MOVES);
}

/* The command comes with the first access to `at`. */
static void turn_with(enum wq_command command, uint64_t at)
{
	begin();
	rig_command_meanwhile(&rig, at, command);
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(rig.ends, 1);
}

static void an_abort_within_a_turn_leaves_what_comes_after_it_undone(void)
{
	static const enum wq_command commands[] = { WQ_ABORT, WQ_RESET, WQ_STOP };

	for (unsigned i = 0; i < 3; i++) {
		const struct ledger_record *records;
		size_t count;

		turn_with(commands[i], target_of(MET));
		CHECK(!idxd_engine_turn(rig.idxd, 0));
		for (unsigned j = 0; j < MOVES; j++) {
			CHECK_EQUAL(rig.memory[record_of(j)], j < MET ? STATUS_SUCCESS : 0);
			CHECK(j <= MET || rig.memory[target_of(j)] == 0);
		}
		records = rig_take(&rig, LEDGER_ABORTED, &count);
		CHECK_EQUAL(count, MOVES - MET);
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
	turn_with(WQ_ABORT, record_of(MET));
	CHECK_EQUAL(moved(&rig, MOVES), MET + 1);
	CHECK_EQUAL(number_of(&rig, LEDGER_ABORTED), MOVES - MET - 1);
	rig_destroy(&rig);
}

static void an_aborted_turn_is_no_hindrance_for_what_comes_next(void)
{
	turn_with(WQ_ABORT, target_of(MET));
	memset(rig.memory + TARGETS, 0, 64 * MOVES);
	memset(rig.memory + RECORDS, 0, 32 * MOVES);
	submit_moves(&rig, 0, MOVES);
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(moved(&rig, MOVES), MOVES);
	rig_destroy(&rig);
}

/* When an abort has met the descriptor MET of queue 0. */
static void take_order_after_abort(uint32_t priority, advance_fn *advance, uint16_t order[AFTER])
{
	turns_up(&rig, priority);
	submit_moves(&rig, 0, MOVES);
	rig_command_meanwhile(&rig, target_of(MET), WQ_ABORT);
	advance_all(&rig, advance);
	CHECK_EQUAL(number_of(&rig, LEDGER_COMPLETED), MET);
	take_order(&rig, advance, order);
	rig_destroy(&rig);
}

static void a_descriptor_that_was_dropped_counts_as_a_turn(void)
{
	for (uint32_t priority = 1; priority < 5; priority++) {
		uint16_t by_steps[AFTER], by_turns[AFTER];

		take_order_after_abort(priority, idxd_engine_step, by_steps);
		take_order_after_abort(priority, idxd_engine_turn, by_turns);
		CHECK(memcmp(by_steps, by_turns, sizeof(by_steps)) == 0);
	}
}

static void all_have_ended(struct rig *self)
{
	CHECK_EQUAL(moved(self, MOVES), MOVES);
}

static void a_drain_within_a_turn_is_told_when_all_have_ended(void)
{
	static const enum wq_command commands[] = { WQ_DRAIN, WQ_DISABLE };

	for (unsigned i = 0; i < 2; i++) {
		begin();
		rig.on_end = all_have_ended;
		rig_command_meanwhile(&rig, target_of(MET), commands[i]);
		CHECK(idxd_engine_turn(rig.idxd, 0));
		CHECK_EQUAL(rig.ends, 1);
		CHECK_EQUAL(number_of(&rig, LEDGER_COMPLETED), MOVES);
		rig_destroy(&rig);
	}
}

static void while_a_command_waits_each_turn_is_one_descriptor(void)
{
	turns_up(&rig, 1);
	submit_moves(&rig, 0, MET);
	rig_start_command(&rig, WQ_DRAIN);
	rig_noops(&rig, 0, 3);
	for (unsigned i = 0; i < MET; i++) {
		CHECK_EQUAL(rig.ends, 0);
		CHECK(idxd_engine_turn(rig.idxd, 0));
		CHECK_EQUAL(number_of(&rig, LEDGER_COMPLETED), 1);
	}
	CHECK_EQUAL(rig.ends, 1);
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(number_of(&rig, LEDGER_COMPLETED), 3);
	rig_destroy(&rig);
}

static void give_work_to_another_queue(struct rig *self)
{
	rig_noops(self, 1, 1);
}

/* What it leaves undone stays begun. */
static void turn_that_is_called_off(void)
{
	begin();
	rig_meanwhile(&rig, target_of(MET), give_work_to_another_queue);
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(moved(&rig, MOVES), MET + 1);
}

static void a_queue_that_gets_work_ends_the_turn_of_another(void)
{
	unsigned counts[256] = { 0 };

	turn_that_is_called_off();
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(moved(&rig, MOVES), MET + 1);
	rig_count(&rig, LEDGER_COMPLETED, counts);
	CHECK_EQUAL(counts[1], 1);
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(moved(&rig, MOVES), MOVES);
	CHECK(!idxd_engine_turn(rig.idxd, 0));
	rig_destroy(&rig);
}

static void stop(struct rig *self)
{
	idxd_stop_engines(self->idxd);
}

static void engines_that_are_stopped_leave_the_rest_of_a_turn_where_it_is(void)
{
	begin();
	rig_meanwhile(&rig, target_of(MET), stop);
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(moved(&rig, MOVES), MET + 1);
	idxd_let_engines_run(rig.idxd);
	CHECK(idxd_engine_step(rig.idxd, 0));
	CHECK_EQUAL(moved(&rig, MOVES), MET + 2);
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(moved(&rig, MOVES), MOVES);
	rig_destroy(&rig);
}

static void what_a_turn_left_undone_comes_before_what_was_submitted_later(void)
{
	const struct ledger_record *records;
	uint64_t last = 0;
	size_t count;

	turn_that_is_called_off();
	rig_noops(&rig, 0, 1);
	rig_noops(&rig, 1, 1);
	advance_all(&rig, idxd_engine_turn);
	records = rig_take(&rig, LEDGER_COMPLETED, &count);
	CHECK_EQUAL(count, MOVES + 3);
	for (size_t i = 0; i < count; i++) {
		if (records[i].wq != 0)
			continue;
		CHECK(records[i].cause > last);
		last = records[i].cause;
	}
	rig_destroy(&rig);
}

static void what_a_turn_left_undone_is_dropped_by_an_abort(void)
{
	turn_that_is_called_off();
	CHECK_EQUAL(idxd_wq_command(rig.idxd, 0, WQ_ABORT), CMDERR_NONE);
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK(!idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(moved(&rig, MOVES), MET + 1);
	CHECK_EQUAL(number_of(&rig, LEDGER_ABORTED), MOVES - MET - 1);
	rig_destroy(&rig);
}

static void what_a_turn_left_undone_is_waited_for_by_a_drain(void)
{
	turn_that_is_called_off();
	rig_start_command(&rig, WQ_DISABLE);
	while (idxd_engine_turn(rig.idxd, 0))
		CHECK_EQUAL(rig.ends, moved(&rig, MOVES) == MOVES);
	CHECK_EQUAL(rig.ends, 1);
	rig_destroy(&rig);
}

static size_t known;

static void look_at_the_ledger(struct rig *self)
{
	known = number_of(self, LEDGER_COMPLETED);
}

/* An error has been reported: whoever sees that finds in the ledger what had ended before it, and its own end. */
static void the_ledger_knows_all_before_what_leaves_the_device(void)
{
	turns_up(&rig, 1);
	submit_moves(&rig, 0, 1);
	rig_submit_to(&rig, 0, PORTAL_IMS, &(struct rig_desc){ .opcode = 0x55 });
	submit_moves(&rig, MET, MOVES);
	rig_meanwhile(&rig, target_of(MET), look_at_the_ledger);
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(rig.errors, 1);
	CHECK_EQUAL(known, 2);
	rig_destroy(&rig);
}

static uint32_t occupied;

static void look_at_the_queue(struct rig *self)
{
	occupied = (uint32_t)idxd_bar0_read(self->idxd, RIG_WQS + 24, 4) & 0xFFFF;
	rig_noops(self, 0, 128);
	rig_noops(self, 0, 1);
}

/* What is begun is not in the queue any more (9.2.24): there is room for as many as it has places. */
static void what_a_turn_has_begun_takes_no_room_in_the_queue(void)
{
	const struct ledger_record *records;
	size_t count;

	begin();
	rig_meanwhile(&rig, target_of(MET), look_at_the_queue);
	CHECK(idxd_engine_turn(rig.idxd, 0));
	CHECK_EQUAL(occupied, 0);
	records = rig_take(&rig, LEDGER_DROPPED, &count);
	CHECK_EQUAL(count, 1);
	CHECK_EQUAL(records[0].reason, DROP_WQ_FULL);
	rig_destroy(&rig);
}

int main(void)
{
	RUN(an_abort_within_a_turn_leaves_what_comes_after_it_undone);
	RUN(an_abort_between_two_descriptors_leaves_the_next_untouched);
	RUN(an_aborted_turn_is_no_hindrance_for_what_comes_next);
	RUN(a_descriptor_that_was_dropped_counts_as_a_turn);
	RUN(a_drain_within_a_turn_is_told_when_all_have_ended);
	RUN(while_a_command_waits_each_turn_is_one_descriptor);
	RUN(a_queue_that_gets_work_ends_the_turn_of_another);
	RUN(engines_that_are_stopped_leave_the_rest_of_a_turn_where_it_is);
	RUN(what_a_turn_left_undone_comes_before_what_was_submitted_later);
	RUN(what_a_turn_left_undone_is_dropped_by_an_abort);
	RUN(what_a_turn_left_undone_is_waited_for_by_a_drain);
	RUN(the_ledger_knows_all_before_what_leaves_the_device);
	RUN(what_a_turn_has_begun_takes_no_room_in_the_queue);
	return 0;
}
