/* info_commands.c - what the device is: DEVICE_GET_INFO, _GET_REGION_INFO, _GET_IRQ_INFO. */
#include <errno.h>
#include <string.h>

#include "../vdev/vdev.h"
#include "commands.h"
#include "connection.h"

static void set_reply(struct vfu_connection *c, const void *payload, uint32_t size)
{
	memcpy(c->reply.payload, payload, size);
	c->reply_size = size;
}

int vfu_command_get_info(struct vfu_connection *c)
{
	struct vfu_device_info info;
	memcpy(&info, c->wire.payload, sizeof(info));
	if (info.argsz < sizeof(info))
		return -EINVAL;
	info = (struct vfu_device_info){
		.argsz = sizeof(info),
		.flags = VFU_DEVICE_PCI | VFU_DEVICE_RESETS,
		.num_regions = VDEV_NUM_REGIONS,
		.num_irqs = VFU_NUM_IRQS,
	};
	set_reply(c, &info, sizeof(info));
	return 0;
}

/* No region can be mapped by the client: one that can makes QEMU send every write of the device synchronously. */
int vfu_command_get_region_info(struct vfu_connection *c)
{
	struct vfu_region_info info;
	memcpy(&info, c->wire.payload, sizeof(info));
	if (info.argsz < sizeof(info) || info.index >= VDEV_NUM_REGIONS)
		return -EINVAL;
	uint64_t size = vdev_region_size(c->vdev, info.index);
	info = (struct vfu_region_info){
		.argsz = sizeof(info),
		.flags = size ? VFU_REGION_READABLE | VFU_REGION_WRITABLE : 0,
		.index = info.index,
		.size = size,
	};
	set_reply(c, &info, sizeof(info));
	return 0;
}

int vfu_command_get_irq_info(struct vfu_connection *c)
{
	struct vfu_irq_info info;
	memcpy(&info, c->wire.payload, sizeof(info));
	if (info.argsz < sizeof(info) || info.index >= VFU_NUM_IRQS)
		return -EINVAL;
	bool msix = info.index == VFU_IRQ_MSIX && c->irqs.count;
	info = (struct vfu_irq_info){
		.argsz = sizeof(info),
		.flags = msix ? VFU_IRQ_EVENTFD : 0,
		.index = info.index,
		.count = msix ? c->irqs.count : 0,
	};
	set_reply(c, &info, sizeof(info));
	return 0;
}
