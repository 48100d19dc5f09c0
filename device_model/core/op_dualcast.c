/* op_dualcast.c - Memory Copy with Dualcast (DSA specification 8.3.10). */
#include <string.h>

#include "operation.h"

enum { DUALCAST_DST2 = 40, DUALCAST_SAME_BITS = 0xFFF };

static uint64_t second(const struct request *request)
{
	return field(request->raw, DUALCAST_DST2, 8);
}

static bool dualcast_reserved_ok(const struct request *request)
{
	return is_zero(request->raw, 38, 39) && is_zero(request->raw, 48, 63);
}

static uint8_t dualcast_check(const struct request *request)
{
	const uint64_t dst2 = second(request);

	if ((request->dst ^ dst2) & DUALCAST_SAME_BITS)
		return STATUS_DUALCAST;
	if (ranges_overlap(request->src, request->size, request->dst, request->size) ||
	    ranges_overlap(request->src, request->size, dst2, request->size) ||
	    ranges_overlap(request->dst, request->size, dst2, request->size))
		return STATUS_OVERLAP;
	return STATUS_NONE;
}

/*
 * Opens what the three have in common of [at, at + len). False: a fault, noted in the outcome; nothing is open. A destination's
 * missing byte is found here where memory is reached in place, so that both get the same number of bytes (8.3.10).
 */
static bool dualcast_open(struct memory *memory, const struct request *request, uint32_t at, size_t len, struct view views[3],
			  struct outcome *outcome)
{
	const uint64_t dst2 = second(request) + at;
	size_t none;

	if (memory_view(memory, 0, request->src + at, len, &views[0]) != DMA_OK) {
		operation_fault(outcome, STATUS_READ_ERROR, request->src + at, at);
		return false;
	}
	if (memory_target(memory, 1, request->dst + at, views[0].length, &views[1]) != DMA_OK) {
		operation_fault(outcome, STATUS_WRITE_ERROR, request->dst + at, at);
		memory_close(memory, &views[0]);
		return false;
	}
	if (memory_target(memory, 2, dst2, views[1].length, &views[2]) != DMA_OK) {
		operation_fault(outcome, STATUS_WRITE_ERROR, dst2, at);
		(void)memory_commit(memory, &views[1], 0, &none);
		memory_close(memory, &views[0]);
		return false;
	}
	return true;
}

/*
 * Copies one part. Bytes that both destinations have got; less than the part: a fault, noted in the outcome. When that is met
 * only while writing, the first destination may have got more than is counted.
 */
static size_t dualcast_part(struct memory *memory, const struct request *request, uint32_t at, struct outcome *outcome)
{
	struct view views[3];
	size_t first = 0, both = 0, part;

	if (!dualcast_open(memory, request, at, request->size - at, views, outcome))
		return 0;
	part = views[2].length;
	memmove(views[1].bytes, views[0].bytes, part);
	memmove(views[2].bytes, views[0].bytes, part);
	memory_close(memory, &views[0]);
	if (memory_commit(memory, &views[1], part, &first) != DMA_OK)
		operation_fault(outcome, STATUS_WRITE_ERROR, request->dst + at + first, at + (uint32_t)first);
	if (memory_commit(memory, &views[2], first, &both) != DMA_OK)
		operation_fault(outcome, STATUS_WRITE_ERROR, second(request) + at + both, at + (uint32_t)both);
	return both;
}

static void dualcast_run(struct memory *memory, const struct request *request, struct outcome *outcome)
{
	uint32_t done = 0;

	outcome->status = STATUS_SUCCESS;
	if (!operation_reads(outcome, request->src, request->size) || !operation_writes(outcome, request->dst, request->size) ||
	    !operation_writes(outcome, second(request), request->size))
		return;
	while (done < request->size && outcome->status == STATUS_SUCCESS)
		done += (uint32_t)dualcast_part(memory, request, done, outcome);
}

const struct operation operation_dualcast = {
	.opcode = OP_DUALCAST,
	.name = "Memory Copy with Dualcast",
	.flags = DESC_F_WRITES | DESC_F_TC_1 | DESC_F_TC_2 | DESC_F_TC_3,
	.has_size = true,
	.reserved_ok = dualcast_reserved_ok,
	.check = dualcast_check,
	.run = dualcast_run,
};
