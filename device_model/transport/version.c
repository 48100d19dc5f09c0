/* version.c - VERSION: what both sides can do. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../vdev/vdev.h"
#include "commands.h"
#include "connection.h"
#include "json.h"

/* The capabilities text of a VERSION message; "{}" if it has none. False: not closed by exactly one NUL, at its end. */
static bool capabilities_text(const struct vfu_wire *wire, const char **text, size_t *length)
{
	size_t size = vfu_wire_payload_size(wire) - sizeof(struct vfu_version);
	*text = (const char *)wire->payload + sizeof(struct vfu_version);
	if (size == 0) {
		*text = "{}";
		*length = 2;
		return true;
	}
	*length = size - 1;
	return memchr(*text, '\0', size) == *text + *length;
}

static int version_check(const struct vfu_connection *c, uint32_t *chunk)
{
	struct vfu_version version;
	const char *text;
	size_t length;
	uint64_t max_data = VFU_DMA_CHUNK;

	memcpy(&version, c->wire.payload, sizeof(version));
	if (c->negotiated || version.major != 0 || (c->wire.header.flags & VFU_NO_REPLY))
		return -EINVAL;
	if (!capabilities_text(&c->wire, &text, &length))
		return -EINVAL;
	if (vfu_json_find(text, length, "capabilities", "max_data_xfer_size", &max_data) < 0)
		return -EINVAL;
	if (max_data == 0)
		return -EINVAL;
	*chunk = max_data < VFU_DMA_CHUNK ? (uint32_t)max_data : VFU_DMA_CHUNK;
	return 0;
}

/* A client receives the reply into the space of its request: say less if that is short. */
static uint32_t write_capabilities(uint8_t *to, uint32_t room)
{
	char full[160];
	int length = snprintf(full, sizeof(full),
			      "{\"capabilities\":{\"max_msg_fds\":%d,\"max_data_xfer_size\":%d,"
			      "\"pgsizes\":%d,\"max_dma_maps\":%d}}",
			      VFU_MAX_MSG_FDS, VFU_MAX_DATA_XFER, VFU_PAGE_SIZE, VFU_MAX_DMA_MAPS);
	const char *text = (uint32_t)length < room ? full : "{}";
	size_t size = strlen(text) + 1;
	if (size > room)
		return 0;
	memcpy(to, text, size);
	return (uint32_t)size;
}

int vfu_command_version(struct vfu_connection *c)
{
	struct vfu_version ours = {.major = 0, .minor = 0};
	struct vdev_vm vm;
	uint32_t chunk;
	int error = version_check(c, &chunk);
	if (error)
		return error;
	c->dma_chunk = chunk;
	vfu_outbox_cork(&c->outbox); /* the reply goes first, whatever the device has pending */
	vfu_connection_vm(c, &vm);
	error = vdev_attach(c->vdev, &vm);
	if (error)
		return error;
	c->negotiated = true;
	atomic_store(&c->counters->attached, 1);
	memcpy(c->reply.payload, &ours, sizeof(ours));
	uint32_t room = vfu_wire_payload_size(&c->wire) - (uint32_t)sizeof(ours);
	c->reply_size = (uint32_t)sizeof(ours) + write_capabilities(c->reply.payload + sizeof(ours), room);
	return 0;
}
