/* dispatch.c - which function a message goes to, and what its answer looks like. */
#include <errno.h>
#include <stddef.h>

#include "commands.h"
#include "connection.h"

enum { MAX_CAPABILITIES = 4096 };

struct rule {
	int (*run)(struct vfu_connection *connection);
	uint32_t min, max; /* bytes of payload */
	unsigned max_fds;
};

static const struct rule rules[VFU_NUM_COMMANDS] = {
	[VFU_VERSION] = {vfu_command_version, sizeof(struct vfu_version), sizeof(struct vfu_version) + MAX_CAPABILITIES, 0},
	[VFU_DMA_MAP] = {vfu_command_dma_map, sizeof(struct vfu_dma_map), sizeof(struct vfu_dma_map), 1},
	[VFU_DMA_UNMAP] = {vfu_command_dma_unmap, sizeof(struct vfu_dma_unmap), sizeof(struct vfu_dma_unmap), 0},
	[VFU_DEVICE_GET_INFO] = {vfu_command_get_info, sizeof(struct vfu_device_info), sizeof(struct vfu_device_info), 0},
	[VFU_DEVICE_GET_REGION_INFO] = {vfu_command_get_region_info, sizeof(struct vfu_region_info),
					sizeof(struct vfu_region_info), 0},
	[VFU_DEVICE_GET_IRQ_INFO] = {vfu_command_get_irq_info, sizeof(struct vfu_irq_info), sizeof(struct vfu_irq_info), 0},
	[VFU_DEVICE_SET_IRQS] = {vfu_command_set_irqs, sizeof(struct vfu_irq_set),
				 sizeof(struct vfu_irq_set) + VFU_MAX_VECTORS, VFU_MAX_MSG_FDS},
	[VFU_REGION_READ] = {vfu_command_region_read, sizeof(struct vfu_region_access), sizeof(struct vfu_region_access), 0},
	[VFU_REGION_WRITE] = {vfu_command_region_write, sizeof(struct vfu_region_access) + 1,
			      sizeof(struct vfu_region_access) + VFU_MAX_REGION_WRITE, 0},
	[VFU_DEVICE_RESET] = {vfu_command_reset, 0, 0, 0},
};

static int run_command(struct vfu_connection *c)
{
	const struct vfu_header *header = &c->wire.header;
	if (!c->negotiated && header->command != VFU_VERSION)
		return -EINVAL;
	if (header->command >= VFU_NUM_COMMANDS || !rules[header->command].run)
		return -ENOTSUP;
	const struct rule *rule = &rules[header->command];
	uint32_t size = vfu_wire_payload_size(&c->wire);
	if (size < rule->min || size > rule->max || c->wire.fds.count > rule->max_fds)
		return -EINVAL;
	return rule->run(c);
}

static void send_reply(struct vfu_connection *c, int error)
{
	struct vfu_header *header = &c->reply.header;
	uint32_t payload = error ? 0 : c->reply_size;
	*header = (struct vfu_header){
		.id = c->wire.header.id,
		.command = c->wire.header.command,
		.size = (uint32_t)sizeof(*header) + payload,
		.flags = VFU_TYPE_REPLY | (error ? VFU_ERROR : 0),
		.error = (uint32_t)-error,
	};
	(void)vfu_outbox_reply(&c->outbox, &c->reply, header->size, c->reply_fd); /* a dead socket is noticed by the loop */
	c->reply_fd = -1;
}

static bool command(struct vfu_connection *c)
{
	bool silent = c->wire.header.flags & VFU_NO_REPLY;
	c->reply_size = 0;
	int error = run_command(c);
	vfu_fds_close(&c->wire.fds); /* those not taken are gone when the answer comes */
	if (error)
		atomic_fetch_add(&c->counters->protocol_errors, 1);
	if (!silent)
		send_reply(c, error);
	vfu_fd_close(&c->reply_fd);
	if (!c->negotiated)
		c->ended = true; /* whoever does not begin with a good VERSION is no client of ours */
	return silent;
}

static bool reply(struct vfu_connection *c)
{
	bool expected = c->negotiated && vfu_requests_reply(&c->requests, &c->wire.header, c->wire.payload);
	/* QEMU answers an interrupt that failed though it was asked not to: that is no error of the protocol */
	bool interrupt = c->wire.header.command == VFU_DMA_WRITE && (c->wire.header.flags & VFU_ERROR);
	if (c->wire.fds.count || !(expected || interrupt))
		atomic_fetch_add(&c->counters->protocol_errors, 1);
	if (!c->negotiated)
		c->ended = true;
	return true;
}

bool vfu_dispatch(struct vfu_connection *c)
{
	atomic_fetch_add(&c->counters->messages, 1);
	if ((c->wire.header.flags & VFU_TYPE_MASK) == VFU_TYPE_REPLY)
		return reply(c);
	return command(c);
}
