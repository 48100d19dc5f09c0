/*
 * execute.c - one descriptor, from the check of its interrupt handle to its completion interrupt (DSA specification 5.4,
 * 5.8.1, 8.1 - 8.3).
 *
 * The handle is checked first of all: a descriptor whose handle is refused is neither executed nor able to fail for
 * another reason, which would send the interrupt that the check forbids.
 */
#include <string.h>

#include "idxd_internal.h"
#include "operation.h"

static struct request parse(const struct work *work, uint32_t wq, const struct wq_terms *terms)
{
	const uint8_t *raw = work->desc;
	struct request request = {
		.raw = raw,
		.flags = (uint32_t)field(raw, 4, 4) & 0xFFFFFFu,
		.opcode = raw[7],
		.handle = (uint16_t)field(raw, 36, 2),
		.size = (uint32_t)field(raw, 32, 4),
		.cr_address = field(raw, 8, 8),
		.src = field(raw, 16, 8),
		.dst = field(raw, 24, 8),
		.wq = wq,
		.portal = work->portal,
		/* A dedicated queue runs with the PASID of its WQCFG; the descriptor's own is ignored (8.1.1). */
		.terms = *terms,
	};

	request.witness = (struct witness){
		.cause = work->cause,
		.accepted_ns = work->accepted_ns,
		.requester = work->requester,
		.pasid = terms->pasid,
		.wq = (uint16_t)wq,
		.handle = request.handle,
		.opcode = request.opcode,
		.flags = (uint8_t)((request.flags & DESC_F_CRAV ? LEDGER_F_CRAV : 0) |
				   (request.flags & DESC_F_RCI ? LEDGER_F_RCI : 0)),
	};
	return request;
}

/* ---- validation: no effect of any kind ---- */

static uint32_t find_invalid_flags(const struct request *request, const struct operation *operation)
{
	uint32_t invalid = request->flags & ~(DESC_F_ALL | operation->flags);

	if (!(request->flags & DESC_F_CRAV)) /* reserved without a record address (8.1.2) */
		invalid |= request->flags & (DESC_F_RCR | DESC_F_CR_TC);
	return invalid;
}

static bool reserved_fields_are_zero(const struct request *request, const struct operation *operation)
{
	if (!(request->flags & DESC_F_RCI) && request->handle != 0)
		return false;
	if (!(request->flags & DESC_F_CRAV) && request->cr_address != 0)
		return false;
	return operation->reserved_ok(request);
}

static bool size_ok(const struct request *request)
{
	return request->size > 0 && (uint64_t)request->size <= 1ull << request->terms.max_xfer_log2;
}

static uint8_t validate(const struct request *request, const struct operation *operation, struct outcome *outcome)
{
	uint32_t invalid_flags;

	if (!operation)
		return STATUS_OPCODE;
	invalid_flags = find_invalid_flags(request, operation);
	if (invalid_flags) {
		set_field(outcome->tail, 0, 4, invalid_flags);
		return STATUS_FLAGS;
	}
	if (!reserved_fields_are_zero(request, operation))
		return STATUS_RESERVED;
	if (operation->has_size && !size_ok(request))
		return STATUS_XFER_SIZE;
	return operation->check ? operation->check(request) : STATUS_NONE;
}

static struct outcome operate(struct idxd *idxd, const struct request *request)
{
	const struct operation *operation = operation_find(request->opcode);
	struct memory memory = {
		.idxd = idxd,
		.pasid_enable = request->terms.pasid_enable,
		.pasid = request->terms.pasid,
		.scratch = idxd->scratch,
	};
	struct outcome outcome = { .status = STATUS_NONE };

	outcome.status = validate(request, operation, &outcome);
	if (outcome.status != STATUS_NONE)
		return outcome;
	outcome.status = STATUS_SUCCESS;
	if (operation->run)
		operation->run(&memory, request, &outcome);
	return outcome;
}

/* ---- completion ---- */

static void report_error(struct idxd *idxd, const struct request *request, uint8_t status, uint64_t address,
			 uint32_t invalid_flags)
{
	uint64_t swerror[4] = {
		SWERROR_VALID | SWERROR_DESC_VALID | SWERROR_WQ_VALID | (uint64_t)status << 8 |
			(uint64_t)request->wq << 16 | (uint64_t)request->opcode << 32 | (uint64_t)request->terms.pasid << 40,
		0,
		address,
		0,
	};

	if (status == STATUS_HANDLE) {
		swerror[0] |= SWERROR_INFO_VALID;
		swerror[1] = (uint64_t)request->handle << 32;
	}
	if (status == STATUS_FLAGS) {
		swerror[0] |= SWERROR_INFO_VALID;
		swerror[1] = (uint64_t)invalid_flags << 32;
	}
	registers_error(idxd, request->wq, swerror);
}

/* The record without its status first, the status byte last (8.2): a reader that sees a status sees the rest. */
static bool write_record(struct idxd *idxd, const struct request *request, const struct outcome *outcome)
{
	const struct idxd_ports *ports = &idxd->ports;
	uint8_t record[CR_SIZE] = { 0 };
	size_t done = 0;

	record[1] = outcome->result;
	memcpy(record + 4, &outcome->bytes_completed, 4);
	memcpy(record + 8, &outcome->fault_address, 8);
	memcpy(record + 16, outcome->tail, sizeof(outcome->tail));
	if (ports->dma_write(ports->ctx, request->terms.pasid_enable, request->terms.pasid, request->cr_address + 1, record + 1,
			     CR_SIZE - 1, &done) != DMA_OK)
		return false;
	return ports->dma_write(ports->ctx, request->terms.pasid_enable, request->terms.pasid, request->cr_address, &outcome->status, 1,
				&done) == DMA_OK;
}

/*
 * 5.8.1: to the record if there is one, else to SWERROR. Returns the status that it came to: the outcome's, or that the record
 * could not be written and the descriptor was discarded.
 */
static uint8_t complete(struct idxd *idxd, const struct request *request, const struct outcome *outcome)
{
	const bool success = outcome->status == STATUS_SUCCESS;

	if (!(request->flags & DESC_F_CRAV)) {
		if (!success)
			report_error(idxd, request, outcome->status, outcome->fault_address, (uint32_t)field(outcome->tail, 0, 4));
		return outcome->status;
	}
	if ((success && !(request->flags & DESC_F_RCR)) || write_record(idxd, request, outcome))
		return outcome->status;
	report_error(idxd, request, STATUS_CR_FAULT, request->cr_address, 0);
	return STATUS_CR_FAULT;
}

static void note_completed(struct idxd *idxd, const struct request *request, uint8_t status)
{
	const struct ledger_record record = {
		.cause = request->witness.cause,
		.detail = request->cr_address,
		.requester = request->witness.requester,
		.pasid = request->terms.pasid,
		.entry = UINT32_MAX,
		.handle = request->handle,
		.wq = (uint16_t)request->wq,
		.kind = LEDGER_COMPLETED,
		.status = status,
		.opcode = request->opcode,
		.flags = request->witness.flags,
	};

	ledger_write(idxd->ledger, &record);
}

/* The descriptors' interrupt goes to an IMS entry; this device has no MSI-X table of its own for the other portals. */
static enum refusal check_handle(struct idxd *idxd, const struct request *request)
{
	if (!(request->flags & DESC_F_RCI))
		return REFUSAL_NONE;
	if (request->portal != PORTAL_IMS)
		return REFUSAL_OUT_OF_RANGE;
	return ims_check(idxd->ims, &request->witness, request->terms.pasid_enable);
}

static void refuse(struct idxd *idxd, const struct request *request)
{
	const struct outcome outcome = { .status = STATUS_HANDLE };

	note_completed(idxd, request, complete(idxd, request, &outcome));
}

void execute(struct idxd *idxd, const struct work *work, uint32_t wq, const struct wq_terms *terms)
{
	const struct request request = parse(work, wq, terms);
	const bool late_check = FAULT(idxd->planted, FAULT_CHECK_AFTER_EXECUTION);
	struct outcome outcome;
	uint8_t status;

	if ((request.flags & DESC_F_CRAV) && request.cr_address % CR_ALIGN != 0) {
		note_completed(idxd, &request, STATUS_CR_ALIGN);
		report_error(idxd, &request, STATUS_CR_ALIGN, request.cr_address, 0);
		return;
	}
	if (!late_check && check_handle(idxd, &request) != REFUSAL_NONE) {
		refuse(idxd, &request);
		return;
	}
	outcome = operate(idxd, &request);
	if (late_check && check_handle(idxd, &request) != REFUSAL_NONE) {
		refuse(idxd, &request);
		return;
	}
	status = complete(idxd, &request, &outcome);
	note_completed(idxd, &request, status);
	if (status != STATUS_CR_FAULT && (request.flags & DESC_F_RCI))
		ims_raise(idxd->ims, request.handle, &request.witness);
}
