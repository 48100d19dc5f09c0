/* op_fill.c - Fill (DSA specification 8.3.5). 16-byte patterns are not offered (GENCAP bit 10). */
#include "operation.h"
#include "pattern.h"

static bool fill_reserved_ok(const struct request *request)
{
	return is_zero(request->raw, 38, 63);
}

static void fill_view(const struct pattern *pattern, uint64_t at, struct view *target)
{
	const uint8_t *run = pattern_at(pattern, at);

	for (size_t done = 0; done < target->length; done += PATTERN_RUN) {
		const size_t left = target->length - done;

		memcpy(target->bytes + done, run, left < PATTERN_RUN ? left : PATTERN_RUN);
	}
}

/* Bytes completed are those written (8.3.5). */
static void fill_run(struct memory *memory, const struct request *request, struct outcome *outcome)
{
	struct pattern pattern;
	uint32_t done = 0;

	if (!operation_writes(outcome, request->dst, request->size))
		return;
	pattern_init(&pattern, request->raw + 16);
	while (done < request->size) {
		struct view target;
		size_t written = 0;
		enum dma_result result = memory_target(memory, 0, request->dst + done, request->size - done, &target);

		if (result == DMA_OK) {
			fill_view(&pattern, done, &target);
			result = memory_commit(memory, &target, target.length, &written);
			done += (uint32_t)written;
		}
		if (result != DMA_OK) {
			operation_fault(outcome, STATUS_WRITE_ERROR, request->dst + done, done);
			return;
		}
	}
	operation_succeed(outcome, request, true);
}

const struct operation operation_fill = {
	.opcode = OP_FILL,
	.name = "Fill",
	.flags = DESC_F_WRITES | DESC_F_TC_2,
	.has_size = true,
	.reserved_ok = fill_reserved_ok,
	.run = fill_run,
};
