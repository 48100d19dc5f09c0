/* outbox.c - see outbox.h. */
#define _GNU_SOURCE
#include "outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

#include "wire.h"

enum {
	MAX_BATCH = 32 * 1024, /* the kernel puts this much into one buffer: it goes wholly or not at all */
	MAX_BATCHES = 32,      /* then an engine's thread has sent enough for others */
	INTERRUPT_SIZE = sizeof(struct vfu_header) + sizeof(struct vfu_dma_access) + sizeof(uint32_t),
	INTERRUPT_IDS = 0x8000, /* apart from those of requests: see request.c */
};

/* A message is split between two kernel buffers at half the socket's limit: a header must not be. */
static uint32_t batch_size(int socket)
{
	int limit = 0;
	socklen_t length = sizeof(limit);
	if (getsockopt(socket, SOL_SOCKET, SO_SNDBUF, &limit, &length) < 0 || limit < 4096)
		limit = 4096;
	uint32_t half = (uint32_t)limit / 2 - 64;
	return half < MAX_BATCH ? half : MAX_BATCH;
}

int vfu_outbox_init(struct vfu_outbox *box, int socket, int wake)
{
	pthread_condattr_t attr;
	memset(box, 0, sizeof(*box));
	box->ring = malloc(VFU_OUTBOX_SIZE);
	if (!box->ring)
		return -ENOMEM;
	box->socket = socket;
	box->wake = wake;
	box->fd = box->held_fd = -1;
	box->batch = batch_size(socket);
	pthread_mutex_init(&box->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&box->room, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

void vfu_outbox_destroy(struct vfu_outbox *box)
{
	pthread_cond_destroy(&box->room);
	pthread_mutex_destroy(&box->lock);
	free(box->ring);
	box->ring = NULL;
	vfu_fd_close(&box->fd);
	vfu_fd_close(&box->held_fd);
}

void vfu_outbox_close(struct vfu_outbox *box)
{
	pthread_mutex_lock(&box->lock);
	box->dead = true;
	pthread_cond_broadcast(&box->room);
	pthread_mutex_unlock(&box->lock);
}

/* ---- the ring; all with the lock held ---- */

static uint32_t used(const struct vfu_outbox *box)
{
	return (uint32_t)(box->tail - box->head);
}

static bool has_room(const struct vfu_outbox *box, uint32_t size)
{
	return VFU_OUTBOX_SIZE - used(box) >= size;
}

static void put(struct vfu_outbox *box, const void *data, size_t size)
{
	size_t at = box->tail & (VFU_OUTBOX_SIZE - 1);
	size_t first = VFU_OUTBOX_SIZE - at < size ? VFU_OUTBOX_SIZE - at : size;
	memcpy(box->ring + at, data, first);
	memcpy(box->ring, (const uint8_t *)data + first, size - first);
	box->tail += size;
}

static uint32_t message_size_at(const struct vfu_outbox *box, uint64_t position)
{
	uint8_t bytes[4];
	for (unsigned i = 0; i < 4; i++)
		bytes[i] = box->ring[(position + 4 + i) & (VFU_OUTBOX_SIZE - 1)];
	uint32_t size;
	memcpy(&size, bytes, sizeof(size));
	return size;
}

static bool carries_fd(const struct vfu_outbox *box, uint64_t position)
{
	return box->fd >= 0 && box->fd_at == position;
}

/* Bytes to send next: the rest of a message, or whole messages. At least one of them, else not more than a batch. A message that has
 * a descriptor goes alone: the descriptor comes with its first byte. */
static uint32_t next_batch(const struct vfu_outbox *box)
{
	uint32_t total = box->partial ? box->partial : message_size_at(box, box->head);
	if (carries_fd(box, box->head))
		return total;
	while (total < used(box) && !carries_fd(box, box->head + total)) {
		uint32_t size = message_size_at(box, box->head + total);
		if (total + size > box->batch)
			break;
		total += size;
	}
	return total;
}

static void mark_sent(struct vfu_outbox *box, uint32_t sent)
{
	while (sent) {
		uint32_t size = box->partial ? box->partial : message_size_at(box, box->head);
		uint32_t step = size < sent ? size : sent;
		box->head += step;
		box->partial = size - step;
		sent -= step;
	}
	if (box->head == box->tail)
		box->head = box->tail = 0; /* stay in the pages that are warm */
}

static void put_interrupt(struct vfu_outbox *box, uint64_t address, uint32_t data)
{
	struct {
		struct vfu_header header;
		struct vfu_dma_access access;
		uint32_t data;
		uint32_t unused;
	} message = {
		.header = {.command = VFU_DMA_WRITE, .size = INTERRUPT_SIZE, .flags = VFU_TYPE_COMMAND | VFU_NO_REPLY},
		.access = {.address = address, .count = sizeof(data)},
		.data = data,
	};
	message.header.id = INTERRUPT_IDS | box->next_id++;
	put(box, &message, INTERRUPT_SIZE);
}

/* The ring has one place for a descriptor. */
static bool fd_fits(const struct vfu_outbox *box, int fd)
{
	return fd < 0 || box->fd < 0;
}

static void put_reply(struct vfu_outbox *box, const void *message, uint32_t size, int fd)
{
	if (fd >= 0) {
		box->fd = fd;
		box->fd_at = box->tail;
	}
	put(box, message, size);
}

/* Moves what waits into the ring as far as there is room. True: the held reply has gone in. */
static bool refill(struct vfu_outbox *box)
{
	bool replied = false;
	while (!box->corked) {
		if (box->held_size && box->held_after == 0) {
			if (!has_room(box, box->held_size) || !fd_fits(box, box->held_fd))
				return replied;
			put_reply(box, box->held, box->held_size, box->held_fd);
			box->held_size = 0;
			box->held_fd = -1;
			replied = true;
		}
		if (box->late_count == 0 || !has_room(box, INTERRUPT_SIZE))
			return replied;
		const struct vfu_late_interrupt *late = &box->late[box->late_first];
		put_interrupt(box, late->address, late->data);
		box->late_first = (box->late_first + 1) & (VFU_OUTBOX_LATE - 1);
		box->late_count--;
		if (box->held_size)
			box->held_after--;
	}
	return replied;
}

/* ---- sending ---- */

static void attach_fd(struct msghdr *message, char *control, size_t size, int fd)
{
	memset(control, 0, size);
	message->msg_control = control;
	message->msg_controllen = size;
	struct cmsghdr *c = CMSG_FIRSTHDR(message);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
}

/* Sends one batch with the lock dropped. False: no more can be sent now. */
static bool send_batch(struct vfu_outbox *box)
{
	uint32_t size = next_batch(box);
	size_t at = box->head & (VFU_OUTBOX_SIZE - 1);
	size_t first = VFU_OUTBOX_SIZE - at < size ? VFU_OUTBOX_SIZE - at : size;
	struct iovec iov[2] = {
		{.iov_base = box->ring + at, .iov_len = first},
		{.iov_base = box->ring, .iov_len = size - first},
	};
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = size > first ? 2 : 1};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	bool with_fd = carries_fd(box, box->head);
	if (with_fd)
		attach_fd(&message, control.bytes, sizeof(control.bytes), box->fd);

	pthread_mutex_unlock(&box->lock);
	ssize_t sent = sendmsg(box->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	int error = sent < 0 ? errno : 0;
	pthread_mutex_lock(&box->lock);

	if (sent > 0) {
		if (with_fd)
			vfu_fd_close(&box->fd);
		mark_sent(box, (uint32_t)sent);
		pthread_cond_broadcast(&box->room);
		return true;
	}
	if (error == EINTR)
		return true;
	if (error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS)
		box->blocked = true;
	else
		box->dead = true;
	return false;
}

/* Called with the lock held; returns with it released. Bytes that are being sent stay where they are: others only append. */
static void send_pending(struct vfu_outbox *box)
{
	bool wake = false;
	if (box->sending || box->blocked || box->dead) {
		pthread_mutex_unlock(&box->lock);
		return;
	}
	box->sending = true;
	for (unsigned batches = 0;; batches++) {
		wake |= refill(box);
		if (box->head == box->tail || box->dead)
			break;
		box->blocked = batches == MAX_BATCHES;
		if (box->blocked || !send_batch(box)) {
			wake = true;
			break;
		}
	}
	box->sending = false;
	if (box->dead)
		pthread_cond_broadcast(&box->room);
	pthread_mutex_unlock(&box->lock);
	if (wake)
		(void)eventfd_write(box->wake, 1);
}

void vfu_outbox_flush(struct vfu_outbox *box)
{
	pthread_mutex_lock(&box->lock);
	box->blocked = false;
	send_pending(box);
}

/* ---- putting in ---- */

static bool nothing_waits(const struct vfu_outbox *box)
{
	return box->late_count == 0 && box->held_size == 0 && !box->corked;
}

int vfu_outbox_reply(struct vfu_outbox *box, const void *message, uint32_t size, int fd)
{
	if (size > VFU_MAX_REPLY) {
		vfu_fd_close(&fd);
		return -EMSGSIZE;
	}
	pthread_mutex_lock(&box->lock);
	if (box->dead) {
		pthread_mutex_unlock(&box->lock);
		vfu_fd_close(&fd);
		return -ENOTCONN;
	}
	if (box->corked || (nothing_waits(box) && has_room(box, size) && fd_fits(box, fd))) {
		box->corked = false; /* nothing can be in the ring yet */
		put_reply(box, message, size, fd);
	} else {
		memcpy(box->held, message, size);
		box->held_size = size;
		box->held_fd = fd;
		box->held_after = box->late_count;
	}
	send_pending(box);
	return 0;
}

void vfu_outbox_cork(struct vfu_outbox *box)
{
	pthread_mutex_lock(&box->lock);
	box->corked = true;
	pthread_mutex_unlock(&box->lock);
}

static int keep_late(struct vfu_outbox *box, uint64_t address, uint32_t data)
{
	for (uint32_t i = 0; i < box->late_count; i++) {
		const struct vfu_late_interrupt *late = &box->late[(box->late_first + i) & (VFU_OUTBOX_LATE - 1)];
		if (late->address == address && late->data == data)
			return VFU_INTERRUPT_JOINED;
	}
	if (box->late_count == VFU_OUTBOX_LATE)
		return -ENOBUFS;
	uint32_t at = (box->late_first + box->late_count++) & (VFU_OUTBOX_LATE - 1);
	box->late[at] = (struct vfu_late_interrupt){.address = address, .data = data};
	return VFU_INTERRUPT_KEPT;
}

int vfu_outbox_interrupt(struct vfu_outbox *box, uint64_t address, uint32_t data)
{
	int result = VFU_INTERRUPT_PUT;
	pthread_mutex_lock(&box->lock);
	if (box->dead)
		result = -ENOTCONN;
	else if (nothing_waits(box) && has_room(box, INTERRUPT_SIZE))
		put_interrupt(box, address, data);
	else
		result = keep_late(box, address, data);
	send_pending(box);
	return result;
}

static int put_parts(struct vfu_outbox *box, const struct iovec *parts, unsigned count)
{
	size_t size = 0;
	for (unsigned i = 0; i < count; i++)
		size += parts[i].iov_len;
	if (size > VFU_OUTBOX_SIZE / 2)
		return -EMSGSIZE;
	if (box->dead)
		return -ENOTCONN;
	if (!nothing_waits(box) || !has_room(box, (uint32_t)size))
		return -EAGAIN;
	for (unsigned i = 0; i < count; i++)
		put(box, parts[i].iov_base, parts[i].iov_len);
	return 0;
}

int vfu_outbox_request(struct vfu_outbox *box, const struct iovec *parts, unsigned count)
{
	pthread_mutex_lock(&box->lock);
	int result = put_parts(box, parts, count);
	send_pending(box);
	return result;
}

int vfu_outbox_wait_room(struct vfu_outbox *box, uint32_t size, const struct timespec *deadline)
{
	int result = 0;
	pthread_mutex_lock(&box->lock);
	while (!box->dead && result == 0 && !(nothing_waits(box) && has_room(box, size)))
		result = -pthread_cond_timedwait(&box->room, &box->lock, deadline);
	if (box->dead)
		result = -ENOTCONN;
	pthread_mutex_unlock(&box->lock);
	return result;
}

unsigned vfu_outbox_state(struct vfu_outbox *box)
{
	unsigned state = 0;
	pthread_mutex_lock(&box->lock);
	if (box->held_size)
		state |= VFU_OUTBOX_HOLDS;
	if (box->blocked)
		state |= VFU_OUTBOX_BLOCKED;
	if (box->dead)
		state |= VFU_OUTBOX_DEAD;
	pthread_mutex_unlock(&box->lock);
	return state;
}
