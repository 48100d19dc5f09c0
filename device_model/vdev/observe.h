/*
 * observe.h - what a guest does to its virtual device, watched for the people who run it: counters, registers that the guest touched
 * and that are not there (the burn-down), the register that it keeps reading (the watchdog), and the way into the trace.
 *
 * Always on, fixed in size, and a witness only: nothing here is ever looked at to decide something. What registers the device has
 * is told to it once (vdev_observe_map); until then it records no touch.
 */
#ifndef VDSA_VDEV_OBSERVE_H
#define VDSA_VDEV_OBSERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../core/tally.h"

struct vdev;
struct trace;

/* ---- what is there ---- */

/*
 * `count` units of a region, the first at byte offset `first`, the others `stride` bytes apart each. A unit is 4 bytes, in BAR2 4096.
 * Reading one is fine; of a unit that nobody has told of it is a touch. writable: bits that a guest may set.
 */
struct observe_range {
	uint32_t first, stride, count, writable, flags;
};

enum { OBSERVE_ANY_WRITE = 1 }; /* writes are fine whatever their size and value */

/* Replaces what was told of the region before. -EINVAL: a range that leaves the region or is not aligned, -ENOSPC, -ENOMEM. */
int vdev_observe_map(struct vdev *vdev, unsigned region, const struct observe_range *ranges, size_t count);

/* ---- the burn-down ---- */

enum touch_kind {
	TOUCH_READ_UNKNOWN = 1,  /* read where nothing is                                               */
	TOUCH_WRITE_UNKNOWN = 2, /* write where nothing is                                              */
	TOUCH_READ_ONLY = 3,     /* write to a unit without any writable bit                            */
	TOUCH_BITS = 4,          /* write that set bits which were 0 and are not the guest's to set     */
	TOUCH_READ_SIZE = 5,     /* read of a size or alignment that the region does not take           */
	TOUCH_WRITE_SIZE = 6,    /* the same for writes; also narrower ones than registers are          */
};

enum { OBSERVE_TOUCHES = 128 };

/* Accesses of one kind to one unit. */
struct observe_touch {
	uint64_t count, first_ns; /* CLOCK_MONOTONIC, to some milliseconds */
	uint32_t offset;          /* of the unit */
	uint32_t bits;            /* TOUCH_BITS: all that were set; else of the written values, within the unit */
	uint8_t region, kind;
	uint8_t size;             /* of the first such access */
	uint8_t reserved[5];
};

/*
 * Copies up to max touches in the order of their first time. *overflow: accesses that found no place, for the guest has touched more
 * than OBSERVE_TOUCHES different units.
 */
size_t vdev_observe_touches(struct vdev *vdev, struct observe_touch *touches, size_t max, uint64_t *overflow);

/* ---- the watchdog ---- */

/* Reads of one register that gave the same value each time, with no other access between them. */
struct observe_watch {
	uint64_t reads, value, since_ns, last_ns; /* CLOCK_MONOTONIC, to some milliseconds */
	uint64_t offset;
	uint32_t region, size;
};

/*
 * When that is called polling. Drivers do wait for CMDSTATUS in a tight loop, so there must be room for the longest command: drains and
 * resets end within milliseconds, or on a machine that gives a thread nothing for a second, within a bit more than that. Two seconds
 * are above it, and far below the patience of whoever waits for the guest (10 s and more). The number of reads keeps out a guest that
 * looks at a register now and then, and the rate keeps out one that does so on a timer: a hundred a second is slow for a loop,
 * also in a guest that shares two processors with sixty others, and fast for a timer.
 */
enum { OBSERVE_POLL_READS = 1000, OBSERVE_POLL_MS = 2000, OBSERVE_POLL_MEAN_MS = 10 };

/*
 * *now: what it reads now, if that is polling by these bounds, *longest: the longest time that it did, also if that is over. reads is
 * 0 where there is none. The caller judges by last_ns whether `now` still goes on.
 */
void vdev_observe_polling(struct vdev *vdev, struct observe_watch *now, struct observe_watch *longest);

/* ---- counters ---- */

enum { OBSERVE_BAR0 = 0, OBSERVE_BAR2 = 1, OBSERVE_CONFIG = 2, OBSERVE_REGIONS = 3 };

struct observe_stats {
	uint64_t interrupts;          /* sent into the VM                      */
	uint64_t interrupts_lost;     /* no VM attached, or its connection failed */
	uint64_t descriptors;         /* whole 64-byte stores to a portal      */
	uint64_t partial_stores;      /* dropped: out of order or of a wrong size */
	uint64_t resets;
	uint64_t reads[OBSERVE_REGIONS], writes[OBSERVE_REGIONS];
	uint64_t accesses_refused;    /* not taken by their region             */
	uint64_t opcodes[256];        /* whole descriptors, by operation       */
	uint64_t commands[32];        /* writes of CMD, by command code        */
	uint64_t errors;              /* that went to SWERROR, also overflowing */
	uint64_t dma_read_bytes;      /* moved out of the VM's memory          */
	uint64_t dma_written_bytes;   /* into it: data and completion records  */
	struct tally ledger;
};

/* All as of one moment. */
void vdev_observe_stats(struct vdev *vdev, struct observe_stats *stats);

/* ---- the trace ---- */

/* Accesses are written to `trace` from now on; NULL: no more. It must not be destroyed before the vdev. */
void vdev_observe_trace(struct vdev *vdev, struct trace *trace);

#endif
