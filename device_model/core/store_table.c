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
#include "slot_store.h"

struct vm_object {
	uint32_t first, count; /* its table: entries of the pool */
	bool valid;
};

struct store_table {
	struct slot_store pool; /* its lock guards all of this */
	uint32_t num_wqs;
	uint32_t *wq_vm; /* TABLE_WQ_VALID and VM_ID */
	struct vm_object *objects; /* TABLE_VMS */
	uint16_t *tables; /* of each entry of the pool: how many valid tables it is in */
};

static struct store_table *table_of(struct store *store)
{
	return (struct store_table *)store;
}

static void destroy(struct store *store)
{
	struct store_table *table = table_of(store);

	slots_destroy(&table->pool.slots);
	free(table->wq_vm);
	free(table->objects);
	free(table->tables);
	free(table);
}

static uint64_t size(const struct store *store)
{
	return TABLE_ENTRIES + (uint64_t)((const struct slot_store *)store)->slots.count * IMS_STRIDE;
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
	return object->count >= 1 && object->count <= TABLE_MAX_COUNT && object->first < table->pool.slots.count &&
	       object->count <= table->pool.slots.count - object->first;
}

static void count_tables(struct store_table *table, const struct vm_object *object, int change)
{
	for (uint32_t i = 0; i < object->count; i++)
		table->tables[object->first + i] = (uint16_t)(table->tables[object->first + i] + change);
}

/* A table begins empty and leaves nothing behind; one that goes out of use has no message on its way any more. Gives the lock up. */
static void set_valid(struct store_table *table, struct vm_object *object, bool valid)
{
	if (valid == object->valid || (valid && !may_be_valid(table, object)))
		return;
	object->valid = valid;
	count_tables(table, object, valid ? 1 : -1);
	slots_reset(&table->pool.slots, object->first, object->count);
	slots_settle(&table->pool.slots, object->first, object->count);
}

/* Gives the lock up until no message of the queue is on its way to where it led before. */
static void write_wq(struct store_table *table, uint32_t wq, uint32_t value)
{
	const uint32_t was = table->wq_vm[wq];

	table->wq_vm[wq] = value & TABLE_WQ_WRITABLE;
	if ((was & TABLE_WQ_VALID) && was != table->wq_vm[wq])
		flights_wait_wq(&table->pool.slots.flights, &table->pool.slots.lock, (uint16_t)wq);
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
		write_wq(table, (uint32_t)(offset / 4), value);
	}
}

/* Entries that are in no valid table read as 0 and take nothing. */
static bool in_a_table(const struct store_table *table, uint64_t offset)
{
	return table->tables[(offset - TABLE_ENTRIES) / IMS_STRIDE] > 0;
}

static uint64_t read(struct store *store, uint64_t offset, unsigned bytes)
{
	struct store_table *table = table_of(store);
	uint64_t value = 0;

	pthread_mutex_lock(&table->pool.slots.lock);
	if (offset < TABLE_ENTRIES) {
		value = read_dword(table, offset);
		if (bytes == 8)
			value |= (uint64_t)read_dword(table, offset + 4) << 32;
	} else if (in_a_table(table, offset)) {
		value = slots_read(&table->pool.slots, offset - TABLE_ENTRIES, bytes);
	}
	pthread_mutex_unlock(&table->pool.slots.lock);
	return value;
}

static void write(struct store *store, uint64_t offset, unsigned bytes, uint64_t value)
{
	struct store_table *table = table_of(store);

	pthread_mutex_lock(&table->pool.slots.lock);
	if (offset < TABLE_ENTRIES) {
		write_dword(table, offset, (uint32_t)value);
		if (bytes == 8)
			write_dword(table, offset + 4, (uint32_t)(value >> 32));
	} else if (in_a_table(table, offset)) {
		slots_write(&table->pool.slots, offset - TABLE_ENTRIES, bytes, value);
	}
	pthread_mutex_unlock(&table->pool.slots.lock);
}

static void forget_object(struct store_table *table, struct vm_object *object)
{
	if (object->valid) {
		count_tables(table, object, -1);
		slots_reset(&table->pool.slots, object->first, object->count);
	}
	*object = (struct vm_object){ 0 };
}

/* No work queue has a machine, no machine a table. */
static void reset(struct store *store)
{
	struct store_table *table = table_of(store);

	pthread_mutex_lock(&table->pool.slots.lock);
	for (uint32_t i = 0; i < table->num_wqs; i++)
		table->wq_vm[i] = 0;
	for (uint32_t i = 0; i < TABLE_VMS; i++)
		forget_object(table, &table->objects[i]);
	slots_settle(&table->pool.slots, 0, table->pool.slots.count);
	pthread_mutex_unlock(&table->pool.slots.lock);
}

/* ---- the way from a work queue to an entry; lock held ---- */

static bool valid(const struct store_table *table, bool bit)
{
	return bit || FAULT(table->pool.slots.planted, FAULT_PASID_ENABLE_IGNORED);
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
	if (handle >= object->count && !FAULT(table->pool.slots.planted, FAULT_BOUND_UNCHECKED))
		return false;
	return object->first < table->pool.slots.count && handle < table->pool.slots.count - object->first;
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
	if (!table->pool.slots.slot[*entry].requested && !FAULT(table->pool.slots.planted, FAULT_HANDLE_STATE_IGNORED))
		return REFUSAL_NOT_REQUESTED;
	return REFUSAL_NONE;
}

static enum refusal check(struct store *store, const struct witness *witness, bool pasid_enable, uint32_t *entry)
{
	struct store_table *table = table_of(store);
	enum refusal refusal;

	(void)pasid_enable; /* a PASID is for DMA only */
	pthread_mutex_lock(&table->pool.slots.lock);
	refusal = find(table, witness, entry);
	if (refusal != REFUSAL_NONE && *entry != UINT32_MAX && FAULT(table->pool.slots.planted, FAULT_PENDING_ON_REFUSAL))
		slots_remember_pending(&table->pool.slots, *entry, witness);
	pthread_mutex_unlock(&table->pool.slots.lock);
	return refusal;
}

static void raise(struct store *store, const struct witness *witness, bool pasid_enable)
{
	struct store_table *table = table_of(store);
	struct store_note vanished = { .kind = LEDGER_VANISHED };

	(void)pasid_enable;
	pthread_mutex_lock(&table->pool.slots.lock);
	vanished.reason = (uint8_t)find(table, witness, &vanished.entry);
	if (vanished.reason == REFUSAL_NONE)
		slots_raise(&table->pool.slots, vanished.entry, witness);
	else
		store_write_note(store->ledger, &vanished, witness);
	pthread_mutex_unlock(&table->pool.slots.lock);
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

struct store *store_table_create(const struct store_config *config, const struct interrupt_sink *sink, struct ledger *ledger)
{
	struct store_table *table;

	if (config->entries == 0 || config->entries % 256 != 0 || config->entries > STORE_MAX_POOL)
		return NULL;
	table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	table->pool.store = (struct store){ .ops = &ops, .organisation = STORE_TABLE, .ledger = ledger };
	table->num_wqs = config->num_wqs;
	table->wq_vm = calloc(config->num_wqs, sizeof(*table->wq_vm));
	table->objects = calloc(TABLE_VMS, sizeof(*table->objects));
	table->tables = calloc(config->entries, sizeof(*table->tables));
	if (table->wq_vm && table->objects && table->tables &&
	    slots_init(&table->pool.slots, config->entries, IMS_CTRL_MASK | IMS_CTRL_IGNORE, sink, ledger))
		return &table->pool.store;
	free(table->wq_vm);
	free(table->objects);
	free(table->tables);
	free(table);
	return NULL;
}
