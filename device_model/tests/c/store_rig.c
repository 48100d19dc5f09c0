#include "store_rig.h"

#include <string.h>

static bool memory_read(void *ctx, uint64_t address, void *data, size_t size)
{
	return host_memory_read(ctx, address, data, size);
}

static bool memory_update(void *ctx, uint64_t address, uint32_t clear, uint32_t set)
{
	return host_memory_update(ctx, address, clear, set, NULL);
}

static void on_message(void *ctx, const struct interrupt_message *message)
{
	struct store_rig *rig = ctx;

	if (rig->on_message)
		rig->on_message(rig, message);
	else
		rig->last = *message;
	atomic_fetch_add(&rig->messages, 1);
}

/* ---- owners ---- */

static uint32_t first_of(uint32_t wq)
{
	return 32 + wq * STORE_HANDLES;
}

void store_rig_table(struct store_rig *rig, uint32_t vm, uint32_t first, uint32_t count, bool valid)
{
	const uint64_t object = TABLE_OBJECTS + vm * TABLE_OBJECT_STRIDE;

	store_write(rig->store, object + TABLE_OBJECT_CTRL, 4, 0);
	store_write(rig->store, object + TABLE_OBJECT_FIRST, 4, first);
	store_write(rig->store, object + TABLE_OBJECT_COUNT, 4, count);
	store_write(rig->store, object + TABLE_OBJECT_CTRL, 4, valid);
}

static void write_memory(struct store_rig *rig, uint64_t address, uint64_t value, size_t size)
{
	CHECK(host_memory_write(rig->memory, address, &value, size));
}

static void lead(struct store_rig *rig, uint32_t wq)
{
	if (rig->organisation == STORE_TABLE) {
		store_rig_table(rig, 7 + wq, first_of(wq), STORE_HANDLES, true);
		store_write(rig->store, wq * 4, 4, TABLE_WQ_VALID | (7 + wq));
	} else if (rig->organisation == STORE_QUEUE) {
		rig->directory[wq] = host_memory_page(rig->memory);
		rig->page[wq] = host_memory_page(rig->memory);
		CHECK(rig->directory[wq] && rig->page[wq]);
		write_memory(rig, rig->directory[wq], rig->page[wq] | QUEUE_POINTER_VALID, 8);
		store_write(rig->store, wq * QUEUE_CONTEXT_STRIDE, 8, rig->directory[wq]);
		store_write(rig->store, wq * QUEUE_CONTEXT_STRIDE + QUEUE_CTRL, 4, QUEUE_VALID);
	}
}

void store_rig_make(struct store_rig *rig, enum organisation organisation)
{
	const struct interrupt_sink sink = { .ctx = rig, .message = on_message };
	uint32_t entries[256];
	const struct msix_config table = {
		.vectors = 256, .handles = true, .fired = LEDGER_FIRED, .pended = LEDGER_PENDED, .entries = entries,
	};
	struct store_config config = { .organisation = organisation, .num_wqs = STORE_WQS };

	*rig = (struct store_rig){ .organisation = organisation };
	for (uint32_t i = 0; i < 256; i++)
		entries[i] = i;
	rig->ledger = ledger_create(1024);
	rig->memory = host_memory_create();
	CHECK(rig->ledger && rig->memory);
	if (organisation == STORE_MSIX) {
		rig->msix = msix_create(&table, &sink, rig->ledger);
		CHECK(rig->msix);
		msix_set_bus_master(rig->msix, true);
		msix_set_capability(rig->msix, true, false);
	}
	if (organisation == STORE_ARRAY || organisation == STORE_TABLE)
		config.entries = 256;
	config.memory = (struct host_memory_port){ .ctx = rig->memory, .read = memory_read, .update = memory_update };
	config.msix = rig->msix;
	rig->store = store_create(&config, &sink, rig->ledger);
	CHECK(rig->store);
	for (uint32_t wq = 0; wq < STORE_WQS; wq++)
		lead(rig, wq);
}

void store_rig_drop(struct store_rig *rig)
{
	store_destroy(rig->store);
	msix_destroy(rig->msix);
	host_memory_destroy(rig->memory);
	ledger_destroy(rig->ledger);
}

/* ---- entries ---- */

uint16_t store_rig_handle(const struct store_rig *rig, uint32_t wq, uint32_t n)
{
	switch (rig->organisation) {
	case STORE_ARRAY:
		return (uint16_t)(first_of(wq) + n);
	case STORE_MSIX:
		return (uint16_t)(MSIX_FIRST + wq * STORE_HANDLES + n);
	default:
		return (uint16_t)n;
	}
}

uint32_t store_rig_entry(const struct store_rig *rig, uint32_t wq, uint32_t n)
{
	switch (rig->organisation) {
	case STORE_TABLE:
		return first_of(wq) + n;
	case STORE_QUEUE:
		return (uint32_t)(rig->page[wq] / IMS_STRIDE) + n;
	default:
		return store_rig_handle(rig, wq, n);
	}
}

static uint64_t register_of(const struct store_rig *rig, uint32_t wq, uint32_t n)
{
	const uint64_t offset = (uint64_t)store_rig_entry(rig, wq, n) * IMS_STRIDE;

	return rig->organisation == STORE_TABLE ? TABLE_ENTRIES + offset : offset;
}

/* address, data, control word: control last, so that it opens what is written. */
static void write_entry(struct store_rig *rig, uint32_t wq, uint32_t n, uint32_t data, uint32_t ctrl)
{
	const uint64_t at = register_of(rig, wq, n);

	if (rig->organisation == STORE_MSIX) {
		msix_write(rig->msix, at, 8, MSI_ADDRESS_BASE);
		msix_write_perm(rig->msix, store_rig_entry(rig, wq, n), ctrl);
		msix_write(rig->msix, at + MSIX_DATA, 8, data);
	} else if (rig->organisation == STORE_QUEUE) {
		write_memory(rig, at, MSI_ADDRESS_BASE, 8);
		write_memory(rig, at + IMS_DATA, data | (uint64_t)(ctrl | QUEUE_CTRL_REQUESTED) << 32, 8);
		store_rig_sync(rig, wq, n);
	} else {
		store_write(rig->store, at, 8, MSI_ADDRESS_BASE);
		store_write(rig->store, at + IMS_DATA, 8, data | (uint64_t)ctrl << 32);
	}
}

void store_rig_arm(struct store_rig *rig, uint32_t wq, uint32_t n, uint32_t data)
{
	write_entry(rig, wq, n, data, IMS_CTRL_PASID_EN | (PASID_BASE + wq) << 12);
	CHECK(store_request_handle(rig->store, store_rig_entry(rig, wq, n)));
}

void store_rig_give(struct store_rig *rig, uint32_t wq, uint32_t n, uint32_t pasid)
{
	write_entry(rig, wq, n, 0xBAD, IMS_CTRL_PASID_EN | pasid << 12);
}

static void mask_registers(struct store_rig *rig, uint32_t wq, uint32_t n, bool masked)
{
	const uint64_t at = register_of(rig, wq, n) + IMS_CTRL;
	const uint32_t ctrl = (uint32_t)store_read(rig->store, at, 4);

	store_write(rig->store, at, 4, masked ? ctrl | IMS_CTRL_MASK : ctrl & ~(uint32_t)IMS_CTRL_MASK);
}

void store_rig_mask(struct store_rig *rig, uint32_t wq, uint32_t n, bool masked)
{
	const uint32_t bit = IMS_CTRL_MASK;

	if (rig->organisation == STORE_MSIX) {
		msix_write(rig->msix, register_of(rig, wq, n) + MSIX_VCTRL, 4, masked);
	} else if (rig->organisation == STORE_QUEUE) {
		CHECK(host_memory_update(rig->memory, register_of(rig, wq, n) + IMS_CTRL, masked ? 0 : bit, masked ? bit : 0, NULL));
		store_rig_sync(rig, wq, n);
	} else {
		mask_registers(rig, wq, n, masked);
	}
}

void store_rig_sync(struct store_rig *rig, uint32_t wq, uint32_t handle)
{
	store_write(rig->store, wq * QUEUE_CONTEXT_STRIDE + QUEUE_SYNC, 4, handle);
}

bool store_rig_pending(struct store_rig *rig, uint32_t wq, uint32_t n)
{
	return store_pending(rig->store, store_rig_entry(rig, wq, n));
}

/* ---- the engine ---- */

static struct witness witness_of(uint32_t wq, uint16_t handle)
{
	return (struct witness){ .cause = 1, .requester = wq + 1, .pasid = PASID_BASE + wq, .wq = (uint16_t)wq, .handle = handle };
}

enum refusal store_rig_check(struct store_rig *rig, uint32_t wq, uint16_t handle)
{
	const struct witness witness = witness_of(wq, handle);

	return rig->msix ? msix_check(rig->msix, &witness, true) : store_check(rig->store, &witness, true);
}

void store_rig_raise(struct store_rig *rig, uint32_t wq, uint16_t handle)
{
	const struct witness witness = witness_of(wq, handle);

	if (rig->msix)
		msix_raise(rig->msix, handle, &witness);
	else
		store_raise(rig->store, &witness, true);
}

/* ---- the ledger ---- */

unsigned store_rig_kinds(struct store_rig *rig, uint8_t kinds[16])
{
	struct ledger_record records[15];
	uint64_t lost = 0;
	const size_t count = ledger_read(rig->ledger, records, 15, &lost);

	memset(kinds, 0, 16);
	for (size_t i = 0; i < count; i++)
		kinds[i] = records[i].kind;
	return (unsigned)count;
}

struct ledger_record store_rig_record(struct store_rig *rig)
{
	struct ledger_record record = { 0 };
	uint64_t lost = 0;

	while (ledger_read(rig->ledger, &record, 1, &lost) == 1)
		;
	return record;
}
