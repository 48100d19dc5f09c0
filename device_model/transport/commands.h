/*
 * commands.h - one function for each command of a client.
 *
 * Each finds its message in connection->wire (size and number of descriptors were checked against the dispatch table),
 * validates it wholly, then acts. 0: the reply's payload is in connection->reply, reply_size bytes. A negative errno: the
 * command is refused and nothing has changed. Descriptors that are not taken are closed by the caller.
 */
#ifndef VDSA_TRANSPORT_COMMANDS_H
#define VDSA_TRANSPORT_COMMANDS_H

struct vfu_connection;

int vfu_command_version(struct vfu_connection *connection);
int vfu_command_dma_map(struct vfu_connection *connection);
int vfu_command_dma_unmap(struct vfu_connection *connection);
int vfu_command_get_info(struct vfu_connection *connection);
int vfu_command_get_region_info(struct vfu_connection *connection);
int vfu_command_get_irq_info(struct vfu_connection *connection);
int vfu_command_set_irqs(struct vfu_connection *connection);
int vfu_command_region_read(struct vfu_connection *connection);
int vfu_command_region_write(struct vfu_connection *connection);
int vfu_command_reset(struct vfu_connection *connection);

#endif
