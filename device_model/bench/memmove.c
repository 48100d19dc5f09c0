/*
 * memmove.c - Memory Move through the whole device against memcpy of the same buffers in the same run, on one CPU.
 *
 * The device is real: virtual device, portal, work queue, engine (whose turns this thread takes), the IOMMU's PASID table and the
 * transport's table of mapped files. Only the socket is left out: no descriptor's data goes that way. Each sample times two
 * rounds of copies by memcpy and two by descriptors, over the same buffers in the same order: once memcpy comes first and once the
 * device, for who comes second finds the buffers nearer. To write the descriptors counts as the device's time. Time is this thread's:
 * what other programs take of the CPU is not counted (what they take of the caches is in both). A second thread sleeps meanwhile:
 * in a process that has only one, locks cost less than they do in a device with engines.
 *
 * One descriptor at a time; 16 in the queue before the engine gets its turn, as a client has them that does not wait for each; and
 * batches of 32. Three working sets, source and destination together. Hot: it fits a core's own cache. Warm: one that cores share.
 * Cold: more than most caches have; memcpy and the device are half of it apart, so that what is copied was touched longest ago.
 * Prints JSON: the caches, and for each set and size its bytes, the ratio memcpy time / device time, p50 and p99 (the slow
 * end), and ns a copy.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "../platform/platform.h"
#include "../transport/connection.h"
#include "../vdev/vdev.h"

enum {
	PASID = 1, SAMPLES = 301, BATCH = 32, QUEUED = 16,
	MIB = 1 << 20,
	HALF = 64 * MIB,          /* sources in the first half of what is worked on, destinations in the second */
	ROUND_BYTES = 2 * MIB,    /* a sample, at least; and at least one copy */
	SOURCE = MIB, TARGET = SOURCE + HALF, RECORDS = TARGET + HALF, LIST = RECORDS + MIB, MEMORY = LIST + MIB,
};
enum { PORTAL = 0x1000, HOST_WQCFG = 0x800 };

struct rig {
	struct platform *platform;
	struct idxd *idxd;
	struct vdev *vdev;
	struct vfu_connection *connection;
	uint8_t *memory; /* as the device sees it: the same mapping, the same TLB entries */
	uint32_t half;              /* bytes, of what is worked on now */
	uint64_t plain_at, at;      /* in it: memcpy's, the device's */
};

static void need(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "memmove bench: %s failed\n", what);
		exit(1);
	}
}

/* ---- setting up ---- */

/* The transport's own way to a client's memory, for one memfd, without a client. */
static void map_memory(struct rig *rig)
{
	struct vfu_dma_map map = { .argsz = sizeof(map), .flags = VFU_DMA_MAP_READ | VFU_DMA_MAP_WRITE, .size = MEMORY };
	int fd = memfd_create("bench", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	need(fd >= 0 && ftruncate(fd, MEMORY) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0, "memfd");
	rig->connection = calloc(1, sizeof(*rig->connection));
	need(rig->connection, "calloc");
	vfu_dma_table_init(&rig->connection->dma);
	need(vfu_dma_table_add(&rig->connection->dma, &map, &fd) == 0, "mapping");
	rig->memory = rig->connection->dma.sorted[0]->file->base;
	memset(rig->memory, 0x5A, MEMORY);
}

static void make_device(struct rig *rig)
{
	const struct idxd_config config = { .num_wqs = 1, .total_wq_size = BATCH, .num_ims = 256, .max_xfer_log2 = 21,
					    .max_batch_log2 = 8, .num_groups = 1, .num_engines = 1 };

	rig->platform = platform_create(&config, 1 << 16, false);
	need(rig->platform, "platform");
	rig->idxd = platform_idxd(rig->platform);
	idxd_bar0_write(rig->idxd, HOST_WQCFG, 4, BATCH);
	idxd_bar0_write(rig->idxd, 0x600, 8, 1);
	idxd_bar0_write(rig->idxd, 0x620, 8, 1);
	idxd_bar0_write(rig->idxd, REG_CMD, 4, CMD_ENABLE_DEVICE << 20);
	idxd_bar0_write(rig->idxd, HOST_WQCFG + 8, 4, 1 | 1 << 4 | PASID << 8 | 1u << 28);
	idxd_bar0_write(rig->idxd, HOST_WQCFG + 12, 4, 21 | 8 << 5);
	need(idxd_wq_enable(rig->idxd, 0) == CMDERR_NONE, "work queue");
}

static void make_vdev(struct rig *rig)
{
	const struct vdev_config config = { .id = 1, .num_vectors = 1, .cmdcap = 0x67FE, .wq_size = BATCH, .wq_mode = 1 };
	const uint16_t master = 6;
	struct vdev_vm vm;
	int error;

	rig->vdev = vdev_create(rig->platform, &config, NULL, &error);
	need(rig->vdev, "virtual device");
	need(iommu_pasid_set(platform_iommu(rig->platform), PASID, vdev_target(rig->vdev)) == 0, "PASID");
	vfu_connection_vm(rig->connection, &vm);
	need(vdev_attach(rig->vdev, &vm) == 0, "attach");
	need(vdev_region_write(rig->vdev, VDEV_REGION_CONFIG, 4, &master, sizeof(master)) == 0, "bus master");
}

static void destroy(struct rig *rig)
{
	vdev_detach(rig->vdev);
	iommu_pasid_clear(platform_iommu(rig->platform), PASID);
	vdev_destroy(rig->vdev);
	platform_destroy(rig->platform);
	vfu_dma_table_destroy(&rig->connection->dma);
	free(rig->connection);
}

/* ---- what is compared ---- */

static void put(uint8_t *desc, unsigned at, uint64_t value, unsigned size)
{
	memcpy(desc + at, &value, size);
}

static uint64_t next_offset(const struct rig *rig, uint64_t *cursor, uint32_t size)
{
	const uint64_t at = *cursor;

	*cursor = (at + size) % rig->half;
	return at;
}

static void describe(uint8_t desc[64], uint64_t at, uint32_t size, uint64_t record)
{
	memset(desc, 0, 64);
	put(desc, 4, DESC_F_CRAV | DESC_F_RCR | (uint32_t)OP_MEMMOVE << 24, 4);
	put(desc, 8, record, 8);
	put(desc, 16, SOURCE + at, 8);
	put(desc, 24, TARGET + at, 8);
	put(desc, 32, size, 4);
}

static void submit(struct rig *rig, const uint8_t desc[64])
{
	need(vdev_region_write(rig->vdev, VDEV_REGION_BAR2, PORTAL, desc, 64) == 0, "portal");
}

static void run_engine(struct rig *rig)
{
	while (idxd_engine_turn(rig->idxd, 0))
		;
}

static void check_record(const struct rig *rig, uint64_t record)
{
	need(rig->memory[record] == 1, "a descriptor");
}

static void copy_plainly(struct rig *rig, uint32_t size, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const uint64_t at = next_offset(rig, &rig->plain_at, size);

		memcpy(rig->memory + TARGET + at, rig->memory + SOURCE + at, size);
	}
}

/* `queued` at a time; a divisor of `count`. */
static void copy_by_descriptors(struct rig *rig, uint32_t size, unsigned count, unsigned queued)
{
	uint8_t desc[64];

	for (unsigned i = 0; i < count; i += queued) {
		for (unsigned j = 0; j < queued; j++) {
			describe(desc, next_offset(rig, &rig->at, size), size, RECORDS + 32 * j);
			rig->memory[RECORDS + 32 * j] = 0;
			submit(rig, desc);
		}
		run_engine(rig);
		for (unsigned j = 0; j < queued; j++)
			check_record(rig, RECORDS + 32 * j);
	}
}

static void copy_one_by_one(struct rig *rig, uint32_t size, unsigned count)
{
	copy_by_descriptors(rig, size, count, 1);
}

static void copy_queued(struct rig *rig, uint32_t size, unsigned count)
{
	copy_by_descriptors(rig, size, count, QUEUED);
}

/* `count` is a multiple of BATCH. */
static void copy_by_batches(struct rig *rig, uint32_t size, unsigned count)
{
	uint8_t batch[64] = { 0 };

	put(batch, 4, DESC_F_CRAV | DESC_F_RCR | (uint32_t)OP_BATCH << 24, 4);
	put(batch, 8, RECORDS + 32 * BATCH, 8);
	put(batch, 16, LIST, 8);
	put(batch, 32, BATCH, 4);
	for (unsigned i = 0; i < count; i += BATCH) {
		for (unsigned j = 0; j < BATCH; j++)
			describe(rig->memory + LIST + 64 * j, next_offset(rig, &rig->at, size), size, RECORDS + 32 * j);
		rig->memory[RECORDS + 32 * BATCH] = 0;
		submit(rig, batch);
		run_engine(rig);
		check_record(rig, RECORDS + 32 * BATCH);
	}
}

/* ---- measuring ---- */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

typedef void copy_fn(struct rig *rig, uint32_t size, unsigned count);

static double time_of(struct rig *rig, copy_fn *copy, uint32_t size, unsigned count)
{
	const uint64_t begin = now_ns();

	copy(rig, size, count);
	return (double)(now_ns() - begin) / count;
}

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* A working set. */
struct set {
	const char *name;
	uint32_t half; /* bytes; and no less than one copy */
};

/* What is compared: named copies, of one size. */
struct subject {
	const char *name;
	copy_fn *copy;
	uint32_t size;
};

static void take_samples(struct rig *rig, const struct subject *it, double *ratios, double *plain, double *device)
{
	const unsigned count = it->size >= ROUND_BYTES ? 1 : ROUND_BYTES / it->size;

	for (int i = -10; i < SAMPLES; i++) { /* some to warm up */
		const unsigned at = i < 0 ? 0 : (unsigned)i;

		plain[at] = time_of(rig, copy_plainly, it->size, count);
		device[at] = time_of(rig, it->copy, it->size, count);
		device[at] = (device[at] + time_of(rig, it->copy, it->size, count)) / 2;
		plain[at] = (plain[at] + time_of(rig, copy_plainly, it->size, count)) / 2;
		ratios[at] = plain[at] / device[at];
	}
}

static void compare(struct rig *rig, const struct subject *it, const struct set *set)
{
	static double ratios[SAMPLES], plain[SAMPLES], device[SAMPLES];

	rig->half = it->size > set->half ? it->size : set->half;
	rig->plain_at = set->half == HALF ? HALF / 2 : 0;
	rig->at = 0;
	take_samples(rig, it, ratios, plain, device);
	qsort(ratios, SAMPLES, sizeof(double), by_value);
	qsort(plain, SAMPLES, sizeof(double), by_value);
	qsort(device, SAMPLES, sizeof(double), by_value);
	printf("    \"%s\": {\"set_bytes\": %u, \"ratio_p50\": %.3f, \"ratio_p99\": %.3f, \"memcpy_ns\": %.0f, "
	       "\"device_ns\": %.0f, \"gb_per_s\": %.2f}", it->name, 2 * rig->half, ratios[SAMPLES / 2], ratios[SAMPLES / 100],
	       plain[SAMPLES / 2], device[SAMPLES / 2], it->size / device[SAMPLES / 2]);
}

static void compare_all(struct rig *rig, const struct subject *subjects, unsigned count, const struct set *set)
{
	printf(",\n  \"%s\": {\n", set->name);
	for (unsigned i = 0; i < count; i++) {
		compare(rig, &subjects[i], set);
		printf("%s\n", i + 1 < count ? "," : "");
	}
	printf("  }");
}

static bool has_batches(struct rig *rig)
{
	return idxd_bar0_read(rig->idxd, REG_OPCAP, 8) >> OP_BATCH & 1;
}

static void *sleep_on(void *never)
{
	pthread_mutex_lock(never);
	return NULL;
}

int main(void)
{
	static const struct subject subjects[] = {
		{ "4 KiB", copy_one_by_one, 4096 },
		{ "4 KiB, 16 queued", copy_queued, 4096 },
		{ "64 KiB", copy_one_by_one, 65536 },
		{ "64 KiB, 16 queued", copy_queued, 65536 },
		{ "2 MiB", copy_one_by_one, 2 * MIB },
		{ "4 KiB, batches", copy_by_batches, 4096 },
		{ "64 KiB, batches", copy_by_batches, 65536 },
	};
	static const struct set sets[] = { { "hot", MIB / 4 }, { "warm", 8 * MIB }, { "cold", HALF } };
	static pthread_mutex_t never = PTHREAD_MUTEX_INITIALIZER;
	struct rig rig = { 0 };
	pthread_t sleeper;
	unsigned count = sizeof(subjects) / sizeof(subjects[0]);
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	(void)sched_setaffinity(0, sizeof(one), &one);
	pthread_mutex_lock(&never);
	need(pthread_create(&sleeper, NULL, sleep_on, &never) == 0, "thread");
	map_memory(&rig);
	make_device(&rig);
	make_vdev(&rig);
	if (!has_batches(&rig))
		count -= 2;
	printf("{\n  \"cache_bytes\": [%ld, %ld, %ld]", sysconf(_SC_LEVEL1_DCACHE_SIZE), sysconf(_SC_LEVEL2_CACHE_SIZE),
	       sysconf(_SC_LEVEL3_CACHE_SIZE));
	for (unsigned i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
		compare_all(&rig, subjects, count, &sets[i]);
	printf("\n}\n");
	destroy(&rig);
	pthread_mutex_unlock(&never);
	pthread_join(sleeper, NULL);
	return 0;
}
