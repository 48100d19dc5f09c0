/*
 * turn.h - what an engine does while it has a work queue to itself: one descriptor, several, or members of a batch (DSA
 * specification 3.8, 5.4, 8.1 - 8.3). No lock is held.
 */
#ifndef VDSA_CORE_TURN_H
#define VDSA_CORE_TURN_H

#include "idxd_internal.h"
#include "memory.h"

struct operation;

enum { TURN_NOTES = TURN_DESCRIPTORS + 1 };

struct turn {
	struct idxd *idxd;
	struct wq *wq;
	uint32_t index; /* of the work queue */
	uint32_t most, tried, ended; /* descriptors: that it may have, was at, has carried to their end */
	const struct work *work; /* what is processed: one of what the queue has begun, all of one requester */
	struct wq_terms terms;
	uint8_t *scratch;
	struct memory memory;
	bool inside; /* between memory_enter and memory_leave */
	uint64_t bytes;
	/* Opcode and flags that were found right last, all with the same `terms`, and all in a batch or none. NULL: none yet. */
	const struct operation *known;
	uint32_t known_flags;
	/* For the ledger; of descriptors that nobody can have seen a consequence of yet: written together. */
	unsigned num_notes;
	struct ledger_note notes[TURN_NOTES];
};

static inline struct memory *turn_memory(struct turn *turn)
{
	if (!turn->inside)
		memory_enter(&turn->memory, turn->idxd, turn->terms.pasid_enable, turn->terms.pasid, turn->scratch);
	turn->inside = true;
	return &turn->memory;
}

/* engine.c */
/* Before anything leaves the device but DMA: the ledger knows what led to it, and no memory of the requester is held. */
void turn_leave(struct turn *turn);
void turn_write_notes(struct turn *turn);

static inline uint8_t request_ledger_flags(const struct request *request)
{
	return (uint8_t)((request->flags & DESC_F_CRAV ? LEDGER_F_CRAV : 0) | (request->flags & DESC_F_RCI ? LEDGER_F_RCI : 0) |
			 (request->in_batch ? LEDGER_F_MEMBER : 0));
}

static inline void turn_note(struct turn *turn, const struct request *request, uint8_t kind, uint8_t status)
{
	struct ledger_note *last = turn->num_notes > 0 ? &turn->notes[turn->num_notes - 1] : NULL;

	if (last && last->cause == request->cause && last->kind == LEDGER_ACCEPTED) {
		last->after_accepted = true;
		last->kind = kind;
		last->status = status;
		return;
	}
	turn->notes[turn->num_notes] = (struct ledger_note){
		.cause = request->cause,
		.detail = request->cr_address,
		.handle = request->handle,
		.kind = kind,
		.status = status,
		.opcode = request->opcode,
		.flags = request_ledger_flags(request),
	};
	if (++turn->num_notes == TURN_NOTES)
		turn_write_notes(turn);
}

/* execute.c */
void request_parse(const struct turn *turn, const uint8_t raw[PORTAL_DESC], uint64_t cause, struct request *request);
/* Record address and interrupt handle. False: it has ended, with *status; STATUS_NONE: abandoned. */
bool admit(struct turn *turn, const struct request *request, uint8_t *status);
/* Nothing: the place of a planted fault, a handle that is checked only after the operation. */
bool admit_late(struct turn *turn, const struct request *request);
/* STATUS_NONE: nothing is wrong with it. */
uint8_t validate(const struct request *request, struct outcome *outcome);
/* A descriptor that is no Batch, from beginning to end. The status that it came to; STATUS_NONE: abandoned. */
uint8_t execute(struct turn *turn, const struct request *request);

/* batch.c: a Batch descriptor, begun or continued. False: it has more to do, or was abandoned. */
bool batch_run(struct turn *turn);

/* completion.c: record, error report, interrupt. Returns the status that it came to; STATUS_NONE: abandoned, nothing is written. */
uint8_t complete(struct turn *turn, const struct request *request, const struct outcome *outcome);
/* The record's address is wrong: nothing but a report of the error. Returns the status. */
uint8_t discard(struct turn *turn, const struct request *request, uint8_t status);

/* interrupt.c, for those that ask for one (DESC_F_RCI): which table the portal stands for (3.7), and its check of the handle. */
bool interrupt_allowed(struct turn *turn, const struct request *request);
void interrupt_raise(struct turn *turn, const struct request *request);

#endif
