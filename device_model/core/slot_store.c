#include "slot_store.h"

bool slot_store_has_entry(struct store *store, uint32_t entry)
{
	return entry < slots_of(store)->count;
}

void slot_store_set_requested(struct store *store, uint32_t entry, bool requested)
{
	slots_set_requested(slots_of(store), entry, requested);
}

void slot_store_wait_sent(struct store *store, uint32_t entry)
{
	slots_wait_sent(slots_of(store), entry);
}

void slot_store_set_ignore(struct store *store, uint32_t entry, bool ignore)
{
	slots_set_ignore(slots_of(store), entry, ignore);
}

bool slot_store_pending(struct store *store, uint32_t entry)
{
	return slots_pending(slots_of(store), entry);
}

#ifdef VDSA_PLANTED_FAULTS
void slot_store_plant_fault(struct store *store, enum planted_fault fault)
{
	struct slots *slots = slots_of(store);

	pthread_mutex_lock(&slots->lock);
	slots->planted = fault;
	pthread_mutex_unlock(&slots->lock);
}
#endif
