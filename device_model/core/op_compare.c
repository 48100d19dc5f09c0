/*
 * op_compare.c - Compare and Compare Pattern (DSA specification 8.3.6, 8.3.7).
 *
 * Bytes completed: the offset of the first byte that differs, of both operations (8.3.7 would allow less for a pattern); of a
 * fault, the bytes before it, which are equal: a difference before it is reported instead.
 */
#include "operation.h"
#include "pattern.h"

enum { COMPARE_EXPECTED = 40 };

static bool compare_reserved_ok(const struct request *request)
{
	return is_zero(request->raw, 38, 39) && is_zero(request->raw, 41, 63);
}

/*
 * The first difference of two runs; length: none. The requester may change them meanwhile, so a block that differed need not
 * differ any more.
 */
static size_t first_difference(const uint8_t *a, const uint8_t *b, size_t length)
{
	enum { BLOCK = 512 };

	for (size_t at = 0; at < length; at += BLOCK) {
		const size_t end = length - at < BLOCK ? length : at + BLOCK;

		if (memcmp(a + at, b + at, end - at) == 0)
			continue;
		for (size_t i = at; i < end; i++)
			if (a[i] != b[i])
				return i;
	}
	return length;
}

/* What is known after [0, at): everything was equal. */
static void compare_end(struct outcome *outcome, const struct request *request, uint32_t at)
{
	outcome->result = at < request->size;
	outcome->bytes_completed = outcome->result ? at : 0;
	operation_succeed(outcome, request, outcome->result == (request->raw[COMPARE_EXPECTED] & 1));
}

static void compare_run(struct memory *memory, const struct request *request, struct outcome *outcome)
{
	uint32_t at = 0;

	if (!operation_reads(outcome, request->src, request->size) || !operation_reads(outcome, request->dst, request->size))
		return;
	while (at < request->size) {
		struct view a, b;
		size_t equal, part;

		if (memory_view(memory, 0, request->src + at, request->size - at, &a) != DMA_OK) {
			operation_fault(outcome, STATUS_READ_ERROR, request->src + at, at);
			return;
		}
		if (memory_view(memory, 1, request->dst + at, a.length, &b) != DMA_OK) {
			memory_close(memory, &a);
			operation_fault(outcome, STATUS_READ_ERROR, request->dst + at, at);
			return;
		}
		part = b.length;
		equal = first_difference(a.bytes, b.bytes, part);
		memory_close(memory, &b);
		memory_close(memory, &a);
		at += (uint32_t)equal;
		if (equal < part)
			break;
	}
	compare_end(outcome, request, at);
}

static size_t first_deviation(const struct pattern *pattern, uint64_t at, const struct view *view)
{
	const uint8_t *run = pattern_at(pattern, at);

	for (size_t done = 0; done < view->length; done += PATTERN_RUN) {
		const size_t left = view->length - done;
		const size_t part = left < PATTERN_RUN ? left : PATTERN_RUN;
		const size_t equal = first_difference(view->bytes + done, run, part);

		if (equal < part)
			return done + equal;
	}
	return view->length;
}

static void compare_pattern_run(struct memory *memory, const struct request *request, struct outcome *outcome)
{
	struct pattern pattern;
	uint32_t at = 0;

	if (!operation_reads(outcome, request->src, request->size))
		return;
	pattern_init(&pattern, request->raw + 24);
	while (at < request->size) {
		struct view view;
		size_t equal, part;

		if (memory_view(memory, 0, request->src + at, request->size - at, &view) != DMA_OK) {
			operation_fault(outcome, STATUS_READ_ERROR, request->src + at, at);
			return;
		}
		part = view.length;
		equal = first_deviation(&pattern, at, &view);
		memory_close(memory, &view);
		at += (uint32_t)equal;
		if (equal < part)
			break;
	}
	compare_end(outcome, request, at);
}

const struct operation operation_compare = {
	.opcode = OP_COMPARE,
	.name = "Compare",
	.flags = DESC_F_CHECK_RESULT | DESC_F_TC_1 | DESC_F_TC_2,
	.required = DESC_F_CRAV | DESC_F_RCR,
	.has_size = true,
	.reserved_ok = compare_reserved_ok,
	.run = compare_run,
};

const struct operation operation_compare_pattern = {
	.opcode = OP_COMPARE_PATTERN,
	.name = "Compare Pattern",
	.flags = DESC_F_CHECK_RESULT | DESC_F_TC_1,
	.required = DESC_F_CRAV | DESC_F_RCR,
	.has_size = true,
	.reserved_ok = compare_reserved_ok,
	.run = compare_pattern_run,
};
