/* vdev.c - the life of a virtual device, the way into its VM, and which region an access belongs to. */
#include "vdev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vdev_internal.h"

/* ---- the VM behind the connection ---- */

int vdev_attach(struct vdev *vdev, const struct vdev_vm *vm)
{
	int result = -EBUSY;

	vportal_reset(vdev); /* pieces of a client that has gone are never joined to those of this one */

	pthread_mutex_lock(&vdev->lock);
	if (!vdev->attached) {
		vdev->vm = *vm;
		vdev->attached = true;
		result = 0;
	}
	pthread_mutex_unlock(&vdev->lock);
	if (result == 0)
		observe_event(vdev, TRACE_ATTACHED);
	return result;
}

void vdev_detach(struct vdev *vdev)
{
	bool was_attached;

	pthread_mutex_lock(&vdev->lock);
	was_attached = vdev->attached;
	vdev->attached = false;
	while (vdev->inside > 0)
		pthread_cond_wait(&vdev->changed, &vdev->lock);
	pthread_mutex_unlock(&vdev->lock);
	if (was_attached)
		observe_event(vdev, TRACE_DETACHED);
}

/* False: no VM, or a function that may not be bus master (then DMA faults). Else leave_vm() must follow. */
static bool enter_vm(struct vdev *vdev, struct vdev_vm *vm)
{
	bool entered;

	pthread_mutex_lock(&vdev->lock);
	entered = vdev->attached && vdev->bus_master;
	if (entered) {
		*vm = vdev->vm;
		vdev->inside++;
	}
	pthread_mutex_unlock(&vdev->lock);
	return entered;
}

static void leave_vm(struct vdev *vdev)
{
	pthread_mutex_lock(&vdev->lock);
	if (--vdev->inside == 0)
		pthread_cond_broadcast(&vdev->changed);
	pthread_mutex_unlock(&vdev->lock);
}

static enum dma_result on_dma_read(void *ctx, uint64_t iova, void *buf, size_t len, size_t *done)
{
	struct vdev *vdev = ctx;
	enum dma_result result;
	struct vdev_vm vm;

	*done = 0;
	if (!enter_vm(vdev, &vm))
		return DMA_FAULT;
	result = vm.dma_read(vm.ctx, iova, buf, len, done);
	leave_vm(vdev);
	observe_dma(vdev, false, *done);
	return result;
}

static enum dma_result on_dma_write(void *ctx, uint64_t iova, const void *buf, size_t len, size_t *done)
{
	struct vdev *vdev = ctx;
	enum dma_result result;
	struct vdev_vm vm;

	*done = 0;
	if (!enter_vm(vdev, &vm))
		return DMA_FAULT;
	result = vm.dma_write(vm.ctx, iova, buf, len, done);
	leave_vm(vdev);
	observe_dma(vdev, true, *done);
	return result;
}

static void on_interrupt(void *ctx, unsigned vector, const struct witness *witness)
{
	vmsix_interrupt(ctx, vector, witness);
}

static void on_error(void *ctx, const uint64_t swerror[4])
{
	vregs_error(ctx, swerror);
}

/* ---- life ---- */

static bool config_ok(struct platform *platform, const struct vdev_config *config, const struct vdev_vector *vectors)
{
	const uint32_t entries = ims_num_entries(idxd_ims(platform_idxd(platform)));

	if (config->id == 0 || config->num_vectors < 1 || config->num_vectors > VDEV_MAX_VECTORS ||
	    config->wq >= idxd_num_wqs(platform_idxd(platform)))
		return false;
	for (uint32_t i = 0; i + 1 < config->num_vectors; i++)
		if (vectors[i].entry >= entries || vectors[i].handle > 0xFFFF)
			return false;
	return true;
}

static void init_vectors(struct vdev *vdev, const struct vdev_vector *vectors)
{
	vdev->vectors[0].entry = UINT32_MAX;
	for (uint32_t i = 1; i < vdev->config.num_vectors; i++) {
		vdev->vectors[i].entry = vectors[i - 1].entry;
		vdev->vectors[i].handle = vectors[i - 1].handle;
	}
}

static struct vdev *make(const struct vdev_config *config)
{
	struct vdev *vdev = calloc(1, sizeof(*vdev));

	if (!vdev)
		return NULL;
	vdev->vectors = calloc(config->num_vectors, sizeof(*vdev->vectors));
	vdev->observe = observe_create(config->id);
	if (!vdev->vectors || !vdev->observe || pthread_mutex_init(&vdev->lock, NULL) != 0)
		goto fail;
	if (pthread_cond_init(&vdev->changed, NULL) != 0) {
		pthread_mutex_destroy(&vdev->lock);
		goto fail;
	}
	return vdev;
fail:
	observe_destroy(vdev->observe);
	free(vdev->vectors);
	free(vdev);
	return NULL;
}

struct vdev *vdev_create(struct platform *platform, const struct vdev_config *config, const struct vdev_vector *vectors,
			 int *error)
{
	struct vdev *vdev;

	*error = -EINVAL;
	if (!config_ok(platform, config, vectors))
		return NULL;
	*error = -ENOMEM;
	vdev = make(config);
	if (!vdev)
		return NULL;
	vdev->platform = platform;
	vdev->config = *config;
	vdev->target = (struct iommu_target){
		.ctx = vdev,
		.id = config->id,
		.interrupt = on_interrupt,
		.dma_read = on_dma_read,
		.dma_write = on_dma_write,
	};
	vdev->owner = (struct wq_owner){ .ctx = vdev, .error = on_error };
	atomic_init(&vdev->portal_open, true);
	init_vectors(vdev, vectors);
	vconfig_init(vdev);
	vmsix_reset(vdev);
	vregs_reset(vdev);
	ledger_tally_add(platform_ledger(platform), observe_tally(vdev->observe));
	platform_set_wq_owner(platform, config->wq, &vdev->owner);
	*error = 0;
	return vdev;
}

void vdev_destroy(struct vdev *vdev)
{
	if (!vdev)
		return;
	platform_set_wq_owner(vdev->platform, vdev->config.wq, NULL);
	ledger_tally_remove(platform_ledger(vdev->platform), observe_tally(vdev->observe));
	observe_destroy(vdev->observe);
	pthread_cond_destroy(&vdev->changed);
	pthread_mutex_destroy(&vdev->lock);
	free(vdev->vectors);
	free(vdev);
}

const struct iommu_target *vdev_target(struct vdev *vdev)
{
	return &vdev->target;
}

void vdev_close_portal(struct vdev *vdev)
{
	atomic_store(&vdev->portal_open, false);
}

void vdev_get_stats(struct vdev *vdev, struct vdev_stats *stats)
{
	pthread_mutex_lock(&vdev->lock);
	*stats = vdev->stats;
	pthread_mutex_unlock(&vdev->lock);
}

void vdev_reset(struct vdev *vdev)
{
	observe_event(vdev, TRACE_RESET);
	/* First the source of interrupts and DMA, then what they would have gone to. */
	idxd_wq_command(platform_idxd(vdev->platform), vdev->config.wq, WQ_STOP);
	vcommand_retire_entries(vdev);
	pthread_mutex_lock(&vdev->lock);
	while (vdev->cmdstatus & CMDSTATUS_ACTIVE) /* a command that WQ_STOP has just ended */
		pthread_cond_wait(&vdev->changed, &vdev->lock);
	for (uint32_t i = 1; i < vdev->config.num_vectors; i++)
		vdev->vectors[i].handle_live = false;
	vmsix_quiesce(vdev);
	vconfig_reset(vdev);
	vmsix_reset(vdev);
	vregs_reset(vdev);
	vdev->stats.resets++;
	pthread_mutex_unlock(&vdev->lock);
	vportal_reset(vdev);
}

/* ---- accesses of the guest ---- */

uint64_t vdev_region_size(const struct vdev *vdev, unsigned region)
{
	(void)vdev;
	switch (region) {
	case VDEV_REGION_BAR0:
		return VDEV_BAR0_SIZE;
	case VDEV_REGION_BAR2:
		return VDEV_BAR2_SIZE;
	case VDEV_REGION_CONFIG:
		return VDEV_CONFIG_SIZE;
	default:
		return 0;
	}
}

static bool access_ok(const struct vdev *vdev, unsigned region, uint64_t offset, uint32_t count, bool wide_ok)
{
	const bool size_ok = count == 1 || count == 2 || count == 4 || count == 8 || (wide_ok && count == PORTAL_DESC);

	return size_ok && offset % count == 0 && offset < vdev_region_size(vdev, region);
}

int vdev_peek(struct vdev *vdev, unsigned region, uint64_t offset, void *buf, uint32_t count)
{
	uint64_t value;

	if (region == VDEV_REGION_CONFIG)
		return vconfig_read(vdev, offset, buf, count);
	if (!access_ok(vdev, region, offset, count, false)) {
		memset(buf, 0xFF, count);
		return -EINVAL;
	}
	value = region == VDEV_REGION_BAR0 ? vregs_read(vdev, offset, count) : UINT64_MAX;
	memcpy(buf, &value, count);
	return 0;
}

static int region_write(struct vdev *vdev, unsigned region, uint64_t offset, const void *buf, uint32_t count)
{
	uint64_t value = 0;

	if (region == VDEV_REGION_CONFIG)
		return vconfig_write(vdev, offset, buf, count);
	if (!access_ok(vdev, region, offset, count, region == VDEV_REGION_BAR2))
		return -EINVAL;
	if (region == VDEV_REGION_BAR2) {
		vportal_write(vdev, offset, buf, count);
		return 0;
	}
	memcpy(&value, buf, count);
	vregs_write(vdev, offset, count, value);
	return 0;
}

int vdev_region_read(struct vdev *vdev, unsigned region, uint64_t offset, void *buf, uint32_t count)
{
	const int result = vdev_peek(vdev, region, offset, buf, count);

	observe_read(vdev, region, offset, buf, count, result);
	return result;
}

int vdev_region_write(struct vdev *vdev, unsigned region, uint64_t offset, const void *buf, uint32_t count)
{
	int result;

	observe_write(vdev, region, offset, buf, count);
	result = region_write(vdev, region, offset, buf, count);
	if (result != 0)
		observe_refused_write(vdev, region, offset, count);
	return result;
}

unsigned vdev_num_vectors(const struct vdev *vdev)
{
	return vdev->config.num_vectors;
}

bool vdev_vmm_owns_msix(const struct vdev *vdev)
{
	return vdev->config.vmm_owns_msix;
}
