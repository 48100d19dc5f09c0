/* stress_vm.c - the VM behind a virtual device: where messages and DMA arrive, and what must not arrive is noticed. */
#define _GNU_SOURCE
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "stress_world.h"

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

static bool on_find(struct dma_space *space, uint64_t iova, unsigned right, struct dma_range *range)
{
	struct vm *vm = space->ctx;

	(void)right;
	check_open(vm);
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

static void map_portals(struct guest *guest)
{
	const int fd = vdev_portal_fd(guest->vdev);

	guest->pages = NULL;
	if (fd < 0)
		return;
	guest->pages = mmap(NULL, PORTAL_WQ_STRIDE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(guest->pages != MAP_FAILED);
	close(fd);
}

static void unmap_portals(struct guest *guest)
{
	if (guest->pages)
		munmap(guest->pages, PORTAL_WQ_STRIDE);
	guest->pages = NULL;
}

void attach(struct guest *guest)
{
	const struct vdev_vm way = {
		.ctx = guest->vm,
		.message = on_message,
		.signal = on_signal,
		.dma_enter = on_enter,
	};

	atomic_store(&guest->vm->gone, false);
	CHECK_EQUAL(vdev_attach(guest->vdev, &way), 0);
	map_portals(guest);
	guest->attached = true;
}

void detach(struct guest *guest)
{
	vdev_detach(guest->vdev);
	unmap_portals(guest);
	atomic_store(&guest->vm->gone, true);
	guest->attached = false;
}
