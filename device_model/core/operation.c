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
