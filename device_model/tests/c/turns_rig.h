/* turns_rig.h - three queues of one group and two engines, whose turns are taken one at a time; moves that tell how far they have come. */
#ifndef VDSA_TESTS_TURNS_RIG_H
#define VDSA_TESTS_TURNS_RIG_H

#include "../../core/idxd_internal.h"
#include "engine_rig.h"

enum { LIST = 0x8000, RECORDS = 0x1000, DATA = 0x100000, TARGETS = 0x200000, WQS = 3, PASID = 77, AFTER = 24 };

/* idxd_engine_turn or idxd_engine_step. */
typedef bool advance_fn(struct idxd *idxd, uint32_t engine);

static inline void turns_up(struct rig *rig, uint32_t priority)
{
	const struct idxd_config config = {
		.num_wqs = WQS, .total_wq_size = 512, .num_ims = 256, .max_xfer_log2 = 21, .max_batch_log2 = 10, .num_groups = 1,
		.num_engines = 2,
	};

	rig_create(rig, &config);
	rig_group(rig, 0, 7, 3);
	rig_enable(rig, 128);
	for (uint32_t wq = 0; wq < WQS; wq++)
		rig_enable_wq_with(rig, wq, priority, 10, PASID << 8 | 1u << 28);
}

static inline uint64_t record_of(unsigned index)
{
	return RECORDS + 32 * index;
}

static inline uint64_t target_of(unsigned index)
{
	return TARGETS + 64 * index;
}

/* To queue 0; with a record and a target of its own. */
static inline void submit_move(struct rig *rig, unsigned index, uint32_t size)
{
	const struct rig_desc move = {
		.opcode = OP_MEMMOVE, .flags = DESC_F_CRAV | DESC_F_RCR, .record = record_of(index), .source = DATA,
		.destination = target_of(index), .size = size,
	};

	rig_submit_to(rig, 0, PORTAL_IMS, &move);
}

/* The moves first .. count - 1, of 64 bytes. */
static inline void submit_moves(struct rig *rig, unsigned first, unsigned count)
{
	memset(rig->memory + DATA, 0x5A, 64);
	for (unsigned i = first; i < count; i++)
		submit_move(rig, i, 64);
}

/* How many of `count` such moves have a record, and their data: those before any without. */
static inline unsigned moved(const struct rig *rig, unsigned count)
{
	unsigned ended = 0;

	while (ended < count && rig->memory[record_of(ended)] == STATUS_SUCCESS)
		ended++;
	for (unsigned i = 0; i < count; i++) {
		CHECK_EQUAL(rig->memory[record_of(i)], i < ended ? STATUS_SUCCESS : 0);
		CHECK_EQUAL(rig->memory[target_of(i)], i < ended ? 0x5A : 0);
	}
	return ended;
}

/* Records of this kind that have come since the last call. */
static inline size_t number_of(struct rig *rig, uint8_t kind)
{
	size_t count;

	(void)rig_take(rig, kind, &count);
	return count;
}

static inline void advance_all(struct rig *rig, advance_fn *advance)
{
	while (advance(rig->idxd, 0))
		;
}

/* In which order queues get something done that have the same to do. Nothing is queued before. */
static inline void take_order(struct rig *rig, advance_fn *advance, uint16_t order[AFTER])
{
	const struct ledger_record *records;
	size_t count;

	for (uint32_t wq = 0; wq < WQS; wq++)
		rig_noops(rig, wq, AFTER / WQS);
	(void)number_of(rig, LEDGER_COMPLETED);
	advance_all(rig, advance);
	records = rig_take(rig, LEDGER_COMPLETED, &count);
	CHECK_EQUAL(count, AFTER);
	for (unsigned i = 0; i < AFTER; i++)
		order[i] = records[i].wq;
}

#endif
