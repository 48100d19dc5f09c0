/*
 * wire.h - receives one message at a time from a stream socket, with the file descriptors that belong to it.
 *
 * Which message do descriptors belong to? Whoever sends some sends them with the first byte of their message. A receive call
 * that got descriptors ends where the bytes they were sent with end, at the latest (unix(7), SCM_RIGHTS: they are a
 * barrier). So they belong to the message that the last byte of that call is part of. A call goes beyond a header only
 * when no descriptors wait for their message, so there is never more than one set of them; and what comes with later
 * bytes of a payload is refused. A header and a short payload thus take one call, which is the cheaper half of a
 * REGION_READ's way through this server.
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
	int socket;  /* borrowed */
	size_t got;  /* bytes from the first one of this message on; some may be the next one's */
	struct vfu_fds fds; /* of the complete message */
	struct vfu_fds arrived; /* not given to a message yet ... */
	size_t arrived_end;     /* ... they came with a call that received up to here */
	struct vfu_header header;
	_Alignas(8) uint8_t payload[VFU_MAX_PAYLOAD];
};

void vfu_wire_init(struct vfu_wire *wire, int socket);
/* Forgets the complete message and closes the descriptors that nobody took. True: the next one's beginning is here. */
bool vfu_wire_next(struct vfu_wire *wire);
/* Closes all descriptors that are here. */
void vfu_wire_close(struct vfu_wire *wire);
/* Bytes after the header of a complete message. */
uint32_t vfu_wire_payload_size(const struct vfu_wire *wire);
/*
 * Goes on with the current message; never waits. 1: complete. 0: nothing more to read now.
 * -EPIPE: the peer closed. -EPROTO: not a message (size, type, flags), or descriptors truncated or in the wrong place.
 * Other -errno: the socket failed. After a negative value the stream cannot be used any more.
 */
int vfu_wire_receive(struct vfu_wire *wire);

#endif
