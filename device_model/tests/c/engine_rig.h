/* engine_rig.h - a device of the core without IOMMU and virtual devices: flat memory for everybody, messages counted. */
#ifndef VDSA_TESTS_ENGINE_RIG_H
#define VDSA_TESTS_ENGINE_RIG_H

#include <pthread.h>
#include <string.h>

#include "../../core/idxd.h"
#include "check.h"

enum { RIG_MEMORY = 4 << 20, RIG_LEDGER = 1 << 16, RIG_GROUPS = 0x600, RIG_WQS = 0x800 };

struct rig {
	struct idxd *idxd;
	struct ledger *ledger;
	uint8_t *memory; /* addresses 0 .. RIG_MEMORY - 1 */
	uint32_t num_wqs;
	void (*on_access)(struct rig *rig, uint64_t iova); /* what happens meanwhile; NULL: nothing */
	/* rig_meanwhile() */
	uint64_t trigger;
	void (*what)(struct rig *rig);
	/* rig_command_meanwhile() */
	enum wq_command command;
	struct wq_waiter waiter;
	void (*on_end)(struct rig *rig); /* NULL: nothing more than to count it */
	unsigned ends;
	unsigned errors; /* reported, the last one below */
	uint64_t swerror[4];
};

static inline void rig_message(void *ctx, const struct interrupt_message *message)
{
	(void)ctx;
	(void)message;
}

static inline void rig_error(void *ctx, uint32_t wq, const struct error_report *report)
{
	struct rig *rig = ctx;

	(void)wq;
	rig->errors++;
	memcpy(rig->swerror, report->swerror, sizeof(rig->swerror));
}

/* With something to happen meanwhile, each access comes by rig_read and rig_write. */
static inline bool rig_find(struct dma_space *space, uint64_t iova, unsigned right, struct dma_range *range)
{
	struct rig *rig = space->ctx;

	(void)right;
	*range = (struct dma_range){
		.last = RIG_MEMORY - 1, .bytes = rig->on_access ? NULL : rig->memory, .rights = DMA_MAY_READ | DMA_MAY_WRITE,
	};
	return iova < RIG_MEMORY;
}

/* Bytes of the memory from iova on, at most len. */
static inline size_t rig_reach(struct rig *rig, uint64_t iova, size_t len)
{
	const size_t left = iova < RIG_MEMORY ? (size_t)(RIG_MEMORY - iova) : 0;

	if (rig->on_access)
		rig->on_access(rig, iova);
	return len < left ? len : left;
}

static inline enum dma_result rig_read(struct dma_space *space, uint64_t iova, void *buf, size_t len, size_t *done)
{
	struct rig *rig = space->ctx;

	*done = rig_reach(rig, iova, len);
	memcpy(buf, rig->memory + iova, *done);
	return *done == len ? DMA_OK : DMA_FAULT;
}

static inline enum dma_result rig_write(struct dma_space *space, uint64_t iova, const void *buf, size_t len, size_t *done)
{
	struct rig *rig = space->ctx;

	*done = rig_reach(rig, iova, len);
	memcpy(rig->memory + iova, buf, *done);
	return *done == len ? DMA_OK : DMA_FAULT;
}

static inline bool rig_enter(void *ctx, bool pasid_enable, uint32_t pasid, struct dma_space *space)
{
	static const struct dma_space_ops ops = { .find = rig_find, .read = rig_read, .write = rig_write };

	(void)pasid_enable, (void)pasid;
	space->ops = &ops;
	space->ctx = ctx;
	return true;
}

static inline void rig_leave(void *ctx, struct dma_space *space)
{
	(void)ctx, (void)space;
}

static inline void rig_command(struct rig *rig, uint32_t code, uint32_t operand)
{
	idxd_bar0_write(rig->idxd, REG_CMD, 4, code << 20 | operand);
}

static inline void rig_create(struct rig *rig, const struct idxd_config *config)
{
	const struct idxd_ports ports = {
		.ctx = rig, .message = rig_message, .dma_enter = rig_enter, .dma_leave = rig_leave, .error = rig_error,
	};

	memset(rig, 0, sizeof(*rig));
	rig->memory = calloc(1, RIG_MEMORY);
	rig->ledger = ledger_create(RIG_LEDGER);
	CHECK(rig->memory && rig->ledger);
	rig->idxd = idxd_create(config, &ports, rig->ledger);
	CHECK(rig->idxd);
	rig->num_wqs = config->num_wqs;
}

static inline void rig_destroy(struct rig *rig)
{
	idxd_destroy(rig->idxd);
	ledger_destroy(rig->ledger);
	free(rig->memory);
}

static inline void rig_group(struct rig *rig, unsigned group, uint64_t wqs, uint64_t engines)
{
	idxd_bar0_write(rig->idxd, RIG_GROUPS + 64 * group, 8, wqs);
	idxd_bar0_write(rig->idxd, RIG_GROUPS + 64 * group + 32, 8, engines);
}

/* more: of the mode. */
static inline void rig_enable_wq_with(struct rig *rig, uint32_t wq, uint32_t priority, uint32_t max_batch_log2, uint32_t more)
{
	idxd_bar0_write(rig->idxd, RIG_WQS + 32 * wq + 8, 4, 1 | priority << 4 | more);
	idxd_bar0_write(rig->idxd, RIG_WQS + 32 * wq + 12, 4, 21 | max_batch_log2 << 5);
	CHECK_EQUAL(idxd_wq_enable(rig->idxd, wq), CMDERR_NONE);
}

static inline void rig_enable_wq(struct rig *rig, uint32_t wq, uint32_t priority, uint32_t max_batch_log2)
{
	rig_enable_wq_with(rig, wq, priority, max_batch_log2, 0);
}

/* All queues of `size` descriptors. Groups must have been written. */
static inline void rig_enable(struct rig *rig, uint32_t size)
{
	for (uint32_t i = 0; i < rig->num_wqs; i++)
		idxd_bar0_write(rig->idxd, RIG_WQS + 32 * i, 4, size);
	idxd_bar0_write(rig->idxd, REG_GENCFG, 4, GENCFG_USER_INTERRUPTS);
	rig_command(rig, CMD_ENABLE_DEVICE, 0);
	CHECK_EQUAL(idxd_bar0_read(rig->idxd, REG_CMDSTATUS, 4), 0);
}

struct rig_desc {
	uint8_t opcode;
	uint32_t flags;
	uint64_t record, source, destination;
	uint32_t size;
	uint16_t handle;
};

static inline void rig_encode(const struct rig_desc *desc, uint8_t raw[64])
{
	const uint32_t word = desc->flags | (uint32_t)desc->opcode << 24;

	memset(raw, 0, 64);
	memcpy(raw + 4, &word, 4);
	memcpy(raw + 8, &desc->record, 8);
	memcpy(raw + 16, &desc->source, 8);
	memcpy(raw + 24, &desc->destination, 8);
	memcpy(raw + 32, &desc->size, 4);
	memcpy(raw + 36, &desc->handle, 2);
}

static inline void rig_submit_to(struct rig *rig, uint32_t wq, enum portal portal, const struct rig_desc *desc)
{
	uint8_t raw[64];

	rig_encode(desc, raw);
	idxd_submit(rig->idxd, wq, portal, raw, wq + 1);
}

static inline void rig_noops(struct rig *rig, uint32_t wq, unsigned count)
{
	const struct rig_desc noop = { .opcode = OP_NOOP };

	for (unsigned i = 0; i < count; i++)
		rig_submit_to(rig, wq, PORTAL_IMS, &noop);
}

/* Records of this kind that have come since the last call, in their order; they stay until the next. */
static inline const struct ledger_record *rig_take(struct rig *rig, uint8_t kind, size_t *count)
{
	static struct ledger_record records[RIG_LEDGER];
	uint64_t lost = 0;
	const size_t all = ledger_read(rig->ledger, records, RIG_LEDGER, &lost);

	CHECK_EQUAL(lost, 0);
	*count = 0;
	for (size_t i = 0; i < all; i++)
		if (records[i].kind == kind)
			records[(*count)++] = records[i];
	return records;
}

/* The same: how many are of each queue (nobody: UINT16_MAX). */
static inline void rig_count(struct rig *rig, uint8_t kind, unsigned counts[256])
{
	size_t count;
	const struct ledger_record *records = rig_take(rig, kind, &count);

	for (size_t i = 0; i < count; i++)
		counts[records[i].wq & 0xFF]++;
}

/* ---- while an engine is at it ---- */

static inline void rig_await(struct rig *rig, uint64_t iova)
{
	if (iova != rig->trigger)
		return;
	rig->on_access = NULL;
	rig->what(rig);
}

/* `what` happens once, with the first access to iova. */
static inline void rig_meanwhile(struct rig *rig, uint64_t iova, void (*what)(struct rig *rig))
{
	rig->trigger = iova;
	rig->what = what;
	rig->on_access = rig_await;
}

static inline void rig_ended(struct wq_waiter *waiter)
{
	struct rig *rig = waiter->ctx;

	rig->ends++;
	if (rig->on_end)
		rig->on_end(rig);
}

/* To queue 0; `ends` counts when it has ended. */
static inline void rig_start_command(struct rig *rig, enum wq_command command)
{
	rig->ends = 0;
	rig->waiter = (struct wq_waiter){ .done = rig_ended, .ctx = rig };
	CHECK_EQUAL(idxd_wq_start(rig->idxd, 0, command, &rig->waiter), CMDERR_NONE);
}

static inline void rig_give(struct rig *rig)
{
	rig_start_command(rig, rig->command);
	CHECK_EQUAL(rig->ends, 0); /* not while the engine is at it */
}

static inline void rig_command_meanwhile(struct rig *rig, uint64_t iova, enum wq_command command)
{
	rig->command = command;
	rig_meanwhile(rig, iova, rig_give);
}

#endif
