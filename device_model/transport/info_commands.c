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

/* Behind what set_reply() has put there. */
static void add_reply(struct vfu_connection *c, const void *data, uint32_t size)
{
	memcpy(c->reply.payload + c->reply_size, data, size);
	c->reply_size += size;
}

/*
 * The portals that the client may map, and the file that they are in. Who has not left room for the areas is told how much they need
 * and asks again (argsz). One region that can be mapped makes QEMU send every write of the device synchronously.
 */
static void reply_mappable(struct vfu_connection *c, struct vfu_region_info info, uint32_t room, uint32_t areas)
{
	const struct vfu_sparse_mmap cap = { .id = VFU_CAP_SPARSE_MMAP, .version = 1, .count = areas };

	info.argsz = (uint32_t)(sizeof(info) + sizeof(cap) + areas * sizeof(struct vfu_mmap_area));
	info.flags |= VFU_REGION_MMAP | VFU_REGION_CAPS;
	info.cap_offset = sizeof(info);
	set_reply(c, &info, sizeof(info));
	if (room < info.argsz)
		return;
	add_reply(c, &cap, sizeof(cap));
	for (uint32_t i = 0; i < areas; i++) {
		const struct vdev_area area = vdev_portal_area(i);

		add_reply(c, &(struct vfu_mmap_area){ .offset = area.offset, .size = area.size }, sizeof(struct vfu_mmap_area));
	}
	c->reply_fd = vdev_portal_fd(c->vdev);
}

int vfu_command_get_region_info(struct vfu_connection *c)
{
	struct vfu_region_info info;
	memcpy(&info, c->wire.payload, sizeof(info));
	if (info.argsz < sizeof(info) || info.index >= VDEV_NUM_REGIONS)
		return -EINVAL;
	uint32_t room = info.argsz, areas = info.index == VDEV_REGION_BAR2 ? vdev_num_portal_areas(c->vdev) : 0;
	uint64_t size = vdev_region_size(c->vdev, info.index);
	info = (struct vfu_region_info){
		.argsz = sizeof(info),
		.flags = size ? VFU_REGION_READABLE | VFU_REGION_WRITABLE : 0,
		.index = info.index,
		.size = size,
	};
	if (areas)
		reply_mappable(c, info, room, areas);
	else
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
