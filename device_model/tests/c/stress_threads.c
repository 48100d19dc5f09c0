/*
 * stress_threads.c - core, platform and virtual devices under all threads at once, for the sanitizers: guests that submit,
 * forge, mask, request and release handles, reset, attach and detach; the host that masks entries, takes bindings away and
 * gives them back, destroys devices and makes new ones over the same parts; the engine.
 *
 * The promises are checked where a message or a DMA arrives: each VM knows its own id, and has a flag for each thing that
 * must not arrive any more. A flag is set after the call that promises it has returned, and taken back before the call
 * that ends it. Arguments: seed, rounds of each guest.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "../../platform/platform.h"
#include "../../vdev/vdev.h"
#include "check.h"

enum { GUESTS = 4, VECTORS = 3, ENTRIES = 256, RAM = 0x10000, RAM_SIZE = 0x4000, PASID_BASE = 100 };
enum { BAR0_CMD = 0xA0, TABLE_MSIX = 0x2000, TABLE_PERM = 0x800, PORTAL = 0x1000, HOST_IMS = 0x10000, HOST_WQCFG = 0x800 };
/* What is tried with which vector. */
enum { GUEST_MASKS = 1, HOST_MASKS = 2, HOST_UNBINDS = 3 };

/* The VM behind a virtual device: a new one for each device that is made. */
struct vm {
	uint32_t id;
	atomic_bool gone;                  /* detached                            */
	atomic_bool reset;                 /* reset and not yet set up again      */
	atomic_bool no_memory;             /* its PASID leads nowhere             */
	atomic_bool silent[VECTORS + 1];   /* masked or unbound                   */
	atomic_uint_fast64_t messages;
	atomic_uint inside;                /* its memory                          */
	_Alignas(8) uint8_t memory[RAM_SIZE];
};

struct guest {
	unsigned index;
	uint32_t random;
	pthread_mutex_t life;  /* held for each access of the guest, and while the device is taken away */
	pthread_mutex_t parts; /* held while the host changes what its parts belong to; taken after life */
	struct vdev *vdev;
	struct vm *vm;
	bool attached;
};

static struct platform *platform;
static struct idxd *idxd;
static struct iommu *iommu;
static struct guest guests[GUESTS];
static atomic_uint ids;
static atomic_bool stop;
static atomic_uint_fast64_t received; /* by VMs that are no more */
static unsigned rounds;

static uint32_t next(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* ---- the VM ---- */

static int on_message(void *ctx, uint64_t address, uint32_t data)
{
	struct vm *vm = ctx;
	const unsigned vector = data & 0xFF;

	CHECK_EQUAL(data >> 8, vm->id & 0xFFFF);
	CHECK_EQUAL(address, 0xFEE00000u | (vm->id & 0xFF) << 12);
	CHECK(vector <= VECTORS);
	CHECK(!atomic_load(&vm->gone));
	CHECK(!atomic_load(&vm->reset));
	CHECK(!atomic_load(&vm->silent[vector]));
	for (unsigned i = 0; vector == 0 && i < 8; i++)
		sched_yield(); /* a slow end of a command, so that others meet it */
	atomic_fetch_add(&vm->messages, 1);
	return 0;
}

static int on_signal(void *ctx, unsigned vector)
{
	(void)ctx;
	(void)vector;
	CHECK(false); /* these devices have their own tables */
	return 0;
}

static void check_open(const struct vm *vm)
{
	CHECK(!atomic_load(&vm->gone));
	CHECK(!atomic_load(&vm->reset));
	CHECK(!atomic_load(&vm->no_memory));
}

static bool on_find(struct dma_space *space, uint64_t iova, size_t len, bool write, struct dma_piece *piece)
{
	struct vm *vm = space->ctx;

	(void)write;
	check_open(vm);
	if (iova < RAM || iova - RAM >= RAM_SIZE)
		return false;
	piece->bytes = vm->memory + (iova - RAM);
	piece->length = len < RAM_SIZE - (iova - RAM) ? len : RAM_SIZE - (iova - RAM);
	return true;
}

static enum dma_result on_read(struct dma_space *space, uint64_t iova, void *buf, size_t len, size_t *done)
{
	(void)space, (void)iova, (void)buf, (void)len, (void)done;
	CHECK(false); /* all of this memory is found */
	return DMA_FAILED;
}

static enum dma_result on_write(struct dma_space *space, uint64_t iova, const void *buf, size_t len, size_t *done)
{
	(void)space, (void)iova, (void)buf, (void)len, (void)done;
	CHECK(false);
	return DMA_FAILED;
}

static void on_leave(struct dma_space *space)
{
	struct vm *vm = space->ctx;

	check_open(vm);
	atomic_fetch_sub(&vm->inside, 1);
}

static void on_enter(void *ctx, struct dma_space *space)
{
	static const struct dma_space_ops ops = { .find = on_find, .read = on_read, .write = on_write, .leave = on_leave };
	struct vm *vm = ctx;

	check_open(vm);
	atomic_fetch_add(&vm->inside, 1);
	space->ops = &ops;
	space->ctx = vm;
}

static void attach(struct guest *guest)
{
	const struct vdev_vm way = {
		.ctx = guest->vm,
		.message = on_message,
		.signal = on_signal,
		.dma_enter = on_enter,
	};

	atomic_store(&guest->vm->gone, false);
	CHECK_EQUAL(vdev_attach(guest->vdev, &way), 0);
	guest->attached = true;
}

static void detach(struct guest *guest)
{
	vdev_detach(guest->vdev);
	atomic_store(&guest->vm->gone, true);
	guest->attached = false;
}

/* ---- the host: parts of guest i are work queue i, PASID_BASE + i, entries and remapping entries from entry(i, 1) on ---- */

static uint32_t entry(unsigned index, unsigned vector)
{
	return index * VECTORS + vector - 1;
}

static void entry_write(uint32_t index, unsigned reg, uint32_t value)
{
	idxd_bar0_write(idxd, HOST_IMS + (uint64_t)index * 16 + reg, 4, value);
}

static void ims_open(unsigned index, unsigned vector, bool masked)
{
	entry_write(entry(index, vector), 12, (uint32_t)(PASID_BASE + index) << 12 | 8 | masked);
}

static void compose(struct guest *guest)
{
	const struct vdev_config config = {
		.id = atomic_fetch_add(&ids, 1) + 1,
		.wq = guest->index,
		.num_vectors = VECTORS + 1,
		.cmdcap = 0x67FE,
		.wq_size = 16,
		.wq_mode = 1,
	};
	struct vdev_vector vectors[VECTORS];
	int error;

	for (unsigned i = 0; i < VECTORS; i++)
		vectors[i] = (struct vdev_vector){ .entry = entry(guest->index, i + 1), .handle = entry(guest->index, i + 1) };
	guest->vm = calloc(1, sizeof(*guest->vm));
	CHECK(guest->vm);
	guest->vm->id = config.id;
	guest->vdev = vdev_create(platform, &config, vectors, &error);
	CHECK(guest->vdev);
	CHECK_EQUAL(iommu_pasid_set(iommu, PASID_BASE + guest->index, vdev_target(guest->vdev)), 0);
	for (unsigned v = 1; v <= VECTORS; v++) {
		const uint32_t index = entry(guest->index, v);

		CHECK_EQUAL(iommu_remap_set(iommu, index, vdev_target(guest->vdev), v), 0);
		entry_write(index, 0, 0xFEE00010u | index << 5);
		ims_open(guest->index, v, false);
	}
	idxd_bar0_write(idxd, HOST_WQCFG + 32 * guest->index + 8, 4, 1 | 1 << 4 | (uint32_t)(PASID_BASE + guest->index) << 8 | 1u << 28);
	idxd_bar0_write(idxd, HOST_WQCFG + 32 * guest->index + 12, 4, 21 | 5 << 5);
	attach(guest);
}

/* As mdev.py does. Anything that comes afterwards meets freed memory, or a VM of another id. */
static void take_away(struct guest *guest)
{
	vdev_close_portal(guest->vdev);
	if (guest->attached)
		detach(guest);
	CHECK_EQUAL(idxd_wq_command(idxd, guest->index, WQ_RESET), CMDERR_NONE);
	for (unsigned v = 1; v <= VECTORS; v++) {
		entry_write(entry(guest->index, v), 12, 1);
		iommu_remap_clear(iommu, entry(guest->index, v));
	}
	iommu_pasid_clear(iommu, PASID_BASE + guest->index);
	vdev_destroy(guest->vdev);
	for (unsigned v = 1; v <= VECTORS; v++)
		CHECK(ims_release_handle(idxd_ims(idxd), entry(guest->index, v)));
	atomic_fetch_add(&received, atomic_load(&guest->vm->messages));
	CHECK_EQUAL(atomic_load(&guest->vm->inside), 0);
	free(guest->vm);
}

/* ---- the guest ---- */

static void write_bar0(struct guest *guest, uint64_t offset, uint32_t count, uint64_t value)
{
	CHECK_EQUAL(vdev_region_write(guest->vdev, VDEV_REGION_BAR0, offset, &value, count), 0);
}

static uint64_t read_bar0(struct guest *guest, uint64_t offset)
{
	uint64_t value = 0;

	CHECK_EQUAL(vdev_region_read(guest->vdev, VDEV_REGION_BAR0, offset, &value, 8), 0);
	return value;
}

static void write_config(struct guest *guest, uint64_t offset, uint16_t value)
{
	CHECK_EQUAL(vdev_region_write(guest->vdev, VDEV_REGION_CONFIG, offset, &value, 2), 0);
}

static void command(struct guest *guest, uint32_t code, uint32_t operand)
{
	write_bar0(guest, BAR0_CMD, 4, code << 20 | operand);
}

static void set_up(struct guest *guest)
{
	struct vm *vm = guest->vm;

	for (unsigned v = 0; v <= VECTORS; v++) {
		write_bar0(guest, TABLE_MSIX + 16 * v, 8, 0xFEE00000u | (vm->id & 0xFF) << 12);
		write_bar0(guest, TABLE_MSIX + 16 * v + 8, 4, (vm->id & 0xFFFF) << 8 | v);
	}
	atomic_store(&vm->reset, false);
	atomic_store(&vm->silent[GUEST_MASKS], false);
	write_config(guest, 4, 6);
	write_config(guest, 0x82, 1 << 15);
	for (unsigned v = 0; v <= VECTORS; v++)
		write_bar0(guest, TABLE_MSIX + 16 * v + 12, 4, 0);
	command(guest, CMD_ENABLE_DEVICE, 0);
	command(guest, CMD_ENABLE_WQ, 0);
	for (unsigned v = 1; v <= VECTORS; v++)
		command(guest, CMD_REQUEST_INT_HANDLE, v);
}

/* A Memory Move with a record and an interrupt by any handle, mostly its own. */
static void submit(struct guest *guest)
{
	const uint32_t random = next(&guest->random);
	const uint32_t own = entry(guest->index, 1 + random % VECTORS);
	uint8_t desc[64] = { 0 };
	const uint32_t word = (DESC_F_CRAV | DESC_F_RCR | DESC_F_RCI) | (uint32_t)OP_MEMMOVE << 24;
	const uint64_t record = RAM + 0x3000 + 32 * (random >> 8 & 0x7F);
	const uint64_t source = RAM, destination = RAM + (random >> 4 & 0xFF);
	const uint32_t size = 512;
	const uint16_t handle = (uint16_t)(random >> 28 == 0 ? random >> 16 & 0x3FF : own);

	memcpy(desc + 4, &word, 4);
	memcpy(desc + 8, &record, 8);
	memcpy(desc + 16, &source, 8);
	memcpy(desc + 24, &destination, 8);
	memcpy(desc + 32, &size, 4);
	memcpy(desc + 36, &handle, 2);
	CHECK_EQUAL(vdev_region_write(guest->vdev, VDEV_REGION_BAR2, PORTAL + (random >> 4 & 0x3F) * 64, desc, 64), 0);
}

static void toggle_mask(struct guest *guest)
{
	const uint64_t offset = TABLE_MSIX + 16 * GUEST_MASKS + 12;

	write_bar0(guest, offset, 4, 1);
	atomic_store(&guest->vm->silent[GUEST_MASKS], true);
	submit(guest);
	atomic_store(&guest->vm->silent[GUEST_MASKS], false);
	write_bar0(guest, offset, 4, 0);
}

static void reset(struct guest *guest)
{
	vdev_reset(guest->vdev);
	atomic_store(&guest->vm->reset, true);
	submit(guest); /* goes nowhere */
	set_up(guest);
}

/* Active may last: the guest goes on, as one that polls would find out. */
static void reset_command(struct guest *guest)
{
	command(guest, CMD_RESET_DEVICE, next(&guest->random) & 1 ? 1u << 11 : 0);
	for (unsigned i = 0; i < 1000 && (read_bar0(guest, 0xA8) & CMDSTATUS_ACTIVE); i++)
		sched_yield();
	command(guest, CMD_ENABLE_DEVICE, 0);
	command(guest, CMD_ENABLE_WQ, 0);
	for (unsigned v = 1; v <= VECTORS; v++)
		command(guest, CMD_REQUEST_INT_HANDLE, v);
}

static void any_command(struct guest *guest)
{
	static const uint32_t codes[] = { CMD_DRAIN_WQ, CMD_ABORT_WQ, CMD_DRAIN_ALL, CMD_DISABLE_WQ, CMD_RESET_WQ, CMD_DISABLE_DEVICE };
	const uint32_t random = next(&guest->random);

	write_bar0(guest, 0x88, 4, 1);
	write_bar0(guest, BAR0_CMD, 4, 1u << 31 | codes[random % 6] << 20 | (random % 6 == 2 || random % 6 == 5 ? 0 : 1));
	write_bar0(guest, 0xC0, 4, 3);
	command(guest, CMD_ENABLE_DEVICE, 0);
	command(guest, CMD_ENABLE_WQ, 0);
}

static void handles(struct guest *guest)
{
	const unsigned vector = 1 + next(&guest->random) % VECTORS;

	command(guest, CMD_RELEASE_INT_HANDLE, entry(guest->index, vector));
	submit(guest);
	command(guest, CMD_REQUEST_INT_HANDLE, vector);
	write_bar0(guest, TABLE_PERM + 8 * vector, 4, next(&guest->random) & 4);
	write_bar0(guest, TABLE_PERM + 8 * vector, 4, 0);
	(void)read_bar0(guest, 0x3000);
}

static void act(struct guest *guest)
{
	switch (next(&guest->random) % 32) {
	case 0:
		reset(guest);
		break;
	case 1:
		reset_command(guest);
		break;
	case 2:
		detach(guest);
		attach(guest);
		break;
	case 3:
	case 4:
		any_command(guest);
		break;
	case 5:
	case 6:
		handles(guest);
		break;
	case 7:
	case 8:
	case 9:
		toggle_mask(guest);
		break;
	default:
		submit(guest);
		break;
	}
}

static void *guest_main(void *arg)
{
	struct guest *guest = arg;

	for (unsigned i = 0; i < rounds; i++) {
		pthread_mutex_lock(&guest->life);
		act(guest);
		pthread_mutex_unlock(&guest->life);
	}
	return NULL;
}

/* ---- host threads, until the guests have done their rounds ---- */

/* life is held so that vm and vdev stay; the guest's other threads (engine, other hosts) go on. */
static void *entries_main(void *arg)
{
	uint32_t random = *(uint32_t *)arg;

	while (!atomic_load(&stop)) {
		struct guest *guest = &guests[next(&random) % GUESTS];
		struct ims *ims = idxd_ims(idxd);

		pthread_mutex_lock(&guest->life);
		ims_open(guest->index, HOST_MASKS, true);
		atomic_store(&guest->vm->silent[HOST_MASKS], true);
		submit(guest);
		(void)ims_pending(ims, entry(guest->index, HOST_MASKS));
		atomic_store(&guest->vm->silent[HOST_MASKS], false);
		pthread_mutex_unlock(&guest->life);
		pthread_mutex_lock(&guest->parts);
		ims_open(guest->index, HOST_MASKS, false); /* against the guest's own accesses */
		pthread_mutex_unlock(&guest->parts);
		sched_yield();
	}
	return NULL;
}

static void unbind(struct guest *guest)
{
	const uint32_t index = entry(guest->index, HOST_UNBINDS);

	iommu_remap_clear(iommu, index);
	atomic_store(&guest->vm->silent[HOST_UNBINDS], true);
	iommu_pasid_clear(iommu, PASID_BASE + guest->index);
	atomic_store(&guest->vm->no_memory, true);
	submit(guest);
	sched_yield();
	atomic_store(&guest->vm->no_memory, false);
	CHECK_EQUAL(iommu_pasid_set(iommu, PASID_BASE + guest->index, vdev_target(guest->vdev)), 0);
	atomic_store(&guest->vm->silent[HOST_UNBINDS], false);
	CHECK_EQUAL(iommu_remap_set(iommu, index, vdev_target(guest->vdev), HOST_UNBINDS), 0);
}

/* A command that will end while the device is taken away. */
static void leave_a_command(struct guest *guest)
{
	for (unsigned i = next(&guest->random) % 4; i > 0; i--)
		submit(guest);
	write_bar0(guest, BAR0_CMD, 4, 1u << 31 | CMD_DRAIN_WQ << 20 | 1);
}

static void *bindings_main(void *arg)
{
	uint32_t random = *(uint32_t *)arg;

	while (!atomic_load(&stop)) {
		struct guest *guest = &guests[next(&random) % GUESTS];

		pthread_mutex_lock(&guest->life);
		if (next(&random) % 4 == 0) {
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

static uint64_t injected, lost_records;

static void read_ledger(void)
{
	static struct ledger_record records[1024];
	size_t count;

	do {
		count = ledger_read(platform_ledger(platform), records, 1024, &lost_records);
		for (size_t i = 0; i < count; i++)
			injected += records[i].kind == LEDGER_INJECTED;
	} while (count == 1024);
}

/* Reads the ledger and the registers, and gives commands of the hardware. */
static void *watcher_main(void *arg)
{
	uint32_t random = *(uint32_t *)arg;

	while (!atomic_load(&stop)) {
		read_ledger();
		for (uint64_t offset = 0; offset < 0x100; offset += 8)
			(void)idxd_bar0_read(idxd, offset, 8);
		for (uint64_t i = 0; i < 64; i++)
			(void)idxd_bar0_read(idxd, HOST_IMS + i * 8, 8);
		idxd_bar0_write(idxd, BAR0_CMD, 4, (next(&random) & 1 ? CMD_DRAIN_ALL : CMD_ABORT_ALL) << 20);
		idxd_bar0_write(idxd, BAR0_CMD, 4, CMD_REQUEST_INT_HANDLE << 20 | 1u << 16 | (ENTRIES - 1));
		idxd_bar0_write(idxd, 0xC0, 4, 3);
		sched_yield();
	}
	return NULL;
}

/* ---- the whole ---- */

static void bring_up(void)
{
	const struct idxd_config config = {
		.num_wqs = GUESTS, .total_wq_size = 16 * GUESTS, .num_ims = ENTRIES, .max_xfer_log2 = 21, .max_batch_log2 = 5,
		.num_groups = 1, .num_engines = 1,
	};

	platform = platform_create(&config, 1 << 18, true);
	CHECK(platform);
	idxd = platform_idxd(platform);
	iommu = platform_iommu(platform);
	for (unsigned i = 0; i < GUESTS; i++)
		idxd_bar0_write(idxd, HOST_WQCFG + 32 * i, 4, 16);
	idxd_bar0_write(idxd, 0x600, 8, (1u << GUESTS) - 1);
	idxd_bar0_write(idxd, 0x620, 8, 1);
	idxd_bar0_write(idxd, BAR0_CMD, 4, CMD_ENABLE_DEVICE << 20);
	CHECK_EQUAL(idxd_bar0_read(idxd, 0xA8, 4), 0);
}

static void run_threads(uint32_t seed)
{
	static void *(*const hosts[])(void *) = { entries_main, bindings_main, watcher_main };
	uint32_t seeds[3] = { seed * 3 + 101, seed * 5 + 103, seed * 7 + 107 };
	pthread_t threads[GUESTS + 3];

	for (unsigned i = 0; i < GUESTS; i++)
		CHECK_EQUAL(pthread_create(&threads[i], NULL, guest_main, &guests[i]), 0);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQUAL(pthread_create(&threads[GUESTS + i], NULL, hosts[i], &seeds[i]), 0);
	for (unsigned i = 0; i < GUESTS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[GUESTS + i], NULL);
}

static void check_end(void)
{
	uint32_t remap, pasids;

	for (unsigned i = 0; i < GUESTS; i++)
		take_away(&guests[i]);
	iommu_count(iommu, &remap, &pasids);
	CHECK_EQUAL(remap, 0);
	CHECK_EQUAL(pasids, 0);
	read_ledger();
	CHECK_EQUAL(lost_records, 0);
	CHECK_EQUAL(injected, atomic_load(&received));
	CHECK(injected > rounds / 8); /* it was no run in which nothing happened */
	printf("%" PRIu64 " interrupts, %u devices\n", injected, atomic_load(&ids));
}

int main(int argc, char **argv)
{
	CHECK_EQUAL(argc, 3);
	const uint32_t seed = (uint32_t)strtoul(argv[1], NULL, 10);
	rounds = (unsigned)strtoul(argv[2], NULL, 10);
	bring_up();
	for (unsigned i = 0; i < GUESTS; i++) {
		guests[i].index = i;
		guests[i].random = seed * 977 + i * 7919 + 1;
		CHECK_EQUAL(pthread_mutex_init(&guests[i].life, NULL), 0);
		CHECK_EQUAL(pthread_mutex_init(&guests[i].parts, NULL), 0);
		compose(&guests[i]);
		set_up(&guests[i]);
	}
	run_threads(seed);
	check_end();
	for (unsigned i = 0; i < GUESTS; i++) {
		pthread_mutex_destroy(&guests[i].parts);
		pthread_mutex_destroy(&guests[i].life);
	}
	platform_destroy(platform);
	return 0;
}
