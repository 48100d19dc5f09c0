/*
 * memory.h - the memory of one requester as an operation sees it: views of what it reads and of what it writes.
 *
 * A view lies in the requester's memory itself where that can be reached in place, else in the engine's scratch space; an
 * operation cannot tell. It holds the memory it lies in: a range is not unmapped under it. A view is as long as one piece of
 * memory goes on, at least 1 byte and at most what was asked for: operations loop.
 *
 * The requester may change its memory at any time: what is decided on must be copied first (memory_read), and bytes of a view
 * may differ each time they are read.
 */
#ifndef VDSA_CORE_MEMORY_H
#define VDSA_CORE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dma.h"

struct idxd;

enum { MEMORY_CHUNK = 65536, MEMORY_VIEWS = 3 };

/* One requester, for the time of one descriptor. */
struct memory {
	struct idxd *idxd;
	bool pasid_enable;
	uint32_t pasid;
	uint8_t *scratch; /* MEMORY_VIEWS * MEMORY_CHUNK bytes, of the engine */
};

struct view {
	uint8_t *bytes; /* of a view for reading: not to be written to */
	size_t length;
	uint64_t iova;
	unsigned slot;  /* which part of the scratch space it may use: below MEMORY_VIEWS, another for each view that is open */
};

/* ---- small things: copied ---- */

/* *done (may be NULL): bytes moved before a fault. No access wraps around 2^64: a fault there. */
enum dma_result memory_read(struct memory *memory, uint64_t iova, void *buf, size_t len, size_t *done);
/* Up to 64 bytes with length and address multiples of 8 change so that who sees the first 8 changed sees all of it. */
enum dma_result memory_write(struct memory *memory, uint64_t iova, const void *buf, size_t len, size_t *done);

/* ---- views; len > 0. Not DMA_OK: nothing is open, and iova is the first byte that cannot be accessed ---- */

enum dma_result memory_view(struct memory *memory, unsigned slot, uint64_t iova, size_t len, struct view *view);
void memory_close(struct memory *memory, struct view *view);

/* For writing: what it contains at first is undefined, all of `used` bytes (<= length) must be written before the commit. */
enum dma_result memory_target(struct memory *memory, unsigned slot, uint64_t iova, size_t len, struct view *view);
/* Ends it. *done: bytes that reached memory; `used` if DMA_OK. used 0: nothing is written. */
enum dma_result memory_commit(struct memory *memory, struct view *view, size_t used, size_t *done);

#endif
