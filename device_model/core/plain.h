/*
 * plain.h - the short way of what most batches are made of: Memory Moves one after the other, all of the same form, with a record that
 * is always written and without an interrupt, whose addresses are at hand.
 *
 * Nothing of that can fail, and nothing leaves the device but DMA. What is not so goes the long way (execute.c), and what comes of a
 * descriptor is the same on both. Inline, and what it looks at is in variables of its own: beside a copy of 4 KiB that a core has in
 * its cache each access to memory counts.
 */
#ifndef VDSA_CORE_PLAIN_H
#define VDSA_CORE_PLAIN_H

#include "at_hand.h"
#include "operation.h"
#include "turn.h"

/* Bytes 4 to 7, flags and operation, of plain moves like the descriptor that was found right last; 0, which none has: it was no such. */
static inline uint32_t plain_form(const struct turn *turn)
{
	const uint32_t looked_at = DESC_F_FENCE | DESC_F_CRAV | DESC_F_RCR | DESC_F_RCI;

	if (turn->known != &operation_memmove || turn->terms.iaa || (turn->known_flags & looked_at) != (DESC_F_CRAV | DESC_F_RCR))
		return 0;
	return turn->known_flags | (uint32_t)OP_MEMMOVE << 24;
}

/* One of this form, of which nothing is left to be refused: size, fields that are reserved without an interrupt, record's address. */
static inline bool plain_is_right(const uint8_t raw[PORTAL_DESC], uint32_t form, uint64_t max_size)
{
	const uint64_t size = field(raw, 32, 8); /* above it the handle and reserved fields: all 0 */

	return field(raw, 4, 4) == form && size - 1 < max_size && (field(raw, 40, 8) | field(raw, 48, 8) | field(raw, 56, 8)) == 0 &&
	       field(raw, 8, 8) % CR_ALIGN == 0;
}

static inline uint8_t *plain_place(const struct dma_range ranges[2], uint64_t iova, size_t len, unsigned right)
{
	uint8_t *bytes = at_hand_in(&ranges[0], iova, len, right);

	return __builtin_expect(bytes != NULL, 1) ? bytes : at_hand_in(&ranges[1], iova, len, right);
}

static inline void plain_note(struct turn *turn, uint64_t cause, uint64_t record, bool abandoned)
{
	turn->notes[turn->num_notes++] = (struct ledger_note){
		.cause = cause,
		.detail = record,
		.kind = abandoned ? LEDGER_ABORTED : LEDGER_COMPLETED,
		.status = abandoned ? STATUS_NONE : STATUS_SUCCESS,
		.opcode = OP_MEMMOVE,
		.flags = LEDGER_F_CRAV | LEDGER_F_MEMBER,
		.after_accepted = true,
	};
	if (turn->num_notes == TURN_NOTES)
		turn_write_notes(turn);
}

/*
 * Members from the first of `members` on, whose causes begin with `cause`: how many of at most `most` went this way. *abandoned: one
 * more was begun, and dropped.
 */
static inline uint32_t plain_moves(struct turn *turn, uint8_t (*members)[PORTAL_DESC], uint32_t most, uint64_t cause, bool *abandoned)
{
	static const struct outcome success = { .status = STATUS_SUCCESS };
	const uint32_t form = plain_form(turn);
	const uint64_t max_size = 1ull << turn->terms.max_xfer_log2;
	struct memory *const memory = turn_memory(turn);
	const struct dma_range ranges[2] = { memory->recent[0], memory->recent[1] }; /* of this lease, until it is used up */
	const uint64_t most_bytes = turn->bytes < TURN_BYTES ? TURN_BYTES - turn->bytes : 0;
	size_t lease = memory->lease;
	uint64_t bytes = 0;
	uint32_t done = 0;

	*abandoned = false;
	while (done < most && bytes < most_bytes && lease > 0 && plain_is_right(members[done], form, max_size)) {
		const uint8_t *const raw = members[done];
		const uint64_t record = field(raw, 8, 8), size = field(raw, 32, 4);
		const uint8_t *source = plain_place(ranges, field(raw, 16, 8), size, DMA_MAY_READ);
		uint8_t *target = plain_place(ranges, field(raw, 24, 8), size, DMA_MAY_WRITE);
		uint8_t *at = plain_place(ranges, record, CR_SIZE, DMA_MAY_WRITE);

		if (!source || !target || !at || (uintptr_t)at % AT_HAND_WORD != 0 || size > MEMORY_LEASE)
			break;
		if (atomic_load_explicit(&turn->wq->abandon, memory_order_acquire))
			break;
		memmove(target, source, size);
		bytes += size;
		lease = lease > size + 2 * AT_HAND_COST ? lease - size - 2 * AT_HAND_COST : 0;
		*abandoned = atomic_load_explicit(&turn->wq->abandon, memory_order_acquire);
		plain_note(turn, cause + done, record, *abandoned);
		if (*abandoned)
			break;
		at_hand_store_backward(at, (const uint8_t *)&success, CR_SIZE);
		done++;
	}
	memory->lease = lease;
	memory->space.bytes_read += bytes;
	memory->space.bytes_written += bytes + (uint64_t)done * CR_SIZE;
	turn->bytes += bytes;
	return done;
}

#endif
