/* store.c - what all organisations of the message store have in common: each call goes to the one of this device. */
#include <time.h>

#include "store_internal.h"

struct store *store_create(const struct store_config *config, const struct interrupt_sink *sink, struct ledger *ledger)
{
	switch (config->organisation) {
	case STORE_ARRAY:
		return store_array_create(config, sink, ledger);
	case STORE_TABLE:
		return store_table_create(config, sink, ledger);
	case STORE_QUEUE:
		return store_queue_create(config, sink, ledger);
	case STORE_MSIX:
		return store_msix_create(config, ledger);
	default:
		return NULL;
	}
}

void store_destroy(struct store *store)
{
	if (store)
		store->ops->destroy(store);
}

bool store_has_entry(struct store *store, uint32_t entry)
{
	return store && store->ops->has_entry(store, entry);
}

enum portal store_portal(const struct store *store)
{
	return store && store->organisation == STORE_MSIX ? PORTAL_MSIX : PORTAL_IMS;
}

uint64_t store_size(const struct store *store)
{
	return store ? store->ops->size(store) : 0;
}

static bool access_ok(const struct store *store, uint64_t offset, unsigned size)
{
	return (size == 4 || size == 8) && offset % size == 0 && offset < store_size(store);
}

uint64_t store_read(struct store *store, uint64_t offset, unsigned size)
{
	return access_ok(store, offset, size) ? store->ops->read(store, offset, size) : 0;
}

void store_write(struct store *store, uint64_t offset, unsigned size, uint64_t value)
{
	if (access_ok(store, offset, size))
		store->ops->write(store, offset, size, value);
}

void store_reset(struct store *store)
{
	if (store)
		store->ops->reset(store);
}

static bool set_requested(struct store *store, uint32_t entry, bool requested)
{
	if (!store_has_entry(store, entry))
		return false;
	store->ops->set_requested(store, entry, requested);
	return true;
}

bool store_request_handle(struct store *store, uint32_t entry)
{
	return set_requested(store, entry, true);
}

bool store_release_handle(struct store *store, uint32_t entry)
{
	return set_requested(store, entry, false);
}

bool store_takes_commands(const struct store *store)
{
	return store && store->organisation == STORE_ARRAY;
}

void store_wait_sent(struct store *store, uint32_t entry)
{
	if (store_has_entry(store, entry))
		store->ops->wait_sent(store, entry);
}

void store_set_ignore(struct store *store, uint32_t entry, bool ignore)
{
	if (store_has_entry(store, entry))
		store->ops->set_ignore(store, entry, ignore);
}

bool store_pending(struct store *store, uint32_t entry)
{
	return store_has_entry(store, entry) && store->ops->pending(store, entry);
}

enum refusal store_check(struct store *store, const struct witness *witness, bool pasid_enable)
{
	struct store_note note = { .entry = UINT32_MAX };
	const enum refusal refusal = store->ops->check(store, witness, pasid_enable, &note.entry);

	note.kind = refusal == REFUSAL_NONE ? LEDGER_GRANTED : LEDGER_REFUSED;
	note.reason = (uint8_t)refusal;
	store_write_note(store->ledger, &note, witness);
	return refusal;
}

void store_raise(struct store *store, const struct witness *witness, bool pasid_enable)
{
	store->ops->raise(store, witness, pasid_enable);
}

#ifdef VDSA_PLANTED_FAULTS
void store_plant_fault(struct store *store, enum planted_fault fault)
{
	if (store && store->ops->plant_fault)
		store->ops->plant_fault(store, fault);
}
#endif

void store_write_note(struct ledger *ledger, const struct store_note *note, const struct witness *witness)
{
	const struct ledger_record record = {
		.cause = witness->cause,
		.detail = note->detail,
		.requester = witness->requester,
		.pasid = witness->pasid,
		.entry = note->entry,
		.handle = witness->handle,
		.wq = witness->wq,
		.kind = note->kind,
		.reason = note->reason,
		.opcode = witness->opcode,
		.flags = (uint8_t)(witness->flags | note->more_flags),
	};

	ledger_write(ledger, &record);
}

uint64_t store_latency_ns(const struct witness *witness)
{
	struct timespec now;

	if (!witness->accepted_ns)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec - witness->accepted_ns;
}
