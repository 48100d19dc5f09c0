/*
 * store_array.c - organisation `array`: a fixed array of entries shared by all work queues, the owner's PASID in each (DSA
 * specification 9.2.28). A handle is the index of an entry in the whole device; what keeps an owner from another's entry is the
 * comparison of its PASID, and nothing else.
 */
#include <stdlib.h>

#include "regs.h"
#include "slots.h"
#include "store_internal.h"

struct store_array {
	struct store store;
	struct slots slots;
};

static struct store_array *array_of(struct store *store)
{
	return (struct store_array *)store;
}

static const struct store_array *const_array_of(const struct store *store)
{
	return (const struct store_array *)store;
}

static void destroy(struct store *store)
{
	slots_destroy(&array_of(store)->slots);
	free(store);
}

static bool has_entry(struct store *store, uint32_t entry)
{
	return entry < array_of(store)->slots.count;
}

static uint64_t size(const struct store *store)
{
	return (uint64_t)const_array_of(store)->slots.count * IMS_STRIDE;
}

static uint64_t read(struct store *store, uint64_t offset, unsigned bytes)
{
	return slots_read(&array_of(store)->slots, offset, bytes);
}

static void write(struct store *store, uint64_t offset, unsigned bytes, uint64_t value)
{
	slots_write(&array_of(store)->slots, offset, bytes, value);
}

static void reset(struct store *store)
{
	struct slots *slots = &array_of(store)->slots;

	pthread_mutex_lock(&slots->lock);
	slots_reset(slots, 0, slots->count);
	pthread_mutex_unlock(&slots->lock);
}

static void set_requested(struct store *store, uint32_t entry, bool requested)
{
	slots_set_requested(&array_of(store)->slots, entry, requested);
}

static void wait_sent(struct store *store, uint32_t entry)
{
	slots_wait_sent(&array_of(store)->slots, entry);
}

static void set_ignore(struct store *store, uint32_t entry, bool ignore)
{
	slots_set_ignore(&array_of(store)->slots, entry, ignore);
}

static bool pending(struct store *store, uint32_t entry)
{
	return slots_pending(&array_of(store)->slots, entry);
}

/* ---- the check (5.4) ---- */

static bool pasid_check_skipped(const struct slots *slots, const struct witness *witness)
{
	return FAULT(slots->planted, FAULT_PASID_CHECK_SKIPPED) ||
	       (FAULT(slots->planted, FAULT_MEMBER_PASID_SKIPPED) && (witness->flags & LEDGER_F_MEMBER));
}

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
	bool entry_enable;

	if (index == UINT32_MAX)
		return REFUSAL_OUT_OF_RANGE;
	entry = &slots->slot[index];
	entry_enable = entry->ctrl & IMS_CTRL_PASID_EN;
	if (!entry->requested && !FAULT(slots->planted, FAULT_HANDLE_STATE_IGNORED))
		return REFUSAL_NOT_REQUESTED;
	if (entry_enable != pasid_enable && !FAULT(slots->planted, FAULT_PASID_ENABLE_IGNORED))
		return REFUSAL_PASID_ENABLE;
	if (entry_enable && IMS_CTRL_PASID(entry->ctrl) != witness->pasid && !pasid_check_skipped(slots, witness))
		return REFUSAL_PASID;
	return REFUSAL_NONE;
}

static enum refusal check(struct store *store, const struct witness *witness, bool pasid_enable, uint32_t *entry)
{
	struct slots *slots = &array_of(store)->slots;
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
	struct slots *slots = &array_of(store)->slots;
	const uint32_t index = index_of(slots, witness->handle);

	(void)pasid_enable;
	if (index == UINT32_MAX)
		return;
	pthread_mutex_lock(&slots->lock);
	slots_raise(slots, index, witness);
	pthread_mutex_unlock(&slots->lock);
}

#ifdef VDSA_PLANTED_FAULTS
static void plant_fault(struct store *store, enum planted_fault fault)
{
	struct slots *slots = &array_of(store)->slots;

	pthread_mutex_lock(&slots->lock);
	slots->planted = fault;
	pthread_mutex_unlock(&slots->lock);
}
#endif

static const struct store_ops ops = {
	.destroy = destroy,
	.has_entry = has_entry,
	.size = size,
	.read = read,
	.write = write,
	.reset = reset,
	.set_requested = set_requested,
	.wait_sent = wait_sent,
	.set_ignore = set_ignore,
	.pending = pending,
	.check = check,
	.raise = raise,
#ifdef VDSA_PLANTED_FAULTS
	.plant_fault = plant_fault,
#endif
};

struct store *store_array_create(const struct store_config *config, const struct interrupt_sink *sink, struct ledger *ledger)
{
	struct store_array *array;

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
