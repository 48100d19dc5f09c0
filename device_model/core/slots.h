/*
 * slots.h - entries of a message store that the device holds itself: their registers, mask, Pending, and the way of a message out of
 * one (DSA specification 9.2.28). Which of them a descriptor may use is the store's to say.
 */
#ifndef VDSA_CORE_SLOTS_H
#define VDSA_CORE_SLOTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "fault.h"
#include "ledger.h"
#include "message.h"

struct slot {
	uint64_t address;
	uint32_t data;
	uint32_t ctrl;      /* IMS_CTRL_* and PASID */
	uint32_t sending;   /* messages decided on, not yet handed to the sink */
	bool requested;     /* a handle was returned for it and not released */
	struct witness pending_witness; /* what set Pending */
};

/* The store looks at slots with the lock held. */
struct slots {
	pthread_mutex_t lock;
	pthread_cond_t sent;
	struct interrupt_sink sink;
	struct ledger *ledger;
	uint32_t count;
	uint32_t writable; /* bits of the control word that the host may write */
	uint32_t planted;  /* enum planted_fault; FAULT_NONE for ever in the build that ships */
	struct slot *slot;
};

/* No slot has its reset values yet: slots_reset(). Until then none is requested. False: out of memory. */
bool slots_init(struct slots *slots, uint32_t count, uint32_t writable, const struct interrupt_sink *sink, struct ledger *ledger);
void slots_destroy(struct slots *slots);

/* Offset in bytes from slot 0, size 4 or 8, aligned, within the slots. A write that sets Mask returns when no message of the slot is
 * on its way. */
uint64_t slots_read(struct slots *slots, uint64_t offset, unsigned size);
void slots_write(struct slots *slots, uint64_t offset, unsigned size, uint64_t value);

/* The functions below take the index of a slot that there is. */
void slots_set_requested(struct slots *slots, uint32_t index, bool requested);
void slots_wait_sent(struct slots *slots, uint32_t index);
void slots_set_ignore(struct slots *slots, uint32_t index, bool ignore);
bool slots_pending(struct slots *slots, uint32_t index);

/* ---- lock held ---- */

/* Of so many slots: masked, no message, no owner, not requested. Gives the lock up until no message of theirs is on its way. */
void slots_reset(struct slots *slots, uint32_t first, uint32_t count);
/* Gives the lock up until no message of so many slots is on its way. */
void slots_settle(struct slots *slots, uint32_t first, uint32_t count);
/* Dropped if Ignore is set, made pending if Mask is, else sent; gives the lock up meanwhile. */
void slots_raise(struct slots *slots, uint32_t index, const struct witness *witness);
/* Pending as if an interrupt had been masked, and no record of it: only for a planted fault. */
void slots_remember_pending(struct slots *slots, uint32_t index, const struct witness *witness);

#endif
