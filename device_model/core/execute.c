/*
 * execute.c - one descriptor: what it says, whether that is allowed, and its execution (DSA specification 5.4, 8.1 - 8.3).
 *
 * The handle is checked first of all: a descriptor whose handle is refused is neither executed nor able to fail for
 * another reason, which would send the interrupt that the check forbids.
 */
#include "at_hand.h"
#include "operation.h"
#include "turn.h"

/* A dedicated queue runs with the PASID of its WQCFG; the descriptor's own is ignored (8.1.1). */
void request_parse(const struct turn *turn, const uint8_t raw[PORTAL_DESC], uint64_t cause, struct request *request)
{
	*request = (struct request){
		.raw = raw,
		.flags = (uint32_t)field(raw, 4, 4) & 0xFFFFFFu,
		.opcode = raw[7],
		.handle = (uint16_t)field(raw, 36, 2),
		.size = (uint32_t)field(raw, 32, 4),
		.cr_address = field(raw, 8, 8),
		.src = field(raw, 16, 8),
		.dst = field(raw, 24, 8),
		.terms = &turn->terms,
		.cause = cause,
	};
}

/* ---- validation: no effect of any kind ---- */

/* Batch and Drain are no operations inside a batch; a work queue may be limited to some (5.4). */
static const struct operation *find_operation(const struct request *request)
{
	const uint8_t opcode = request->opcode;

	if (request->in_batch && (opcode == OP_BATCH || opcode == OP_DRAIN))
		return NULL;
	if (!(request->terms->operations[opcode / 64] >> (opcode % 64) & 1))
		return NULL;
	return operation_find(opcode);
}

static uint32_t find_invalid_flags(const struct request *request, const struct operation *operation)
{
	const uint32_t fence = request->in_batch ? DESC_F_FENCE : 0;
	uint32_t invalid = request->flags & ~(DESC_F_ALL | fence | operation->flags);

	if (!(request->flags & DESC_F_CRAV)) /* reserved without a record address (8.1.3) */
		invalid |= request->flags & (DESC_F_RCR | DESC_F_CR_TC);
	if (request->terms->no_interrupts)
		invalid |= request->flags & DESC_F_RCI;
	return invalid | operation_wrong_flags(operation, request->flags);
}

static inline bool reserved_fields_are_zero(const struct request *request, const struct operation *operation)
{
	if (!(request->flags & DESC_F_RCI) && request->handle != 0)
		return false;
	if (!(request->flags & DESC_F_CRAV) && request->cr_address != 0)
		return false;
	return operation->reserved_ok(request);
}

static bool size_ok(const struct request *request)
{
	return request->size > 0 && (uint64_t)request->size <= 1ull << request->terms->max_xfer_log2;
}

/* What opcode and flags alone decide. */
static uint8_t check_kind(const struct request *request, const struct operation *operation, struct outcome *outcome)
{
	uint32_t invalid_flags;

	if (!operation)
		return STATUS_OPCODE;
	invalid_flags = find_invalid_flags(request, operation);
	if (!invalid_flags)
		return STATUS_NONE;
	set_field(outcome->tail, 0, 4, invalid_flags);
	return STATUS_FLAGS;
}

static inline uint8_t check_fields(const struct request *request, const struct operation *operation)
{
	if (!reserved_fields_are_zero(request, operation))
		return STATUS_RESERVED;
	if (operation->has_size && !size_ok(request))
		return STATUS_XFER_SIZE;
	return operation->check ? operation->check(request) : STATUS_NONE;
}

uint8_t validate(const struct request *request, struct outcome *outcome)
{
	const struct operation *operation = find_operation(request);
	const uint8_t status = check_kind(request, operation, outcome);

	return status != STATUS_NONE ? status : check_fields(request, operation);
}

/* ---- execution ---- */

static inline bool is_late(const struct turn *turn)
{
	return FAULT(turn->idxd->planted, FAULT_CHECK_AFTER_EXECUTION);
}

static inline bool record_is_aligned(const struct request *request)
{
	const uint64_t below = (request->terms->iaa ? IAA_CR_ALIGN : CR_ALIGN) - 1; /* to divide takes longer than all other checks */

	return !(request->flags & DESC_F_CRAV) || (request->cr_address & below) == 0;
}

/* Whether it will be written or not (5.4). */
static inline bool record_is_writable(struct turn *turn, const struct request *request)
{
	const size_t size = request->terms->iaa ? IAA_CR_SIZE : CR_SIZE;
	struct memory *memory;

	if (!(request->flags & DESC_F_CRAV))
		return true;
	memory = turn_memory(turn);
	return at_hand(memory, request->cr_address, size, DMA_MAY_WRITE) || memory_can_write(memory, request->cr_address, size);
}

/* The look-up comes last: the check of a handle leaves the memory, and the operation goes on in it. */
inline bool admit(struct turn *turn, const struct request *request, uint8_t *status)
{
	static const struct outcome refused = { .status = STATUS_HANDLE };

	if (!record_is_aligned(request))
		*status = discard(turn, request, STATUS_CR_ALIGN);
	else if ((request->flags & DESC_F_RCI) && !is_late(turn) && !interrupt_allowed(turn, request))
		*status = complete(turn, request, &refused);
	else if (!record_is_writable(turn, request))
		*status = discard(turn, request, STATUS_CR_FAULT);
	else
		return true;
	return false;
}

inline bool admit_late(struct turn *turn, const struct request *request)
{
	return !is_late(turn) || !(request->flags & DESC_F_RCI) || interrupt_allowed(turn, request);
}

/* Descriptors of one turn mostly are of one kind: what was found right once, on the same terms, is not checked again. */
static inline uint8_t know_kind(struct turn *turn, const struct request *request, struct outcome *outcome)
{
	const struct operation *operation;
	uint8_t status;

	if (turn->known && turn->known->opcode == request->opcode && turn->known_flags == request->flags)
		return STATUS_NONE;
	operation = find_operation(request);
	status = check_kind(request, operation, outcome);
	if (status == STATUS_NONE) {
		turn->known = operation;
		turn->known_flags = request->flags;
	}
	return status;
}

static void operate(struct turn *turn, const struct request *request, struct outcome *outcome)
{
	outcome->status = know_kind(turn, request, outcome);
	if (outcome->status == STATUS_NONE)
		outcome->status = check_fields(request, turn->known);
	if (outcome->status != STATUS_NONE)
		return;
	outcome->status = STATUS_SUCCESS;
	if (turn->known->has_size)
		turn->bytes += request->size;
	if (turn->known->run)
		turn->known->run(turn_memory(turn), request, outcome);
}

uint8_t execute(struct turn *turn, const struct request *request)
{
	struct outcome outcome = { .status = STATUS_NONE };
	uint8_t status;

	if (!admit(turn, request, &status))
		return status;
	operate(turn, request, &outcome);
	if (!admit_late(turn, request))
		outcome = (struct outcome){ .status = STATUS_HANDLE };
	return complete(turn, request, &outcome);
}
