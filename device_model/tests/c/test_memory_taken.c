/*
 * test_memory_taken.c - memory that is taken away while it is used, in each way there is: whoever takes it waits for those
 * who use it, is not kept waiting by an operation however long, and afterwards every access is a fault.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "check.h"
#include "memory_rig.h"

enum { RANGE = RIG_PAGES / 2 * RIG_PAGE, PART = 65536 };

struct way {
	const char *name;
	void (*take)(struct rig *rig);
	void (*give_back)(struct rig *rig);
};

/* ---- the ways ---- */

static void unmap(struct rig *rig)
{
	guest_memory_unmap(&rig->guest, RIG_BASE, RANGE);
}

static void map(struct rig *rig)
{
	rig_map(rig, 0, RIG_PAGES / 2);
}

static void clear_pasid(struct rig *rig)
{
	CHECK_EQUAL(iommu_pasid_clear(platform_iommu(rig->platform), RIG_PASID), 0);
}

static void set_pasid(struct rig *rig)
{
	CHECK_EQUAL(iommu_pasid_set(platform_iommu(rig->platform), RIG_PASID, vdev_target(rig->vdev)), 0);
}

static void detach(struct rig *rig)
{
	vdev_detach(rig->vdev);
}

static void attach(struct rig *rig)
{
	const struct vdev_vm vm = guest_memory_vm(&rig->guest);

	CHECK_EQUAL(vdev_attach(rig->vdev, &vm), 0);
}

static void master_off(struct rig *rig)
{
	rig_bus_master(rig, false);
}

static void master_on(struct rig *rig)
{
	rig_bus_master(rig, true);
}

static void reset(struct rig *rig)
{
	vdev_reset(rig->vdev);
}

static const struct way ways[] = {
	{ "unmap", unmap, map },
	{ "pasid", clear_pasid, set_pasid },
	{ "detach", detach, attach },
	{ "bus master", master_off, master_on },
	{ "reset", reset, master_on },
};

enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

struct taker {
	struct rig *rig;
	const struct way *way;
	atomic_bool begun, unused, taken;
	bool early; /* taken while it was used */
};

static void *take(void *argument)
{
	struct taker *taker = argument;

	atomic_store(&taker->begun, true);
	taker->way->take(taker->rig);
	taker->early = !atomic_load(&taker->unused);
	atomic_store(&taker->taken, true);
	return NULL;
}

static void start(struct taker *taker, pthread_t *thread)
{
	CHECK_EQUAL(pthread_create(thread, NULL, take, taker), 0);
	while (!atomic_load(&taker->begun))
		sched_yield();
	for (unsigned i = 0; i < 200; i++) /* it would be through by now, if it did not wait */
		sched_yield();
}

static void check_fault(struct rig *rig)
{
	struct view view;
	uint8_t byte;

	CHECK_EQUAL(memory_read(&rig->memory, RIG_BASE, &byte, 1, NULL), DMA_FAULT);
	CHECK_EQUAL(memory_write(&rig->memory, RIG_BASE, &byte, 1, NULL), DMA_FAULT);
	CHECK_EQUAL(memory_view(&rig->memory, 0, RIG_BASE, 1, &view), DMA_FAULT);
	CHECK_EQUAL(memory_target(&rig->memory, 0, RIG_BASE, 1, &view), DMA_FAULT);
}

static void check_there(struct rig *rig)
{
	uint8_t byte;

	CHECK_EQUAL(memory_read(&rig->memory, RIG_BASE, &byte, 1, NULL), DMA_OK);
	memory_leave(&rig->memory);
}

static void take_during_a_view(struct rig *rig, const struct way *way, bool write)
{
	struct taker taker = { .rig = rig, .way = way };
	pthread_t thread;
	struct view view;
	size_t done = 0;

	CHECK_EQUAL((write ? memory_target : memory_view)(&rig->memory, 0, RIG_BASE, PART, &view), DMA_OK);
	start(&taker, &thread);
	for (unsigned i = 0; i < 2 * MEMORY_LEASE / RIG_PAGE; i++) { /* enough for the next lease, if it did not last as long as the view */
		uint8_t byte;

		(void)memory_read(&rig->memory, RIG_BASE, &byte, 1, NULL);
		sched_yield();
	}
	if (write)
		memset(view.bytes, 0xA5, view.length); /* memory that has gone would be a fault here */
	else
		CHECK_EQUAL(view.bytes[view.length - 1], 0);
	atomic_store(&taker.unused, true);
	if (write)
		CHECK_EQUAL(memory_commit(&rig->memory, &view, view.length, &done), DMA_OK);
	else
		memory_close(&rig->memory, &view);
	memory_leave(&rig->memory);
	pthread_join(thread, NULL);
	CHECK(!taker.early);
	CHECK(!write || rig->guest.bytes[PART - 1] == 0xA5);
	memset(rig->guest.bytes, 0, PART);
	check_fault(rig);
	way->give_back(rig);
	check_there(rig);
}

static void memory_in_use_is_waited_for(void)
{
	struct rig rig;

	rig_up(&rig, true);
	map(&rig);
	for (unsigned i = 0; i < WAYS; i++) {
		take_during_a_view(&rig, &ways[i], false);
		take_during_a_view(&rig, &ways[i], true);
	}
	rig_down(&rig);
}

/* One memory_enter for all of it, as one long descriptor has. Whoever takes gets his turn, or this goes on for ever. */
static void take_during_an_operation(struct rig *rig, const struct way *way, uint32_t part)
{
	struct taker taker = { .rig = rig, .way = way, .unused = true };
	enum dma_result result = DMA_OK;
	pthread_t thread;
	uint64_t at = 0;

	check_there(rig);
	CHECK_EQUAL(pthread_create(&thread, NULL, take, &taker), 0);
	while (result == DMA_OK) {
		struct view view;

		result = memory_view(&rig->memory, 0, RIG_BASE + at, part, &view);
		if (result == DMA_OK)
			memory_close(&rig->memory, &view);
		at = (at + part) % RANGE;
	}
	CHECK_EQUAL(result, DMA_FAULT);
	memory_leave(&rig->memory);
	pthread_join(thread, NULL);
	check_fault(rig);
	way->give_back(rig);
}

static void a_long_operation_keeps_nobody_waiting(void)
{
	struct rig rig;

	rig_up(&rig, true);
	map(&rig);
	for (unsigned i = 0; i < WAYS; i++) {
		take_during_an_operation(&rig, &ways[i], PART);
		take_during_an_operation(&rig, &ways[i], 8);
	}
	rig_down(&rig);
}

/* An operation that has been given a range before does not find it again, and finds what was mapped in its place. */
static void another_map_in_its_place_is_what_is_found(void)
{
	struct rig rig;
	uint8_t byte;

	rig_up(&rig, true);
	map(&rig);
	rig.guest.bytes[0] = 1;
	rig.guest.bytes[RANGE] = 2;
	CHECK_EQUAL(memory_read(&rig.memory, RIG_BASE, &byte, 1, NULL), DMA_OK);
	CHECK_EQUAL(byte, 1);
	memory_leave(&rig.memory);
	unmap(&rig);
	guest_memory_map(&rig.guest, RIG_BASE, RANGE, RANGE, GUEST_RAM);
	CHECK_EQUAL(memory_read(&rig.memory, RIG_BASE, &byte, 1, NULL), DMA_OK);
	CHECK_EQUAL(byte, 2);
	rig_down(&rig);
}

int main(void)
{
	RUN(memory_in_use_is_waited_for);
	RUN(a_long_operation_keeps_nobody_waiting);
	RUN(another_map_in_its_place_is_what_is_found);
	return 0;
}
