/*
 * store_rig.h - one message store of any organisation by itself: a sink that counts, host memory, and the steps of a host that are the
 * same in all of them. Work queue w has the PASID PASID_BASE + w and, where the store leads somewhere for it, STORE_HANDLES handles.
 */
#ifndef VDSA_TESTS_STORE_RIG_H
#define VDSA_TESTS_STORE_RIG_H

#include <stdatomic.h>

#include "../../core/msix.h"
#include "../../core/regs.h"
#include "../../core/store.h"
#include "../../platform/host_memory.h"
#include "check.h"

enum { STORE_WQS = 4, STORE_HANDLES = 16, PASID_BASE = 0x500, ORGANISATIONS = 4, MSIX_FIRST = 1 };

struct store_rig {
	enum organisation organisation;
	struct store *store;
	struct msix *msix; /* msix only */
	struct host_memory *memory;
	struct ledger *ledger;
	uint64_t directory[STORE_WQS], page[STORE_WQS]; /* queue only */
	void (*on_message)(struct store_rig *rig, const struct interrupt_message *message); /* NULL: it is only counted */
	atomic_uint messages;
	struct interrupt_message last; /* one thread only */
};

/* A store of 256 entries, and its owners: each work queue leads to STORE_HANDLES entries, masked and not requested. */
void store_rig_make(struct store_rig *rig, enum organisation organisation);
void store_rig_drop(struct store_rig *rig);

/* The handle that work queue wq's owner says for the n-th entry of his, and the entry's number. */
uint16_t store_rig_handle(const struct store_rig *rig, uint32_t wq, uint32_t n);
uint32_t store_rig_entry(const struct store_rig *rig, uint32_t wq, uint32_t n);

/* As a host does: the message, the owner, requested, not masked. */
void store_rig_arm(struct store_rig *rig, uint32_t wq, uint32_t n, uint32_t data);
/* When it returns, no message of the entry is on its way if it is masked; what was pending has left if it is not. */
void store_rig_mask(struct store_rig *rig, uint32_t wq, uint32_t n, bool masked);
/* What the host does to write PASIDs where the organisation has them: to the wrong owner. */
void store_rig_give(struct store_rig *rig, uint32_t wq, uint32_t n, uint32_t pasid);
bool store_rig_pending(struct store_rig *rig, uint32_t wq, uint32_t n);

/* The steps of the engine, of a queue with its PASID. */
enum refusal store_rig_check(struct store_rig *rig, uint32_t wq, uint16_t handle);
void store_rig_raise(struct store_rig *rig, uint32_t wq, uint16_t handle);

/* table: VM object vm has these entries of the pool. */
void store_rig_table(struct store_rig *rig, uint32_t vm, uint32_t first, uint32_t count, bool valid);
/* queue: the device looks at an entry again. */
void store_rig_sync(struct store_rig *rig, uint32_t wq, uint32_t handle);

/* Kinds of the records since the last call, at most 15, ended by 0; the reason of the last. */
unsigned store_rig_kinds(struct store_rig *rig, uint8_t kinds[16]);
/* The last record's. */
struct ledger_record store_rig_record(struct store_rig *rig);

#endif
