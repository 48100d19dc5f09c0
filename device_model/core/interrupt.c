/* interrupt.c - the completion interrupt of a descriptor: its portal says in which table its handle is (DSA specification 3.7, 5.4). */
#include <time.h>

#include "turn.h"

static struct witness witness_of(const struct turn *turn, const struct request *request)
{
	const struct work *work = turn->work;

	return (struct witness){
		.cause = request->cause,
		.accepted_ns = request->in_batch ? 0 : work->accepted_ns, /* its latency would be that of the members before it */
		.requester = work->requester,
		.pasid = request->terms->pasid,
		.wq = (uint16_t)turn->index,
		.handle = request->handle,
		.opcode = request->opcode,
		.flags = request_ledger_flags(request),
	};
}

static bool by_ims(const struct turn *turn)
{
	return turn->work->portal == PORTAL_IMS;
}

/* A portal whose table the device does not have: no handle is in range. */
static bool has_table(const struct turn *turn)
{
	const struct store *store = turn->idxd->store;

	return by_ims(turn) ? store && store_portal(store) == PORTAL_IMS : turn->idxd->msix != NULL;
}

static enum refusal refuse_for_want_of_a_table(const struct turn *turn, const struct witness *witness)
{
	const struct ledger_record record = {
		.cause = witness->cause,
		.requester = witness->requester,
		.pasid = witness->pasid,
		.entry = UINT32_MAX,
		.handle = witness->handle,
		.wq = witness->wq,
		.kind = LEDGER_REFUSED,
		.reason = REFUSAL_OUT_OF_RANGE,
		.opcode = witness->opcode,
		.flags = witness->flags,
	};

	ledger_write(turn->idxd->ledger, &record);
	return REFUSAL_OUT_OF_RANGE;
}

/* An interrupt that may not be asked for is an invalid flag, and is not sent to say so. */
static bool wants_interrupt(const struct request *request)
{
	return (request->flags & DESC_F_RCI) && !request->terms->no_interrupts;
}

bool interrupt_allowed(struct turn *turn, const struct request *request)
{
	struct idxd *idxd = turn->idxd;
	struct witness witness;
	enum refusal refusal;

	if (!wants_interrupt(request))
		return true;
	turn_leave(turn);
	witness = witness_of(turn, request);
	if (!has_table(turn))
		refusal = refuse_for_want_of_a_table(turn, &witness);
	else if (by_ims(turn))
		refusal = store_check(idxd->store, &witness, request->terms->pasid_enable);
	else
		refusal = msix_check(idxd->msix, &witness, request->terms->pasid_enable);
	return refusal == REFUSAL_NONE;
}

/* So that tests can have a descriptor between its check and its message for as long as they like. */
static void while_held(const struct turn *turn)
{
	const struct timespec moment = { .tv_nsec = 100000 };

	while (FAULT(turn->idxd->planted, HOLD_MESSAGES))
		nanosleep(&moment, NULL);
}

void interrupt_raise(struct turn *turn, const struct request *request)
{
	struct idxd *idxd = turn->idxd;
	struct witness witness;

	if (!wants_interrupt(request))
		return;
	turn_leave(turn);
	while_held(turn);
	witness = witness_of(turn, request);
	if (by_ims(turn))
		store_raise(idxd->store, &witness, request->terms->pasid_enable);
	else
		msix_raise(idxd->msix, request->handle, &witness);
}
