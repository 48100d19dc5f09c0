/*
 * stress_own.c - virtual devices that are devices of their own, with all their threads, for the sanitizers: guests that submit to
 * every queue, mask, clear bus mastering, reset, detach and go, while two engines of each work. Devices are made and destroyed
 * beside each other.
 *
 * What a call has promised is a flag in the VM from the moment it returned: nothing may arrive then. Arguments: seed, rounds.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "../../platform/platform.h"
#include "../../vdev/vdev.h"
#include "check.h"

enum { GUESTS = 3, WQS = 4, VECTORS = 5, RAM = 0x10000, RAM_SIZE = 0x4000 };
enum { REG_CMD_AT = 0xA0, GRPCFG_AT = 0x600, WQCFG_AT = 0x800, MSIX_AT = 0x10000, COMMAND_AT = 4, MSIX_CONTROL_AT = 0x82 };

struct vm {
	uint32_t id;
	atomic_bool closed;           /* detached, reset or no bus master: neither a message nor memory */
	atomic_bool masked[VECTORS];
	atomic_uint_fast64_t messages;
	_Alignas(8) uint8_t memory[RAM_SIZE];
};

struct guest {
	uint32_t random;
	struct vdev *vdev;
	struct vm vm;
};

static struct platform *platform;
static atomic_uint ids = 1;
static unsigned rounds;

static uint32_t next(struct guest *guest)
{
	guest->random ^= guest->random << 13;
	guest->random ^= guest->random >> 17;
	guest->random ^= guest->random << 5;
	return guest->random;
}

/* ---- the VM ---- */

static int on_message(void *ctx, uint64_t address, uint32_t data)
{
	struct vm *vm = ctx;
	const unsigned vector = data & 0xFF;

	CHECK_EQUAL(data >> 8, vm->id);
	CHECK_EQUAL(address, 0xFEE00000u);
	CHECK(vector < VECTORS);
	CHECK(!atomic_load(&vm->closed));
	CHECK(!atomic_load(&vm->masked[vector]));
	atomic_fetch_add(&vm->messages, 1);
	return 0;
}

static int on_signal(void *ctx, unsigned vector)
{
	(void)ctx, (void)vector;
	CHECK(false);
	return 0;
}

static bool on_find(struct dma_space *space, uint64_t iova, unsigned right, struct dma_range *range)
{
	struct vm *vm = space->ctx;

	(void)right;
	CHECK(!atomic_load(&vm->closed));
	*range = (struct dma_range){
		.first = RAM, .last = RAM + RAM_SIZE - 1, .bytes = vm->memory, .rights = DMA_MAY_READ | DMA_MAY_WRITE,
	};
	return iova >= range->first && iova <= range->last;
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

	CHECK(!atomic_load(&vm->closed));
}

static void on_enter(void *ctx, struct dma_space *space)
{
	static const struct dma_space_ops ops = { .find = on_find, .read = on_read, .write = on_write, .leave = on_leave };

	space->ops = &ops;
	space->ctx = ctx;
}

/* ---- what a guest does ---- */

static void write_at(struct guest *guest, unsigned region, uint64_t offset, uint32_t size, uint64_t value)
{
	CHECK_EQUAL(vdev_region_write(guest->vdev, region, offset, &value, size), 0);
}

static void command(struct guest *guest, uint32_t code, uint32_t operand)
{
	uint32_t status;

	write_at(guest, 0, REG_CMD_AT, 4, code << 20 | operand | (next(guest) % 2 ? 1u << 31 : 0));
	do
		CHECK_EQUAL(vdev_region_read(guest->vdev, 0, REG_CMD_AT + 8, &status, 4), 0);
	while (status >> 31);
}

static void set_up(struct guest *guest)
{
	atomic_store(&guest->vm.closed, false);
	for (unsigned i = 0; i < VECTORS; i++)
		atomic_store(&guest->vm.masked[i], false);
	write_at(guest, 7, COMMAND_AT, 2, 6);
	for (uint64_t i = 0; i < VECTORS; i++) {
		write_at(guest, 0, MSIX_AT + 16 * i, 8, 0xFEE00000u);
		write_at(guest, 0, MSIX_AT + 16 * i + 8, 8, guest->vm.id << 8 | (uint32_t)i);
	}
	write_at(guest, 7, MSIX_CONTROL_AT, 2, 1u << 15);
	command(guest, 5, 0);
	for (uint64_t group = 0; group < 2; group++) {
		write_at(guest, 0, GRPCFG_AT + 64 * group, 8, 5u << group);
		write_at(guest, 0, GRPCFG_AT + 64 * group + 32, 8, 1u << group);
	}
	for (uint64_t wq = 0; wq < WQS; wq++) {
		write_at(guest, 0, WQCFG_AT + 32 * wq, 4, 8);
		write_at(guest, 0, WQCFG_AT + 32 * wq + 8, 8, 0x11 | (uint64_t)(21 | 5 << 5) << 32);
	}
	command(guest, 1, 0);
	for (uint32_t wq = 0; wq < WQS; wq++)
		command(guest, 6, wq);
}

static void submit(struct guest *guest)
{
	const uint32_t random = next(guest), handle = 1 + random % (VECTORS + 1); /* the last is none */
	const uint32_t wq = (random >> 8) % WQS;
	const uint64_t portal = wq * 0x4000 + (random >> 12) % 2 * 0x1000;
	const uint32_t own = RAM + 0x1000 + wq % 2 * 0x1000; /* of the group: two engines writing one place would be the guest's race */
	uint32_t words[16] = { 0, 0x1C | 3u << 24, own, 0, RAM, 0, own + 0x100, 0, 64, handle };

	for (uint32_t i = 0; i < 8; i++)
		CHECK_EQUAL(vdev_region_write(guest->vdev, 2, portal + 8 * i, words + 2 * i, 8), 0);
}

static void mask(struct guest *guest)
{
	const unsigned vector = next(guest) % VECTORS;

	write_at(guest, 0, MSIX_AT + 16 * vector + 12, 4, 1);
	atomic_store(&guest->vm.masked[vector], true);
	for (unsigned i = 0; i < 4; i++)
		submit(guest);
	atomic_store(&guest->vm.masked[vector], false);
	write_at(guest, 0, MSIX_AT + 16 * vector + 12, 4, 0);
}

static void bus_master_off(struct guest *guest)
{
	write_at(guest, 7, COMMAND_AT, 2, 2);
	atomic_store(&guest->vm.closed, true);
	submit(guest);
	set_up(guest);
}

static void reset(struct guest *guest)
{
	if (next(guest) % 2)
		vdev_reset(guest->vdev);
	else
		write_at(guest, 7, 0x48, 2, 1u << 15);
	atomic_store(&guest->vm.closed, true);
	submit(guest);
	set_up(guest);
}

static void stop_queue(struct guest *guest)
{
	const uint32_t wq = next(guest) % WQS;

	command(guest, 7 + next(guest) % 3, 1u << wq); /* disable, drain, abort */
	command(guest, 6, wq);
}

/* ---- life ---- */

static void make(struct guest *guest)
{
	const struct vdev_own_config config = {
		.id = atomic_fetch_add(&ids, 1),
		.run_engines = 1,
		.device = { .num_wqs = WQS, .total_wq_size = 64, .max_xfer_log2 = 21, .max_batch_log2 = 5, .num_groups = 2,
			    .num_engines = 2, .num_msix = VECTORS, .features = IDXD_NO_HANDLES | IDXD_NO_PASID },
	};
	const struct vdev_vm way = { .ctx = &guest->vm, .message = on_message, .signal = on_signal, .dma_enter = on_enter };
	int error;

	guest->vm.id = config.id;
	guest->vdev = vdev_create_own(platform, &config, &error);
	CHECK(guest->vdev);
	atomic_store(&guest->vm.closed, false);
	CHECK_EQUAL(vdev_attach(guest->vdev, &way), 0);
	set_up(guest);
}

static void end(struct guest *guest)
{
	for (unsigned i = 0; i < 8; i++)
		submit(guest);
	if (next(guest) % 2)
		vdev_close_portal(guest->vdev);
	vdev_detach(guest->vdev);
	atomic_store(&guest->vm.closed, true);
	vdev_destroy(guest->vdev);
}

static void *guest_main(void *arg)
{
	struct guest *guest = arg;

	make(guest);
	for (unsigned i = 0; i < rounds; i++) {
		const uint32_t what = next(guest) % 64;

		if (what == 0) {
			end(guest);
			make(guest);
		} else if (what == 1) {
			reset(guest);
		} else if (what == 2) {
			bus_master_off(guest);
		} else if (what < 6) {
			stop_queue(guest);
		} else if (what < 16) {
			mask(guest);
		} else {
			submit(guest);
		}
	}
	end(guest);
	return NULL;
}

int main(int argc, char **argv)
{
	const struct idxd_config shared = { .num_wqs = 1, .total_wq_size = 4, .num_ims = 256, .max_xfer_log2 = 21,
					    .max_batch_log2 = 5, .num_groups = 1, .num_engines = 1 };
	static struct guest guests[GUESTS];
	pthread_t threads[GUESTS];
	uint64_t messages = 0;

	if (argc != 3)
		return 2;
	rounds = (unsigned)strtoul(argv[2], NULL, 0);
	platform = platform_create(&shared, 1 << 16, true);
	CHECK(platform);
	for (unsigned i = 0; i < GUESTS; i++) {
		guests[i].random = (uint32_t)strtoul(argv[1], NULL, 0) * 2654435761u + i + 1;
		CHECK_EQUAL(pthread_create(&threads[i], NULL, guest_main, &guests[i]), 0);
	}
	for (unsigned i = 0; i < GUESTS; i++) {
		pthread_join(threads[i], NULL);
		messages += atomic_load(&guests[i].vm.messages);
	}
	platform_destroy(platform);
	CHECK(messages > rounds / 8);
	printf("%llu interrupts, %u devices\n", (unsigned long long)messages, atomic_load(&ids) - 1);
	return 0;
}
