/*
 * vmemory.c - the way into the memory of the VM, open while one is attached and the function is bus master (PCI Express base
 * specification 7.5.1.1.3).
 */
#include "vdev_internal.h"

bool vmemory_enter(void *ctx, struct dma_space *space)
{
	struct vdev *vdev = ctx;

	if (!gate_enter(&vdev->memory))
		return false;
	vdev->vm.dma_enter(vdev->vm.ctx, space); /* the vm stays as it is while anybody is inside */
	return true;
}

void vmemory_leave(void *ctx, struct dma_space *space)
{
	struct vdev *vdev = ctx;

	space->ops->leave(space);
	observe_dma(vdev, space->bytes_read, space->bytes_written);
	gate_leave(&vdev->memory, &vdev->lock, &vdev->changed);
}

void vmemory_update(struct vdev *vdev)
{
	while (!vdev->attached || !vdev->bus_master) {
		if (gate_try_shut(&vdev->memory))
			return;
		pthread_cond_wait(&vdev->changed, &vdev->lock);
	}
	gate_open(&vdev->memory);
}
