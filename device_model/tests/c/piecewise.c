/*
 * piecewise.c - the operations on memory that comes in pieces of any length, as a library: every view is as long as chance has it,
 * and lies either in the memory itself or in an allocation of just its length, so that the sanitizers see each byte too far.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "../../core/operation.h"
#include "check.h"

struct region {
	uint64_t start, size;
	uint8_t *bytes;
	uint32_t writable;
};

struct piecewise {
	struct memory memory; /* first: what the operations are given */
	const struct region *regions;
	uint32_t count, random, longest, in_place;
	uint32_t open;
};

static struct piecewise *of(struct memory *memory)
{
	return (struct piecewise *)memory;
}

/* A piece's length: of `most` bytes. */
static size_t chance(struct piecewise *p, size_t most)
{
	size_t length;

	p->random = p->random * 1664525u + 1013904223u;
	length = 1 + (p->random >> 8) % p->longest;
	return length < most ? length : most;
}

/* Bytes from iova on in one region; NULL: none. */
static uint8_t *find(struct piecewise *p, uint64_t iova, bool write, size_t *rest)
{
	for (uint32_t i = 0; i < p->count; i++) {
		const struct region *region = &p->regions[i];

		if (iova - region->start < region->size && (!write || region->writable)) {
			*rest = region->size - (iova - region->start);
			return region->bytes + (iova - region->start);
		}
	}
	return NULL;
}

static enum dma_result move(struct memory *memory, uint64_t iova, uint8_t *buf, size_t len, bool write, size_t *done)
{
	size_t at = 0, rest = 0;

	for (; at < len; at++) {
		uint8_t *bytes = find(of(memory), iova + at, write, &rest);

		if (!bytes)
			break;
		if (write)
			*bytes = buf[at];
		else
			buf[at] = *bytes;
	}
	if (done)
		*done = at;
	return at == len ? DMA_OK : DMA_FAULT;
}

enum dma_result memory_read(struct memory *memory, uint64_t iova, void *buf, size_t len, size_t *done)
{
	CHECK_EQUAL(of(memory)->open, 0); /* no view is held while something else is waited for */
	return move(memory, iova, buf, len, false, done);
}

enum dma_result memory_write(struct memory *memory, uint64_t iova, const void *buf, size_t len, size_t *done)
{
	CHECK_EQUAL(of(memory)->open, 0);
	return move(memory, iova, (uint8_t *)(uintptr_t)buf, len, true, done);
}

static enum dma_result open_view(struct memory *memory, unsigned slot, uint64_t iova, size_t len, bool write, struct view *view)
{
	struct piecewise *p = of(memory);
	size_t rest = 0;
	uint8_t *bytes = find(p, iova, write, &rest);

	CHECK(len > 0 && slot < MEMORY_VIEWS && !(p->open & 1u << slot));
	if (!bytes)
		return DMA_FAULT;
	*view = (struct view){ .bytes = bytes, .length = chance(p, rest < len ? rest : len), .iova = iova, .slot = slot };
	p->open |= 1u << slot;
	if (p->in_place)
		return DMA_OK;
	view->bytes = malloc(view->length);
	CHECK(view->bytes);
	if (write)
		memset(view->bytes, 0xA5, view->length);
	else
		memcpy(view->bytes, bytes, view->length);
	return DMA_OK;
}

static void close_view(struct memory *memory, struct view *view)
{
	CHECK(of(memory)->open & 1u << view->slot);
	of(memory)->open &= ~(1u << view->slot);
	if (!of(memory)->in_place)
		free(view->bytes);
}

enum dma_result memory_view(struct memory *memory, unsigned slot, uint64_t iova, size_t len, struct view *view)
{
	return open_view(memory, slot, iova, len, false, view);
}

void memory_close(struct memory *memory, struct view *view)
{
	close_view(memory, view);
}

enum dma_result memory_target(struct memory *memory, unsigned slot, uint64_t iova, size_t len, struct view *view)
{
	return open_view(memory, slot, iova, len, true, view);
}

enum dma_result memory_commit(struct memory *memory, struct view *view, size_t used, size_t *done)
{
	enum dma_result result = DMA_OK;

	CHECK(used <= view->length);
	*done = used;
	if (!of(memory)->in_place)
		result = move(memory, view->iova, view->bytes, used, true, done);
	close_view(memory, view);
	return result;
}

/* Checks and runs a descriptor whose flags and reserved fields are right; `record`: bytes 0 to 31 of the outcome. */
void piecewise_run(const uint8_t desc[64], const struct region *regions, uint32_t count, uint32_t random, uint32_t longest,
		   uint32_t in_place, uint32_t max_xfer_log2, uint8_t record[32])
{
	const struct operation *operation = operation_find(desc[7]);
	struct piecewise p = {
		.regions = regions, .count = count, .random = random, .longest = longest, .in_place = in_place
	};
	const struct wq_terms terms = { .max_xfer_log2 = max_xfer_log2 };
	const struct request request = {
		.raw = desc,
		.flags = (uint32_t)field(desc, 4, 3),
		.opcode = desc[7],
		.size = (uint32_t)field(desc, 32, 4),
		.src = field(desc, 16, 8),
		.dst = field(desc, 24, 8),
		.terms = &terms,
	};
	struct outcome outcome = { .status = STATUS_NONE };

	CHECK(operation && operation->reserved_ok(&request) && operation_wrong_flags(operation, request.flags) == 0);
	if (operation->check)
		outcome.status = operation->check(&request);
	if (outcome.status == STATUS_NONE) {
		outcome.status = STATUS_SUCCESS;
		operation->run(&p.memory, &request, &outcome);
	}
	CHECK_EQUAL(p.open, 0);
	record[0] = outcome.status;
	record[1] = outcome.result;
	set_field(record, 4, 4, outcome.bytes_completed);
	set_field(record, 8, 8, outcome.fault_address);
	memcpy(record + 16, outcome.tail, 16);
}
