/*
 * memory.h - the memory of one requester as an operation sees it: views of what it reads and of what it writes.
 *
 * A view lies in the requester's memory itself where that can be reached in place, else in the engine's scratch space; an
 * operation cannot tell. It holds the memory it lies in: a range is not unmapped under it. A view is as long as one piece of
 * memory goes on, at least 1 byte and at most what was asked for: operations loop.
 *
 * The requester may change its memory at any time: what is decided on must be copied first (memory_read), and bytes of a view
 * may differ each time they are read.
 *
 * Whoever unmaps memory, or takes the address space away, waits for the engine. So the space is left and entered again after
 * MEMORY_LEASE bytes, whenever no view is open: an operation never keeps more than one set of views.
 */
#ifndef VDSA_CORE_MEMORY_H
#define VDSA_CORE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dma.h"

struct idxd;

enum {
	MEMORY_CHUNK = 65536, /* of scratch space for a view */
	MEMORY_VIEWS = 3,
	/*
	 * The longest view in place, and what is moved before those who wait get their turn: some 100 us for a copy, the time
	 * of few register accesses of a guest. To leave and enter costs 0.1 us, which is a twelfth of a copy of 64 KiB that
	 * a core has in its cache, and a two-hundredth of this.
	 */
	MEMORY_LEASE = 1048576,
};

/* One requester, for the time of one descriptor or of several in a row. */
struct memory {
	struct idxd *idxd;
	bool pasid_enable;
	uint32_t pasid;
	uint8_t *scratch; /* MEMORY_VIEWS * MEMORY_CHUNK bytes, of the engine */
	bool entered;
	unsigned open;    /* views */
	size_t lease;     /* bytes left of it */
	struct dma_range recent[2]; /* found last, in this lease: source and destination of most operations */
	struct dma_space space;
};

struct view {
	uint8_t *bytes; /* of a view for reading: not to be written to */
	size_t length;
	uint64_t iova;
	unsigned slot;  /* which part of the scratch space it may use: below MEMORY_VIEWS, another for each view that is open */
	bool in_place;
};

/* ---- for the engine ---- */

/* The space itself is entered at the first access. Between this and memory_leave no wait for anything but memory. */
void memory_enter(struct memory *memory, struct idxd *idxd, bool pasid_enable, uint32_t pasid, uint8_t *scratch);
/* No view may be open. Idempotent; accesses may follow, and enter again. */
void memory_leave(struct memory *memory);

/* ---- small things: copied ---- */

/* *done (may be NULL): bytes before a fault, which have been moved. No access wraps around 2^64: a fault there. */
enum dma_result memory_read(struct memory *memory, uint64_t iova, void *buf, size_t len, size_t *done);
/* Up to 64 bytes with length and address multiples of 8 change so that who sees the first 8 changed sees all of it; with a
 * fault in the rest the first 8 stay as they are. */
enum dma_result memory_write(struct memory *memory, uint64_t iova, const void *buf, size_t len, size_t *done);
/* All of it is memory that may be written: a look-up, nothing is moved. The write itself may still fail. */
bool memory_can_write(struct memory *memory, uint64_t iova, size_t len);

/* ---- views; len > 0. Not DMA_OK: nothing is open, and iova is the first byte that cannot be accessed ---- */

enum dma_result memory_view(struct memory *memory, unsigned slot, uint64_t iova, size_t len, struct view *view);
void memory_close(struct memory *memory, struct view *view);

/* For writing: what it contains at first is undefined, all of `used` bytes (<= length) must be written before the commit. */
enum dma_result memory_target(struct memory *memory, unsigned slot, uint64_t iova, size_t len, struct view *view);
/* Ends it. *done: bytes that reached memory; `used` if DMA_OK. used 0: nothing is written. */
enum dma_result memory_commit(struct memory *memory, struct view *view, size_t used, size_t *done);

#endif
