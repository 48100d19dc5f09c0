/* slot_store.h - what message stores have in common whose entries the device holds itself: the functions about one entry. */
#ifndef VDSA_CORE_SLOT_STORE_H
#define VDSA_CORE_SLOT_STORE_H

#include "slots.h"
#include "store_internal.h"

/* The first member of such an organisation's own structure. */
struct slot_store {
	struct store store;
	struct slots slots;
};

static inline struct slots *slots_of(struct store *store)
{
	return &((struct slot_store *)store)->slots;
}

/* For struct store_ops. */
bool slot_store_has_entry(struct store *store, uint32_t entry);
void slot_store_set_requested(struct store *store, uint32_t entry, bool requested);
void slot_store_wait_sent(struct store *store, uint32_t entry);
void slot_store_set_ignore(struct store *store, uint32_t entry, bool ignore);
bool slot_store_pending(struct store *store, uint32_t entry);

#ifdef VDSA_PLANTED_FAULTS
void slot_store_plant_fault(struct store *store, enum planted_fault fault);
#define SLOT_STORE_PLANT_FAULT .plant_fault = slot_store_plant_fault,
#else
#define SLOT_STORE_PLANT_FAULT
#endif

#define SLOT_STORE_OPS                                                                                                  \
	.has_entry = slot_store_has_entry, .set_requested = slot_store_set_requested, .wait_sent = slot_store_wait_sent, \
	.set_ignore = slot_store_set_ignore, .pending = slot_store_pending, SLOT_STORE_PLANT_FAULT

#endif
