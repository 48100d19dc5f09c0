/* request.h - a descriptor taken apart and checked, and what became of it (DSA specification 8.1 - 8.3). */
#ifndef VDSA_CORE_REQUEST_H
#define VDSA_CORE_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "formats.h"

/* What the work queue gives to its descriptors (WQCFG). */
struct wq_terms {
	bool pasid_enable;
	uint32_t pasid;
	uint32_t max_xfer_log2;
	uint32_t max_batch_log2;
	uint64_t operations[4]; /* bit n of word n / 64: operation n may run (WQ OPCFG, or OPCAP) */
	bool iaa; /* 64-byte completion records */
	bool no_interrupts; /* RCI is reserved: a PASID, and user-mode interrupts are off in GENCFG (table 5-4) */
};

/* Everything comes from the one copy that was made when the descriptor was submitted, or fetched as member of a batch. */
struct request {
	const uint8_t *raw; /* the 64 bytes */
	uint32_t flags;     /* DESC_F_* */
	uint8_t opcode;
	uint16_t handle;
	uint32_t size;      /* transfer size in bytes; of a Batch: number of descriptors */
	uint64_t cr_address;
	uint64_t src, dst;
	const struct wq_terms *terms; /* of the work queue where it runs */
	uint64_t cause;     /* for the ledger */
	bool in_batch;
	uint32_t index;     /* of a member: its place in the batch */
};

/* The completion record, byte for byte (8.2). */
struct outcome {
	uint8_t status; /* STATUS_* */
	uint8_t result;
	uint16_t reserved;
	uint32_t bytes_completed;
	uint64_t fault_address;
	uint8_t tail[16]; /* by operation; the invalid flags of STATUS_FLAGS */
};
_Static_assert(sizeof(struct outcome) == CR_SIZE && offsetof(struct outcome, tail) == 16, "as the specification has it");

/* A field of a little-endian record. Sizes are constants: inline, these are single instructions. */
static inline uint64_t field(const uint8_t *raw, unsigned offset, unsigned size)
{
	uint64_t value = 0;

	memcpy(&value, raw + offset, size);
	return value;
}

static inline void set_field(uint8_t *raw, unsigned offset, unsigned size, uint64_t value)
{
	memcpy(raw + offset, &value, size);
}

/* True: bytes from..to, both inside, are 0. By words: each descriptor is asked this. */
static inline bool is_zero(const uint8_t *raw, unsigned from, unsigned to)
{
	uint64_t any = 0;
	unsigned at = from;

	for (; at + 8 <= to + 1; at += 8)
		any |= field(raw, at, 8);
	for (; at <= to; at++)
		any |= raw[at];
	return any == 0;
}

/* The range of `size` > 0 bytes goes beyond 2^64. */
bool wraps(uint64_t address, uint64_t size);

#endif
