/* completion.c - how a descriptor ends: its record, or the report of an error that has none, then its interrupt (DSA specification 5.8.1, 8.2). */
#include <string.h>

#include "at_hand.h"
#include "turn.h"

/* What an entry of the event log has beyond SWERROR (5.9.1): what software needs to finish the descriptor in the device's place. */
static uint64_t more_of(const struct turn *turn, const struct request *request)
{
	uint64_t more = 0;

	if (request->flags & DESC_F_RCI)
		more = EVL_MORE_HANDLE(request->handle) | EVL_MORE_RCI | (turn->work->portal == PORTAL_IMS ? EVL_MORE_IMS : 0);
	return request->flags & DESC_F_RCR ? more | EVL_MORE_RCR : more;
}

/* lost: the outcome whose record could not be written. NULL: there is none. */
static void report_error(struct turn *turn, const struct request *request, uint8_t status, uint64_t address, uint32_t invalid_flags,
			 const struct outcome *lost)
{
	struct error_report report = {
		.swerror = {
			SWERROR_VALID | SWERROR_DESC_VALID | SWERROR_WQ_VALID | (uint64_t)status << 8 |
				(uint64_t)turn->index << 16 | (uint64_t)request->opcode << 32 |
				(uint64_t)request->terms->pasid << 40,
			0,
			address,
		},
	};
	uint64_t *swerror = report.swerror;

	if (request->in_batch) {
		swerror[0] |= SWERROR_BATCH_MEMBER;
		swerror[1] |= request->index & 0xFFFFu;
	}
	if (status == STATUS_HANDLE) {
		swerror[0] |= SWERROR_INFO_VALID;
		swerror[1] |= (uint64_t)request->handle << 32;
	}
	if (status == STATUS_FLAGS) {
		swerror[0] |= SWERROR_INFO_VALID;
		swerror[1] |= (uint64_t)invalid_flags << 32;
	}
	if (status == STATUS_CR_FAULT)
		swerror[0] |= SWERROR_WRITE;
	if (status == STATUS_HANDLE || status == STATUS_CR_FAULT)
		report.more = more_of(turn, request);
	if (lost)
		memcpy(report.record, lost, CR_SIZE);
	turn_leave(turn);
	registers_error(turn->idxd, turn->index, &report);
}

uint8_t discard(struct turn *turn, const struct request *request, uint8_t status)
{
	const struct outcome lost = { .status = status }; /* it was not executed: who is given this record sees an error */

	turn_note(turn, request, LEDGER_COMPLETED, status);
	report_error(turn, request, status, request->cr_address, 0, status == STATUS_CR_FAULT ? &lost : NULL);
	return status;
}

/* What needs no record that was not asked for, and is no error without one (5.8.1). */
static bool is_quiet(uint8_t status)
{
	return status == STATUS_SUCCESS || status == STATUS_FALSE_PREDICATE || status == STATUS_BATCH_FAILURES;
}

static __attribute__((noinline)) bool write_iaa_record(struct turn *turn, const struct request *request, const struct outcome *outcome)
{
	uint8_t record[IAA_CR_SIZE] = { 0 };

	memcpy(record, outcome, sizeof(*outcome));
	return memory_write(turn_memory(turn), request->cr_address, record, sizeof(record), NULL) == DMA_OK;
}

/* One write, whose first bytes are seen last: a reader that sees a status sees the rest (8.2). */
static inline bool write_record(struct turn *turn, const struct request *request, const struct outcome *outcome)
{
	struct memory *memory;

	if (request->terms->iaa)
		return write_iaa_record(turn, request, outcome);
	memory = turn_memory(turn);
	return at_hand_store(memory, request->cr_address, outcome, sizeof(*outcome)) ||
	       memory_write(memory, request->cr_address, outcome, sizeof(*outcome), NULL) == DMA_OK;
}

/* False: it was to be written, and could not be: the descriptor is discarded. */
static inline bool record(struct turn *turn, const struct request *request, const struct outcome *outcome)
{
	if (!(request->flags & DESC_F_CRAV) || (is_quiet(outcome->status) && !(request->flags & DESC_F_RCR)))
		return true;
	return write_record(turn, request, outcome);
}

uint8_t complete(struct turn *turn, const struct request *request, const struct outcome *outcome)
{
	uint8_t status;

	if (atomic_load_explicit(&turn->wq->abandon, memory_order_acquire))
		return STATUS_NONE;
	status = record(turn, request, outcome) ? outcome->status : STATUS_CR_FAULT;
	turn_note(turn, request, LEDGER_COMPLETED, status);
	if (status == STATUS_CR_FAULT)
		report_error(turn, request, status, request->cr_address, 0, outcome);
	else if (!(request->flags & DESC_F_CRAV) && !is_quiet(status))
		report_error(turn, request, status, outcome->fault_address, (uint32_t)field(outcome->tail, 0, 4), NULL);
	if ((request->flags & DESC_F_RCI) && status != STATUS_CR_FAULT && outcome->status != STATUS_HANDLE)
		interrupt_raise(turn, request);
	return status;
}
