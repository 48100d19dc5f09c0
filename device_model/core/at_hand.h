/*
 * at_hand.h - the short way in memory, for what has been found already in this lease, in place and in one piece: nothing there can
 * fail. False or NULL: it is not at hand, nothing has happened, and memory.h has the way for everything. Inline, for each
 * descriptor goes this way several times.
 */
#ifndef VDSA_CORE_AT_HAND_H
#define VDSA_CORE_AT_HAND_H

#include <stdatomic.h>
#include <string.h>

#include "memory.h"

enum {
	AT_HAND_COST = 512, /* of a lease, for an access of any size: it takes less time than to copy as many bytes */
	AT_HAND_WORD = 8,
};

/* Where len > 0 bytes from iova are; NULL: not in this range, or not in place. */
static inline uint8_t *at_hand_in(const struct dma_range *range, uint64_t iova, size_t len, unsigned right)
{
	const uint64_t at = iova - range->first, end = range->last - range->first; /* at: beyond the end, if it is below */

	return (range->rights & right) && range->bytes && at <= end && len - 1 <= end - at ? range->bytes + at : NULL;
}

/* What was found is of this lease; a lease is only as good as used up while a view is open, and then this is not the way. */
static inline uint8_t *at_hand(const struct memory *memory, uint64_t iova, size_t len, unsigned right)
{
	uint8_t *bytes;

	if (memory->lease == 0)
		return NULL;
	bytes = at_hand_in(&memory->recent[0], iova, len, right);
	return __builtin_expect(bytes != NULL, 1) ? bytes : at_hand_in(&memory->recent[1], iova, len, right);
}

static inline void at_hand_use_lease(struct memory *memory, size_t cost)
{
	memory->lease = memory->lease > cost ? memory->lease - cost : 0;
}

/* All of it as by memmove; len > 0. */
static inline bool at_hand_move(struct memory *memory, uint64_t to, uint64_t from, size_t len)
{
	const uint8_t *source = at_hand(memory, from, len, DMA_MAY_READ);
	uint8_t *target = at_hand(memory, to, len, DMA_MAY_WRITE);

	if (!source || !target || len > MEMORY_LEASE)
		return false;
	at_hand_use_lease(memory, len + AT_HAND_COST);
	memory->space.bytes_read += len;
	memory->space.bytes_written += len;
	memmove(target, source, len);
	return true;
}

/* A multiple of 8 bytes to a place aligned so, the first of them seen last. */
static inline void at_hand_store_backward(uint8_t *to, const uint8_t *from, size_t len)
{
	for (size_t at = len; at > 0; at -= AT_HAND_WORD) {
		uint64_t word;

		memcpy(&word, from + at - AT_HAND_WORD, AT_HAND_WORD);
		atomic_store_explicit((_Atomic uint64_t *)(void *)(to + at - AT_HAND_WORD), word, memory_order_release);
	}
}

/* As memory_write() where that keeps an order; len > 0 is a multiple of 8. */
static inline bool at_hand_store(struct memory *memory, uint64_t iova, const void *from, size_t len)
{
	uint8_t *to = at_hand(memory, iova, len, DMA_MAY_WRITE);

	if (!to || (uintptr_t)to % AT_HAND_WORD != 0)
		return false;
	at_hand_store_backward(to, from, len);
	at_hand_use_lease(memory, len + AT_HAND_COST);
	memory->space.bytes_written += len;
	return true;
}

#endif
