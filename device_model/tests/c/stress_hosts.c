/* stress_hosts.c - threads of the host, until the guests have done their rounds: they mask, unbind, take devices away, and look on. */
#define _GNU_SOURCE
#include <sched.h>

#include "check.h"
#include "stress_world.h"

/* life is held so that vm and vdev stay; the guest's other threads (engine, other hosts) go on. */
void *entries_main(void *arg)
{
	struct host *host = arg;
	struct world *world = host->world;

	while (!atomic_load(&world->stop)) {
		struct guest *guest = &world->guests[next(&host->random) % GUESTS];
		struct store *store = idxd_store(world->idxd);

		pthread_mutex_lock(&guest->life);
		ims_open(world, guest->index, HOST_MASKS, true);
		atomic_store(&guest->vm->silent[HOST_MASKS], true);
		submit(guest);
		(void)store_pending(store, entry(guest->index, HOST_MASKS));
		atomic_store(&guest->vm->silent[HOST_MASKS], false);
		pthread_mutex_unlock(&guest->life);
		pthread_mutex_lock(&guest->parts);
		ims_open(world, guest->index, HOST_MASKS, false); /* against the guest's own accesses */
		pthread_mutex_unlock(&guest->parts);
		sched_yield();
	}
	return NULL;
}

static void unbind(struct guest *guest)
{
	struct world *world = guest->world;
	const uint32_t index = entry(guest->index, HOST_UNBINDS);

	iommu_remap_clear(world->iommu, index);
	atomic_store(&guest->vm->silent[HOST_UNBINDS], true);
	iommu_pasid_clear(world->iommu, PASID_BASE + guest->index);
	atomic_store(&guest->vm->no_memory, true);
	submit(guest);
	sched_yield();
	atomic_store(&guest->vm->no_memory, false);
	CHECK_EQUAL(iommu_pasid_set(world->iommu, PASID_BASE + guest->index, vdev_target(guest->vdev)), 0);
	atomic_store(&guest->vm->silent[HOST_UNBINDS], false);
	CHECK_EQUAL(iommu_remap_set(world->iommu, index, vdev_target(guest->vdev), HOST_UNBINDS), 0);
}

/* A command that will end while the device is taken away. */
static void leave_a_command(struct guest *guest)
{
	for (unsigned i = next(&guest->random) % 4; i > 0; i--)
		submit(guest);
	write_bar0(guest, BAR0_CMD, 4, 1u << 31 | CMD_DRAIN_WQ << 20 | 1);
}

void *bindings_main(void *arg)
{
	struct host *host = arg;
	struct world *world = host->world;

	while (!atomic_load(&world->stop)) {
		struct guest *guest = &world->guests[next(&host->random) % GUESTS];

		pthread_mutex_lock(&guest->life);
		if (next(&host->random) % 4 == 0) {
			leave_a_command(guest);
			pthread_mutex_lock(&guest->parts);
			take_away(guest);
			compose(guest);
			pthread_mutex_unlock(&guest->parts);
			set_up(guest);
		} else {
			unbind(guest);
		}
		pthread_mutex_unlock(&guest->life);
		sched_yield();
	}
	return NULL;
}

void read_ledger(struct world *world)
{
	static struct ledger_record records[1024];
	size_t count;

	do {
		count = ledger_read(platform_ledger(world->platform), records, 1024, &world->lost_records);
		for (size_t i = 0; i < count; i++)
			world->injected += records[i].kind == LEDGER_INJECTED;
	} while (count == 1024);
}

/* Reads the ledger and the registers, and gives commands of the hardware. */
void *watcher_main(void *arg)
{
	struct host *host = arg;
	struct world *world = host->world;

	while (!atomic_load(&world->stop)) {
		read_ledger(world);
		for (uint64_t offset = 0; offset < 0x100; offset += 8)
			(void)idxd_bar0_read(world->idxd, offset, 8);
		for (uint64_t i = 0; i < 64; i++)
			(void)idxd_bar0_read(world->idxd, HOST_IMS + i * 8, 8);
		idxd_bar0_write(world->idxd, BAR0_CMD, 4, (next(&host->random) & 1 ? CMD_DRAIN_ALL : CMD_ABORT_ALL) << 20);
		idxd_bar0_write(world->idxd, BAR0_CMD, 4, CMD_REQUEST_INT_HANDLE << 20 | 1u << 16 | (ENTRIES - 1));
		idxd_bar0_write(world->idxd, 0xC0, 4, 3);
		sched_yield();
	}
	return NULL;
}
