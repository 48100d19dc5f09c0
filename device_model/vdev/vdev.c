/* vdev.c - the PCI function around a virtual device: its life, and which region an access belongs to. */
#include "vdev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vdev_internal.h"
#include "vlint.h"

/* ---- life ---- */

struct vdev *vdev_make(struct platform *platform, uint32_t id, bool vmm_owns_msix, uint32_t num_wqs)
{
	struct vdev *vdev = calloc(1, sizeof(*vdev));

	if (!vdev)
		return NULL;
	vdev->gathers = calloc((size_t)num_wqs * GATHER_PAGES * GATHER_SLOTS, sizeof(*vdev->gathers));
	vdev->observe = observe_create(id);
	if (!vdev->gathers || !vdev->observe || pthread_mutex_init(&vdev->lock, NULL) != 0)
		goto fail;
	if (pthread_cond_init(&vdev->changed, NULL) != 0) {
		pthread_mutex_destroy(&vdev->lock);
		goto fail;
	}
	vdev->platform = platform;
	vdev->id = id;
	vdev->vmm_owns_msix = vmm_owns_msix;
	vdev->num_wqs = num_wqs;
	ledger_tally_add(platform_ledger(platform), observe_tally(vdev->observe));
	atomic_init(&vdev->portal_open, true);
	return vdev;
fail:
	observe_destroy(vdev->observe);
	free(vdev->gathers);
	free(vdev);
	return NULL;
}

static void on_interrupt(void *ctx, unsigned vector, const struct witness *witness)
{
	struct vdev *vdev = ctx;

	vdev->inside->interrupt(vdev->it, vector, witness);
}

int vdev_fill(struct vdev *vdev, const struct shape *shape, const struct inside *inside, void *it)
{
	struct vlint_bar0 bar0;

	vdev->shape = *shape;
	vdev->inside = inside;
	vdev->it = it;
	vdev->target = (struct iommu_target){
		.ctx = vdev,
		.id = vdev->id,
		.interrupt = on_interrupt,
		.dma_enter = vmemory_enter,
		.dma_leave = vmemory_leave,
	};
	vconfig_init(vdev);
	vconfig_reset(vdev);
	vlint_read_tables(inside->read, it, shape->num_vectors, &bar0);
	return vdev_lint(vdev->pci, shape->bar0_size, shape->bar2_size, &bar0) ? -ENOTSUP : 0;
}

int vdev_map_portals(struct vdev *vdev)
{
	vdev->mapped = vmapped_create(vdev);
	return vdev->mapped ? 0 : -ENOMEM;
}

void vdev_free(struct vdev *vdev)
{
	ledger_tally_remove(platform_ledger(vdev->platform), observe_tally(vdev->observe));
	observe_destroy(vdev->observe);
	pthread_cond_destroy(&vdev->changed);
	pthread_mutex_destroy(&vdev->lock);
	free(vdev->gathers);
	free(vdev);
}

void vdev_destroy(struct vdev *vdev)
{
	if (!vdev)
		return;
	vmapped_destroy(vdev->mapped);
	vdev->inside->destroy(vdev->it);
	vdev_free(vdev);
}

const struct iommu_target *vdev_target(struct vdev *vdev)
{
	return vdev->inside->interrupt ? &vdev->target : NULL;
}

bool vdev_engine_step(struct vdev *vdev)
{
	return vdev->inside->step && vdev->inside->step(vdev->it);
}

void vdev_close_portal(struct vdev *vdev)
{
	atomic_store(&vdev->portal_open, false);
	vmapped_close(vdev->mapped);
}

void vdev_reset(struct vdev *vdev)
{
	observe_event(vdev, TRACE_RESET);
	vmapped_sweep(vdev->mapped);
	/* First the source of interrupts and DMA, then what they would have gone to. */
	vdev->inside->reset(vdev->it);
	pthread_mutex_lock(&vdev->lock);
	vconfig_reset(vdev);
	vmemory_update(vdev);
	vdev->stats.resets++;
	pthread_mutex_unlock(&vdev->lock);
	vdev->inside->function(vdev->it, false, false, false);
	vportal_reset(vdev);
	vmapped_follow(vdev->mapped);
}

/* ---- accesses of the guest ---- */

uint64_t vdev_region_size(const struct vdev *vdev, unsigned region)
{
	switch (region) {
	case VDEV_REGION_BAR0:
		return vdev->shape.bar0_size;
	case VDEV_REGION_BAR2:
		return vdev->shape.bar2_size;
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
	value = region == VDEV_REGION_BAR0 ? vdev->inside->read(vdev->it, offset, count) : UINT64_MAX;
	memcpy(buf, &value, count);
	return 0;
}

static int write_config(struct vdev *vdev, uint64_t offset, const void *buf, uint32_t count)
{
	int result;

	vmapped_sweep(vdev->mapped); /* it may be a reset, or the end of bus mastering */
	result = vconfig_write(vdev, offset, buf, count);
	vmapped_follow(vdev->mapped);
	return result;
}

static void write_bar0(struct vdev *vdev, uint64_t offset, uint64_t value, uint32_t count)
{
	const bool command = offset <= REG_CMD && REG_CMD - offset < count;

	if (command)
		vmapped_sweep(vdev->mapped);
	vdev->inside->write(vdev->it, offset, count, value);
	if (command)
		vmapped_follow(vdev->mapped);
}

static int region_write(struct vdev *vdev, unsigned region, uint64_t offset, const void *buf, uint32_t count)
{
	uint64_t value = 0;

	if (region == VDEV_REGION_CONFIG)
		return write_config(vdev, offset, buf, count);
	if (!access_ok(vdev, region, offset, count, region == VDEV_REGION_BAR2))
		return -EINVAL;
	if (region == VDEV_REGION_BAR2) {
		vportal_write(vdev, offset, buf, count);
		return 0;
	}
	memcpy(&value, buf, count);
	write_bar0(vdev, offset, value, count);
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

	if (region == VDEV_REGION_BAR2 && count == PORTAL_DESC && vportal_store(vdev, offset, buf))
		return 0;
	observe_write(vdev, region, offset, buf, count);
	result = region_write(vdev, region, offset, buf, count);
	if (result != 0)
		observe_refused_write(vdev, region, offset, count);
	return result;
}

int vdev_portal_fd(struct vdev *vdev)
{
	return vmapped_fd(vdev->mapped);
}

uint32_t vdev_num_portal_areas(const struct vdev *vdev)
{
	return vdev->mapped ? vdev->num_wqs : 0;
}

struct vdev_area vdev_portal_area(uint32_t area)
{
	return (struct vdev_area){ .offset = (uint64_t)area * PORTAL_WQ_STRIDE, .size = GATHER_PAGES * PORTAL_PAGE };
}

unsigned vdev_num_vectors(const struct vdev *vdev)
{
	return vdev->shape.num_vectors;
}

bool vdev_vmm_owns_msix(const struct vdev *vdev)
{
	return vdev->vmm_owns_msix;
}
