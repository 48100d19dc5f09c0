/*
 * batch.c - the Batch operation (DSA specification 3.8, 3.9, 8.3.2).
 *
 * Its members are processed in order, one at a time, so that a fence need not wait. The state is the work queue's: an engine
 * processes as many members as a turn may have, and any engine of the group goes on from there.
 */
#include "plain.h"

/* Copies the next part of the list. False: not even one descriptor of it could be read. */
static bool fetch(struct turn *turn, const struct request *request, struct outcome *outcome)
{
	struct batch *batch = &turn->wq->batch;
	const uint32_t left = batch->count - batch->fetched;
	const uint32_t part = left < BATCH_PART ? left : BATCH_PART;
	const uint64_t offset = (uint64_t)batch->fetched * PORTAL_DESC;
	const uint64_t address = request->src + offset;
	enum dma_result result = DMA_FAULT;
	size_t done = 0;

	if (address >= request->src) /* else the list goes beyond 2^64 */
		result = memory_read(turn_memory(turn), address, batch->members, (size_t)part * PORTAL_DESC, &done);
	if (result != DMA_OK && done < PORTAL_DESC) {
		outcome->status = result == DMA_FAULT ? STATUS_LIST_FAULT : STATUS_READ_ERROR;
		outcome->fault_address = address + done;
		return false;
	}
	batch->first = batch->fetched;
	batch->fetched += result == DMA_OK ? part : (uint32_t)(done / PORTAL_DESC);
	batch->first_cause = atomic_fetch_add(&turn->idxd->last_cause, batch->fetched - batch->first) + 1;
	return true;
}

/* Members inherit portal, PASID and requester of the batch (3.7, 3.8), but have a cause of their own. */
static void parse_member(const struct turn *turn, struct request *request)
{
	const struct batch *batch = &turn->wq->batch;
	const uint32_t place = batch->next - batch->first;

	request_parse(turn, batch->members[place], batch->first_cause + place, request);
	request->in_batch = true;
	request->index = batch->next;
}

/* There is more to do; no member will be processed any more; nothing at all will happen any more. */
enum progress { MORE, MEMBERS_END, ABANDONED };

static enum progress run_member(struct turn *turn)
{
	struct batch *batch = &turn->wq->batch;
	const uint8_t *raw = batch->members[batch->next - batch->first];
	struct request request;
	uint8_t status;

	if (atomic_load_explicit(&turn->wq->abandon, memory_order_acquire))
		return ABANDONED;
	if ((raw[4] & DESC_F_FENCE) && batch->failed)
		return MEMBERS_END;
	parse_member(turn, &request);
	turn_note(turn, &request, LEDGER_ACCEPTED, 0);
	status = execute(turn, &request);
	if (status == STATUS_NONE) {
		turn_note(turn, &request, LEDGER_ABORTED, 0);
		return ABANDONED;
	}
	batch->failed |= status != STATUS_SUCCESS;
	batch->next++;
	return MORE;
}

/* How many members from the next on were plain moves and went the short way, at most `most`. */
static uint32_t run_plain_members(struct turn *turn, uint32_t most, enum progress *progress)
{
	struct batch *batch = &turn->wq->batch;
	const uint32_t place = batch->next - batch->first, here = batch->fetched - batch->next;
	bool abandoned;
	const uint32_t done = plain_moves(turn, batch->members + place, here < most ? here : most, batch->first_cause + place, &abandoned);

	batch->next += done;
	if (abandoned)
		*progress = ABANDONED;
	return done;
}

static enum progress run_members(struct turn *turn, const struct request *request, struct outcome *outcome)
{
	struct batch *batch = &turn->wq->batch;
	enum progress progress = MORE;

	for (uint32_t members = 0; progress == MORE && batch->next < batch->count;) {
		if (members >= TURN_DESCRIPTORS || turn->bytes >= TURN_BYTES)
			return MORE;
		if (batch->next == batch->fetched && !fetch(turn, request, outcome))
			return MEMBERS_END;
		progress = run_member(turn);
		members++;
		if (progress == MORE && plain_form(turn) != 0)
			members += run_plain_members(turn, TURN_DESCRIPTORS - members, &progress);
	}
	return progress == MORE ? MEMBERS_END : progress;
}

/* True: it has ended already, in error. */
static bool begin(struct turn *turn, const struct request *request, bool *abandoned)
{
	struct outcome outcome = { .status = STATUS_NONE };
	uint8_t status = STATUS_NONE;

	*abandoned = false;
	if (!admit(turn, request, &status)) {
		*abandoned = status == STATUS_NONE;
		return true;
	}
	outcome.status = validate(request, &outcome);
	if (outcome.status != STATUS_NONE) {
		*abandoned = complete(turn, request, &outcome) == STATUS_NONE;
		return true;
	}
	turn->wq->batch.count = request->size;
	turn->wq->batch.first = 0;
	turn->wq->batch.next = 0;
	turn->wq->batch.fetched = 0;
	turn->wq->batch.failed = false;
	return false;
}

static bool end(struct turn *turn, const struct request *request, struct outcome *outcome)
{
	const struct batch *batch = &turn->wq->batch;

	if (outcome->status == STATUS_NONE)
		outcome->status = batch->failed ? STATUS_BATCH_FAILURES : STATUS_SUCCESS;
	outcome->result = batch->failed;
	outcome->bytes_completed = batch->next;
	if (!admit_late(turn, request))
		*outcome = (struct outcome){ .status = STATUS_HANDLE };
	return complete(turn, request, outcome) != STATUS_NONE;
}

bool batch_run(struct turn *turn)
{
	const struct work *work = turn->work;
	struct request request;
	struct outcome outcome = { .status = STATUS_NONE };
	bool abandoned;

	request_parse(turn, work->desc, work->cause, &request);
	if (turn->wq->batch.count == 0 && begin(turn, &request, &abandoned))
		return !abandoned;
	return run_members(turn, &request, &outcome) == MEMBERS_END && end(turn, &request, &outcome);
}
