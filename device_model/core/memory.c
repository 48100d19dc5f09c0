/* memory.c - see memory.h. */
#include "memory.h"

#include <string.h>

#include "at_hand.h"
#include "idxd_internal.h"

enum {
	ACCESS_COST = 4096, /* of a lease, for an access of any size that was not at hand: it may take a look-up, or a system call */
	ORDERED_WRITE = 64,
	WORD = AT_HAND_WORD,
};

/* A part of a range. */
struct piece {
	uint8_t *bytes; /* NULL: to be moved by read and write */
	size_t length;
};

/* ---- the lease ---- */

static void forget_ranges(struct memory *memory)
{
	memory->recent[0].rights = 0;
	memory->recent[1].rights = 0;
}

void memory_enter(struct memory *memory, struct idxd *idxd, bool pasid_enable, uint32_t pasid, uint8_t *scratch)
{
	memory->idxd = idxd;
	memory->pasid_enable = pasid_enable;
	memory->pasid = pasid;
	memory->scratch = scratch;
	memory->entered = false;
	memory->open = 0;
	memory->lease = 0;
	memory->space.bytes_read = memory->space.bytes_written = 0;
	forget_ranges(memory);
}

void memory_leave(struct memory *memory)
{
	const struct idxd_ports *ports = &memory->idxd->ports;

	if (memory->entered)
		ports->dma_leave(ports->ctx, &memory->space);
	memory->entered = false;
	memory->lease = 0;
	memory->space.bytes_read = memory->space.bytes_written = 0;
	forget_ranges(memory);
}

/* Before each access. False: a fault. Where a view is open the lease is as good as used up: nothing is taken away. */
static bool may_access(struct memory *memory)
{
	const struct idxd_ports *ports = &memory->idxd->ports;

	if (memory->lease > 0 || memory->open > 0)
		return memory->entered;
	memory_leave(memory);
	memory->entered = ports->dma_enter(ports->ctx, memory->pasid_enable, memory->pasid, &memory->space);
	memory->lease = memory->entered ? MEMORY_LEASE : 0;
	return memory->entered;
}

/* NULL: a fault. */
static const struct dma_range *look_up(struct memory *memory, uint64_t iova, unsigned right)
{
	struct dma_range *const recent = memory->recent;

	for (unsigned i = 0; i < 2; i++)
		if ((recent[i].rights & right) && iova >= recent[i].first && iova <= recent[i].last)
			return &recent[i];
	recent[1] = recent[0];
	if (memory->space.ops->find(&memory->space, iova, right, &recent[0]))
		return &recent[0];
	recent[0].rights = 0;
	return NULL;
}

/* What can be accessed at once from iova, at most len > 0 bytes and the longest view. False: a fault. */
static bool find(struct memory *memory, uint64_t iova, size_t len, unsigned right, struct piece *piece)
{
	const size_t wanted = len < MEMORY_LEASE ? len : MEMORY_LEASE;
	const struct dma_range *range;
	uint64_t there; /* and one more */

	if (!may_access(memory))
		return false;
	range = look_up(memory, iova, right);
	if (!range)
		return false;
	there = range->last - iova;
	piece->length = wanted - 1 < there ? wanted : (size_t)there + 1;
	piece->bytes = range->bytes ? range->bytes + (iova - range->first) : NULL;
	at_hand_use_lease(memory, piece->length + ACCESS_COST);
	return true;
}

/* A requester that did not answer may be on its way out: nothing more is asked before it has been entered again. */
static enum dma_result ended(struct memory *memory, enum dma_result result)
{
	forget_ranges(memory);
	if (result == DMA_FAILED)
		memory->lease = 0;
	return result;
}

static enum dma_result read_apart(struct memory *memory, uint64_t iova, void *buf, size_t len, size_t *done)
{
	return ended(memory, memory->space.ops->read(&memory->space, iova, buf, len, done));
}

static enum dma_result write_apart(struct memory *memory, uint64_t iova, const void *buf, size_t len, size_t *done)
{
	return ended(memory, memory->space.ops->write(&memory->space, iova, buf, len, done));
}

/* ---- copies ---- */

/* Where 2^64 is reached there is nothing more: a fault. */
static bool is_beyond(uint64_t iova, size_t moved)
{
	return moved > UINT64_MAX - iova;
}

enum dma_result memory_read(struct memory *memory, uint64_t iova, void *buf, size_t len, size_t *done)
{
	enum dma_result result = DMA_OK;
	size_t moved = 0;

	while (moved < len && result == DMA_OK) {
		uint8_t *to = (uint8_t *)buf + moved;
		struct piece piece;
		size_t part = 0;

		if (is_beyond(iova, moved) || !find(memory, iova + moved, len - moved, DMA_MAY_READ, &piece)) {
			result = DMA_FAULT;
		} else if (piece.bytes) {
			memcpy(to, piece.bytes, piece.length);
			part = piece.length;
		} else {
			result = read_apart(memory, iova + moved, to, piece.length, &part);
		}
		moved += part;
	}
	memory->space.bytes_read += moved;
	if (done)
		*done = moved;
	return result;
}

static enum dma_result write_piece(struct memory *memory, uint64_t iova, const struct piece *piece, const uint8_t *from,
				   size_t *done)
{
	if (!piece->bytes)
		return write_apart(memory, iova, from, piece->length, done);
	memcpy(piece->bytes, from, piece->length);
	*done = piece->length;
	return DMA_OK;
}

static enum dma_result write_in_turn(struct memory *memory, uint64_t iova, const uint8_t *from, size_t len, size_t *done)
{
	enum dma_result result = DMA_OK;

	*done = 0;
	while (*done < len && result == DMA_OK) {
		struct piece piece;
		size_t part = 0;

		if (is_beyond(iova, *done) || !find(memory, iova + *done, len - *done, DMA_MAY_WRITE, &piece))
			return DMA_FAULT;
		result = write_piece(memory, iova + *done, &piece, from + *done, &part);
		*done += part;
	}
	return result;
}

/* What is moved by others is moved in two steps, for they promise nothing about the order in one. */
static enum dma_result write_ordered(struct memory *memory, uint64_t iova, const uint8_t *from, size_t len, size_t *done)
{
	enum dma_result rest_result = DMA_OK, result;
	struct piece piece;
	size_t rest = 0;

	*done = 0;
	if (!find(memory, iova, len, DMA_MAY_WRITE, &piece))
		return DMA_FAULT;
	if (piece.length < WORD)
		return write_in_turn(memory, iova, from, len, done);
	if (piece.bytes && piece.length == len && (uintptr_t)piece.bytes % WORD == 0) {
		at_hand_store_backward(piece.bytes, from, len);
		*done = len;
		return DMA_OK;
	}
	memory->open++; /* the first word's place stays until it is written */
	if (len > WORD)
		rest_result = is_beyond(iova, WORD) ? DMA_FAULT
						    : write_in_turn(memory, iova + WORD, from + WORD, len - WORD, &rest);
	memory->open--;
	if (rest_result != DMA_OK) { /* then nobody may take the first word for a sign that all is there */
		*done = WORD + rest;
		return rest_result;
	}
	piece.length = WORD;
	result = write_piece(memory, iova, &piece, from, done);
	*done = result == DMA_OK ? len : 0;
	return result;
}

static bool is_ordered(uint64_t iova, size_t len)
{
	return len > 0 && len <= ORDERED_WRITE && len % WORD == 0 && iova % WORD == 0;
}

enum dma_result memory_write(struct memory *memory, uint64_t iova, const void *buf, size_t len, size_t *done)
{
	enum dma_result result;
	size_t moved;

	if (is_ordered(iova, len))
		result = write_ordered(memory, iova, buf, len, &moved);
	else
		result = write_in_turn(memory, iova, buf, len, &moved);
	memory->space.bytes_written += moved;
	if (done)
		*done = moved;
	return result;
}

bool memory_can_write(struct memory *memory, uint64_t iova, size_t len)
{
	struct piece piece;

	for (size_t seen = 0; seen < len; seen += piece.length)
		if (is_beyond(iova, seen) || !find(memory, iova + seen, len - seen, DMA_MAY_WRITE, &piece))
			return false;
	return true;
}

/* ---- views ---- */

/* False: a fault. */
static bool open_view(struct memory *memory, unsigned slot, uint64_t iova, size_t len, unsigned right, struct view *view)
{
	struct piece piece;

	if (!find(memory, iova, len, right, &piece))
		return false;
	*view = (struct view){
		.bytes = piece.bytes,
		.length = piece.length,
		.iova = iova,
		.slot = slot,
		.in_place = piece.bytes != NULL,
	};
	if (!view->in_place) {
		view->bytes = memory->scratch + (size_t)slot * MEMORY_CHUNK;
		view->length = piece.length < MEMORY_CHUNK ? piece.length : MEMORY_CHUNK;
	}
	return true;
}

enum dma_result memory_view(struct memory *memory, unsigned slot, uint64_t iova, size_t len, struct view *view)
{
	enum dma_result result;
	size_t done = 0;

	if (!open_view(memory, slot, iova, len, DMA_MAY_READ, view))
		return DMA_FAULT;
	if (!view->in_place) {
		result = read_apart(memory, iova, view->bytes, view->length, &done);
		if (result != DMA_OK && done == 0)
			return result;
		view->length = done; /* the fault, if there was one, is met when the next view begins there */
	}
	memory->open++;
	return DMA_OK;
}

void memory_close(struct memory *memory, struct view *view)
{
	memory->open--;
	memory->space.bytes_read += view->length;
	view->bytes = NULL;
}

enum dma_result memory_target(struct memory *memory, unsigned slot, uint64_t iova, size_t len, struct view *view)
{
	if (!open_view(memory, slot, iova, len, DMA_MAY_WRITE, view))
		return DMA_FAULT;
	memory->open++;
	return DMA_OK;
}

enum dma_result memory_commit(struct memory *memory, struct view *view, size_t used, size_t *done)
{
	const uint8_t *bytes = view->bytes;

	view->bytes = NULL;
	memory->open--;
	*done = view->in_place ? used : 0;
	memory->space.bytes_written += *done;
	return view->in_place || used == 0 ? DMA_OK : memory_write(memory, view->iova, bytes, used, done);
}
