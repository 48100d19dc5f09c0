/* plain_vdev.c - see plain_vdev.h. */
#define _GNU_SOURCE
#include "plain_vdev.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../vdev/vdev.h"

enum { QUEUE = 256, MAX_MESSAGES = 1000000, MAX_STALL_MS = 2000 }; /* a fuzzer writes any number */

struct operation {
	uint64_t kind, address, data, count, spread;
};

struct vdev {
	unsigned vectors;
	bool vmm_owns_msix;
	pthread_t engine;
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t changed;
	bool stop, attached;
	unsigned in_vm;
	struct vdev_vm vm;
	struct operation queue[QUEUE];
	unsigned first, queued;
	uint64_t finished, result, moved, failures, resets;
	uint8_t config[VDEV_CONFIG_SIZE];
	uint8_t bar0[PLAIN_BAR_SIZE];
	uint8_t bar2[PLAIN_BAR_SIZE];
};

static void fill_config(struct vdev *v)
{
	static const uint8_t ids[16] = {0x86, 0x80, 0x25, 0x0b, 0, 0, 0x10, 0, 0, 0, 0x80, 0x08};
	static const uint8_t msix[12] = {0x11, 0, 0, 0, 0x00, 0x20, 0, 0, 0x00, 0x30, 0, 0};
	memcpy(v->config, ids, sizeof(ids));
	v->config[0x10] = 0xc;
	v->config[0x18] = 0xc;
	v->config[0x34] = 0x40;
	v->config[0x40] = 0x10; /* PCI Express, endpoint */
	v->config[0x41] = VDEV_MSIX_CAP;
	v->config[0x42] = 0x02;
	memcpy(v->config + VDEV_MSIX_CAP, msix, sizeof(msix));
	v->config[VDEV_MSIX_CAP + 2] = (uint8_t)(v->vectors - 1);
}

static bool enter_vm(struct vdev *v)
{
	pthread_mutex_lock(&v->lock);
	bool attached = v->attached;
	v->in_vm += attached;
	pthread_mutex_unlock(&v->lock);
	return attached;
}

static void leave_vm(struct vdev *v)
{
	pthread_mutex_lock(&v->lock);
	v->in_vm--;
	pthread_cond_broadcast(&v->changed);
	pthread_mutex_unlock(&v->lock);
}

static uint64_t send_messages(struct vdev *v, const struct operation *op, uint64_t *failures)
{
	int last = 0;
	for (uint64_t i = 0; i < op->count && i < MAX_MESSAGES; i++) {
		uint64_t to = op->address + 4 * (op->spread ? i % op->spread : 0);
		int error = v->vm.message(v->vm.ctx, to, (uint32_t)op->data);
		*failures += error != 0;
		last = error;
	}
	return (uint64_t)(int64_t)last;
}

static enum dma_result move(struct vdev *v, const struct operation *op, size_t length, bool write, size_t *moved)
{
	struct dma_space space;
	v->vm.dma_enter(v->vm.ctx, &space);
	enum dma_result result = write ? space.ops->write(&space, op->address, v->bar2, length, moved)
				       : space.ops->read(&space, op->address, v->bar2, length, moved);
	space.ops->leave(&space);
	return result;
}

static void perform(struct vdev *v, const struct operation *op)
{
	size_t moved = 0;
	uint64_t result = (uint64_t)-ENOTCONN, failures = 0;
	size_t length = op->data < PLAIN_BAR_SIZE ? op->data : PLAIN_BAR_SIZE;
	if (enter_vm(v)) {
		switch (op->kind & ~(uint64_t)PLAIN_INLINE) {
		case PLAIN_MESSAGE:
			result = send_messages(v, op, &failures);
			break;
		case PLAIN_SIGNAL:
			result = (uint64_t)(int64_t)v->vm.signal(v->vm.ctx, (unsigned)op->data);
			failures = result != 0;
			break;
		case PLAIN_DMA_READ:
			result = move(v, op, length, false, &moved);
			break;
		case PLAIN_DMA_WRITE:
			result = move(v, op, length, true, &moved);
			break;
		default:
			result = (uint64_t)-EINVAL;
		}
		leave_vm(v);
	}
	pthread_mutex_lock(&v->lock);
	v->finished++;
	v->result = result;
	v->moved = moved;
	v->failures += failures;
	pthread_mutex_unlock(&v->lock);
}

static void *engine(void *argument)
{
	struct vdev *v = argument;
	pthread_mutex_lock(&v->lock);
	while (!v->stop) {
		if (!v->queued) {
			pthread_cond_wait(&v->changed, &v->lock);
			continue;
		}
		struct operation op = v->queue[v->first];
		v->first = (v->first + 1) % QUEUE;
		v->queued--;
		pthread_mutex_unlock(&v->lock);
		perform(v, &op);
		pthread_mutex_lock(&v->lock);
	}
	pthread_mutex_unlock(&v->lock);
	return NULL;
}

struct vdev *plain_vdev_create(unsigned vectors, bool vmm_owns_msix)
{
	struct vdev *v = calloc(1, sizeof(*v));
	if (!v)
		abort();
	v->vectors = vectors;
	v->vmm_owns_msix = vmm_owns_msix;
	fill_config(v);
	pthread_mutex_init(&v->lock, NULL);
	pthread_cond_init(&v->changed, NULL);
	if (pthread_create(&v->engine, NULL, engine, v))
		abort();
	return v;
}

void plain_vdev_destroy(struct vdev *v)
{
	pthread_mutex_lock(&v->lock);
	v->stop = true;
	pthread_cond_broadcast(&v->changed);
	pthread_mutex_unlock(&v->lock);
	pthread_join(v->engine, NULL);
	pthread_cond_destroy(&v->changed);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

int vdev_attach(struct vdev *v, const struct vdev_vm *vm)
{
	pthread_mutex_lock(&v->lock);
	int error = v->attached ? -EBUSY : 0;
	if (!error) {
		v->vm = *vm;
		v->attached = true;
	}
	pthread_mutex_unlock(&v->lock);
	return error;
}

void vdev_detach(struct vdev *v)
{
	pthread_mutex_lock(&v->lock);
	v->attached = false;
	while (v->in_vm)
		pthread_cond_wait(&v->changed, &v->lock);
	pthread_mutex_unlock(&v->lock);
}

uint64_t vdev_region_size(const struct vdev *v, unsigned region)
{
	(void)v;
	if (region == VDEV_REGION_BAR0 || region == VDEV_REGION_BAR2)
		return PLAIN_BAR_SIZE;
	return region == VDEV_REGION_CONFIG ? VDEV_CONFIG_SIZE : 0;
}

static uint8_t *memory(struct vdev *v, unsigned region)
{
	if (region == VDEV_REGION_BAR0)
		return v->bar0;
	return region == VDEV_REGION_BAR2 ? v->bar2 : v->config;
}

static bool access_is_good(struct vdev *v, unsigned region, uint64_t offset, uint32_t count)
{
	uint64_t size = vdev_region_size(v, region);
	if (size == 0 || count > size || offset > size - count)
		return false;
	if (region == VDEV_REGION_CONFIG)
		return true;
	return (count == 1 || count == 2 || count == 4 || count == 8 || count == 64) && offset % count == 0;
}

int vdev_region_read(struct vdev *v, unsigned region, uint64_t offset, void *buf, uint32_t count)
{
	if (!access_is_good(v, region, offset, count)) {
		memset(buf, 0xff, count);
		return -EINVAL;
	}
	pthread_mutex_lock(&v->lock);
	memcpy(v->bar0 + PLAIN_FINISHED, &v->finished, 8);
	memcpy(v->bar0 + PLAIN_RESULT, &v->result, 8);
	memcpy(v->bar0 + PLAIN_MOVED, &v->moved, 8);
	memcpy(v->bar0 + PLAIN_FAILURES, &v->failures, 8);
	memcpy(v->bar0 + PLAIN_RESETS, &v->resets, 8);
	memcpy(buf, memory(v, region) + offset, count);
	pthread_mutex_unlock(&v->lock);
	return 0;
}

static uint64_t reg(const struct vdev *v, unsigned offset)
{
	uint64_t value;
	memcpy(&value, v->bar0 + offset, sizeof(value));
	return value;
}

static void go(struct vdev *v)
{
	struct operation op = {
		.kind = reg(v, PLAIN_GO),
		.address = reg(v, PLAIN_ADDRESS),
		.data = reg(v, PLAIN_DATA),
		.count = reg(v, PLAIN_COUNT),
		.spread = reg(v, PLAIN_SPREAD),
	};
	if (op.kind & PLAIN_INLINE) {
		perform(v, &op);
		return;
	}
	pthread_mutex_lock(&v->lock);
	if (v->queued < QUEUE)
		v->queue[(v->first + v->queued++) % QUEUE] = op;
	pthread_cond_broadcast(&v->changed);
	pthread_mutex_unlock(&v->lock);
}

static void stall(uint64_t ms)
{
	if (ms > MAX_STALL_MS)
		ms = MAX_STALL_MS;
	struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
	nanosleep(&t, NULL);
}

int vdev_region_write(struct vdev *v, unsigned region, uint64_t offset, const void *buf, uint32_t count)
{
	if (!access_is_good(v, region, offset, count))
		return -EINVAL;
	pthread_mutex_lock(&v->lock);
	memcpy(memory(v, region) + offset, buf, count);
	pthread_mutex_unlock(&v->lock);
	if (region == VDEV_REGION_BAR0 && offset == PLAIN_GO)
		go(v);
	if (region == VDEV_REGION_BAR0 && offset == PLAIN_STALL)
		stall(reg(v, PLAIN_STALL));
	return 0;
}

unsigned vdev_num_vectors(const struct vdev *v)
{
	return v->vectors;
}

/* Its BARs trap. */
uint32_t vdev_num_portal_areas(const struct vdev *v)
{
	(void)v;
	return 0;
}

struct vdev_area vdev_portal_area(uint32_t area)
{
	(void)area;
	return (struct vdev_area){0};
}

int vdev_portal_fd(struct vdev *v)
{
	(void)v;
	return -1;
}

bool vdev_vmm_owns_msix(const struct vdev *v)
{
	return v->vmm_owns_msix;
}

void vdev_reset(struct vdev *v)
{
	pthread_mutex_lock(&v->lock);
	v->resets++;
	pthread_mutex_unlock(&v->lock);
}

struct vdev *served_vdev_create(unsigned vectors, bool vmm_owns_msix, void **support)
{
	*support = NULL;
	return plain_vdev_create(vectors, vmm_owns_msix);
}

void served_vdev_destroy(struct vdev *v, void *support)
{
	(void)support;
	plain_vdev_destroy(v);
}
