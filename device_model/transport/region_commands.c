/* region_commands.c - REGION_READ, REGION_WRITE and DEVICE_RESET. */
#include <errno.h>
#include <string.h>

#include "../vdev/vdev.h"
#include "commands.h"
#include "connection.h"

enum { CAP_ID_VENDOR = 0x09, CAP_ID_MSIX = 0x11 };

static int access_check(const struct vfu_connection *c, const struct vfu_region_access *access, uint32_t max)
{
	if (access->region >= VDEV_NUM_REGIONS || access->count == 0 || access->count > max)
		return -EINVAL;
	uint64_t size = vdev_region_size(c->vdev, access->region);
	if (access->count > size || access->offset > size - access->count)
		return -EINVAL;
	return 0;
}

/*
 * QEMU (up to 11.1.3) aborts on unplug of a device whose MSI-X capability it has seen, and it looks for capabilities in
 * one read of the whole config space, when it realizes the device. Until then the capability's ID says "vendor specific".
 */
static void hide_msix(struct vfu_connection *c, const struct vfu_region_access *access, uint8_t *data)
{
	if (!c->hides_msix || access->region != VDEV_REGION_CONFIG)
		return;
	if (access->offset <= VDEV_MSIX_CAP && VDEV_MSIX_CAP - access->offset < access->count) {
		uint8_t *id = data + (VDEV_MSIX_CAP - access->offset);
		if (*id == CAP_ID_MSIX)
			*id = CAP_ID_VENDOR;
	}
	if (access->count == VDEV_CONFIG_SIZE && !(c->wire.header.flags & VFU_NO_REPLY))
		c->hides_msix = false;
}

int vfu_command_region_read(struct vfu_connection *c)
{
	struct vfu_region_access access;
	memcpy(&access, c->wire.payload, sizeof(access));
	int error = access_check(c, &access, VFU_MAX_REGION_READ);
	if (error)
		return error;
	uint8_t *data = c->reply.payload + sizeof(access);
	vfu_connection_device_call(c);
	error = vdev_region_read(c->vdev, access.region, access.offset, data, access.count);
	vfu_connection_device_call(c);
	if (error && access.region != VDEV_REGION_CONFIG)
		return error;
	if (error) /* QEMU does not survive an error here */
		memset(data, 0xff, access.count);
	hide_msix(c, &access, data);
	memcpy(c->reply.payload, &access, sizeof(access));
	c->reply_size = (uint32_t)sizeof(access) + access.count;
	return 0;
}

int vfu_command_region_write(struct vfu_connection *c)
{
	struct vfu_region_access access;
	memcpy(&access, c->wire.payload, sizeof(access));
	int error = access_check(c, &access, VFU_MAX_REGION_WRITE);
	if (error)
		return error;
	if (vfu_wire_payload_size(&c->wire) != sizeof(access) + access.count)
		return -EINVAL;
	vfu_connection_device_call(c);
	error = vdev_region_write(c->vdev, access.region, access.offset, c->wire.payload + sizeof(access), access.count);
	vfu_connection_device_call(c);
	memcpy(c->reply.payload, &access, sizeof(access));
	c->reply_size = sizeof(access);
	return error;
}

int vfu_command_reset(struct vfu_connection *c)
{
	vfu_connection_device_call(c);
	vdev_reset(c->vdev);
	vfu_connection_device_call(c);
	return 0;
}
