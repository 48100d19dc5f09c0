/*
 * stress_device.c - core, platform and virtual devices under all threads at once, for the sanitizers: guests that submit,
 * forge, mask, request and release handles, reset, attach and detach; the host that masks entries, takes bindings away and
 * gives them back, destroys devices and makes new ones over the same parts; the engine. Arguments: seed, rounds of each guest.
 */
#define _GNU_SOURCE
#include "check.h"
#include "stress_world.h"

static void bring_up(struct world *world)
{
	const struct idxd_config config = {
		.num_wqs = GUESTS, .total_wq_size = 16 * GUESTS, .num_ims = ENTRIES, .max_xfer_log2 = 21, .max_batch_log2 = 5,
		.num_groups = 1, .num_engines = ENGINES,
	};

	world->platform = platform_create(&config, 1 << 18, true);
	CHECK(world->platform);
	world->idxd = platform_idxd(world->platform);
	world->iommu = platform_iommu(world->platform);
	for (unsigned i = 0; i < GUESTS; i++)
		idxd_bar0_write(world->idxd, HOST_WQCFG + 32 * i, 4, 16);
	idxd_bar0_write(world->idxd, 0x600, 8, (1u << GUESTS) - 1);
	idxd_bar0_write(world->idxd, 0x620, 8, (1u << ENGINES) - 1);
	idxd_bar0_write(world->idxd, REG_GENCFG, 4, GENCFG_USER_INTERRUPTS);
	idxd_bar0_write(world->idxd, BAR0_CMD, 4, CMD_ENABLE_DEVICE << 20);
	CHECK_EQUAL(idxd_bar0_read(world->idxd, 0xA8, 4), 0);
}

static void run_threads(struct world *world, uint32_t seed)
{
	static void *(*const hosts[])(void *) = { entries_main, bindings_main, watcher_main };
	struct host host_args[3] = { { world, seed * 3 + 101 }, { world, seed * 5 + 103 }, { world, seed * 7 + 107 } };
	pthread_t threads[GUESTS + 3];

	for (unsigned i = 0; i < GUESTS; i++)
		CHECK_EQUAL(pthread_create(&threads[i], NULL, guest_main, &world->guests[i]), 0);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQUAL(pthread_create(&threads[GUESTS + i], NULL, hosts[i], &host_args[i]), 0);
	for (unsigned i = 0; i < GUESTS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&world->stop, true);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[GUESTS + i], NULL);
}

static void check_end(struct world *world)
{
	uint32_t remap, pasids;

	for (unsigned i = 0; i < GUESTS; i++)
		take_away(&world->guests[i]);
	iommu_count(world->iommu, &remap, &pasids);
	CHECK_EQUAL(remap, 0);
	CHECK_EQUAL(pasids, 0);
	read_ledger(world);
	CHECK_EQUAL(world->lost_records, 0);
	CHECK_EQUAL(world->injected, atomic_load(&world->received));
	CHECK(world->injected > world->rounds / 8); /* it was no run in which nothing happened */
	printf("%" PRIu64 " interrupts, %u devices\n", world->injected, atomic_load(&world->ids));
}

int main(int argc, char **argv)
{
	struct world *world = calloc(1, sizeof(*world));

	CHECK_EQUAL(argc, 3);
	CHECK(world);
	const uint32_t seed = (uint32_t)strtoul(argv[1], NULL, 10);
	world->rounds = (unsigned)strtoul(argv[2], NULL, 10);
	bring_up(world);
	for (unsigned i = 0; i < GUESTS; i++) {
		world->guests[i].index = i;
		world->guests[i].random = seed * 977 + i * 7919 + 1;
		CHECK_EQUAL(pthread_mutex_init(&world->guests[i].life, NULL), 0);
		CHECK_EQUAL(pthread_mutex_init(&world->guests[i].parts, NULL), 0);
		world->guests[i].world = world;
		compose(&world->guests[i]);
		set_up(&world->guests[i]);
	}
	run_threads(world, seed);
	check_end(world);
	for (unsigned i = 0; i < GUESTS; i++) {
		pthread_mutex_destroy(&world->guests[i].parts);
		pthread_mutex_destroy(&world->guests[i].life);
	}
	platform_destroy(world->platform);
	free(world);
	return 0;
}
