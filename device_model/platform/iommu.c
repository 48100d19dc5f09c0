#include "iommu.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "../core/gate.h"
#include "../core/regs.h"

enum { PASID_PAGE = 1024 }; /* entries a page of the two-level PASID table, as in VT-d's directory */

/* An entry of either table. Read by those who have entered its gate; changed with the lock held while the gate is shut. */
struct binding {
	struct gate gate;
	uint32_t vector;
	const struct iommu_target *target;
};

struct iommu {
	pthread_mutex_t lock;
	pthread_cond_t left;
	struct ledger *ledger;
	struct binding *remap;                                  /* IOMMU_MAX_REMAP */
	struct binding *_Atomic pasid_pages[IOMMU_MAX_PASID / PASID_PAGE]; /* made when first used, and kept */
	uint32_t remap_used, pasids_used;
};

struct iommu *iommu_create(struct ledger *ledger)
{
	struct iommu *iommu = calloc(1, sizeof(*iommu));

	if (!iommu)
		return NULL;
	iommu->ledger = ledger;
	iommu->remap = calloc(IOMMU_MAX_REMAP, sizeof(*iommu->remap));
	if (!iommu->remap || pthread_mutex_init(&iommu->lock, NULL) != 0)
		goto fail;
	if (pthread_cond_init(&iommu->left, NULL) != 0) {
		pthread_mutex_destroy(&iommu->lock);
		goto fail;
	}
	return iommu;
fail:
	free(iommu->remap);
	free(iommu);
	return NULL;
}

void iommu_destroy(struct iommu *iommu)
{
	if (!iommu)
		return;
	for (size_t i = 0; i < IOMMU_MAX_PASID / PASID_PAGE; i++)
		free(iommu->pasid_pages[i]);
	pthread_cond_destroy(&iommu->left);
	pthread_mutex_destroy(&iommu->lock);
	free(iommu->remap);
	free(iommu);
}

/* Lock held; given up while it waits for those inside: a binding is changed only when nobody uses its target any more. */
static void rebind(struct iommu *iommu, struct binding *binding, const struct iommu_target *target, unsigned vector,
		   uint32_t *used)
{
	gate_shut(&binding->gate, &iommu->lock, &iommu->left);
	*used -= binding->target != NULL;
	binding->target = target;
	binding->vector = vector;
	*used += target != NULL;
	if (target)
		gate_open(&binding->gate);
}

static void leave(struct iommu *iommu, struct binding *binding)
{
	gate_leave(&binding->gate, &iommu->lock, &iommu->left);
}

/* ---- interrupt remapping ---- */

int iommu_remap_set(struct iommu *iommu, uint32_t index, const struct iommu_target *target, unsigned vector)
{
	if (index >= IOMMU_MAX_REMAP)
		return -EINVAL;
	pthread_mutex_lock(&iommu->lock);
	rebind(iommu, &iommu->remap[index], target, vector, &iommu->remap_used);
	pthread_mutex_unlock(&iommu->lock);
	return 0;
}

int iommu_remap_clear(struct iommu *iommu, uint32_t index)
{
	return iommu_remap_set(iommu, index, NULL, 0);
}

enum { REMAPPABLE_FORMAT = 1u << 4 };

static uint32_t remap_index(uint64_t address)
{
	return (uint32_t)(address >> 5 & 0x7FFF) | (uint32_t)(address >> 2 & 1) << 15;
}

static void note(struct iommu *iommu, uint8_t kind, const struct interrupt_message *message, uint32_t target, unsigned vector)
{
	const struct witness *witness = &message->witness;
	const struct ledger_record record = {
		.cause = witness->cause,
		.detail = message->address,
		.requester = witness->requester,
		.target = target,
		.pasid = witness->pasid,
		.entry = message->entry,
		.handle = witness->handle,
		.vector = (uint16_t)vector,
		.wq = witness->wq,
		.kind = kind,
		.opcode = witness->opcode,
		.flags = witness->flags,
	};

	ledger_write(iommu->ledger, &record);
}

void iommu_message(struct iommu *iommu, const struct interrupt_message *message)
{
	struct binding *binding = &iommu->remap[remap_index(message->address)];
	const struct iommu_target *target;

	if (!(message->address & REMAPPABLE_FORMAT) || !gate_enter(&binding->gate)) {
		note(iommu, LEDGER_BLOCKED, message, 0, 0);
		return;
	}
	target = binding->target;
	note(iommu, LEDGER_REMAPPED, message, target->id, binding->vector);
	target->interrupt(target->ctx, binding->vector, &message->witness);
	leave(iommu, binding);
}

/* ---- PASID table ---- */

/* Lock held. NULL: no page there, and none could be made. */
static struct binding *pasid_binding(struct iommu *iommu, uint32_t pasid, bool make)
{
	struct binding *_Atomic *slot = &iommu->pasid_pages[pasid / PASID_PAGE];
	struct binding *page = atomic_load_explicit(slot, memory_order_relaxed);

	if (!page && make) {
		page = calloc(PASID_PAGE, sizeof(*page));
		atomic_store_explicit(slot, page, memory_order_release);
	}
	return page ? &page[pasid % PASID_PAGE] : NULL;
}

int iommu_pasid_set(struct iommu *iommu, uint32_t pasid, const struct iommu_target *target)
{
	struct binding *binding;

	if (pasid >= IOMMU_MAX_PASID)
		return -EINVAL;
	pthread_mutex_lock(&iommu->lock);
	binding = pasid_binding(iommu, pasid, target != NULL);
	if (binding)
		rebind(iommu, binding, target, 0, &iommu->pasids_used);
	pthread_mutex_unlock(&iommu->lock);
	return binding || !target ? 0 : -ENOMEM;
}

int iommu_pasid_clear(struct iommu *iommu, uint32_t pasid)
{
	return iommu_pasid_set(iommu, pasid, NULL);
}

bool iommu_dma_enter(struct iommu *iommu, uint32_t pasid, struct dma_space *space)
{
	struct binding *page, *binding;

	if (pasid >= IOMMU_MAX_PASID)
		return false;
	page = atomic_load_explicit(&iommu->pasid_pages[pasid / PASID_PAGE], memory_order_acquire);
	if (!page)
		return false;
	binding = &page[pasid % PASID_PAGE];
	if (!gate_enter(&binding->gate))
		return false;
	if (!binding->target->dma_enter(binding->target->ctx, space)) {
		leave(iommu, binding);
		return false;
	}
	space->way = binding;
	return true;
}

void iommu_dma_leave(struct iommu *iommu, struct dma_space *space)
{
	struct binding *binding = space->way;

	binding->target->dma_leave(binding->target->ctx, space);
	leave(iommu, binding);
}

void iommu_count(struct iommu *iommu, uint32_t *remap_entries, uint32_t *pasids)
{
	pthread_mutex_lock(&iommu->lock);
	*remap_entries = iommu->remap_used;
	*pasids = iommu->pasids_used;
	pthread_mutex_unlock(&iommu->lock);
}
