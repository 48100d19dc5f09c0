/* test_engine_threads.c - engines that sleep: none misses its work, and none costs anything while there is nothing to do. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "engine_rig.h"

enum { ENGINES = 8, ROUNDS = 20000 };

static struct rig rig;
static pthread_t threads[ENGINES];

static void *engine_main(void *arg)
{
	idxd_engine_run(rig.idxd, (uint32_t)(uintptr_t)arg);
	return NULL;
}

/* Engines 0 to 3 serve queue 0, the others queue 1. */
static void start(void)
{
	const struct idxd_config config = {
		.num_wqs = 2, .total_wq_size = 64, .num_ims = 256, .max_xfer_log2 = 21, .max_batch_log2 = 5, .num_groups = 2, .num_engines = ENGINES,
	};

	rig_create(&rig, &config);
	rig_group(&rig, 0, 1, 0x0F);
	rig_group(&rig, 1, 2, 0xF0);
	rig_enable(&rig, 32);
	rig_enable_wq(&rig, 0, 1, 5);
	rig_enable_wq(&rig, 1, 1, 5);
	for (uintptr_t i = 0; i < ENGINES; i++)
		CHECK_EQUAL(pthread_create(&threads[i], NULL, engine_main, (void *)i), 0);
}

static void stop(void)
{
	idxd_stop_engines(rig.idxd);
	for (unsigned i = 0; i < ENGINES; i++)
		pthread_join(threads[i], NULL);
	rig_destroy(&rig);
}

/* One descriptor at a time: each finds all engines of its group asleep, or on the way there. */
static void fire_one_by_one(unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++) {
		const struct rig_desc noop = { .opcode = OP_NOOP };

		rig_submit_to(&rig, i % 2, PORTAL_IMS, &noop);
		CHECK_EQUAL(idxd_wq_command(rig.idxd, i % 2, WQ_DRAIN), CMDERR_NONE);
	}
}

static void no_descriptor_is_left_lying(void)
{
	start();
	fire_one_by_one(ROUNDS);
	stop();
}

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void idle_engines_cost_nothing(void)
{
	const struct timespec while_idle = { .tv_nsec = 200000000 };
	uint64_t before;

	start();
	fire_one_by_one(10);
	before = cpu_ns();
	nanosleep(&while_idle, NULL);
	CHECK(cpu_ns() - before < 20000000);
	stop();
}

/* ---- a command while an engine is among plain moves (plain.h): as many as it does before it looks elsewhere ---- */

enum { MOVES = 32, MOVE = 6000, LIST = 0x1000, RECORDS = 0x2000, RECORD = 0x3000, SOURCE = 0x10000, TARGET = 0x110000, SEEN = 3 };

static _Atomic uint64_t *record_of(unsigned member)
{
	return (_Atomic uint64_t *)(void *)(rig.memory + RECORDS + 32 * member);
}

static void submit_moves(void)
{
	const struct rig_desc batch = { .opcode = OP_BATCH, .flags = DESC_F_CRAV | DESC_F_RCR, .record = RECORD, .source = LIST, .size = MOVES };

	memset(rig.memory + RECORDS, 0, 32 * MOVES);
	memset(rig.memory + RECORD, 0, 32);
	memset(rig.memory + TARGET, 0, MOVES * MOVE);
	for (unsigned i = 0; i < MOVES; i++) {
		const struct rig_desc move = { .opcode = OP_MEMMOVE, .flags = DESC_F_CRAV | DESC_F_RCR, .record = RECORDS + 32 * i,
					       .source = SOURCE, .destination = TARGET + MOVE * i, .size = MOVE };

		rig_encode(&move, rig.memory + LIST + 64 * i);
	}
	rig_submit_to(&rig, 0, PORTAL_IMS, &batch);
}

/* Members with a record: those before any without. */
static unsigned members_ended(void)
{
	unsigned ended = 0;

	while (ended < MOVES && atomic_load(record_of(ended)) == STATUS_SUCCESS)
		ended++;
	for (unsigned i = ended; i < MOVES; i++)
		CHECK_EQUAL(atomic_load(record_of(i)), 0);
	return ended;
}

/* At most one member was carried out that has no record: the one that the abort met. */
static void check_targets(unsigned ended)
{
	for (unsigned i = 0; i < MOVES; i++)
		if (i != ended)
			CHECK_EQUAL(rig.memory[TARGET + MOVE * i + MOVE - 1], i < ended ? 0x5A : 0);
}

static int cpus(void)
{
	cpu_set_t set;

	CHECK_EQUAL(sched_getaffinity(0, sizeof(set), &set), 0);
	return CPU_COUNT(&set);
}

/* Each descriptor that was accepted has one end. How many ended in success. */
static unsigned check_ledger(void)
{
	static struct ledger_record records[RIG_LEDGER];
	uint64_t lost = 0;
	const size_t count = ledger_read(rig.ledger, records, RIG_LEDGER, &lost);
	unsigned kinds[LEDGER_VANISHED + 1] = { 0 };

	for (size_t i = 0; i < count; i++)
		kinds[records[i].kind]++;
	CHECK_EQUAL(lost, 0);
	CHECK_EQUAL(kinds[LEDGER_ACCEPTED], kinds[LEDGER_COMPLETED] + kinds[LEDGER_ABORTED]);
	return kinds[LEDGER_COMPLETED];
}

/* The command comes when some members have ended: those after it are not begun any more. */
static void an_abort_among_plain_moves_leaves_the_rest_undone(void)
{
	unsigned in_the_midst = 0;

	start();
	memset(rig.memory + SOURCE, 0x5A, MOVE);
	for (unsigned i = 0; i < ROUNDS / 20 || (in_the_midst == 0 && i < 20 * ROUNDS && cpus() > 1); i++) {
		unsigned ended;

		submit_moves();
		while (atomic_load(record_of(SEEN)) == 0)
			;
		CHECK_EQUAL(idxd_wq_command(rig.idxd, 0, WQ_ABORT), CMDERR_NONE);
		ended = members_ended();
		CHECK(ended > SEEN);
		CHECK(rig.memory[RECORD] == 0 || ended == MOVES);
		CHECK_EQUAL(check_ledger(), ended + rig.memory[RECORD]);
		in_the_midst += ended < MOVES;
		check_targets(ended);
	}
	CHECK(in_the_midst > 0 || cpus() == 1); /* one CPU does not look before a turn is over */
	stop();
}

int main(void)
{
	RUN(no_descriptor_is_left_lying);
	RUN(idle_engines_cost_nothing);
	RUN(an_abort_among_plain_moves_leaves_the_rest_undone);
	return 0;
}
