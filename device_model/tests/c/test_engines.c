/* test_engines.c - groups, turns, halt, portals without a table, records of the other kind of device. Engines are stepped. */
#include "../../core/idxd_internal.h"
#include "engine_rig.h"

static struct rig rig;

static const struct idxd_config two_groups = {
	.num_wqs = 4, .total_wq_size = 256, .num_ims = 256, .max_xfer_log2 = 21, .max_batch_log2 = 10, .num_groups = 2, .num_engines = 3,
};
static const struct idxd_config one_group = {
	.num_wqs = 4, .total_wq_size = 1024, .num_ims = 256, .max_xfer_log2 = 21, .max_batch_log2 = 10, .num_groups = 1, .num_engines = 1,
};

/* One group with engine 0; priorities of queues 0 to 3. */
static void bring_up(const uint32_t priorities[4], uint32_t size)
{
	rig_create(&rig, &one_group);
	rig_group(&rig, 0, 0xF, 1);
	rig_enable(&rig, size);
	for (uint32_t i = 0; i < 4; i++)
		rig_enable_wq(&rig, i, priorities[i], 10);
}

static const uint32_t equal[4] = { 1, 1, 1, 1 };

static unsigned completed(uint32_t wq)
{
	unsigned counts[256] = { 0 };

	rig_count(&rig, LEDGER_COMPLETED, counts);
	return counts[wq];
}

static void an_engine_takes_work_of_its_own_group_only(void)
{
	rig_create(&rig, &two_groups);
	rig_group(&rig, 0, 0x3, 1u << 2);
	rig_group(&rig, 1, 0xC, 1u << 0);
	rig_enable(&rig, 16);
	for (uint32_t i = 0; i < 4; i++)
		rig_enable_wq(&rig, i, 1, 5);
	rig_noops(&rig, 1, 1);
	CHECK(!idxd_engine_step(rig.idxd, 0));
	CHECK(!idxd_engine_step(rig.idxd, 1)); /* in no group */
	CHECK(idxd_engine_step(rig.idxd, 2));
	rig_noops(&rig, 3, 1);
	CHECK(!idxd_engine_step(rig.idxd, 2));
	CHECK(idxd_engine_step(rig.idxd, 0));
	CHECK(!idxd_engine_step(rig.idxd, 3)); /* no such engine */
	rig_destroy(&rig);
}

static void turns_are_in_the_ratio_of_the_priorities(void)
{
	static const uint32_t priorities[4] = { 15, 1, 6, 2 };
	unsigned counts[256] = { 0 };

	bring_up(priorities, 256);
	for (uint32_t i = 0; i < 4; i++)
		rig_noops(&rig, i, 256);
	for (unsigned i = 0; i < 10 * (15 + 1 + 6 + 2); i++)
		CHECK(idxd_engine_step(rig.idxd, 0));
	rig_count(&rig, LEDGER_COMPLETED, counts);
	for (uint32_t i = 0; i < 4; i++)
		CHECK_EQUAL(counts[i], 10 * priorities[i]);
	rig_destroy(&rig);
}

static void no_queue_waits_longer_than_a_round(void)
{
	static const uint32_t priorities[4] = { 15, 15, 15, 1 };
	unsigned turns = 0;

	bring_up(priorities, 256);
	for (uint32_t i = 0; i < 3; i++)
		rig_noops(&rig, i, 256);
	for (unsigned i = 0; i < 7; i++)
		CHECK(idxd_engine_step(rig.idxd, 0));
	rig_noops(&rig, 3, 3);
	(void)completed(3);
	for (unsigned done = 0; done < 3; turns++) {
		CHECK(idxd_engine_step(rig.idxd, 0));
		done += completed(3);
	}
	CHECK(turns <= 4 + 2 * 46); /* the first at the next of its turns, the others in the rounds after that */
	rig_destroy(&rig);
}

static void queues_without_work_cost_no_turns(void)
{
	static const uint32_t priorities[4] = { 15, 15, 15, 1 };

	bring_up(priorities, 256);
	rig_noops(&rig, 3, 200);
	for (unsigned i = 0; i < 200; i++)
		CHECK(idxd_engine_step(rig.idxd, 0));
	CHECK_EQUAL(completed(3), 200);
	CHECK(!idxd_engine_step(rig.idxd, 0));
	rig_destroy(&rig);
}

/* No thread is there to wake: who would be woken is seen in the engines' state. */
static void all_asleep(void)
{
	for (uint32_t i = 0; i < rig.idxd->config.num_engines; i++)
		rig.idxd->engines[i].asleep = true;
}

static uint32_t awake(void)
{
	uint32_t engines = 0;

	for (uint32_t i = 0; i < rig.idxd->config.num_engines; i++)
		engines |= (uint32_t)!rig.idxd->engines[i].asleep << i;
	return engines;
}

static void new_work_wakes_one_engine_of_its_group(void)
{
	rig_create(&rig, &two_groups);
	rig_group(&rig, 0, 0x3, 0x6);
	rig_group(&rig, 1, 0xC, 0x1);
	rig_enable(&rig, 16);
	for (uint32_t i = 0; i < 4; i++)
		rig_enable_wq(&rig, i, 1, 5);
	all_asleep();
	rig_noops(&rig, 0, 1);
	CHECK_EQUAL(awake(), 1u << 1);
	rig_noops(&rig, 0, 1); /* its turn comes after the one before it */
	CHECK_EQUAL(awake(), 1u << 1);
	rig_noops(&rig, 1, 1);
	CHECK_EQUAL(awake(), 1u << 1 | 1u << 2);
	rig_noops(&rig, 2, 1);
	CHECK_EQUAL(awake(), 1u << 1 | 1u << 2 | 1u << 0);
	all_asleep();
	CHECK(idxd_engine_step(rig.idxd, 2)); /* takes one queue; somebody else is called for the other */
	CHECK(awake() & 1u << 1);
	CHECK(!(awake() & 1u << 0));
	rig_destroy(&rig);
}

enum { LIST = 0x1000, RECORD = 0x800, DATA = 0x200000 };

static uint8_t status(void)
{
	return rig.memory[RECORD];
}

/* A batch in queue 0 of `count` copies of `desc`. */
static void submit_batch(const struct rig_desc *desc, uint32_t count)
{
	const struct rig_desc batch = { .opcode = OP_BATCH, .flags = DESC_F_CRAV | DESC_F_RCR, .record = RECORD, .source = LIST, .size = count };

	for (uint32_t i = 0; i < count; i++)
		rig_encode(desc, rig.memory + LIST + 64 * i);
	rig_submit_to(&rig, 0, PORTAL_IMS, &batch);
}

static void a_turn_has_at_most_so_many_members(void)
{
	const struct rig_desc noop = { .opcode = OP_NOOP };

	bring_up(equal, 256);
	submit_batch(&noop, 1024);
	rig_noops(&rig, 1, 100);
	for (unsigned i = 0; i < 32; i++) {
		CHECK_EQUAL(status(), 0);
		CHECK(idxd_engine_step(rig.idxd, 0));
		CHECK(idxd_engine_step(rig.idxd, 0));
		CHECK_EQUAL(completed(1), 1);
	}
	CHECK_EQUAL(status(), STATUS_SUCCESS);
	CHECK_EQUAL(rig.memory[RECORD + 5] << 8 | rig.memory[RECORD + 4], 1024);
	rig_destroy(&rig);
}

static void a_turn_has_at_most_so_many_bytes(void)
{
	const struct rig_desc move = { .opcode = OP_MEMMOVE, .source = DATA, .destination = DATA + 0x100000, .size = 0x100000 };
	unsigned turns = 0;

	bring_up(equal, 256);
	submit_batch(&move, 8);
	for (; status() == 0; turns++)
		CHECK(idxd_engine_step(rig.idxd, 0));
	CHECK_EQUAL(turns, 8);
	rig_destroy(&rig);
}

static void any_engine_of_the_group_goes_on_with_a_batch(void)
{
	const struct rig_desc noop = { .opcode = OP_NOOP };

	rig_create(&rig, &two_groups);
	rig_group(&rig, 0, 0xF, 0x7);
	rig_enable(&rig, 16);
	rig_enable_wq(&rig, 0, 1, 10);
	submit_batch(&noop, 1024);
	for (unsigned i = 0; i < 32; i++)
		CHECK(idxd_engine_step(rig.idxd, i % 3));
	CHECK_EQUAL(status(), STATUS_SUCCESS);
	rig_destroy(&rig);
}

static void a_portal_without_a_table_refuses_and_says_so(void)
{
	const struct rig_desc firing = { .opcode = OP_NOOP, .flags = DESC_F_CRAV | DESC_F_RCR | DESC_F_RCI, .record = RECORD };
	unsigned counts[256] = { 0 };

	bring_up(equal, 256);
	rig_submit_to(&rig, 2, PORTAL_MSIX, &firing);
	CHECK(idxd_engine_step(rig.idxd, 0));
	CHECK_EQUAL(status(), STATUS_HANDLE);
	rig_count(&rig, LEDGER_REFUSED, counts);
	CHECK_EQUAL(counts[2], 1);
	rig_destroy(&rig);
}

static void halt_drops_what_is_queued_and_begun_and_takes_nothing(void)
{
	const struct rig_desc noop = { .opcode = OP_NOOP };
	unsigned counts[256] = { 0 };

	bring_up(equal, 256);
	submit_batch(&noop, 1024);
	rig_noops(&rig, 1, 3);
	CHECK(idxd_engine_step(rig.idxd, 0));
	CHECK(idxd_engine_step(rig.idxd, 0)); /* one of each queue */
	idxd_bar0_write(rig.idxd, REG_GENCTRL, 4, GENCTRL_HALT_INT);
	idxd_halt(rig.idxd);
	CHECK_EQUAL(idxd_bar0_read(rig.idxd, REG_GENSTS, 4) & 3, DEVICE_HALTED);
	CHECK(idxd_bar0_read(rig.idxd, REG_INTCAUSE, 4) & INTCAUSE_HALT);
	CHECK_EQUAL(rig.swerror[0] >> 8 & 0xFF, 0x51);
	rig_noops(&rig, 1, 1);
	CHECK(!idxd_engine_step(rig.idxd, 0));
	CHECK_EQUAL(status(), 0);
	rig_count(&rig, LEDGER_ABORTED, counts);
	CHECK_EQUAL(counts[0], 1);
	CHECK_EQUAL(counts[1], 2);
	idxd_halt(rig.idxd);
	CHECK_EQUAL(rig.errors, 1);
	rig_destroy(&rig);
}

static void reset_ends_the_halt(void)
{
	bring_up(equal, 256);
	idxd_halt(rig.idxd);
	rig_command(&rig, CMD_RESET_DEVICE, 0);
	rig_group(&rig, 0, 0xF, 1);
	rig_enable(&rig, 16);
	rig_enable_wq(&rig, 0, 1, 5);
	rig_noops(&rig, 0, 1);
	CHECK(idxd_engine_step(rig.idxd, 0));
	rig_destroy(&rig);
}

static void a_drain_ends_when_the_device_is_halted(void)
{
	bring_up(equal, 256);
	rig_noops(&rig, 0, 3);
	rig_command(&rig, CMD_DRAIN_ALL, 0);
	CHECK_EQUAL(idxd_bar0_read(rig.idxd, REG_CMDSTATUS, 4), CMDSTATUS_ACTIVE);
	idxd_halt(rig.idxd);
	CHECK(!(idxd_bar0_read(rig.idxd, REG_CMDSTATUS, 4) & CMDSTATUS_ACTIVE));
	rig_destroy(&rig);
}

static unsigned of_kind(uint8_t kind)
{
	unsigned counts[256] = { 0 };

	rig_count(&rig, kind, counts);
	return counts[0];
}

static void a_descriptor_that_is_aborted_while_it_runs_leaves_no_record(void)
{
	static const enum wq_command commands[] = { WQ_ABORT, WQ_RESET, WQ_STOP };
	const struct rig_desc move = { .opcode = OP_MEMMOVE, .flags = DESC_F_CRAV | DESC_F_RCR, .record = RECORD, .source = DATA, .destination = DATA + 64, .size = 64 };

	for (unsigned i = 0; i < 3; i++) {
		bring_up(equal, 256);
		rig_command_meanwhile(&rig, DATA, commands[i]);
		rig_submit_to(&rig, 0, PORTAL_IMS, &move);
		CHECK(idxd_engine_step(rig.idxd, 0));
		CHECK_EQUAL(rig.ends, 1);
		CHECK_EQUAL(status(), 0);
		CHECK_EQUAL(of_kind(LEDGER_ABORTED), 1);
		rig_destroy(&rig);
	}
}

static void a_descriptor_that_runs_is_finished_by_a_drain(void)
{
	static const enum wq_command commands[] = { WQ_DRAIN, WQ_DISABLE };
	const struct rig_desc move = { .opcode = OP_MEMMOVE, .flags = DESC_F_CRAV | DESC_F_RCR, .record = RECORD, .source = DATA, .destination = DATA + 64, .size = 64 };

	for (unsigned i = 0; i < 2; i++) {
		bring_up(equal, 256);
		rig_command_meanwhile(&rig, DATA, commands[i]);
		rig_submit_to(&rig, 0, PORTAL_IMS, &move);
		CHECK(idxd_engine_step(rig.idxd, 0));
		CHECK_EQUAL(rig.ends, 1);
		CHECK_EQUAL(status(), STATUS_SUCCESS);
		rig_destroy(&rig);
	}
}

/* Members 0 to 7 have their records at RECORD + 32, + 64 ..; the command comes with the record of member `at`. */
static void run_batch_with_a_command(enum wq_command command, unsigned at)
{
	const struct rig_desc batch = { .opcode = OP_BATCH, .flags = DESC_F_CRAV | DESC_F_RCR, .record = RECORD, .source = LIST, .size = 8 };

	bring_up(equal, 256);
	for (unsigned i = 0; i < 8; i++) {
		const struct rig_desc noop = { .opcode = OP_NOOP, .flags = DESC_F_CRAV | DESC_F_RCR, .record = RECORD + 32 * (i + 1) };

		rig_encode(&noop, rig.memory + LIST + 64 * i);
	}
	rig_command_meanwhile(&rig, RECORD + 32 * (at + 1), command);
	rig_submit_to(&rig, 0, PORTAL_IMS, &batch);
	CHECK(idxd_engine_step(rig.idxd, 0));
	CHECK_EQUAL(rig.ends, 1);
}

static void an_abort_within_a_turn_leaves_the_members_after_it_undone(void)
{
	for (unsigned at = 0; at < 8; at++) {
		run_batch_with_a_command(WQ_ABORT, at);
		for (unsigned i = 0; i < 8; i++)
			CHECK_EQUAL(rig.memory[RECORD + 32 * (i + 1)], i <= at ? STATUS_SUCCESS : 0);
		CHECK_EQUAL(status(), 0);
		CHECK(!idxd_engine_step(rig.idxd, 0));
		rig_destroy(&rig);
	}
}

static void a_drain_within_a_turn_waits_for_the_record_of_the_batch(void)
{
	run_batch_with_a_command(WQ_DRAIN, 2);
	CHECK_EQUAL(status(), STATUS_SUCCESS);
	rig_destroy(&rig);
}

static void an_aborted_queue_goes_on_with_what_comes_next(void)
{
	const struct rig_desc noop = { .opcode = OP_NOOP, .flags = DESC_F_CRAV | DESC_F_RCR, .record = RECORD };

	run_batch_with_a_command(WQ_ABORT, 2);
	rig_submit_to(&rig, 0, PORTAL_IMS, &noop);
	CHECK(idxd_engine_step(rig.idxd, 0));
	CHECK_EQUAL(status(), STATUS_SUCCESS);
	rig_destroy(&rig);
}

/* A member that is processed and left out of the ledger, or the other way round, would show. */
static void every_member_that_was_begun_has_an_end_in_the_ledger(void)
{
	unsigned accepted, completed_or_aborted;

	for (unsigned at = 0; at < 8; at++) {
		static struct ledger_record records[RIG_LEDGER];
		uint64_t lost = 0;
		size_t count;

		run_batch_with_a_command(WQ_ABORT, at);
		count = ledger_read(rig.ledger, records, RIG_LEDGER, &lost);
		accepted = completed_or_aborted = 0;
		for (size_t i = 0; i < count; i++) {
			accepted += records[i].kind == LEDGER_ACCEPTED;
			completed_or_aborted += records[i].kind == LEDGER_COMPLETED || records[i].kind == LEDGER_ABORTED;
		}
		CHECK_EQUAL(accepted, completed_or_aborted);
		CHECK_EQUAL(accepted, 1 + at + 1);
		rig_destroy(&rig);
	}
}

static uint8_t iaa_status(uint8_t opcode, uint64_t record)
{
	const struct rig_desc desc = { .opcode = opcode, .flags = DESC_F_CRAV | DESC_F_RCR, .record = record, .size = opcode == OP_BATCH ? 2 : 0 };

	memset(rig.memory + RECORD, 0xEE, 128);
	rig_submit_to(&rig, 0, PORTAL_IMS, &desc);
	CHECK(idxd_engine_step(rig.idxd, 0));
	return rig.memory[record];
}

static void records_of_iaa_have_64_bytes(void)
{
	struct idxd_config config = one_group;

	config.kind = IDXD_IAA;
	rig_create(&rig, &config);
	rig_group(&rig, 0, 0xF, 1);
	rig_enable(&rig, 16);
	rig_enable_wq(&rig, 0, 1, 5);
	CHECK_EQUAL(iaa_status(OP_NOOP, RECORD), STATUS_SUCCESS);
	CHECK_EQUAL(rig.memory[RECORD + 63], 0);
	CHECK_EQUAL(rig.memory[RECORD + 64], 0xEE);
	CHECK_EQUAL(iaa_status(OP_DRAIN, RECORD), STATUS_SUCCESS);
	CHECK_EQUAL(iaa_status(OP_BATCH, RECORD), STATUS_OPCODE);
	CHECK_EQUAL(iaa_status(OP_MEMMOVE, RECORD), STATUS_OPCODE);
	CHECK_EQUAL(iaa_status(OP_NOOP, RECORD + 32), 0xEE);
	CHECK_EQUAL(rig.swerror[0] >> 8 & 0xFF, STATUS_CR_ALIGN);
	rig_destroy(&rig);
}

int main(void)
{
	RUN(an_engine_takes_work_of_its_own_group_only);
	RUN(turns_are_in_the_ratio_of_the_priorities);
	RUN(no_queue_waits_longer_than_a_round);
	RUN(queues_without_work_cost_no_turns);
	RUN(new_work_wakes_one_engine_of_its_group);
	RUN(a_turn_has_at_most_so_many_members);
	RUN(a_turn_has_at_most_so_many_bytes);
	RUN(any_engine_of_the_group_goes_on_with_a_batch);
	RUN(a_portal_without_a_table_refuses_and_says_so);
	RUN(halt_drops_what_is_queued_and_begun_and_takes_nothing);
	RUN(reset_ends_the_halt);
	RUN(a_drain_ends_when_the_device_is_halted);
	RUN(a_descriptor_that_is_aborted_while_it_runs_leaves_no_record);
	RUN(a_descriptor_that_runs_is_finished_by_a_drain);
	RUN(an_abort_within_a_turn_leaves_the_members_after_it_undone);
	RUN(a_drain_within_a_turn_waits_for_the_record_of_the_batch);
	RUN(an_aborted_queue_goes_on_with_what_comes_next);
	RUN(every_member_that_was_begun_has_an_end_in_the_ledger);
	RUN(records_of_iaa_have_64_bytes);
	return 0;
}
