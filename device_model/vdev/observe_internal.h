/* observe_internal.h - the places in this folder from which observe.c is told; all are cheap, none blocks on a reader. */
#ifndef VDSA_VDEV_OBSERVE_INTERNAL_H
#define VDSA_VDEV_OBSERVE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "observe.h"
#include "trace.h"

enum { OBSERVE_UNIT = 4, OBSERVE_PAIR = 8, OBSERVE_PAGE_SHIFT = 12 };

struct region_map;

struct observe {
	pthread_mutex_t lock; /* of all that follows; no call leaves this folder while it is held, but into the ledger */
	struct tally_entry tally; /* the ledger's lock is the one for this */
	struct observe_stats stats; /* those that are counted here */
	struct observe_watch watch, longest;
	struct region_map *maps[OBSERVE_REGIONS];
	uint64_t touch_overflow;
	uint32_t num_touches;
	struct observe_touch touches[OBSERVE_TOUCHES];
	_Atomic(struct trace *) trace;
};

/* id: the vdev's. NULL: out of memory. */
struct observe *observe_create(uint32_t id);
void observe_destroy(struct observe *observe);

/* No lock held. An access of the guest that is over; result: 0, or -EINVAL: the region did not take it. */
void observe_read(struct vdev *vdev, unsigned region, uint64_t offset, const void *buf, uint32_t count, int result);
/* No lock held. One that is about to be carried out, and if its region then did not take it, once more. */
void observe_write(struct vdev *vdev, unsigned region, uint64_t offset, const void *buf, uint32_t count);
void observe_refused_write(struct vdev *vdev, unsigned region, uint64_t offset, uint32_t count);
/* No lock held. offset: of the store in BAR2. */
void observe_descriptor(struct vdev *vdev, uint64_t offset, const uint8_t desc[PORTAL_DESC]);
/* The same of one that came as one store: that write is counted, too. */
void observe_store(struct vdev *vdev, uint64_t offset, const uint8_t desc[PORTAL_DESC]);

/* No lock held. */
void observe_error(struct vdev *vdev);
void observe_dma(struct vdev *vdev, uint64_t bytes_read, uint64_t bytes_written);
void observe_event(struct vdev *vdev, enum trace_kind kind);

/* The entry for the ledger that the vdev works with. */
struct tally_entry *observe_tally(struct observe *observe);

/* ---- touches.c: the burn-down ---- */

/* The index of a region's counters and map; OBSERVE_REGIONS: it has none. */
unsigned observe_index(unsigned region);
/* CLOCK_MONOTONIC to some milliseconds, at a fraction of the price. */
uint64_t observe_coarse_ns(void);
void touches_free(struct observe *observe);
/* Lock held. */
void touches_refused(struct observe *observe, unsigned region, uint64_t offset, uint32_t size, enum touch_kind kind);
void touches_read(struct observe *observe, uint64_t offset, uint32_t count);
void touches_store(struct observe *observe, uint64_t offset, uint32_t count);
/* No lock held. BAR0 or config space, inside the region. */
void touches_write(struct vdev *vdev, unsigned region, uint64_t offset, const uint8_t *buf, uint32_t count);

#endif
