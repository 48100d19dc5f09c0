/*
 * irq.h - the eventfds that a client has registered for its MSI-X vectors.
 *
 * Registered by the connection's thread, signalled by any. A signal holds its eventfd (`users`), not the lock.
 */
#ifndef VDSA_TRANSPORT_IRQ_H
#define VDSA_TRANSPORT_IRQ_H

#include <pthread.h>
#include <stdint.h>

#include "protocol.h"
#include "wire.h"

enum { VFU_MAX_VECTORS = 2048 };

struct vfu_eventfd {
	int fd;
	uint32_t users; /* 1 for being registered */
};

struct vfu_irqs {
	pthread_mutex_t lock;
	unsigned count; /* vectors; 0: no interrupts of this kind */
	struct vfu_eventfd **vectors;
};

/* 0, -EINVAL or -ENOMEM. */
int vfu_irqs_init(struct vfu_irqs *irqs, unsigned count);
/* No signal may be in progress. */
void vfu_irqs_destroy(struct vfu_irqs *irqs);

/* Checks a SET_IRQS for `count` vectors: data_size bytes follow the structure, nfds descriptors came. 0 or -EINVAL. */
int vfu_irq_set_check(const struct vfu_irq_set *set, uint32_t data_size, unsigned nfds, unsigned count);
/* Registers fds for start..start+count-1 (fds->count is set->count), or none of them. `set` was checked.
 * -EINVAL: a descriptor is not an eventfd; -ENOMEM. On error nothing has changed. */
int vfu_irqs_register(struct vfu_irqs *irqs, const struct vfu_irq_set *set, struct vfu_fds *fds);
void vfu_irqs_clear(struct vfu_irqs *irqs, uint32_t start, uint32_t count);
/* 0; -ENOENT: no such vector, or nothing registered; -EAGAIN: the counter is full. Does not wait. */
int vfu_irqs_signal(struct vfu_irqs *irqs, unsigned vector);

#endif
