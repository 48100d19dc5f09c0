#include "ims.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "regs.h"

struct ims_entry {
	uint64_t address;
	uint32_t data;
	uint32_t ctrl;      /* IMS_CTRL_* and PASID */
	bool requested;     /* a handle was returned for it and not released */
	uint32_t sending;   /* messages decided on, not yet handed to the sink */
	struct witness pending_witness; /* what set Pending */
};

struct ims {
	pthread_mutex_t lock;
	pthread_cond_t sent;
	struct interrupt_sink sink;
	struct ledger *ledger;
	uint32_t num_entries;
	uint32_t planted; /* enum planted_fault; FAULT_NONE for ever in the build that ships */
	struct ims_entry *entries;
};

static void entry_reset(struct ims_entry *entry)
{
	entry->address = MSI_ADDRESS_BASE;
	entry->data = 0;
	entry->ctrl = IMS_CTRL_MASK;
	entry->requested = false;
}

struct ims *ims_create(uint32_t num_entries, const struct interrupt_sink *sink, struct ledger *ledger)
{
	struct ims *ims;

	if (num_entries == 0 || num_entries % 256 != 0 || num_entries > 63 * 256)
		return NULL;
	ims = calloc(1, sizeof(*ims));
	if (!ims)
		return NULL;
	ims->entries = calloc(num_entries, sizeof(*ims->entries));
	if (!ims->entries || pthread_mutex_init(&ims->lock, NULL) != 0)
		goto fail;
	if (pthread_cond_init(&ims->sent, NULL) != 0) {
		pthread_mutex_destroy(&ims->lock);
		goto fail;
	}
	ims->sink = *sink;
	ims->ledger = ledger;
	ims->num_entries = num_entries;
	for (uint32_t i = 0; i < num_entries; i++)
		entry_reset(&ims->entries[i]);
	return ims;
fail:
	free(ims->entries);
	free(ims);
	return NULL;
}

void ims_destroy(struct ims *ims)
{
	if (!ims)
		return;
	pthread_cond_destroy(&ims->sent);
	pthread_mutex_destroy(&ims->lock);
	free(ims->entries);
	free(ims);
}

uint32_t ims_num_entries(const struct ims *ims)
{
	return ims ? ims->num_entries : 0;
}

#ifdef VDSA_PLANTED_FAULTS
void ims_plant_fault(struct ims *ims, enum planted_fault fault)
{
	pthread_mutex_lock(&ims->lock);
	ims->planted = fault;
	pthread_mutex_unlock(&ims->lock);
}
#endif

static void note(const struct ims *ims, uint8_t kind, uint32_t entry, const struct witness *witness, uint8_t reason,
		 uint8_t more_flags, uint64_t detail)
{
	const struct ledger_record record = {
		.cause = witness->cause,
		.detail = detail,
		.requester = witness->requester,
		.pasid = witness->pasid,
		.entry = entry,
		.handle = witness->handle,
		.wq = witness->wq,
		.kind = kind,
		.reason = reason,
		.opcode = witness->opcode,
		.flags = (uint8_t)(witness->flags | more_flags),
	};

	ledger_write(ims->ledger, &record);
}

static uint64_t ns_since(uint64_t start_ns)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec - start_ns;
}

/* Called with the lock held; gives the lock up while the sink has the message, so that a mask can wait for it. */
static void send_unlocking(struct ims *ims, uint32_t index, const struct witness *witness)
{
	struct ims_entry *entry = &ims->entries[index];
	const struct interrupt_message message = {
		.address = entry->address,
		.data = entry->data,
		.entry = index,
		.witness = *witness,
	};
	const uint8_t masked = entry->ctrl & IMS_CTRL_MASK ? LEDGER_F_MASKED : 0;

	entry->sending++;
	pthread_mutex_unlock(&ims->lock);
	note(ims, LEDGER_FIRED, index, witness, 0, masked, witness->accepted_ns ? ns_since(witness->accepted_ns) : 0);
	ims->sink.message(ims->sink.ctx, &message);
	pthread_mutex_lock(&ims->lock);
	if (--entry->sending == 0)
		pthread_cond_broadcast(&ims->sent);
}

/* The upper 44 bits of an address must be 00000000FEEh, else the write is ignored (9.2.28); checked for each half. */
static bool address_half_ok(unsigned reg, uint32_t value)
{
	return reg == IMS_ADDR_HI ? value == 0 : (value & MSI_ADDRESS_MASK) == MSI_ADDRESS_BASE;
}

/* Mask, Ignore, PASID. When it returns, no message that the new value forbids is still on its way. Lock held. */
static void write_ctrl(struct ims *ims, uint32_t index, uint32_t value)
{
	struct ims_entry *entry = &ims->entries[index];

	entry->ctrl = (value & IMS_CTRL_WRITABLE) | (entry->ctrl & IMS_CTRL_PENDING);
	if (entry->ctrl & IMS_CTRL_MASK) {
		while (entry->sending > 0)
			pthread_cond_wait(&ims->sent, &ims->lock);
	} else if (entry->ctrl & IMS_CTRL_PENDING) {
		const struct witness witness = entry->pending_witness;

		entry->ctrl &= ~(uint32_t)IMS_CTRL_PENDING;
		send_unlocking(ims, index, &witness);
	}
}

static void write_dword(struct ims *ims, uint64_t offset, uint32_t value)
{
	const uint32_t index = (uint32_t)(offset / IMS_STRIDE);
	const unsigned reg = (unsigned)(offset % IMS_STRIDE);
	struct ims_entry *entry = &ims->entries[index];

	switch (reg) {
	case IMS_ADDR_LO:
		if (address_half_ok(reg, value))
			entry->address = value & ~3u;
		break;
	case IMS_ADDR_HI:
		break; /* only 0 is taken, and 0 it is */
	case IMS_DATA:
		entry->data = value;
		break;
	default:
		write_ctrl(ims, index, value);
		break;
	}
}

static uint32_t read_dword(const struct ims *ims, uint64_t offset)
{
	const struct ims_entry *entry = &ims->entries[offset / IMS_STRIDE];

	switch (offset % IMS_STRIDE) {
	case IMS_ADDR_LO:
		return (uint32_t)entry->address;
	case IMS_ADDR_HI:
		return (uint32_t)(entry->address >> 32);
	case IMS_DATA:
		return entry->data;
	default:
		return entry->ctrl;
	}
}

static bool access_ok(const struct ims *ims, uint64_t offset, unsigned size)
{
	const uint64_t end = (uint64_t)ims->num_entries * IMS_STRIDE;

	return (size == 4 || size == 8) && offset % size == 0 && offset < end;
}

uint64_t ims_read(struct ims *ims, uint64_t offset, unsigned size)
{
	uint64_t value;

	if (!access_ok(ims, offset, size))
		return 0;
	pthread_mutex_lock(&ims->lock);
	value = read_dword(ims, offset);
	if (size == 8)
		value |= (uint64_t)read_dword(ims, offset + 4) << 32;
	pthread_mutex_unlock(&ims->lock);
	return value;
}

void ims_write(struct ims *ims, uint64_t offset, unsigned size, uint64_t value)
{
	if (!access_ok(ims, offset, size))
		return;
	/* An 8-byte write of an address is one write: refused as a whole. */
	if (size == 8 && offset % IMS_STRIDE == 0 &&
	    (!address_half_ok(IMS_ADDR_LO, (uint32_t)value) || !address_half_ok(IMS_ADDR_HI, (uint32_t)(value >> 32))))
		return;
	pthread_mutex_lock(&ims->lock);
	write_dword(ims, offset, (uint32_t)value);
	if (size == 8)
		write_dword(ims, offset + 4, (uint32_t)(value >> 32));
	pthread_mutex_unlock(&ims->lock);
}

void ims_reset(struct ims *ims)
{
	pthread_mutex_lock(&ims->lock);
	for (uint32_t i = 0; i < ims->num_entries; i++) {
		entry_reset(&ims->entries[i]);
		while (ims->entries[i].sending > 0)
			pthread_cond_wait(&ims->sent, &ims->lock);
	}
	pthread_mutex_unlock(&ims->lock);
}

static bool set_requested(struct ims *ims, uint32_t entry, bool requested)
{
	if (entry >= ims_num_entries(ims))
		return false;
	pthread_mutex_lock(&ims->lock);
	ims->entries[entry].requested = requested;
	if (!requested)
		ims->entries[entry].ctrl &= ~(uint32_t)IMS_CTRL_PENDING;
	pthread_mutex_unlock(&ims->lock);
	return true;
}

bool ims_request_handle(struct ims *ims, uint32_t entry)
{
	return set_requested(ims, entry, true);
}

bool ims_release_handle(struct ims *ims, uint32_t entry)
{
	return set_requested(ims, entry, false);
}

void ims_wait_sent(struct ims *ims, uint32_t entry)
{
	if (entry >= ims_num_entries(ims))
		return;
	pthread_mutex_lock(&ims->lock);
	while (ims->entries[entry].sending > 0)
		pthread_cond_wait(&ims->sent, &ims->lock);
	pthread_mutex_unlock(&ims->lock);
}

void ims_set_ignore(struct ims *ims, uint32_t entry, bool ignore)
{
	if (entry >= ims_num_entries(ims))
		return;
	pthread_mutex_lock(&ims->lock);
	ims->entries[entry].ctrl &= ~(uint32_t)IMS_CTRL_IGNORE;
	if (ignore)
		ims->entries[entry].ctrl |= IMS_CTRL_IGNORE;
	pthread_mutex_unlock(&ims->lock);
}

bool ims_pending(struct ims *ims, uint32_t entry)
{
	bool pending = false;

	if (entry >= ims_num_entries(ims))
		return false;
	pthread_mutex_lock(&ims->lock);
	pending = ims->entries[entry].ctrl & IMS_CTRL_PENDING;
	pthread_mutex_unlock(&ims->lock);
	return pending;
}

/* The time it waits masked is not the device's latency: no accepted_ns. */
static void remember_pending(struct ims_entry *entry, const struct witness *witness)
{
	entry->ctrl |= IMS_CTRL_PENDING;
	entry->pending_witness = *witness;
	entry->pending_witness.accepted_ns = 0;
}

static bool pasid_check_skipped(const struct ims *ims, const struct witness *witness)
{
	return FAULT(ims->planted, FAULT_PASID_CHECK_SKIPPED) ||
	       (FAULT(ims->planted, FAULT_MEMBER_PASID_SKIPPED) && (witness->flags & LEDGER_F_MEMBER));
}

static enum refusal judge(const struct ims *ims, const struct witness *witness, bool pasid_enable)
{
	const struct ims_entry *entry;
	bool entry_enable;

	if (witness->handle >= ims->num_entries)
		return REFUSAL_OUT_OF_RANGE;
	entry = &ims->entries[witness->handle];
	entry_enable = entry->ctrl & IMS_CTRL_PASID_EN;
	if (!entry->requested && !FAULT(ims->planted, FAULT_HANDLE_STATE_IGNORED))
		return REFUSAL_NOT_REQUESTED;
	if (entry_enable != pasid_enable && !FAULT(ims->planted, FAULT_PASID_ENABLE_IGNORED))
		return REFUSAL_PASID_ENABLE;
	if (entry_enable && IMS_CTRL_PASID(entry->ctrl) != witness->pasid && !pasid_check_skipped(ims, witness))
		return REFUSAL_PASID;
	return REFUSAL_NONE;
}

enum refusal ims_check(struct ims *ims, const struct witness *witness, bool pasid_enable)
{
	const uint32_t entry = witness->handle < ims->num_entries ? witness->handle : UINT32_MAX;
	enum refusal refusal;

	pthread_mutex_lock(&ims->lock);
	refusal = judge(ims, witness, pasid_enable);
	if (refusal != REFUSAL_NONE && entry != UINT32_MAX && FAULT(ims->planted, FAULT_PENDING_ON_REFUSAL)) {
		remember_pending(&ims->entries[entry], witness);
	}
	pthread_mutex_unlock(&ims->lock);
	note(ims, refusal == REFUSAL_NONE ? LEDGER_GRANTED : LEDGER_REFUSED, entry, witness, (uint8_t)refusal, 0, 0);
	return refusal;
}

void ims_raise(struct ims *ims, uint32_t index, const struct witness *witness)
{
	struct ims_entry *entry;

	if (index >= ims->num_entries)
		return;
	entry = &ims->entries[index];
	pthread_mutex_lock(&ims->lock);
	if (entry->ctrl & IMS_CTRL_IGNORE) {
		note(ims, LEDGER_IGNORED, index, witness, 0, 0, 0);
	} else if ((entry->ctrl & IMS_CTRL_MASK) && !FAULT(ims->planted, FAULT_MASK_IGNORED)) {
		remember_pending(entry, witness);
		note(ims, LEDGER_PENDED, index, witness, 0, LEDGER_F_MASKED, 0);
	} else {
		send_unlocking(ims, index, witness);
	}
	pthread_mutex_unlock(&ims->lock);
}
