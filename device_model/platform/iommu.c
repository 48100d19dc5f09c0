#include "iommu.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "../core/regs.h"

enum { PASID_PAGE = 1024 }; /* entries a page of the two-level PASID table, as in VT-d's directory */

/* An entry of either table. `inside` callers hold a copy of the target; a change waits until they have left. */
struct binding {
	const struct iommu_target *target;
	uint32_t vector;
	uint32_t inside;
};

struct iommu {
	pthread_mutex_t lock;
	pthread_cond_t left;
	struct ledger *ledger;
	struct binding *remap;                                  /* IOMMU_MAX_REMAP */
	struct binding *pasid_pages[IOMMU_MAX_PASID / PASID_PAGE]; /* made when first used */
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

/* Lock held. Waits for those inside; a binding is changed only when nobody uses its target any more. */
static void rebind(struct iommu *iommu, struct binding *binding, const struct iommu_target *target, unsigned vector,
		   uint32_t *used)
{
	for (;;) {
		*used -= binding->target != NULL; /* also one that another thread has bound while this one waited */
		binding->target = NULL;
		if (binding->inside == 0)
			break;
		pthread_cond_wait(&iommu->left, &iommu->lock);
	}
	binding->target = target;
	binding->vector = vector;
	*used += target != NULL;
}

/* NULL: nothing bound. Else leave() must follow. */
static const struct iommu_target *enter(struct iommu *iommu, struct binding *binding, unsigned *vector)
{
	const struct iommu_target *target = NULL;

	pthread_mutex_lock(&iommu->lock);
	if (binding->target) {
		target = binding->target;
		*vector = binding->vector;
		binding->inside++;
	}
	pthread_mutex_unlock(&iommu->lock);
	return target;
}

static void leave(struct iommu *iommu, struct binding *binding)
{
	pthread_mutex_lock(&iommu->lock);
	if (--binding->inside == 0)
		pthread_cond_broadcast(&iommu->left);
	pthread_mutex_unlock(&iommu->lock);
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
	const struct iommu_target *target = NULL;
	unsigned vector = 0;

	if (message->address & REMAPPABLE_FORMAT)
		target = enter(iommu, binding, &vector);
	if (!target) {
		note(iommu, LEDGER_BLOCKED, message, 0, 0);
		return;
	}
	note(iommu, LEDGER_REMAPPED, message, target->id, vector);
	target->interrupt(target->ctx, vector, &message->witness);
	leave(iommu, binding);
}

/* ---- PASID table ---- */

/* Lock held. NULL: no page there, and none could be made. */
static struct binding *pasid_binding(struct iommu *iommu, uint32_t pasid, bool make)
{
	struct binding **page = &iommu->pasid_pages[pasid / PASID_PAGE];

	if (!*page && make)
		*page = calloc(PASID_PAGE, sizeof(**page));
	return *page ? &(*page)[pasid % PASID_PAGE] : NULL;
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

static struct binding *find_pasid(struct iommu *iommu, uint32_t pasid)
{
	struct binding *binding;

	if (pasid >= IOMMU_MAX_PASID)
		return NULL;
	pthread_mutex_lock(&iommu->lock);
	binding = pasid_binding(iommu, pasid, false);
	pthread_mutex_unlock(&iommu->lock);
	return binding;
}

enum dma_result iommu_dma_read(struct iommu *iommu, uint32_t pasid, uint64_t iova, void *buf, size_t len, size_t *done)
{
	struct binding *binding = find_pasid(iommu, pasid);
	const struct iommu_target *target;
	enum dma_result result;
	unsigned vector;

	*done = 0;
	target = binding ? enter(iommu, binding, &vector) : NULL;
	if (!target)
		return DMA_FAULT;
	result = target->dma_read(target->ctx, iova, buf, len, done);
	leave(iommu, binding);
	return result;
}

enum dma_result iommu_dma_write(struct iommu *iommu, uint32_t pasid, uint64_t iova, const void *buf, size_t len, size_t *done)
{
	struct binding *binding = find_pasid(iommu, pasid);
	const struct iommu_target *target;
	enum dma_result result;
	unsigned vector;

	*done = 0;
	target = binding ? enter(iommu, binding, &vector) : NULL;
	if (!target)
		return DMA_FAULT;
	result = target->dma_write(target->ctx, iova, buf, len, done);
	leave(iommu, binding);
	return result;
}

void iommu_count(struct iommu *iommu, uint32_t *remap_entries, uint32_t *pasids)
{
	pthread_mutex_lock(&iommu->lock);
	*remap_entries = iommu->remap_used;
	*pasids = iommu->pasids_used;
	pthread_mutex_unlock(&iommu->lock);
}
