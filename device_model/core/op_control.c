/* op_control.c - what can be wrong with a Batch and a Drain descriptor (DSA specification 8.3.2, 8.3.3). */
#include "operation.h"

static bool batch_reserved_ok(const struct request *request)
{
	return is_zero(request->raw, 24, 31) && is_zero(request->raw, 38, 63);
}

/* A batch of one needs a capability that this device does not have (GENCAP[52]). */
static uint8_t batch_check(const struct request *request)
{
	if (request->size < 2 || request->size > 1u << request->terms->max_batch_log2)
		return STATUS_COUNT;
	return request->src % PORTAL_DESC != 0 ? STATUS_LIST_ALIGN : STATUS_NONE;
}

const struct operation operation_batch = {
	.opcode = OP_BATCH,
	.name = "Batch",
	.flags = BATCH_F_LIST_TC,
	.reserved_ok = batch_reserved_ok,
	.check = batch_check,
};

/* It would end unseen. */
static uint32_t drain_wrong_flags(uint32_t flags)
{
	return flags & (DESC_F_RCR | DESC_F_RCI) ? 0 : DESC_F_RCR | DESC_F_RCI;
}

/* Readback addresses need a capability that this device does not have (GENCAP[9]). */
static bool drain_reserved_ok(const struct request *request)
{
	return is_zero(request->raw, 16, 35) && is_zero(request->raw, 38, 63);
}

/* A work queue is processed in order, one descriptor at a time: those before have ended when this one begins (3.12). */
const struct operation operation_drain = {
	.opcode = OP_DRAIN,
	.name = "Drain",
	.flags = DRAIN_F_NO_READBACK,
	.wrong_flags = drain_wrong_flags,
	.reserved_ok = drain_reserved_ok,
};
