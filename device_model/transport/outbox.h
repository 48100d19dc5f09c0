/*
 * outbox.h - everything that a connection sends goes through here, in the order in which it was put in.
 *
 * Any thread may put a message in; none ever waits for the client, and the lock is never held while sending: the first
 * thread that finds nobody sending sends, and goes on with what others have put in meanwhile. When the socket is full
 * the rest waits for the connection's thread, which polls for room (`wake` is written to tell it).
 *
 * When the buffer is full too: an interrupt joins a bounded set of distinct (address, data) pairs, which are sent as soon
 * as there is room (edge-triggered interrupts may coalesce); one reply is held, in its place among them, and the
 * connection's thread reads nothing more from that client until it has gone; a request waits outside (wait_room).
 */
#ifndef VDSA_TRANSPORT_OUTBOX_H
#define VDSA_TRANSPORT_OUTBOX_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "protocol.h"

enum {
	VFU_OUTBOX_SIZE = 128 * 1024, /* bytes, a power of two */
	VFU_OUTBOX_LATE = 1024,       /* interrupts kept back, a power of two */
};

struct vfu_late_interrupt {
	uint64_t address;
	uint32_t data;
};

struct vfu_outbox {
	pthread_mutex_t lock;
	pthread_cond_t room; /* broadcast when bytes have left, and at the end */
	int socket;          /* borrowed, like `wake` */
	int wake;
	uint32_t batch;      /* bytes of whole messages handed to the kernel at once */
	uint16_t next_id;
	bool sending;        /* a thread is in send_pending */
	bool blocked;        /* the socket is full: the connection's thread goes on at POLLOUT */
	bool dead;           /* nothing can be sent any more */
	bool corked;
	uint8_t *ring;
	uint64_t head, tail; /* bytes sent and bytes put in */
	uint32_t partial;    /* bytes left of the message at head, if a part of it has gone; else 0 */
	int fd;              /* owned: goes with the message at fd_at; -1: none */
	uint64_t fd_at;
	uint32_t held_size;  /* of the reply that waits; 0: none */
	int held_fd;         /* owned: goes with it */
	uint32_t held_after; /* late interrupts that go before it */
	uint32_t late_first, late_count;
	struct vfu_late_interrupt late[VFU_OUTBOX_LATE];
	uint8_t held[VFU_MAX_REPLY];
};

/* 0 or -ENOMEM. */
int vfu_outbox_init(struct vfu_outbox *box, int socket, int wake);
/* No thread may be inside, or come. */
void vfu_outbox_destroy(struct vfu_outbox *box);
/* From now on everything is refused with -ENOTCONN; threads waiting for room return. */
void vfu_outbox_close(struct vfu_outbox *box);

/*
 * A reply of at most VFU_MAX_REPLY bytes, with a descriptor that is taken in every case; -1: none. Only if VFU_OUTBOX_HOLDS is not
 * set. 0, -ENOTCONN or -EMSGSIZE.
 */
int vfu_outbox_reply(struct vfu_outbox *box, const void *message, uint32_t size, int fd);
/* The next reply goes out before any interrupt or request: until then those wait. */
void vfu_outbox_cork(struct vfu_outbox *box);
/* An interrupt: DMA_WRITE of 4 bytes, not to be answered. What became of it, or -ENOBUFS, -ENOTCONN. */
enum {
	VFU_INTERRUPT_PUT = 0,
	VFU_INTERRUPT_KEPT = 1,   /* sent when there is room */
	VFU_INTERRUPT_JOINED = 2, /* an equal one is kept already */
};
int vfu_outbox_interrupt(struct vfu_outbox *box, uint64_t address, uint32_t data);
/* A request: header and the rest as parts. 0, -EAGAIN: no room now, -EMSGSIZE, -ENOTCONN. */
int vfu_outbox_request(struct vfu_outbox *box, const struct iovec *parts, unsigned count);
/* Waits until a request of `size` bytes had room. 0, -ETIMEDOUT or -ENOTCONN. */
int vfu_outbox_wait_room(struct vfu_outbox *box, uint32_t size, const struct timespec *deadline);

/* For the connection's thread. */
enum {
	VFU_OUTBOX_HOLDS = 1,   /* a reply is held: take nothing in. `wake` is written when it has left */
	VFU_OUTBOX_BLOCKED = 2, /* poll for POLLOUT, then flush */
	VFU_OUTBOX_DEAD = 4,
};
unsigned vfu_outbox_state(struct vfu_outbox *box);
void vfu_outbox_flush(struct vfu_outbox *box);

#endif
