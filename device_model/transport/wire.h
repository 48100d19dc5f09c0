/*
 * wire.h - receives one message at a time from a stream socket, with the file descriptors that belong to it.
 *
 * The kernel attaches descriptors to the bytes they were sent with. So the 16 bytes of a header are received alone, and
 * only they may bring descriptors: no other message's can be mistaken for this one's.
 */
#ifndef VDSA_TRANSPORT_WIRE_H
#define VDSA_TRANSPORT_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol.h"

/* Descriptors of one message; owned here until taken. fd[i] is -1 once taken or closed. */
struct vfu_fds {
	int fd[VFU_MAX_MSG_FDS];
	unsigned count; /* how many came */
};

void vfu_fds_init(struct vfu_fds *fds);
/* The descriptor now belongs to the caller. -1: none there. */
int vfu_fds_take(struct vfu_fds *fds, unsigned index);
/* Closes what was not taken. */
void vfu_fds_close(struct vfu_fds *fds);
/* Closes *fd if it is open and sets it to -1. */
void vfu_fd_close(int *fd);

struct vfu_wire {
	int socket; /* borrowed */
	size_t got; /* bytes of this message so far, header included */
	struct vfu_header header;
	struct vfu_fds fds;
	_Alignas(8) uint8_t payload[VFU_MAX_PAYLOAD];
};

void vfu_wire_init(struct vfu_wire *wire, int socket);
/* Forgets the message and closes the descriptors that nobody took. */
void vfu_wire_next(struct vfu_wire *wire);
/* Bytes after the header of a complete message. */
uint32_t vfu_wire_payload_size(const struct vfu_wire *wire);
/*
 * Goes on with the current message; never waits. 1: complete. 0: nothing more to read now.
 * -EPIPE: the peer closed. -EPROTO: not a message (size, type, flags), or descriptors truncated or in the wrong place.
 * Other -errno: the socket failed. After a negative value the stream cannot be used any more.
 */
int vfu_wire_receive(struct vfu_wire *wire);

#endif
