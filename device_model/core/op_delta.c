/*
 * op_delta.c - Create Delta Record and Apply Delta Record (DSA specification 8.3.8, 8.3.9).
 *
 * Deltas are collected in, or applied from, a buffer of our own: the requester may change the record at any time, and what is
 * decided on is the copy. No view is open while the record is read or written.
 */
#include <string.h>

#include "operation.h"

enum { DELTA_RECORD = 40, DELTA_MAX_SIZE = 48, DELTA_EXPECTED = 56, DELTA_RECORD_SIZE = 40, DELTA_BATCH = 400 };
enum { DELTA_EQUAL = 0, DELTA_COMPLETE = 1, DELTA_EXCEEDED = 2 };

static uint8_t size_check(const struct request *request, uint32_t record_size, uint32_t least)
{
	if (request->size > DELTA_MAX_TRANSFER)
		return STATUS_XFER_SIZE;
	if (record_size < least || record_size > 1ull << request->terms->max_xfer_log2)
		return STATUS_FIELD;
	return STATUS_NONE;
}

/* ---- Create ---- */

struct creation {
	struct memory *memory;
	const struct request *request;
	struct outcome *outcome;
	uint64_t record; /* address */
	uint32_t room;   /* deltas that it holds */
	uint32_t written;
	uint32_t collected;
	uint8_t deltas[DELTA_BATCH * DELTA_SIZE];
};

static bool create_reserved_ok(const struct request *request)
{
	return is_zero(request->raw, 38, 39) && is_zero(request->raw, 52, 55) && is_zero(request->raw, 57, 63);
}

/* The maximum size "should be" a multiple of 10 (8.3.8): what is left over is not used. */
static uint8_t create_check(const struct request *request)
{
	const uint64_t record = field(request->raw, DELTA_RECORD, 8);
	const uint32_t size = (uint32_t)field(request->raw, DELTA_MAX_SIZE, 4);
	const uint8_t status = size_check(request, size, DELTA_RECORD_MIN);

	if (status != STATUS_NONE)
		return status;
	if ((request->src | request->dst | request->size) % DELTA_WORD != 0)
		return STATUS_ALIGNMENT;
	if (ranges_overlap(record, size, request->src, request->size) || ranges_overlap(record, size, request->dst, request->size))
		return STATUS_OVERLAP;
	return STATUS_NONE;
}

/* Writes the deltas collected. False: a fault; what was compared ends at the first delta that was not written (8.3.8). */
static bool create_flush(struct creation *c)
{
	const uint64_t to = c->record + (uint64_t)c->written * DELTA_SIZE;
	uint32_t whole;
	size_t done = 0;

	if (c->collected == 0)
		return true;
	if (memory_write(c->memory, to, c->deltas, (size_t)c->collected * DELTA_SIZE, &done) == DMA_OK) {
		c->written += c->collected;
		c->collected = 0;
		return true;
	}
	whole = (uint32_t)(done / DELTA_SIZE);
	c->written += whole;
	operation_fault(c->outcome, STATUS_WRITE_ERROR, to + done,
			(uint32_t)field(c->deltas + (size_t)whole * DELTA_SIZE, 0, 2) * DELTA_WORD);
	return false;
}

/* Compares words that were copied. False: there is no place for the delta, in the buffer or in the record. */
static bool create_word(struct creation *c, uint32_t at, const uint8_t *a, const uint8_t *b)
{
	const uint16_t offset = (uint16_t)(at / DELTA_WORD);
	uint64_t first, second;
	uint8_t *delta;

	memcpy(&first, a, DELTA_WORD);
	memcpy(&second, b, DELTA_WORD);
	if (first == second)
		return true;
	if (c->collected == DELTA_BATCH || c->written + c->collected == c->room)
		return false;
	delta = c->deltas + (size_t)c->collected++ * DELTA_SIZE;
	memcpy(delta, &offset, sizeof(offset));
	memcpy(delta + sizeof(offset), &second, DELTA_WORD);
	return true;
}

/* Whole words from offset `at`. Bytes compared: up to the first word whose delta has no place. */
static uint32_t create_words(struct creation *c, uint32_t at, const uint8_t *a, const uint8_t *b, uint32_t length)
{
	enum { BLOCK = 256 };

	for (uint32_t block = 0; block < length; block += BLOCK) {
		const uint32_t end = length - block < BLOCK ? length : block + BLOCK;

		if (memcmp(a + block, b + block, end - block) == 0)
			continue;
		for (uint32_t i = block; i < end; i += DELTA_WORD)
			if (!create_word(c, at + i, a + i, b + i))
				return i;
	}
	return length;
}

/* A word that is not in one piece on both sides. False: a fault. */
static bool create_split_word(struct creation *c, uint32_t at, uint32_t *compared)
{
	const uint64_t sources[2] = { c->request->src + at, c->request->dst + at };
	uint8_t words[2][DELTA_WORD];

	for (unsigned i = 0; i < 2; i++) {
		size_t done = 0;

		if (memory_read(c->memory, sources[i], words[i], DELTA_WORD, &done) != DMA_OK) {
			operation_fault(c->outcome, STATUS_READ_ERROR, sources[i] + done, at);
			return false;
		}
	}
	*compared = create_words(c, at, words[0], words[1], DELTA_WORD);
	return true;
}

/* Compares a part from offset `at`. *compared: its bytes; 0 if there is no place for the next delta. False: a fault. */
static bool create_part(struct creation *c, uint32_t at, uint32_t *compared)
{
	const struct request *request = c->request;
	struct view a, b;
	size_t whole;

	if (memory_view(c->memory, 0, request->src + at, request->size - at, &a) != DMA_OK) {
		operation_fault(c->outcome, STATUS_READ_ERROR, request->src + at, at);
		return false;
	}
	if (memory_view(c->memory, 1, request->dst + at, a.length, &b) != DMA_OK) {
		memory_close(c->memory, &a);
		operation_fault(c->outcome, STATUS_READ_ERROR, request->dst + at, at);
		return false;
	}
	whole = b.length - b.length % DELTA_WORD;
	*compared = create_words(c, at, a.bytes, b.bytes, (uint32_t)whole);
	memory_close(c->memory, &b);
	memory_close(c->memory, &a);
	return whole > 0 || create_split_word(c, at, compared);
}

static void create_end(struct creation *c, uint32_t at)
{
	struct outcome *outcome = c->outcome;

	if (at < c->request->size) {
		outcome->result = DELTA_EXCEEDED;
		outcome->bytes_completed = at;
	} else {
		outcome->result = c->written > 0 ? DELTA_COMPLETE : DELTA_EQUAL;
	}
	operation_succeed(outcome, c->request, c->request->raw[DELTA_EXPECTED] >> outcome->result & 1);
}

static void create_compare(struct creation *c)
{
	uint32_t at = 0;
	bool fault = false;

	while (at < c->request->size && !fault) {
		uint32_t compared = 0;

		fault = !create_part(c, at, &compared);
		at += compared;
		if (c->written + c->collected == c->room && compared == 0 && !fault)
			break; /* the record is full, and there is one more difference */
		if (c->collected == DELTA_BATCH && !create_flush(c))
			return;
	}
	/* Deltas before the fault come first: if they cannot be written, that is the fault. */
	if (create_flush(c) && !fault)
		create_end(c, at);
}

static void create_run(struct memory *memory, const struct request *request, struct outcome *outcome)
{
	struct creation c = {
		.memory = memory,
		.request = request,
		.outcome = outcome,
		.record = field(request->raw, DELTA_RECORD, 8),
		.room = (uint32_t)field(request->raw, DELTA_MAX_SIZE, 4) / DELTA_SIZE,
	};

	if (!operation_reads(outcome, request->src, request->size) || !operation_reads(outcome, request->dst, request->size) ||
	    !operation_writes(outcome, c.record, field(request->raw, DELTA_MAX_SIZE, 4)))
		return;
	outcome->status = STATUS_NONE;
	create_compare(&c);
	if (outcome->status == STATUS_READ_ERROR || outcome->status == STATUS_WRITE_ERROR)
		outcome->result = c.written > 0;
	set_field(outcome->tail, 0, 4, c.written * DELTA_SIZE);
}

/* ---- Apply ---- */

struct application {
	struct memory *memory;
	const struct request *request;
	struct outcome *outcome;
	uint32_t applied;      /* bytes of the record */
	int32_t last;          /* offset of the last delta in words; -1: none yet */
	uint32_t run_at, run;  /* words that are next to one another, from word run_at; not yet written */
	uint8_t words[DELTA_BATCH * DELTA_WORD];
};

static bool apply_reserved_ok(const struct request *request)
{
	return is_zero(request->raw, 38, 39) && is_zero(request->raw, 44, 63);
}

/* A record is made of whole deltas (8.3.8): other sizes are invalid. */
static uint8_t apply_check(const struct request *request)
{
	const uint32_t size = (uint32_t)field(request->raw, DELTA_RECORD_SIZE, 4);
	const uint8_t status = size_check(request, size, DELTA_SIZE);

	if (status != STATUS_NONE)
		return status;
	if (size % DELTA_SIZE != 0)
		return STATUS_FIELD;
	if ((request->dst | request->size) % DELTA_WORD != 0)
		return STATUS_ALIGNMENT;
	return ranges_overlap(request->src, size, request->dst, request->size) ? STATUS_OVERLAP : STATUS_NONE;
}

/* Writes the words that are next to one another. False: a fault. */
static bool apply_flush(struct application *a)
{
	const uint64_t to = a->request->dst + (uint64_t)a->run_at * DELTA_WORD;
	size_t done = 0;

	if (a->run == 0)
		return true;
	if (memory_write(a->memory, to, a->words, (size_t)a->run * DELTA_WORD, &done) == DMA_OK) {
		a->applied += a->run * DELTA_SIZE;
		a->run = 0;
		return true;
	}
	a->applied += (uint32_t)(done / DELTA_WORD) * DELTA_SIZE;
	operation_fault(a->outcome, STATUS_WRITE_ERROR, to + done, 0);
	return false;
}

/* Decides on a delta that was copied. False: the record is wrong here, or what came before it could not be written. */
static bool apply_delta(struct application *a, const uint8_t *delta)
{
	uint8_t status = STATUS_NONE;
	uint16_t at;

	memcpy(&at, delta, sizeof(at));
	if (at <= a->last)
		status = STATUS_DELTA_ORDER;
	else if (at >= a->request->size / DELTA_WORD)
		status = STATUS_DELTA_OFFSET;
	if (status != STATUS_NONE || at != a->run_at + a->run) {
		if (!apply_flush(a))
			return false;
		a->run_at = at;
	}
	if (status != STATUS_NONE) {
		a->outcome->status = status;
		return false;
	}
	memcpy(a->words + (size_t)a->run++ * DELTA_WORD, delta + 2, DELTA_WORD);
	a->last = at;
	return true;
}

/* Deltas from byte `at` of the record. False: ended, as the outcome says. */
static bool apply_batch(struct application *a, uint32_t at, uint32_t length)
{
	uint8_t deltas[DELTA_BATCH * DELTA_SIZE];
	const uint64_t from = a->request->src + at;
	size_t done = 0;
	const enum dma_result result = memory_read(a->memory, from, deltas, length, &done);

	for (size_t i = 0; i + DELTA_SIZE <= done; i += DELTA_SIZE)
		if (!apply_delta(a, deltas + i))
			return false;
	if (!apply_flush(a))
		return false;
	if (result != DMA_OK)
		operation_fault(a->outcome, STATUS_READ_ERROR, from + done, 0);
	return result == DMA_OK;
}

static void apply_run(struct memory *memory, const struct request *request, struct outcome *outcome)
{
	const uint32_t size = (uint32_t)field(request->raw, DELTA_RECORD_SIZE, 4);
	struct application a = { .memory = memory, .request = request, .outcome = outcome, .last = -1 };
	const uint32_t most = DELTA_BATCH * DELTA_SIZE;

	if (!operation_reads(outcome, request->src, size) || !operation_writes(outcome, request->dst, request->size))
		return;
	outcome->status = STATUS_SUCCESS;
	for (uint32_t at = 0; at < size; at += most)
		if (!apply_batch(&a, at, size - at < most ? size - at : most)) {
			outcome->bytes_completed = a.applied;
			return;
		}
}

const struct operation operation_create_delta = {
	.opcode = OP_CREATE_DELTA,
	.name = "Create Delta Record",
	.flags = DESC_F_CHECK_RESULT | DESC_F_WRITES | DESC_F_TC_1 | DESC_F_TC_2 | DESC_F_TC_3,
	.required = DESC_F_CRAV | DESC_F_RCR,
	.has_size = true,
	.reserved_ok = create_reserved_ok,
	.check = create_check,
	.run = create_run,
};

const struct operation operation_apply_delta = {
	.opcode = OP_APPLY_DELTA,
	.name = "Apply Delta Record",
	.flags = DESC_F_WRITES | DESC_F_TC_1 | DESC_F_TC_2,
	.has_size = true,
	.reserved_ok = apply_reserved_ok,
	.check = apply_check,
	.run = apply_run,
};
