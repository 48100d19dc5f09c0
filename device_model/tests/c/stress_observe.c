/*
 * stress_observe.c - everything that watches a virtual device, while guests and the engine are at work, for the sanitizers:
 * counters, burn-down, watchdog, maps that are replaced, a trace that is switched on and off, readers of trace and ledger.
 *
 * Each snapshot of the counters must be of one moment: what follows from an event is never counted before it. At the end the
 * counters, the trace's records and the guests' own counts must agree. Argument: rounds of each guest.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "../../platform/platform.h"
#include "../../vdev/observe.h"
#include "../../vdev/trace.h"
#include "../../vdev/vdev.h"
#include "check.h"

enum { GUESTS = 2, RAM = 0x10000, RAM_SIZE = 0x2000, PASID_BASE = 100, CAPACITY = 1 << 10, CHUNK = 256 };
enum { BAR0_CMD = 0xA0, PORTAL = 0x1000, HOST_IMS = 0x10000, HOST_WQCFG = 0x800, NOWHERE = 0x4000 };

struct guest {
	unsigned index;
	struct vdev *vdev;
	uint64_t reads, writes, descriptors; /* its thread's own, until it has ended */
	atomic_uint_fast64_t dma;            /* bytes written into its memory */
	uint8_t memory[RAM_SIZE];
};

static struct platform *platform;
static struct trace *trace;
static struct guest guests[GUESTS];
static atomic_bool stop;
static unsigned rounds;
static uint64_t traced, lost, next_seq;

/* ---- the VM ---- */

static int on_message(void *ctx, uint64_t address, uint32_t data)
{
	(void)ctx;
	(void)address;
	(void)data;
	return 0;
}

static int on_signal(void *ctx, unsigned vector)
{
	(void)ctx;
	(void)vector;
	return 0;
}

/* Memory that can only be moved by read and write, so that both can be counted here. */
static bool on_find(struct dma_space *space, uint64_t iova, unsigned right, struct dma_range *range)
{
	(void)space;
	*range = (struct dma_range){ .first = RAM, .last = RAM + RAM_SIZE - 1, .rights = right };
	return iova >= RAM && iova < RAM + RAM_SIZE;
}

static enum dma_result on_dma_read(struct dma_space *space, uint64_t iova, void *buf, size_t len, size_t *done)
{
	(void)space;
	(void)iova;
	memset(buf, 0, len);
	*done = len;
	return DMA_OK;
}

static enum dma_result on_dma_write(struct dma_space *space, uint64_t iova, const void *buf, size_t len, size_t *done)
{
	struct guest *guest = space->ctx;

	CHECK(iova >= RAM && len <= RAM_SIZE && iova - RAM <= RAM_SIZE - len);
	memcpy(guest->memory + (iova - RAM), buf, len);
	atomic_fetch_add(&guest->dma, len);
	*done = len;
	return DMA_OK;
}

static void on_leave(struct dma_space *space)
{
	(void)space;
}

static void on_enter(void *ctx, struct dma_space *space)
{
	static const struct dma_space_ops ops = { .find = on_find, .read = on_dma_read, .write = on_dma_write, .leave = on_leave };

	space->ops = &ops;
	space->ctx = ctx;
}

/* ---- the guest ---- */

static void write_reg(struct guest *guest, unsigned region, uint64_t offset, uint64_t value, uint32_t count)
{
	CHECK_EQUAL(vdev_region_write(guest->vdev, region, offset, &value, count), 0);
	guest->writes++;
}

static void submit(struct guest *guest, unsigned round)
{
	const uint32_t word = DESC_F_CRAV | DESC_F_RCR | (round % 3 ? 0 : DESC_F_RCI) | (uint32_t)OP_NOOP << 24;
	const uint64_t record = RAM + 32 * (round & 0x7F);
	const uint16_t handle = (uint16_t)(round % 3 ? 0 : round % 2 ? guest->index : 0x99);
	uint8_t desc[64] = { 0 };

	memcpy(desc + 4, &word, 4);
	memcpy(desc + 8, &record, 8);
	memcpy(desc + 36, &handle, 2);
	CHECK_EQUAL(vdev_region_write(guest->vdev, VDEV_REGION_BAR2, PORTAL, desc, 64), 0);
	guest->writes++;
	guest->descriptors++;
}

static void *guest_main(void *arg)
{
	struct guest *guest = arg;
	uint64_t value;

	for (unsigned i = 0; i < rounds; i++) {
		submit(guest, i);
		CHECK_EQUAL(vdev_region_read(guest->vdev, VDEV_REGION_BAR0, 0x90, &value, 4), 0);
		guest->reads++;
		write_reg(guest, VDEV_REGION_BAR0, NOWHERE + 4 * (i & 0xFFF), i, 4);
		write_reg(guest, VDEV_REGION_BAR0, 0x88, 0xFF00, 4);
		write_reg(guest, VDEV_REGION_CONFIG, 0x82, 1 << 15, 2);
	}
	return NULL;
}

/* ---- those who watch ---- */

static void check_snapshot(const struct observe_stats *stats)
{
	const struct tally *ledger = &stats->ledger;

	CHECK(ledger->succeeded + ledger->refused + ledger->failed + ledger->aborted <= ledger->accepted);
	CHECK(ledger->accepted + ledger->dropped <= stats->opcodes[OP_NOOP]);
	CHECK_EQUAL(stats->descriptors, stats->opcodes[OP_NOOP]);
	CHECK(stats->opcodes[OP_NOOP] <= stats->writes[OBSERVE_BAR2]);
	CHECK(stats->interrupts <= ledger->injected);
	CHECK(ledger->injected <= stats->descriptors);
}

static void tell_map(struct vdev *vdev, unsigned seed)
{
	const struct observe_range bar0[] = { { 0x80, 8, 6, 0x7, 0 }, { 0xA0, 0, 1, seed, 0 }, { 0x10, 8, 3, 0, 0 } };
	const struct observe_range config[] = { { 0, 4, 64, 0xFFFFFFFF, 0 } };
	const struct observe_range portals[] = { { 0, PORTAL_PAGE, 2, 0, 0 } };
	const struct observe_range outside[] = { { 0xFFFC, 4, 2, 0, 0 } };

	CHECK_EQUAL(vdev_observe_map(vdev, VDEV_REGION_BAR0, bar0, 3), 0);
	CHECK_EQUAL(vdev_observe_map(vdev, VDEV_REGION_CONFIG, config, 1), 0);
	CHECK_EQUAL(vdev_observe_map(vdev, VDEV_REGION_BAR2, portals, 1), 0);
	CHECK(vdev_observe_map(vdev, VDEV_REGION_BAR0, outside, 1) != 0);
}

static void *watcher_main(void *arg)
{
	static struct observe_touch touches[OBSERVE_TOUCHES];
	struct observe_watch now, longest;
	struct observe_stats stats;
	uint64_t overflow;

	(void)arg;
	for (unsigned i = 0; !atomic_load(&stop); i++) {
		struct vdev *vdev = guests[i % GUESTS].vdev;

		vdev_observe_stats(vdev, &stats);
		check_snapshot(&stats);
		CHECK(vdev_observe_touches(vdev, touches, OBSERVE_TOUCHES, &overflow) <= OBSERVE_TOUCHES);
		vdev_observe_polling(vdev, &now, &longest);
		CHECK_EQUAL(longest.reads, 0);
		if (i % 16 == 0)
			tell_map(vdev, i);
		sched_yield();
	}
	return NULL;
}

static void read_trace(void)
{
	static struct trace_record records[CHUNK];
	uint64_t gone = 0;
	size_t count;

	do {
		count = trace_read(trace, records, CHUNK, &gone);
		for (size_t i = 0; i < count; i++) {
			CHECK_EQUAL(records[i].seq, next_seq + (i == 0 ? gone : 0));
			next_seq = records[i].seq + 1;
			CHECK(records[i].mdev >= 1 && records[i].mdev <= GUESTS);
			traced += records[i].kind != TRACE_ATTACHED;
		}
		lost += gone;
		gone = 0;
	} while (count == CHUNK);
}

static void *reader_main(void *arg)
{
	static struct ledger_record records[CHUNK];
	uint64_t next = UINT64_MAX, gone = 0;

	(void)arg;
	while (!atomic_load(&stop)) {
		(void)ledger_follow(platform_ledger(platform), &next, records, CHUNK, &gone);
		(void)ledger_read(platform_ledger(platform), records, CHUNK, &gone);
		read_trace();
		sched_yield();
	}
	return NULL;
}

/* ---- the whole ---- */

static void bring_up_hardware(void)
{
	const struct idxd_config config = {
		.num_wqs = GUESTS, .total_wq_size = 16 * GUESTS, .num_ims = 256, .max_xfer_log2 = 21, .max_batch_log2 = 5,
		.num_groups = 1, .num_engines = 1,
	};
	struct idxd *idxd;

	platform = platform_create(&config, 1 << 8, true);
	trace = trace_create(CAPACITY);
	CHECK(platform && trace);
	CHECK(!trace_create(3));
	idxd = platform_idxd(platform);
	for (unsigned i = 0; i < GUESTS; i++)
		idxd_bar0_write(idxd, HOST_WQCFG + 32 * i, 4, 16);
	idxd_bar0_write(idxd, 0x600, 8, (1u << GUESTS) - 1);
	idxd_bar0_write(idxd, 0x620, 8, 1);
	idxd_bar0_write(idxd, REG_GENCFG, 4, GENCFG_USER_INTERRUPTS);
	idxd_bar0_write(idxd, BAR0_CMD, 4, CMD_ENABLE_DEVICE << 20);
	CHECK_EQUAL(idxd_bar0_read(idxd, 0xA8, 4), 0);
}

static void bring_up(struct guest *guest, unsigned index)
{
	const struct vdev_config config = {
		.id = index + 1, .wq = index, .num_vectors = 2, .gencap = 0x00B50016, .wqcap = 1ull << 49 | 1 << 16 | 16, .grpcap = 1,
		.engcap = 1, .opcap = 1, .cmdcap = 0x67FE, .wq_size = 16, .wq_mode = 0x11, .wq_limits = 0xB5,
	};
	const struct vdev_vector vector = { index, index };
	const struct vdev_vm vm = { guest, on_message, on_signal, on_enter };
	struct idxd *idxd = platform_idxd(platform);
	const uint64_t entry = HOST_IMS + 16 * index, wqcfg = HOST_WQCFG + 32 * index;
	int error;

	guest->index = index;
	guest->vdev = vdev_create(platform, &config, &vector, &error);
	CHECK(guest->vdev);
	CHECK_EQUAL(iommu_remap_set(platform_iommu(platform), index, vdev_target(guest->vdev), 1), 0);
	CHECK_EQUAL(iommu_pasid_set(platform_iommu(platform), PASID_BASE + index, vdev_target(guest->vdev)), 0);
	idxd_bar0_write(idxd, entry, 8, 0xFEE00010u | (uint64_t)index << 5);
	idxd_bar0_write(idxd, entry + 12, 4, (PASID_BASE + index) << 12 | IMS_CTRL_PASID_EN);
	idxd_bar0_write(idxd, wqcfg + 8, 4, 0x11 | WQCFG_MODE_PASID_EN | (PASID_BASE + index) << 8);
	idxd_bar0_write(idxd, wqcfg + 12, 4, 0xB5);
	CHECK_EQUAL(vdev_attach(guest->vdev, &vm), 0);
	tell_map(guest->vdev, 0);
	vdev_observe_trace(guest->vdev, trace);
	write_reg(guest, VDEV_REGION_CONFIG, 4, 6, 2);
	write_reg(guest, VDEV_REGION_CONFIG, 0x82, 1 << 15, 2);
	write_reg(guest, VDEV_REGION_BAR0, 0x2000 + 16 + 12, 0, 4);
	write_reg(guest, VDEV_REGION_BAR0, BAR0_CMD, CMD_ENABLE_DEVICE << 20, 4);
	write_reg(guest, VDEV_REGION_BAR0, BAR0_CMD, CMD_ENABLE_WQ << 20, 4);
	write_reg(guest, VDEV_REGION_BAR0, BAR0_CMD, CMD_REQUEST_INT_HANDLE << 20 | 1, 4);
}

static void run_threads(void)
{
	static void *(*const watchers[])(void *) = { watcher_main, reader_main };
	pthread_t threads[GUESTS + 2];

	for (unsigned i = 0; i < 2; i++)
		CHECK_EQUAL(pthread_create(&threads[GUESTS + i], NULL, watchers[i], NULL), 0);
	for (unsigned i = 0; i < GUESTS; i++)
		CHECK_EQUAL(pthread_create(&threads[i], NULL, guest_main, &guests[i]), 0);
	for (unsigned i = 0; i < GUESTS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[GUESTS + i], NULL);
}

static uint64_t check_guest(struct guest *guest)
{
	struct observe_touch touches[OBSERVE_TOUCHES];
	struct observe_stats stats;
	uint64_t overflow, touched = 0;
	size_t count;

	CHECK_EQUAL(idxd_wq_command(platform_idxd(platform), guest->index, WQ_DRAIN), CMDERR_NONE);
	vdev_observe_stats(guest->vdev, &stats);
	check_snapshot(&stats);
	CHECK_EQUAL(stats.reads[OBSERVE_BAR0], guest->reads);
	CHECK_EQUAL(stats.writes[OBSERVE_BAR0] + stats.writes[OBSERVE_BAR2] + stats.writes[OBSERVE_CONFIG], guest->writes);
	CHECK_EQUAL(stats.opcodes[OP_NOOP], guest->descriptors);
	CHECK_EQUAL(stats.descriptors, guest->descriptors);
	CHECK_EQUAL(stats.dma_written_bytes, atomic_load(&guest->dma));
	CHECK_EQUAL(stats.ledger.succeeded + stats.ledger.refused, stats.ledger.accepted);
	CHECK_EQUAL(stats.ledger.accepted + stats.ledger.dropped, guest->descriptors);
	CHECK(stats.ledger.refused > 0 && stats.interrupts > 0);
	count = vdev_observe_touches(guest->vdev, touches, OBSERVE_TOUCHES, &overflow);
	CHECK_EQUAL(count, OBSERVE_TOUCHES);
	for (size_t i = 0; i < count; i++)
		touched += touches[i].count;
	CHECK(touched + overflow >= 2ull * rounds);
	return guest->reads + guest->writes;
}

int main(int argc, char **argv)
{
	uint64_t accesses = 0;

	CHECK_EQUAL(argc, 2);
	rounds = (unsigned)strtoul(argv[1], NULL, 10);
	bring_up_hardware();
	for (unsigned i = 0; i < GUESTS; i++)
		bring_up(&guests[i], i);
	run_threads();
	read_trace();
	for (unsigned i = 0; i < GUESTS; i++)
		accesses += check_guest(&guests[i]);
	CHECK_EQUAL(traced + lost, accesses);
	for (unsigned i = 0; i < GUESTS; i++) {
		vdev_detach(guests[i].vdev);
		iommu_remap_clear(platform_iommu(platform), i);
		iommu_pasid_clear(platform_iommu(platform), PASID_BASE + i);
		vdev_destroy(guests[i].vdev);
	}
	platform_destroy(platform);
	trace_destroy(trace);
	printf("%" PRIu64 " accesses, %" PRIu64 " records lost\n", accesses, lost);
	return 0;
}
