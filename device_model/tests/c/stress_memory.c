/*
 * stress_memory.c - copies of a running engine against memory that comes and goes: guests submit Memory Moves, and meanwhile
 * unmap and map again, switch bus mastering off and on, go and come back, and have their PASID taken away and given back.
 *
 * The promise is checked in the memory itself: after each call that takes it away the guest paints what it took, and the
 * paint must stay. An access to a file that is mapped no more would end the program. Arguments: seed, rounds of each guest.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "../../platform/platform.h"
#include "../../vdev/vdev.h"
#include "check.h"
#include "guest_memory.h"

enum { GUESTS = 3, PASID_BASE = 50, HALF = 2 << 20, RAM = 0x100000, RAM_SIZE = 2 * HALF, WQ_SIZE = 8 };
enum { PORTAL = 0x1000, HOST_WQCFG = 0x800 };
enum { PAGE = 4096, DAB = 64 };

struct guest {
	unsigned index;
	uint32_t random;
	uint8_t paint; /* another each time, so that what a late copy brings is seen */
	struct vdev *vdev;
	struct guest_memory memory;
};

static struct platform *platform;
static struct idxd *idxd;
static struct guest guests[GUESTS];
static unsigned rounds;

static uint32_t next(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* ---- what a guest does ---- */

/* RAM is mapped in two parts, so that copies cross from one to the other: lower and upper half. */
static void map_half(struct guest *guest, unsigned half)
{
	guest_memory_map(&guest->memory, RAM + half * HALF, HALF, half * HALF, GUEST_RAM);
}

static void submit(struct guest *guest)
{
	const uint32_t random = next(&guest->random);
	const uint32_t word = (DESC_F_CRAV | DESC_F_RCR) | (uint32_t)OP_MEMMOVE << 24;
	const uint64_t record = RAM + RAM_SIZE - 4096 + 32 * (random & 0x7F);
	const uint64_t source = RAM + (random >> 7) % (HALF / 2), destination = RAM + HALF / 2 + (random >> 3) % (HALF / 2);
	const uint32_t size = 1 + (random >> 12) % (HALF / 2); /* twice in memory, so more than a lease, mostly */
	uint8_t desc[64] = { 0 };

	memcpy(desc + 4, &word, 4);
	memcpy(desc + 8, &record, 8);
	memcpy(desc + 16, &source, 8);
	memcpy(desc + 24, &destination, 8);
	memcpy(desc + 32, &size, 4);
	CHECK_EQUAL(vdev_region_write(guest->vdev, VDEV_REGION_BAR2, PORTAL, desc, 64), 0);
}

/* What was taken away changes no more, whatever the engine is doing. A dab on each page: quick, so as to be there before it. */
static void check_untouched(struct guest *guest, size_t from, size_t size)
{
	uint8_t *const bytes = guest->memory.bytes + from;

	guest->paint++;
	for (size_t at = 0; at < size; at += PAGE)
		memset(bytes + at, guest->paint, DAB);
	submit(guest);
	for (unsigned i = next(&guest->random) % 64; i > 0; i--)
		sched_yield();
	for (size_t at = 0; at < size; at += PAGE)
		for (size_t i = 0; i < DAB; i++)
			CHECK_EQUAL(bytes[at + i], guest->paint);
}

static void remap_half(struct guest *guest)
{
	const unsigned half = next(&guest->random) & 1;

	guest_memory_unmap(&guest->memory, RAM + half * HALF, HALF);
	check_untouched(guest, half * HALF, HALF);
	map_half(guest, half);
}

static void remap_all(struct guest *guest)
{
	guest_memory_unmap(&guest->memory, RAM, RAM_SIZE);
	check_untouched(guest, 0, RAM_SIZE);
	map_half(guest, 1);
	map_half(guest, 0);
}

static void set_master(struct guest *guest, bool on)
{
	const uint16_t command = on ? 6 : 2;

	CHECK_EQUAL(vdev_region_write(guest->vdev, VDEV_REGION_CONFIG, 4, &command, sizeof(command)), 0);
}

static void toggle_master(struct guest *guest)
{
	set_master(guest, false);
	check_untouched(guest, 0, RAM_SIZE);
	set_master(guest, true);
}

static void attach(struct guest *guest)
{
	const struct vdev_vm vm = guest_memory_vm(&guest->memory);

	CHECK_EQUAL(vdev_attach(guest->vdev, &vm), 0);
}

/* Goes for good, as a VM that ends: its maps and its connection are freed. */
static void replace_vm(struct guest *guest)
{
	vdev_detach(guest->vdev);
	check_untouched(guest, 0, RAM_SIZE);
	guest_memory_destroy(&guest->memory);
	guest_memory_init(&guest->memory, RAM_SIZE, true);
	map_half(guest, 0);
	map_half(guest, 1);
	attach(guest);
}

static void rebind(struct guest *guest)
{
	struct iommu *iommu = platform_iommu(platform);

	CHECK_EQUAL(iommu_pasid_clear(iommu, PASID_BASE + guest->index), 0);
	check_untouched(guest, 0, RAM_SIZE);
	CHECK_EQUAL(iommu_pasid_set(iommu, PASID_BASE + guest->index, vdev_target(guest->vdev)), 0);
}

static void act(struct guest *guest)
{
	static void (*const actions[])(struct guest *) = { remap_half, remap_all, toggle_master, replace_vm, rebind };
	const uint32_t random = next(&guest->random) % 16;

	if (random >= sizeof(actions) / sizeof(actions[0])) {
		submit(guest);
		return;
	}
	for (unsigned i = next(&guest->random) % 4; i > 0; i--)
		submit(guest); /* so that the engine is at it */
	actions[random](guest);
}

static void *guest_main(void *arg)
{
	struct guest *guest = arg;

	for (unsigned i = 0; i < rounds; i++)
		act(guest);
	return NULL;
}

/* ---- the whole ---- */

static void bring_up(void)
{
	const struct idxd_config config = { .num_wqs = GUESTS, .total_wq_size = WQ_SIZE * GUESTS, .num_ims = 256, .max_xfer_log2 = 21,
					    .max_batch_log2 = 5, .num_groups = 1, .num_engines = 1 };

	platform = platform_create(&config, 1 << 18, true);
	CHECK(platform);
	idxd = platform_idxd(platform);
	for (unsigned i = 0; i < GUESTS; i++)
		idxd_bar0_write(idxd, HOST_WQCFG + 32 * i, 4, WQ_SIZE);
	idxd_bar0_write(idxd, 0x600, 8, (1u << GUESTS) - 1);
	idxd_bar0_write(idxd, 0x620, 8, 1);
	idxd_bar0_write(idxd, REG_GENCFG, 4, GENCFG_USER_INTERRUPTS);
	idxd_bar0_write(idxd, REG_CMD, 4, CMD_ENABLE_DEVICE << 20);
	CHECK_EQUAL(idxd_bar0_read(idxd, REG_CMDSTATUS, 4), 0);
}

static void compose(struct guest *guest)
{
	const unsigned i = guest->index;
	const struct vdev_config config = { .id = 1 + i, .wq = i, .num_vectors = 1, .wq_size = WQ_SIZE, .wq_mode = 1 };
	int error;

	idxd_bar0_write(idxd, HOST_WQCFG + 32 * i + 8, 4, 1 | 1 << 4 | (uint32_t)(PASID_BASE + i) << 8 | 1u << 28);
	idxd_bar0_write(idxd, HOST_WQCFG + 32 * i + 12, 4, 21 | 5 << 5);
	CHECK_EQUAL(idxd_wq_enable(idxd, i), CMDERR_NONE);
	guest->vdev = vdev_create(platform, &config, NULL, &error);
	CHECK(guest->vdev);
	CHECK_EQUAL(iommu_pasid_set(platform_iommu(platform), PASID_BASE + i, vdev_target(guest->vdev)), 0);
	guest_memory_init(&guest->memory, RAM_SIZE, true);
	map_half(guest, 0);
	map_half(guest, 1);
	attach(guest);
	set_master(guest, true);
}

static void take_away(struct guest *guest)
{
	CHECK_EQUAL(idxd_wq_command(idxd, guest->index, WQ_RESET), CMDERR_NONE);
	vdev_detach(guest->vdev);
	guest_memory_destroy(&guest->memory);
	CHECK_EQUAL(iommu_pasid_clear(platform_iommu(platform), PASID_BASE + guest->index), 0);
	vdev_destroy(guest->vdev);
}

static void count_ends(uint64_t *done, uint64_t *faults)
{
	static struct ledger_record records[1024];
	uint64_t lost = 0;
	size_t count;

	do {
		count = ledger_read(platform_ledger(platform), records, 1024, &lost);
		for (size_t i = 0; i < count; i++) {
			*done += records[i].kind == LEDGER_COMPLETED && records[i].status == STATUS_SUCCESS;
			*faults += records[i].kind == LEDGER_COMPLETED && records[i].status != STATUS_SUCCESS;
		}
	} while (count == 1024);
}

int main(int argc, char **argv)
{
	pthread_t threads[GUESTS];
	uint64_t done = 0, faults = 0;

	CHECK_EQUAL(argc, 3);
	rounds = (unsigned)strtoul(argv[2], NULL, 10);
	bring_up();
	for (unsigned i = 0; i < GUESTS; i++) {
		guests[i].index = i;
		guests[i].random = (uint32_t)strtoul(argv[1], NULL, 10) * 977 + i * 7919 + 1;
		compose(&guests[i]);
	}
	for (unsigned i = 0; i < GUESTS; i++)
		CHECK_EQUAL(pthread_create(&threads[i], NULL, guest_main, &guests[i]), 0);
	for (unsigned i = 0; i < GUESTS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < GUESTS; i++)
		take_away(&guests[i]);
	count_ends(&done, &faults);
	CHECK(done > rounds / 64 && faults > rounds / 64); /* both happened, many times */
	platform_destroy(platform);
	printf("%" PRIu64 " copies, %" PRIu64 " cut short\n", done, faults);
	return 0;
}
