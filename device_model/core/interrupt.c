/* interrupt.c - the completion interrupt of a descriptor: its portal says in which table its handle is (DSA specification 3.7, 5.4). */
#include "turn.h"

/* A portal whose table the device does not have: no handle is in range. */
static bool has_table(const struct idxd *idxd, const struct request *request)
{
	return request->portal == PORTAL_IMS ? idxd->ims != NULL : idxd->msix != NULL;
}

static enum refusal refuse_for_want_of_a_table(const struct turn *turn, const struct request *request)
{
	const struct ledger_record record = {
		.cause = request->witness.cause,
		.requester = request->witness.requester,
		.pasid = request->terms.pasid,
		.entry = UINT32_MAX,
		.handle = request->handle,
		.wq = (uint16_t)request->wq,
		.kind = LEDGER_REFUSED,
		.reason = REFUSAL_OUT_OF_RANGE,
		.opcode = request->opcode,
		.flags = request->witness.flags,
	};

	ledger_write(turn->idxd->ledger, &record);
	return REFUSAL_OUT_OF_RANGE;
}

/* An interrupt that may not be asked for is an invalid flag, and is not sent to say so. */
static bool wants_interrupt(const struct request *request)
{
	return (request->flags & DESC_F_RCI) && !request->terms.no_interrupts;
}

bool interrupt_allowed(struct turn *turn, const struct request *request)
{
	struct idxd *idxd = turn->idxd;
	enum refusal refusal;

	if (!wants_interrupt(request))
		return true;
	turn_leave(turn);
	if (!has_table(idxd, request))
		refusal = refuse_for_want_of_a_table(turn, request);
	else if (request->portal == PORTAL_IMS)
		refusal = ims_check(idxd->ims, &request->witness, request->terms.pasid_enable);
	else
		refusal = msix_check(idxd->msix, &request->witness, request->terms.pasid_enable);
	return refusal == REFUSAL_NONE;
}

void interrupt_raise(struct turn *turn, const struct request *request)
{
	struct idxd *idxd = turn->idxd;

	if (!wants_interrupt(request))
		return;
	turn_leave(turn);
	if (request->portal == PORTAL_IMS)
		ims_raise(idxd->ims, request->handle, &request->witness);
	else
		msix_raise(idxd->msix, request->handle, &request->witness);
}
