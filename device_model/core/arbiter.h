/*
 * arbiter.h - which work queue of a group has the next turn, and which engine is woken for it (DSA specification 4.1).
 *
 * A queue is ready while it has work and no engine is at it. Each queue has as many turns in a round as its priority says, one
 * at a time by turns with the others; a round ends when no ready queue has a turn left. So a queue of priority 15 that is never
 * empty has 15 turns for each one of a queue of priority 1, and no queue waits for longer than a round. All functions: lock held.
 */
#ifndef VDSA_CORE_ARBITER_H
#define VDSA_CORE_ARBITER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "regs.h"

struct idxd;

enum { NO_GROUP = 0xFF };

/* One a group. */
struct arbiter {
	uint64_t ready[GRPCFG_WQ_WORDS];
	uint64_t spent[GRPCFG_WQ_WORDS]; /* queues that have had their turns of this round */
	uint64_t round;
	uint32_t last; /* the queue that had a turn last */
	atomic_bool called; /* turns of several descriptors in this group are to end */
};

/* Takes the groups over from GRPCFG: at Enable Device, when nothing is queued. */
void arbiter_lay_out(struct idxd *idxd);
/* To be called after each change of a queue's work; wakes an engine if there is something new to do. */
void arbiter_update(struct idxd *idxd, uint32_t wq);
/* The next queue of `group`, with one turn less; false: none is ready. Wakes another engine if another queue is ready. */
bool arbiter_next(struct idxd *idxd, uint32_t group, uint32_t *wq);
/*
 * For a queue that has a turn. True: no other one of its group is ready. Then it may have several in a row, each of which is accounted
 * for by arbiter_again(), as arbiter_next() does for the first, until arbiter_is_called(): another one is ready, or engines are to stop.
 */
bool arbiter_begin_several(struct idxd *idxd, uint32_t wq);
void arbiter_call_all(struct idxd *idxd);
void arbiter_again(struct idxd *idxd, uint32_t wq);
/* No lock is needed. */
bool arbiter_is_called(const struct idxd *idxd, uint32_t wq);

#endif
