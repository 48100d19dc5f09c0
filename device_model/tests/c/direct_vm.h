/*
 * direct_vm.h - a virtual machine that is only memory and a list of the interrupts that it got, put behind a virtual device
 * without a socket. For tests that need very many steps; no thread safety.
 */
#ifndef VDSA_TESTS_DIRECT_VM_H
#define VDSA_TESTS_DIRECT_VM_H

#include <string.h>

#include "core/idxd.h"
#include "vdev/vdev.h"

enum { DIRECT_MEMORY = 0x3000, DIRECT_MESSAGES = 256 };

struct direct_message {
	uint64_t address;
	uint32_t data;
};

struct direct_vm {
	uint64_t base;  /* where the memory lies */
	uint64_t count; /* interrupts ever; the last DIRECT_MESSAGES are kept, number i at i % DIRECT_MESSAGES */
	struct direct_message messages[DIRECT_MESSAGES];
	uint8_t memory[DIRECT_MEMORY];
};

static int direct_message(void *ctx, uint64_t address, uint32_t data)
{
	struct direct_vm *vm = ctx;

	vm->messages[vm->count++ % DIRECT_MESSAGES] = (struct direct_message){ .address = address, .data = data };
	return 0;
}

static int direct_signal(void *ctx, unsigned vector)
{
	return direct_message(ctx, UINT64_MAX, vector);
}

/* Bytes from iova on that are memory, at most len. */
static size_t direct_reach(const struct direct_vm *vm, uint64_t iova, size_t len)
{
	const uint64_t offset = iova - vm->base;
	const size_t left = offset < DIRECT_MEMORY ? (size_t)(DIRECT_MEMORY - offset) : 0;

	return len < left ? len : left;
}

static bool direct_find(struct dma_space *space, uint64_t iova, unsigned right, struct dma_range *range)
{
	struct direct_vm *vm = space->ctx;

	(void)right;
	*range = (struct dma_range){
		.first = vm->base,
		.last = vm->base + DIRECT_MEMORY - 1,
		.bytes = vm->memory,
		.rights = DMA_MAY_READ | DMA_MAY_WRITE,
	};
	return direct_reach(vm, iova, 1) > 0;
}

static enum dma_result direct_read(struct dma_space *space, uint64_t iova, void *buf, size_t len, size_t *done)
{
	const struct direct_vm *vm = space->ctx;

	*done = direct_reach(vm, iova, len);
	if (*done > 0)
		memcpy(buf, vm->memory + (iova - vm->base), *done);
	return *done == len ? DMA_OK : DMA_FAULT;
}

static enum dma_result direct_write(struct dma_space *space, uint64_t iova, const void *buf, size_t len, size_t *done)
{
	struct direct_vm *vm = space->ctx;

	*done = direct_reach(vm, iova, len);
	if (*done > 0)
		memcpy(vm->memory + (iova - vm->base), buf, *done);
	return *done == len ? DMA_OK : DMA_FAULT;
}

static void direct_leave(struct dma_space *space)
{
	(void)space;
}

static void direct_enter(void *ctx, struct dma_space *space)
{
	static const struct dma_space_ops ops = {
		.find = direct_find,
		.read = direct_read,
		.write = direct_write,
		.leave = direct_leave,
	};

	space->ops = &ops;
	space->ctx = ctx;
}

static int direct_attach(struct direct_vm *vm, struct vdev *vdev)
{
	const struct vdev_vm way = {
		.ctx = vm,
		.message = direct_message,
		.signal = direct_signal,
		.dma_enter = direct_enter,
	};

	return vdev_attach(vdev, &way);
}

/* Reads 8 bytes of BAR0 at each offset. */
static void direct_read_vdev(struct vdev *vdev, const uint32_t *offsets, size_t count, uint64_t *words)
{
	for (size_t i = 0; i < count; i++)
		vdev_region_read(vdev, VDEV_REGION_BAR0, offsets[i], &words[i], sizeof(words[i]));
}

static void direct_read_idxd(struct idxd *idxd, const uint32_t *offsets, size_t count, uint64_t *words)
{
	for (size_t i = 0; i < count; i++)
		words[i] = idxd_bar0_read(idxd, offsets[i], sizeof(words[i]));
}

#endif
