/*
 * execute.c - one descriptor, from the check of its interrupt handle to its completion interrupt (DSA specification 5.4,
 * 5.8.1, 8.1 - 8.3).
 *
 * The handle is checked first of all: a descriptor whose handle is refused is neither executed nor able to fail for
 * another reason, which would send the interrupt that the check forbids.
 */
#include <string.h>

#include "idxd_internal.h"

/* A descriptor taken apart. Everything comes from the one copy that was made when it was submitted. */
struct request {
	uint32_t flags;
	uint8_t opcode;
	uint64_t cr_address;
	uint64_t src, dst;
	uint32_t size;
	uint16_t handle;
	const uint8_t *raw;
	/* where it runs */
	uint32_t wq;
	bool pasid_enable;
	uint32_t pasid;
	uint32_t max_xfer_log2;
	enum portal portal;
	struct witness witness;
};

/* What goes into the completion record. */
struct outcome {
	uint8_t status;
	uint32_t bytes_completed;
	uint64_t fault_address;
	uint32_t invalid_flags;
};

static uint64_t get(const uint8_t *raw, unsigned offset, unsigned size)
{
	uint64_t value = 0;

	memcpy(&value, raw + offset, size);
	return value;
}

static struct request parse(const struct work *work, uint32_t wq, uint32_t mode, uint32_t limits)
{
	const uint8_t *raw = work->desc;
	struct request request = {
		.flags = (uint32_t)get(raw, 4, 4) & 0xFFFFFFu,
		.opcode = raw[7],
		.cr_address = get(raw, 8, 8),
		.src = get(raw, 16, 8),
		.dst = get(raw, 24, 8),
		.size = (uint32_t)get(raw, 32, 4),
		.handle = (uint16_t)get(raw, 36, 2),
		.raw = raw,
		.wq = wq,
		/* A dedicated queue runs with the PASID of its WQCFG; the descriptor's own is ignored (8.1.1). */
		.pasid_enable = mode & WQCFG_MODE_PASID_EN,
		.pasid = WQCFG_MODE_PASID(mode),
		.max_xfer_log2 = WQCFG_LIMITS_XFER(limits),
		.portal = work->portal,
	};

	request.witness = (struct witness){
		.cause = work->cause,
		.accepted_ns = work->accepted_ns,
		.requester = work->requester,
		.pasid = request.pasid,
		.wq = (uint16_t)wq,
		.handle = request.handle,
		.opcode = request.opcode,
		.flags = (uint8_t)((request.flags & DESC_F_CRAV ? LEDGER_F_CRAV : 0) |
				   (request.flags & DESC_F_RCI ? LEDGER_F_RCI : 0)),
	};
	return request;
}

/* ---- validation: no effect of any kind ---- */

static bool is_zero(const uint8_t *raw, unsigned from, unsigned to)
{
	for (unsigned i = from; i <= to; i++)
		if (raw[i] != 0)
			return false;
	return true;
}

/* Flags each operation takes (tables 8-2 and 8-5). */
static uint32_t allowed_flags(uint8_t opcode)
{
	const uint32_t common = DESC_F_CRAV | DESC_F_RCR | DESC_F_RCI | DESC_F_CR_TC;

	return opcode == OP_MEMMOVE ? common | DESC_F_CACHE | 1u << 9 | 1u << 10 : common;
}

static uint32_t find_invalid_flags(const struct request *request)
{
	uint32_t invalid = request->flags & ~allowed_flags(request->opcode);

	if (!(request->flags & DESC_F_CRAV)) /* reserved without a record address (8.1.2) */
		invalid |= request->flags & (DESC_F_RCR | DESC_F_CR_TC);
	return invalid;
}

static bool reserved_fields_are_zero(const struct request *request)
{
	const uint8_t *raw = request->raw;

	if (!(request->flags & DESC_F_RCI) && request->handle != 0)
		return false;
	if (!(request->flags & DESC_F_CRAV) && request->cr_address != 0)
		return false;
	if (request->opcode == OP_NOOP && !is_zero(raw, 16, 35))
		return false;
	return is_zero(raw, 38, 63);
}

static struct outcome validate(const struct request *request)
{
	struct outcome outcome = { .status = STATUS_NONE };

	if (request->opcode != OP_NOOP && request->opcode != OP_MEMMOVE) {
		outcome.status = STATUS_OPCODE;
		return outcome;
	}
	outcome.invalid_flags = find_invalid_flags(request);
	if (outcome.invalid_flags)
		outcome.status = STATUS_FLAGS;
	else if (!reserved_fields_are_zero(request))
		outcome.status = STATUS_RESERVED;
	else if (request->opcode == OP_MEMMOVE &&
		 (request->size == 0 || (uint64_t)request->size > 1ull << request->max_xfer_log2))
		outcome.status = STATUS_XFER_SIZE;
	return outcome;
}

/* ---- operations ---- */

enum { MOVE_CHUNK = 4096 };

static bool move_chunk(struct idxd *idxd, const struct request *request, uint64_t at, uint32_t len, struct outcome *outcome)
{
	uint8_t buffer[MOVE_CHUNK];
	const struct idxd_ports *ports = &idxd->ports;
	size_t done = 0;

	if (ports->dma_read(ports->ctx, request->pasid_enable, request->pasid, request->src + at, buffer, len, &done) != DMA_OK) {
		outcome->status = STATUS_READ_ERROR;
		outcome->fault_address = request->src + at + done;
		return false;
	}
	if (ports->dma_write(ports->ctx, request->pasid_enable, request->pasid, request->dst + at, buffer, len, &done) != DMA_OK) {
		outcome->status = STATUS_WRITE_ERROR;
		outcome->fault_address = request->dst + at + done;
		return false;
	}
	return true;
}

/* True: the range does not end at or before 2^64. No part of it is touched then. */
static bool wraps(uint64_t address, uint32_t size)
{
	return address + (size - 1) < address;
}

static struct outcome range_error(uint8_t status, uint64_t address)
{
	return (struct outcome){ .status = status, .fault_address = address };
}

/* 8.3.4. Overlapping buffers are moved as if by way of a third: from the end if the destination lies behind the source. */
static struct outcome memmove_op(struct idxd *idxd, const struct request *request)
{
	struct outcome outcome = { .status = STATUS_SUCCESS };
	const bool backward = request->dst > request->src && request->dst - request->src < request->size;
	uint32_t left = request->size;

	if (wraps(request->src, request->size))
		return range_error(STATUS_READ_ERROR, request->src);
	if (wraps(request->dst, request->size))
		return range_error(STATUS_WRITE_ERROR, request->dst);
	while (left > 0) {
		const uint32_t len = left < MOVE_CHUNK ? left : MOVE_CHUNK;
		const uint64_t at = backward ? left - len : request->size - left;

		if (!move_chunk(idxd, request, at, len, &outcome)) {
			outcome.bytes_completed = backward ? 0 : request->size - left;
			return outcome;
		}
		left -= len;
	}
	outcome.bytes_completed = request->size;
	return outcome;
}

static struct outcome operate(struct idxd *idxd, const struct request *request)
{
	struct outcome outcome = validate(request);

	if (outcome.status != STATUS_NONE)
		return outcome;
	if (request->opcode == OP_MEMMOVE)
		return memmove_op(idxd, request);
	outcome.status = STATUS_SUCCESS;
	return outcome;
}

/* ---- completion ---- */

static void report_error(struct idxd *idxd, const struct request *request, uint8_t status, uint64_t address,
			 uint32_t invalid_flags)
{
	uint64_t swerror[4] = {
		SWERROR_VALID | SWERROR_DESC_VALID | SWERROR_WQ_VALID | (uint64_t)status << 8 |
			(uint64_t)request->wq << 16 | (uint64_t)request->opcode << 32 | (uint64_t)request->pasid << 40,
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

	memcpy(record + 4, &outcome->bytes_completed, 4);
	memcpy(record + 8, &outcome->fault_address, 8);
	memcpy(record + 16, &outcome->invalid_flags, 4);
	if (ports->dma_write(ports->ctx, request->pasid_enable, request->pasid, request->cr_address + 1, record + 1,
			     CR_SIZE - 1, &done) != DMA_OK)
		return false;
	return ports->dma_write(ports->ctx, request->pasid_enable, request->pasid, request->cr_address, &outcome->status, 1,
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
			report_error(idxd, request, outcome->status, outcome->fault_address, outcome->invalid_flags);
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
		.pasid = request->pasid,
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
	return ims_check(idxd->ims, &request->witness, request->pasid_enable);
}

static void refuse(struct idxd *idxd, const struct request *request)
{
	const struct outcome outcome = { .status = STATUS_HANDLE };

	note_completed(idxd, request, complete(idxd, request, &outcome));
}

void execute(struct idxd *idxd, const struct work *work, uint32_t wq, uint32_t mode, uint32_t limits)
{
	const struct request request = parse(work, wq, mode, limits);
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
