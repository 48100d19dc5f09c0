/*
 * operation.h - the operations (DSA specification 8.3): for each opcode, which flags and fields it has, which values are
 * refused, and what it does to memory. Nothing here knows of work queues, records or interrupts.
 */
#ifndef VDSA_CORE_OPERATION_H
#define VDSA_CORE_OPERATION_H

#include "memory.h"
#include "request.h"

struct operation {
	uint8_t opcode;
	const char *name;
	uint32_t flags;          /* DESC_F_* and operation-specific flags that it takes besides those that all take */
	uint32_t required;       /* those that must be 1 (table 5-5) */
	bool has_size;           /* a transfer size: not 0, at most the work queue's limit (else STATUS_XFER_SIZE) */
	/* More of `flags` that are wrong, because of others: set where they may not be, or missing. NULL: none. */
	uint32_t (*wrong_flags)(uint32_t flags);
	/* Its reserved fields among bytes 16 to 63 are 0. */
	bool (*reserved_ok)(const struct request *request);
	/* What else can be refused before anything is done, in the order of table 5-5. STATUS_NONE: nothing. NULL: nothing. */
	uint8_t (*check)(const struct request *request);
	/* Sets status and the fields of the outcome. The request has been checked. NULL: nothing to do, success. */
	void (*run)(struct memory *memory, const struct request *request, struct outcome *outcome);
};

/* What it asks of flags, not kept: set where they may not be, or missing. */
static inline uint32_t operation_wrong_flags(const struct operation *operation, uint32_t flags)
{
	const uint32_t missing = operation->required & ~flags;

	return operation->wrong_flags ? missing | operation->wrong_flags(flags) : missing;
}

/* NULL: no such operation here. */
const struct operation *operation_find(uint8_t opcode);
/* Bit n of word n / 64: operation n is here. */
void operation_capabilities(uint64_t opcap[4]);

/* True: two ranges have a byte in common; sizes are not 0. */
bool ranges_overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size);

/* Ends an operation at a byte that could not be accessed: status, fault address, bytes completed (5.7). */
void operation_fault(struct outcome *outcome, uint8_t status, uint64_t address, uint32_t bytes_completed);
/*
 * True: the ranges that it reads from and writes to (size 0: none) end at 2^64 at most. Else a fault at the first byte of the one
 * that does not: the specification leaves open what comes after the last address, and nothing does.
 */
bool operation_reads(struct outcome *outcome, uint64_t address, uint64_t size);
bool operation_writes(struct outcome *outcome, uint64_t address, uint64_t size);
/* The status of an operation that was carried out: false predicate if it was to be checked and is not what was expected. */
void operation_succeed(struct outcome *outcome, const struct request *request, bool as_expected);

/* The table's rows, one file a kind of operation. */
extern const struct operation operation_noop;
extern const struct operation operation_batch; /* its members are batch.c's */
extern const struct operation operation_drain;
extern const struct operation operation_memmove;
extern const struct operation operation_fill;
extern const struct operation operation_compare;
extern const struct operation operation_compare_pattern;
extern const struct operation operation_create_delta;
extern const struct operation operation_apply_delta;
extern const struct operation operation_dualcast;
extern const struct operation operation_crc;
extern const struct operation operation_copy_crc;
extern const struct operation operation_dif_check;
extern const struct operation operation_dif_insert;
extern const struct operation operation_dif_strip;
extern const struct operation operation_dif_update;
extern const struct operation operation_cache_flush;

#endif
