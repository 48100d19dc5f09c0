/* test_engine_threads.c - engines that sleep: none misses its work, and none costs anything while there is nothing to do. */
#define _GNU_SOURCE
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

int main(void)
{
	RUN(no_descriptor_is_left_lying);
	RUN(idle_engines_cost_nothing);
	return 0;
}
