/*
 * store_array.c - organisation `array`: a fixed array of entries shared by all work queues, the owner's PASID in each (DSA
 * specification 9.2.28). A handle is the index of an entry in the whole device; what keeps an owner from another's entry is the
 * comparison of its PASID, and nothing else.
 */
#include <stdlib.h>

#include "owner.h"
#include "regs.h"
#include "slot_store.h"

static void destroy(struct store *store)
{
	slots_destroy(slots_of(store));
	free(store);
}

static uint64_t size(const struct store *store)
{
	return (uint64_t)((const struct slot_store *)store)->slots.count * IMS_STRIDE;
}

static uint64_t read(struct store *store, uint64_t offset, unsigned bytes)
{
	struct slots *slots = slots_of(store);
	uint64_t value;

	pthread_mutex_lock(&slots->lock);
	value = slots_read(slots, offset, bytes);
	pthread_mutex_unlock(&slots->lock);
	return value;
}

static void write(struct store *store, uint64_t offset, unsigned bytes, uint64_t value)
{
	struct slots *slots = slots_of(store);

	pthread_mutex_lock(&slots->lock);
	slots_write(slots, offset, bytes, value);
	pthread_mutex_unlock(&slots->lock);
}

static void reset(struct store *store)
{
	struct slots *slots = slots_of(store);

	pthread_mutex_lock(&slots->lock);
	slots_reset(slots, 0, slots->count);
	slots_settle(slots, 0, slots->count);
	pthread_mutex_unlock(&slots->lock);
}

/* ---- the check (5.4) ---- */

/* An entry's index; UINT32_MAX: out of range. With the bound unchecked, the address wraps. */
static uint32_t index_of(const struct slots *slots, uint32_t handle)
{
	if (FAULT(slots->planted, FAULT_BOUND_UNCHECKED))
		return handle % slots->count;
	return handle < slots->count ? handle : UINT32_MAX;
}

static enum refusal judge(const struct slots *slots, const struct witness *witness, bool pasid_enable)
{
	const uint32_t index = index_of(slots, witness->handle);
	const struct slot *entry;
	struct owner owner;

	if (index == UINT32_MAX)
		return REFUSAL_OUT_OF_RANGE;
	entry = &slots->slot[index];
	owner = (struct owner){
		.requested = entry->requested,
		.pasid_enable = entry->ctrl & IMS_CTRL_PASID_EN,
		.pasid = IMS_CTRL_PASID(entry->ctrl),
	};
	return owner_judge(&owner, witness, pasid_enable, slots->planted);
}

static enum refusal check(struct store *store, const struct witness *witness, bool pasid_enable, uint32_t *entry)
{
	struct slots *slots = slots_of(store);
	enum refusal refusal;

	pthread_mutex_lock(&slots->lock);
	*entry = index_of(slots, witness->handle);
	refusal = judge(slots, witness, pasid_enable);
	if (refusal != REFUSAL_NONE && *entry != UINT32_MAX && FAULT(slots->planted, FAULT_PENDING_ON_REFUSAL))
		slots_remember_pending(slots, *entry, witness);
	pthread_mutex_unlock(&slots->lock);
	return refusal;
}

static void raise(struct store *store, const struct witness *witness, bool pasid_enable)
{
	struct slots *slots = slots_of(store);
	uint32_t index;

	(void)pasid_enable;
	pthread_mutex_lock(&slots->lock);
	index = index_of(slots, witness->handle);
	if (index != UINT32_MAX)
		slots_raise(slots, index, witness);
	pthread_mutex_unlock(&slots->lock);
}

static const struct store_ops ops = {
	SLOT_STORE_OPS
	.destroy = destroy,
	.size = size,
	.read = read,
	.write = write,
	.reset = reset,
	.check = check,
	.raise = raise,
};

struct store *store_array_create(const struct store_config *config, const struct interrupt_sink *sink, struct ledger *ledger)
{
	struct slot_store *array;

	if (config->entries == 0 || config->entries % 256 != 0 || config->entries > STORE_MAX_ARRAY)
		return NULL;
	array = calloc(1, sizeof(*array));
	if (!array)
		return NULL;
	array->store = (struct store){ .ops = &ops, .organisation = STORE_ARRAY, .ledger = ledger };
	if (!slots_init(&array->slots, config->entries, IMS_CTRL_WRITABLE, sink, ledger)) {
		free(array);
		return NULL;
	}
	reset(&array->store);
	return &array->store;
}
