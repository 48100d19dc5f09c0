/*
 * op_cache.c - Cache Flush (DSA specification 8.3.26). There is no cache between the engine and the memory that it reaches, so what
 * remains of it is that the range has to be there.
 *
 * It takes neither of the cache control encodings that flush and read back: GENCAP offers no readback (table 8-4). A byte that is
 * missing is 0x21, for the range is a destination; memory that can only be read can be flushed, for flushing changes nothing.
 */
#include "operation.h"

static bool cache_flush_reserved_ok(const struct request *request)
{
	return is_zero(request->raw, 16, 23) && is_zero(request->raw, 38, 63);
}

static void cache_flush_run(struct memory *memory, const struct request *request, struct outcome *outcome)
{
	uint32_t done = 0;

	if (!operation_writes(outcome, request->dst, request->size))
		return;
	while (done < request->size) {
		struct view view;

		if (memory_view(memory, 0, request->dst + done, request->size - done, &view) != DMA_OK) {
			operation_fault(outcome, STATUS_WRITE_ERROR, request->dst + done, done);
			return;
		}
		done += (uint32_t)view.length;
		memory_close(memory, &view);
	}
	operation_succeed(outcome, request, true);
}

const struct operation operation_cache_flush = {
	.opcode = OP_CACHE_FLUSH,
	.name = "Cache Flush",
	.flags = DESC_F_STRICT | DESC_F_TC_2,
	.has_size = true,
	.reserved_ok = cache_flush_reserved_ok,
	.run = cache_flush_run,
};
