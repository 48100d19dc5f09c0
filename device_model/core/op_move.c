/*
 * op_move.c - Memory Move (DSA specification 8.3.4).
 *
 * Bytes completed are those moved before a fault, from the beginning or (result 1) from the end; backwards in whole chunks.
 */
#include <string.h>

#include "at_hand.h"
#include "operation.h"

static bool move_reserved_ok(const struct request *request)
{
	return is_zero(request->raw, 38, 63);
}

/* Moves what one view of each side has in common of [at, at + len). Bytes moved, maybe before a fault, noted in the outcome. */
static size_t move_part(struct memory *memory, const struct request *request, uint64_t at, size_t len, struct outcome *outcome)
{
	struct view source, target;
	size_t moved = 0;
	size_t part;

	if (memory_view(memory, 0, request->src + at, len, &source) != DMA_OK) {
		operation_fault(outcome, STATUS_READ_ERROR, request->src + at, 0);
		return 0;
	}
	if (memory_target(memory, 1, request->dst + at, source.length, &target) != DMA_OK) {
		operation_fault(outcome, STATUS_WRITE_ERROR, request->dst + at, 0);
		memory_close(memory, &source);
		return 0;
	}
	part = target.length;
	memmove(target.bytes, source.bytes, part);
	if (memory_commit(memory, &target, part, &moved) != DMA_OK)
		operation_fault(outcome, STATUS_WRITE_ERROR, request->dst + at + moved, 0);
	memory_close(memory, &source);
	return moved;
}

static void move_forward(struct memory *memory, const struct request *request, struct outcome *outcome)
{
	uint32_t done = 0;

	while (done < request->size && outcome->status == STATUS_SUCCESS)
		done += (uint32_t)move_part(memory, request, done, request->size - done, outcome);
	outcome->bytes_completed = done < request->size ? done : 0; /* 8.2.4 */
}

static void backward_fault(struct outcome *outcome, uint8_t status, uint64_t address, uint32_t bytes_completed)
{
	operation_fault(outcome, status, address, bytes_completed);
	outcome->result = 1;
}

/* The destination lies behind the source and overlaps it: as if by way of a third buffer, from the end (8.3.4). */
static void move_backward(struct memory *memory, const struct request *request, struct outcome *outcome)
{
	uint8_t *const buffer = memory->scratch;
	uint32_t left = request->size;

	while (left > 0) {
		const uint32_t len = left < MEMORY_CHUNK ? left : MEMORY_CHUNK;
		const uint64_t at = left - len;
		size_t done = 0;

		if (memory_read(memory, request->src + at, buffer, len, &done) != DMA_OK) {
			backward_fault(outcome, STATUS_READ_ERROR, request->src + at + done, request->size - left);
			return;
		}
		if (memory_write(memory, request->dst + at, buffer, len, &done) != DMA_OK) {
			backward_fault(outcome, STATUS_WRITE_ERROR, request->dst + at + done, request->size - left);
			return;
		}
		left -= len;
	}
}

static __attribute__((noinline)) void move_by_views(struct memory *memory, const struct request *request, struct outcome *outcome)
{
	const bool backward = request->dst > request->src && request->dst - request->src < request->size;

	if (!operation_reads(outcome, request->src, request->size) || !operation_writes(outcome, request->dst, request->size))
		return;
	if (backward)
		move_backward(memory, request, outcome);
	else
		move_forward(memory, request, outcome);
}

static void move_run(struct memory *memory, const struct request *request, struct outcome *outcome)
{
	outcome->status = STATUS_SUCCESS;
	if (!at_hand_move(memory, request->dst, request->src, request->size))
		move_by_views(memory, request, outcome);
}

const struct operation operation_memmove = {
	.opcode = OP_MEMMOVE,
	.name = "Memory Move",
	.flags = DESC_F_WRITES | DESC_F_TC_1 | DESC_F_TC_2,
	.has_size = true,
	.reserved_ok = move_reserved_ok,
	.run = move_run,
};
