/*
 * store_table.c - organisation `table`: the work queue has the VM_ID of its virtual machine, that leads to a VM object, and the
 * object to the machine's own table of entries. A handle is an index into that table, so no handle of another machine can be
 * said at all, and no entry holds its owner's ID: what keeps machines apart is where the pointers lead, and the table's bound.
 *
 * Registers: VM_IDs of work queues at 0, 4 bytes each; VM objects from TABLE_OBJECTS, 16 bytes each; entries of the pool that tables are cut
 * from, from TABLE_ENTRIES, 16 bytes each as in an array, without fields for PASIDs.
 */
#include <stdlib.h>

#include "regs.h"
#include "slots.h"
#include "store_internal.h"

struct vm_object {
	uint32_t first, count; /* its table: entries of the pool */
	bool valid;
};

struct store_table {
	struct store store;
	struct slots slots; /* the pool; its lock guards all of this */
	uint32_t num_wqs;
	uint32_t *wq_vm; /* TABLE_WQ_VALID and VM_ID */
	struct vm_object *objects; /* TABLE_VMS */
};

static struct store_table *table_of(struct store *store)
{
	return (struct store_table *)store;
}

static void destroy(struct store *store)
{
	struct store_table *table = table_of(store);

	slots_destroy(&table->slots);
	free(table->wq_vm);
	free(table->objects);
	free(table);
}

static bool has_entry(struct store *store, uint32_t entry)
{
	return entry < table_of(store)->slots.count;
}

static uint64_t size(const struct store *store)
{
	return TABLE_ENTRIES + (uint64_t)((const struct store_table *)store)->slots.count * IMS_STRIDE;
}

/* ---- registers; lock held ---- */

static uint32_t read_object(const struct vm_object *object, unsigned reg)
{
	switch (reg) {
	case TABLE_OBJECT_FIRST:
		return object->first;
	case TABLE_OBJECT_COUNT:
		return object->count;
	case TABLE_OBJECT_CTRL:
		return object->valid ? TABLE_OBJECT_VALID : 0;
	default:
		return 0;
	}
}

static bool may_be_valid(const struct store_table *table, const struct vm_object *object)
{
	return object->count >= 1 && object->count <= TABLE_MAX_COUNT && object->first < table->slots.count &&
	       object->count <= table->slots.count - object->first;
}

/* A table that comes into use begins empty; one that goes out of use has no message on its way any more. */
static void set_valid(struct store_table *table, struct vm_object *object, bool valid)
{
	if (valid == object->valid || (valid && !may_be_valid(table, object)))
		return;
	if (valid) {
		slots_reset(&table->slots, object->first, object->count);
		object->valid = true;
	} else {
		object->valid = false;
		slots_settle(&table->slots, object->first, object->count);
	}
}

static void write_object(struct store_table *table, uint32_t vm, unsigned reg, uint32_t value)
{
	struct vm_object *object = &table->objects[vm];

	if (reg == TABLE_OBJECT_CTRL)
		set_valid(table, object, value & TABLE_OBJECT_VALID);
	else if (reg == TABLE_OBJECT_FIRST && !object->valid)
		object->first = value;
	else if (reg == TABLE_OBJECT_COUNT && !object->valid)
		object->count = value;
}

static uint32_t read_dword(const struct store_table *table, uint64_t offset)
{
	if (offset >= TABLE_OBJECTS) {
		const uint64_t within = offset - TABLE_OBJECTS;

		return read_object(&table->objects[within / TABLE_OBJECT_STRIDE], (unsigned)(within % TABLE_OBJECT_STRIDE));
	}
	return offset / 4 < table->num_wqs ? table->wq_vm[offset / 4] : 0;
}

static void write_dword(struct store_table *table, uint64_t offset, uint32_t value)
{
	if (offset >= TABLE_OBJECTS) {
		const uint64_t within = offset - TABLE_OBJECTS;

		write_object(table, (uint32_t)(within / TABLE_OBJECT_STRIDE), (unsigned)(within % TABLE_OBJECT_STRIDE), value);
	} else if (offset / 4 < table->num_wqs) {
		table->wq_vm[offset / 4] = value & TABLE_WQ_WRITABLE;
	}
}

static uint64_t read(struct store *store, uint64_t offset, unsigned bytes)
{
	struct store_table *table = table_of(store);
	uint64_t value;

	if (offset >= TABLE_ENTRIES)
		return slots_read(&table->slots, offset - TABLE_ENTRIES, bytes);
	pthread_mutex_lock(&table->slots.lock);
	value = read_dword(table, offset);
	if (bytes == 8)
		value |= (uint64_t)read_dword(table, offset + 4) << 32;
	pthread_mutex_unlock(&table->slots.lock);
	return value;
}

static void write(struct store *store, uint64_t offset, unsigned bytes, uint64_t value)
{
	struct store_table *table = table_of(store);

	if (offset >= TABLE_ENTRIES) {
		slots_write(&table->slots, offset - TABLE_ENTRIES, bytes, value);
		return;
	}
	pthread_mutex_lock(&table->slots.lock);
	write_dword(table, offset, (uint32_t)value);
	if (bytes == 8)
		write_dword(table, offset + 4, (uint32_t)(value >> 32));
	pthread_mutex_unlock(&table->slots.lock);
}

/* No work queue has a machine, no machine a table. */
static void reset(struct store *store)
{
	struct store_table *table = table_of(store);

	pthread_mutex_lock(&table->slots.lock);
	for (uint32_t i = 0; i < table->num_wqs; i++)
		table->wq_vm[i] = 0;
	for (uint32_t i = 0; i < TABLE_VMS; i++) {
		const struct vm_object was = table->objects[i];

		table->objects[i] = (struct vm_object){ 0 };
		if (was.valid)
			slots_settle(&table->slots, was.first, was.count);
	}
	pthread_mutex_unlock(&table->slots.lock);
}

static void set_requested(struct store *store, uint32_t entry, bool requested)
{
	slots_set_requested(&table_of(store)->slots, entry, requested);
}

static void wait_sent(struct store *store, uint32_t entry)
{
	slots_wait_sent(&table_of(store)->slots, entry);
}

static void set_ignore(struct store *store, uint32_t entry, bool ignore)
{
	slots_set_ignore(&table_of(store)->slots, entry, ignore);
}

static bool pending(struct store *store, uint32_t entry)
{
	return slots_pending(&table_of(store)->slots, entry);
}

/* ---- the way from a work queue to an entry; lock held ---- */

static bool valid(const struct store_table *table, bool bit)
{
	return bit || FAULT(table->slots.planted, FAULT_PASID_ENABLE_IGNORED);
}

/* NULL: the work queue leads to no table. */
static const struct vm_object *object_of(const struct store_table *table, uint32_t wq)
{
	const uint32_t vm = wq < table->num_wqs ? table->wq_vm[wq] : 0;
	const struct vm_object *object = &table->objects[vm & TABLE_WQ_VM];

	return valid(table, vm & TABLE_WQ_VALID) && valid(table, object->valid) ? object : NULL;
}

/* With the bound unchecked, what lies behind the table in the pool is reached; there is nothing behind the pool. */
static bool in_bounds(const struct store_table *table, const struct vm_object *object, uint32_t handle)
{
	if (handle >= object->count && !FAULT(table->slots.planted, FAULT_BOUND_UNCHECKED))
		return false;
	return object->first < table->slots.count && handle < table->slots.count - object->first;
}

/* *entry: UINT32_MAX if the handle leads nowhere. */
static enum refusal find(const struct store_table *table, const struct witness *witness, uint32_t *entry)
{
	const struct vm_object *object = object_of(table, witness->wq);

	*entry = UINT32_MAX;
	if (!object)
		return REFUSAL_NO_STORAGE;
	if (!in_bounds(table, object, witness->handle))
		return REFUSAL_OUT_OF_RANGE;
	*entry = object->first + witness->handle;
	if (!table->slots.slot[*entry].requested && !FAULT(table->slots.planted, FAULT_HANDLE_STATE_IGNORED))
		return REFUSAL_NOT_REQUESTED;
	return REFUSAL_NONE;
}

static enum refusal check(struct store *store, const struct witness *witness, bool pasid_enable, uint32_t *entry)
{
	struct store_table *table = table_of(store);
	enum refusal refusal;

	(void)pasid_enable; /* a PASID is for DMA only */
	pthread_mutex_lock(&table->slots.lock);
	refusal = find(table, witness, entry);
	if (refusal != REFUSAL_NONE && *entry != UINT32_MAX && FAULT(table->slots.planted, FAULT_PENDING_ON_REFUSAL))
		slots_remember_pending(&table->slots, *entry, witness);
	pthread_mutex_unlock(&table->slots.lock);
	return refusal;
}

static void raise(struct store *store, const struct witness *witness, bool pasid_enable)
{
	struct store_table *table = table_of(store);
	struct store_note vanished = { .kind = LEDGER_VANISHED };

	(void)pasid_enable;
	pthread_mutex_lock(&table->slots.lock);
	vanished.reason = (uint8_t)find(table, witness, &vanished.entry);
	if (vanished.reason == REFUSAL_NONE)
		slots_raise(&table->slots, vanished.entry, witness);
	else
		store_write_note(store->ledger, &vanished, witness);
	pthread_mutex_unlock(&table->slots.lock);
}

#ifdef VDSA_PLANTED_FAULTS
static void plant_fault(struct store *store, enum planted_fault fault)
{
	struct slots *slots = &table_of(store)->slots;

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

struct store *store_table_create(const struct store_config *config, const struct interrupt_sink *sink, struct ledger *ledger)
{
	struct store_table *table;

	if (config->entries == 0 || config->entries % 256 != 0 || config->entries > STORE_MAX_POOL)
		return NULL;
	table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	table->store = (struct store){ .ops = &ops, .organisation = STORE_TABLE, .ledger = ledger };
	table->num_wqs = config->num_wqs;
	table->wq_vm = calloc(config->num_wqs, sizeof(*table->wq_vm));
	table->objects = calloc(TABLE_VMS, sizeof(*table->objects));
	if (table->wq_vm && table->objects &&
	    slots_init(&table->slots, config->entries, IMS_CTRL_MASK | IMS_CTRL_IGNORE, sink, ledger))
		return &table->store;
	free(table->wq_vm);
	free(table->objects);
	free(table);
	return NULL;
}
