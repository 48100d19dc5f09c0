/* connection.c - see connection.h. */
#define _GNU_SOURCE
#include "connection.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "../vdev/vdev.h"

enum { MAX_BURST = 64 }; /* messages received one after the other without a look at anything else */

void vfu_connection_device_call(struct vfu_connection *c)
{
	atomic_fetch_add_explicit(&c->calls, 1, memory_order_relaxed);
}

static int init(struct vfu_connection *c, uint32_t dma_timeout_ms)
{
	c->eventfds = vdev_vmm_owns_msix(c->vdev);
	c->hides_msix = !c->eventfds;
	c->negotiated = false;
	c->ended = false;
	c->dma_chunk = VFU_DMA_CHUNK;
	c->reply_size = 0;
	c->reply_fd = -1;
	atomic_init(&c->calls, 0);
	vfu_wire_init(&c->wire, c->socket);
	int error = vfu_outbox_init(&c->outbox, c->socket, c->wake);
	if (error)
		return error;
	error = vfu_irqs_init(&c->irqs, c->eventfds ? vdev_num_vectors(c->vdev) : 0);
	if (error) {
		vfu_outbox_destroy(&c->outbox);
		return error;
	}
	vfu_dma_table_init(&c->dma);
	vfu_requests_init(&c->requests, &c->outbox, &c->calls, dma_timeout_ms);
	return 0;
}

/* First nobody may wait any more, then nobody may come, then everything can go. */
static void end(struct vfu_connection *c)
{
	(void)shutdown(c->socket, SHUT_RDWR); /* the client is told at once */
	vfu_outbox_close(&c->outbox);
	vfu_requests_close(&c->requests);
	if (c->negotiated)
		vdev_detach(c->vdev);
	atomic_store(&c->counters->attached, 0);
	vfu_requests_destroy(&c->requests);
	vfu_dma_table_destroy(&c->dma);
	vfu_irqs_destroy(&c->irqs);
	vfu_outbox_destroy(&c->outbox);
	vfu_wire_close(&c->wire);
	atomic_store(&c->counters->mappings, 0);
	atomic_store(&c->counters->mapped_bytes, 0);
}

/*
 * Waits for the client (if it may send), for room in the socket (if there is something to send), or to be woken.
 * more: there may be a message already, so only looks.
 */
static void wait_event(struct vfu_connection *c, unsigned state, bool more)
{
	struct pollfd fds[2] = {
		{.fd = c->socket, .events = 0},
		{.fd = c->wake, .events = POLLIN},
	};
	if (!(state & VFU_OUTBOX_HOLDS))
		fds[0].events |= POLLIN;
	if (state & VFU_OUTBOX_BLOCKED)
		fds[0].events |= POLLOUT;
	if (poll(fds, 2, more && !(state & VFU_OUTBOX_HOLDS) ? 0 : -1) < 0)
		return;
	if (fds[1].revents) {
		eventfd_t ignored;
		(void)eventfd_read(c->wake, &ignored);
	}
	if ((state & VFU_OUTBOX_BLOCKED) && (fds[0].revents & (POLLOUT | POLLHUP | POLLERR)))
		vfu_outbox_flush(&c->outbox);
}

/* One message, if a whole one is there. True: another may be there, for nobody waits for an answer to this one, or it is. */
static bool receive(struct vfu_connection *c)
{
	int complete = vfu_wire_receive(&c->wire);
	if (complete < 0) {
		if (complete != -EPIPE && complete != -ECONNRESET)
			atomic_fetch_add(&c->counters->protocol_errors, 1);
		c->ended = true;
	}
	if (complete <= 0)
		return false;
	bool more = vfu_dispatch(c);
	return vfu_wire_next(&c->wire) || more;
}

static void serve(struct vfu_connection *c)
{
	bool more = false;
	unsigned burst = 0;
	while (!c->ended && !atomic_load(c->stop)) {
		unsigned state = vfu_outbox_state(&c->outbox);
		if (state & VFU_OUTBOX_DEAD)
			return;
		if (state || !more || ++burst == MAX_BURST) {
			wait_event(c, state, more);
			burst = 0;
		}
		if (!(state & VFU_OUTBOX_HOLDS))
			more = receive(c);
	}
}

int vfu_connection_run(struct vdev *vdev, int socket, int wake, const atomic_bool *stop, struct vfu_counters *counters,
		       uint32_t dma_timeout_ms)
{
	struct vfu_connection *c = malloc(sizeof(*c));
	if (!c) {
		vfu_fd_close(&socket);
		return -ENOMEM;
	}
	c->vdev = vdev;
	c->counters = counters;
	c->stop = stop;
	c->socket = socket;
	c->wake = wake;
	int error = init(c, dma_timeout_ms);
	if (!error) {
		serve(c);
		end(c);
	}
	vfu_fd_close(&c->socket);
	free(c);
	return error;
}
