#include "slots.h"

#include <stdlib.h>

#include "regs.h"
#include "store_internal.h"

bool slots_init(struct slots *slots, uint32_t count, uint32_t writable, const struct interrupt_sink *sink, struct ledger *ledger)
{
	*slots = (struct slots){ .sink = *sink, .ledger = ledger, .count = count, .writable = writable };
	slots->slot = calloc(count, sizeof(*slots->slot));
	if (!slots->slot || pthread_mutex_init(&slots->lock, NULL) != 0)
		goto fail;
	if (pthread_cond_init(&slots->sent, NULL) != 0) {
		pthread_mutex_destroy(&slots->lock);
		goto fail;
	}
	return true;
fail:
	free(slots->slot);
	return false;
}

void slots_destroy(struct slots *slots)
{
	pthread_cond_destroy(&slots->sent);
	pthread_mutex_destroy(&slots->lock);
	free(slots->slot);
}

/* ---- messages; lock held ---- */

static void note(const struct slots *slots, const struct store_note *note, const struct witness *witness)
{
	store_write_note(slots->ledger, note, witness);
}

/* Gives the lock up while the sink has the message, so that a mask can wait for it. */
static void send_unlocking(struct slots *slots, uint32_t index, const struct witness *witness)
{
	struct slot *slot = &slots->slot[index];
	const struct interrupt_message message = {
		.address = slot->address,
		.data = slot->data,
		.entry = index,
		.witness = *witness,
	};
	const struct store_note fired = {
		.kind = LEDGER_FIRED,
		.entry = index,
		.detail = store_latency_ns(witness),
		.more_flags = slot->ctrl & IMS_CTRL_MASK ? LEDGER_F_MASKED : 0,
	};

	slot->sending++;
	pthread_mutex_unlock(&slots->lock);
	note(slots, &fired, witness);
	slots->sink.message(slots->sink.ctx, &message);
	pthread_mutex_lock(&slots->lock);
	if (--slot->sending == 0)
		pthread_cond_broadcast(&slots->sent);
}

static void await_sent(struct slots *slots, const struct slot *slot)
{
	while (slot->sending > 0)
		pthread_cond_wait(&slots->sent, &slots->lock);
}

void slots_settle(struct slots *slots, uint32_t first, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		await_sent(slots, &slots->slot[first + i]);
}

/* The time it waits masked is not the device's latency: no accepted_ns. */
void slots_remember_pending(struct slots *slots, uint32_t index, const struct witness *witness)
{
	struct slot *slot = &slots->slot[index];

	slot->ctrl |= IMS_CTRL_PENDING;
	slot->pending_witness = *witness;
	slot->pending_witness.accepted_ns = 0;
}

void slots_raise(struct slots *slots, uint32_t index, const struct witness *witness)
{
	const struct slot *slot = &slots->slot[index];

	if (slot->ctrl & IMS_CTRL_IGNORE) {
		note(slots, &(struct store_note){ .kind = LEDGER_IGNORED, .entry = index }, witness);
	} else if ((slot->ctrl & IMS_CTRL_MASK) && !FAULT(slots->planted, FAULT_MASK_IGNORED)) {
		slots_remember_pending(slots, index, witness);
		note(slots, &(struct store_note){ .kind = LEDGER_PENDED, .entry = index, .more_flags = LEDGER_F_MASKED }, witness);
	} else {
		send_unlocking(slots, index, witness);
	}
}

/* ---- registers; lock held ---- */

/* The upper 44 bits of an address must be 00000000FEEh, else the write is ignored (9.2.28); checked for each half. */
static bool address_half_ok(unsigned reg, uint32_t value)
{
	return reg == IMS_ADDR_HI ? value == 0 : (value & MSI_ADDRESS_MASK) == MSI_ADDRESS_BASE;
}

/* Mask, Ignore, PASID. When it returns, no message that the new value forbids is still on its way. */
static void write_ctrl(struct slots *slots, uint32_t index, uint32_t value)
{
	struct slot *slot = &slots->slot[index];

	slot->ctrl = (value & slots->writable) | (slot->ctrl & IMS_CTRL_PENDING);
	if (slot->ctrl & IMS_CTRL_MASK) {
		await_sent(slots, slot);
	} else if (slot->ctrl & IMS_CTRL_PENDING) {
		const struct witness witness = slot->pending_witness;

		slot->ctrl &= ~(uint32_t)IMS_CTRL_PENDING;
		send_unlocking(slots, index, &witness);
	}
}

static void write_dword(struct slots *slots, uint64_t offset, uint32_t value)
{
	const uint32_t index = (uint32_t)(offset / IMS_STRIDE);
	const unsigned reg = (unsigned)(offset % IMS_STRIDE);
	struct slot *slot = &slots->slot[index];

	switch (reg) {
	case IMS_ADDR_LO:
		if (address_half_ok(reg, value))
			slot->address = value & ~3u;
		break;
	case IMS_ADDR_HI:
		break; /* only 0 is taken, and 0 it is */
	case IMS_DATA:
		slot->data = value;
		break;
	default:
		write_ctrl(slots, index, value);
		break;
	}
}

static uint32_t read_dword(const struct slots *slots, uint64_t offset)
{
	const struct slot *slot = &slots->slot[offset / IMS_STRIDE];

	switch (offset % IMS_STRIDE) {
	case IMS_ADDR_LO:
		return (uint32_t)slot->address;
	case IMS_ADDR_HI:
		return (uint32_t)(slot->address >> 32);
	case IMS_DATA:
		return slot->data;
	default:
		return slot->ctrl;
	}
}

uint64_t slots_read(struct slots *slots, uint64_t offset, unsigned size)
{
	uint64_t value;

	pthread_mutex_lock(&slots->lock);
	value = read_dword(slots, offset);
	if (size == 8)
		value |= (uint64_t)read_dword(slots, offset + 4) << 32;
	pthread_mutex_unlock(&slots->lock);
	return value;
}

void slots_write(struct slots *slots, uint64_t offset, unsigned size, uint64_t value)
{
	/* An 8-byte write of an address is one write: refused as a whole. */
	if (size == 8 && offset % IMS_STRIDE == 0 &&
	    (!address_half_ok(IMS_ADDR_LO, (uint32_t)value) || !address_half_ok(IMS_ADDR_HI, (uint32_t)(value >> 32))))
		return;
	pthread_mutex_lock(&slots->lock);
	write_dword(slots, offset, (uint32_t)value);
	if (size == 8)
		write_dword(slots, offset + 4, (uint32_t)(value >> 32));
	pthread_mutex_unlock(&slots->lock);
}

/* ---- one slot ---- */

void slots_reset(struct slots *slots, uint32_t first, uint32_t count)
{
	for (uint32_t i = first; i < first + count; i++) {
		struct slot *slot = &slots->slot[i];

		slot->address = MSI_ADDRESS_BASE;
		slot->data = 0;
		slot->ctrl = IMS_CTRL_MASK;
		slot->requested = false;
		await_sent(slots, slot);
	}
}

void slots_set_requested(struct slots *slots, uint32_t index, bool requested)
{
	struct slot *slot = &slots->slot[index];

	pthread_mutex_lock(&slots->lock);
	slot->requested = requested;
	if (!requested)
		slot->ctrl &= ~(uint32_t)IMS_CTRL_PENDING;
	pthread_mutex_unlock(&slots->lock);
}

void slots_wait_sent(struct slots *slots, uint32_t index)
{
	pthread_mutex_lock(&slots->lock);
	slots_settle(slots, index, 1);
	pthread_mutex_unlock(&slots->lock);
}

void slots_set_ignore(struct slots *slots, uint32_t index, bool ignore)
{
	struct slot *slot = &slots->slot[index];

	pthread_mutex_lock(&slots->lock);
	slot->ctrl &= ~(uint32_t)IMS_CTRL_IGNORE;
	if (ignore)
		slot->ctrl |= IMS_CTRL_IGNORE;
	pthread_mutex_unlock(&slots->lock);
}

bool slots_pending(struct slots *slots, uint32_t index)
{
	bool pending;

	pthread_mutex_lock(&slots->lock);
	pending = slots->slot[index].ctrl & IMS_CTRL_PENDING;
	pthread_mutex_unlock(&slots->lock);
	return pending;
}
