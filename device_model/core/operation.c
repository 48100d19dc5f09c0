/* operation.c - which operations there are, and No-op. */
#include "operation.h"

static bool noop_reserved_ok(const struct request *request)
{
	return is_zero(request->raw, 16, 35) && is_zero(request->raw, 38, 63);
}

const struct operation operation_noop = { .opcode = OP_NOOP, .name = "No-op", .reserved_ok = noop_reserved_ok };

static const struct operation *const operations[] = {
	[OP_NOOP] = &operation_noop,
	[OP_BATCH] = &operation_batch,
	[OP_DRAIN] = &operation_drain,
	[OP_MEMMOVE] = &operation_memmove,
	[OP_FILL] = &operation_fill,
	[OP_COMPARE] = &operation_compare,
	[OP_COMPARE_PATTERN] = &operation_compare_pattern,
	[OP_CREATE_DELTA] = &operation_create_delta,
	[OP_APPLY_DELTA] = &operation_apply_delta,
	[OP_DUALCAST] = &operation_dualcast,
	[OP_CRC] = &operation_crc,
	[OP_COPY_CRC] = &operation_copy_crc,
	[OP_DIF_CHECK] = &operation_dif_check,
	[OP_DIF_INSERT] = &operation_dif_insert,
	[OP_DIF_STRIP] = &operation_dif_strip,
	[OP_DIF_UPDATE] = &operation_dif_update,
	[OP_CACHE_FLUSH] = &operation_cache_flush,
};

enum { NUM_OPERATIONS = sizeof(operations) / sizeof(operations[0]) };

const struct operation *operation_find(uint8_t opcode)
{
	return opcode < NUM_OPERATIONS ? operations[opcode] : NULL;
}

void operation_capabilities(uint64_t opcap[4])
{
	for (unsigned word = 0; word < 4; word++)
		opcap[word] = 0;
	for (unsigned opcode = 0; opcode < NUM_OPERATIONS; opcode++)
		if (operations[opcode])
			opcap[opcode / 64] |= 1ull << (opcode % 64);
}

void operation_fault(struct outcome *outcome, uint8_t status, uint64_t address, uint32_t bytes_completed)
{
	outcome->status = status;
	outcome->fault_address = address;
	outcome->bytes_completed = bytes_completed;
}

bool ranges_overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return b - a < a_size || a - b < b_size; /* modulo 2^64: right for ranges that wrap, too */
}

bool operation_reads(struct outcome *outcome, uint64_t address, uint64_t size)
{
	if (size == 0 || !wraps(address, size))
		return true;
	operation_fault(outcome, STATUS_READ_ERROR, address, 0);
	return false;
}

bool operation_writes(struct outcome *outcome, uint64_t address, uint64_t size)
{
	if (size == 0 || !wraps(address, size))
		return true;
	operation_fault(outcome, STATUS_WRITE_ERROR, address, 0);
	return false;
}

void operation_succeed(struct outcome *outcome, const struct request *request, bool as_expected)
{
	outcome->status = (request->flags & DESC_F_CHECK_RESULT) && !as_expected ? STATUS_FALSE_PREDICATE : STATUS_SUCCESS;
}
