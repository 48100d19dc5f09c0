/* irq.c - see irq.h. */
#define _GNU_SOURCE
#include "irq.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

int vfu_irqs_init(struct vfu_irqs *irqs, unsigned count)
{
	memset(irqs, 0, sizeof(*irqs));
	if (count > VFU_MAX_VECTORS)
		return -EINVAL;
	if (count) {
		irqs->vectors = calloc(count, sizeof(*irqs->vectors));
		if (!irqs->vectors)
			return -ENOMEM;
	}
	irqs->count = count;
	pthread_mutex_init(&irqs->lock, NULL);
	return 0;
}

void vfu_irqs_destroy(struct vfu_irqs *irqs)
{
	vfu_irqs_clear(irqs, 0, irqs->count);
	free(irqs->vectors);
	irqs->vectors = NULL;
	pthread_mutex_destroy(&irqs->lock);
}

static int check_data(const struct vfu_irq_set *set, uint32_t data_size, unsigned nfds)
{
	switch (set->flags & VFU_IRQ_DATA_MASK) {
	case VFU_IRQ_DATA_NONE:
		return data_size == 0 && nfds == 0 ? 0 : -EINVAL;
	case VFU_IRQ_DATA_BOOL:
		return data_size == set->count && nfds == 0 && set->count ? 0 : -EINVAL;
	case VFU_IRQ_DATA_EVENTFD: /* no descriptor at all: the vectors lose theirs */
		return data_size == 0 && (nfds == set->count || nfds == 0) && set->count ? 0 : -EINVAL;
	default:
		return -EINVAL;
	}
}

int vfu_irq_set_check(const struct vfu_irq_set *set, uint32_t data_size, unsigned nfds, unsigned count)
{
	unsigned vectors = set->index == VFU_IRQ_MSIX ? count : 0;
	if (set->argsz < sizeof(*set) || set->index >= VFU_NUM_IRQS)
		return -EINVAL;
	if ((set->flags & ~(uint32_t)VFU_IRQ_DATA_MASK) != VFU_IRQ_ACTION_TRIGGER)
		return -EINVAL; /* neither mask nor unmask was offered */
	if (set->start > vectors || set->count > vectors - set->start)
		return -EINVAL;
	if (set->count == 0 && set->start != 0)
		return -EINVAL;
	return check_data(set, data_size, nfds);
}

/* An eventfd and nothing else: a write to another kind of file could wait for ever. */
static bool is_eventfd(int fd)
{
	static const char wanted[] = "anon_inode:[eventfd";
	char path[32], target[64];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ssize_t length = readlink(path, target, sizeof(target));
	return length >= (ssize_t)sizeof(wanted) - 1 && memcmp(target, wanted, sizeof(wanted) - 1) == 0;
}

static bool make_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	return flags >= 0 && ((flags & O_NONBLOCK) || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
}

static void put_eventfd(struct vfu_irqs *irqs, struct vfu_eventfd *event)
{
	pthread_mutex_lock(&irqs->lock);
	bool last = --event->users == 0;
	pthread_mutex_unlock(&irqs->lock);
	if (last) {
		vfu_fd_close(&event->fd);
		free(event);
	}
}

/* Gives a vector its eventfd, or none; the one it had goes when its last user has gone. */
static void replace(struct vfu_irqs *irqs, unsigned vector, struct vfu_eventfd *event)
{
	pthread_mutex_lock(&irqs->lock);
	struct vfu_eventfd *old = irqs->vectors[vector];
	irqs->vectors[vector] = event;
	pthread_mutex_unlock(&irqs->lock);
	if (old)
		put_eventfd(irqs, old);
}

static struct vfu_eventfd *new_eventfd(int *fd, int *error)
{
	*error = -EINVAL;
	if (!is_eventfd(*fd) || !make_nonblocking(*fd))
		return NULL;
	struct vfu_eventfd *event = malloc(sizeof(*event));
	*error = event ? 0 : -ENOMEM;
	if (event)
		*event = (struct vfu_eventfd){.fd = *fd, .users = 1};
	return event;
}

int vfu_irqs_register(struct vfu_irqs *irqs, const struct vfu_irq_set *set, struct vfu_fds *fds)
{
	struct vfu_eventfd *events[VFU_MAX_MSG_FDS];
	int error = 0;
	unsigned made = 0;
	if (fds->count == 0) {
		vfu_irqs_clear(irqs, set->start, set->count);
		return 0;
	}
	for (; made < fds->count; made++) {
		events[made] = new_eventfd(&fds->fd[made], &error);
		if (!events[made])
			break;
	}
	for (unsigned i = 0; i < made; i++) {
		if (error) {
			free(events[i]);
			continue;
		}
		(void)vfu_fds_take(fds, i); /* now events[i]'s */
		replace(irqs, set->start + i, events[i]);
	}
	return error;
}

void vfu_irqs_clear(struct vfu_irqs *irqs, uint32_t start, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		replace(irqs, start + i, NULL);
}

/*
 * The client shares the file, and could make it blocking and full: hence a look before the write. What is left is the
 * moment between the two, for a client that is this precise and has been given this delivery mode.
 */
static int add_one(int fd)
{
	struct pollfd writable = {.fd = fd, .events = POLLOUT};
	if (poll(&writable, 1, 0) != 1 || !(writable.revents & POLLOUT))
		return -EAGAIN;
	return eventfd_write(fd, 1) < 0 ? -errno : 0;
}

int vfu_irqs_signal(struct vfu_irqs *irqs, unsigned vector)
{
	struct vfu_eventfd *event = NULL;
	pthread_mutex_lock(&irqs->lock);
	if (vector < irqs->count)
		event = irqs->vectors[vector];
	if (event)
		event->users++;
	pthread_mutex_unlock(&irqs->lock);
	if (!event)
		return -ENOENT;
	int result = add_one(event->fd);
	put_eventfd(irqs, event);
	return result;
}
