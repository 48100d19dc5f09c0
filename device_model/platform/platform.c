#include "platform.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

enum { MAX_WQS = 256 };

struct owner_slot {
	const struct wq_owner *owner;
	uint32_t inside;
};

struct platform {
	struct idxd *idxd;
	struct iommu *iommu;
	struct ledger *ledger;
	pthread_t engine;
	bool engine_runs;
	pthread_mutex_t lock; /* owners */
	pthread_cond_t left;
	struct owner_slot owners[MAX_WQS];
};

/* ---- the device's ports ---- */

static void on_message(void *ctx, const struct interrupt_message *message)
{
	struct platform *platform = ctx;

	iommu_message(platform->iommu, message);
}

/* Without PASID the request is in the host's own address space, where no virtual machine has memory. */
static enum dma_result on_dma_read(void *ctx, bool pasid_enable, uint32_t pasid, uint64_t iova, void *buf, size_t len,
				   size_t *done)
{
	struct platform *platform = ctx;

	*done = 0;
	return pasid_enable ? iommu_dma_read(platform->iommu, pasid, iova, buf, len, done) : DMA_FAULT;
}

static enum dma_result on_dma_write(void *ctx, bool pasid_enable, uint32_t pasid, uint64_t iova, const void *buf,
				    size_t len, size_t *done)
{
	struct platform *platform = ctx;

	*done = 0;
	return pasid_enable ? iommu_dma_write(platform->iommu, pasid, iova, buf, len, done) : DMA_FAULT;
}

static void on_error(void *ctx, uint32_t wq, const uint64_t swerror[4])
{
	struct platform *platform = ctx;
	struct owner_slot *slot;
	const struct wq_owner *owner;

	if (wq >= MAX_WQS)
		return;
	slot = &platform->owners[wq];
	pthread_mutex_lock(&platform->lock);
	owner = slot->owner;
	slot->inside += owner != NULL;
	pthread_mutex_unlock(&platform->lock);
	if (!owner)
		return;
	owner->error(owner->ctx, swerror);
	pthread_mutex_lock(&platform->lock);
	if (--slot->inside == 0)
		pthread_cond_broadcast(&platform->left);
	pthread_mutex_unlock(&platform->lock);
}

int platform_set_wq_owner(struct platform *platform, uint32_t wq, const struct wq_owner *owner)
{
	if (wq >= MAX_WQS)
		return -EINVAL;
	pthread_mutex_lock(&platform->lock);
	platform->owners[wq].owner = NULL;
	while (platform->owners[wq].inside > 0)
		pthread_cond_wait(&platform->left, &platform->lock);
	platform->owners[wq].owner = owner;
	pthread_mutex_unlock(&platform->lock);
	return 0;
}

/* ---- life ---- */

static void *engine_main(void *arg)
{
	idxd_engine_run(arg);
	return NULL;
}

/* With all signals blocked: they are for the threads of the program that uses this library. */
static bool start_engine(struct platform *platform)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&platform->engine, NULL, engine_main, platform->idxd);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error == 0;
}

static void free_parts(struct platform *platform)
{
	idxd_destroy(platform->idxd);
	iommu_destroy(platform->iommu);
	ledger_destroy(platform->ledger);
	pthread_cond_destroy(&platform->left);
	pthread_mutex_destroy(&platform->lock);
	free(platform);
}

struct platform *platform_create(const struct idxd_config *config, size_t ledger_capacity, bool run_engine)
{
	struct platform *platform = calloc(1, sizeof(*platform));
	const struct idxd_ports ports = {
		.ctx = platform,
		.message = on_message,
		.dma_read = on_dma_read,
		.dma_write = on_dma_write,
		.error = on_error,
	};

	if (!platform)
		return NULL;
	if (pthread_mutex_init(&platform->lock, NULL) != 0) {
		free(platform);
		return NULL;
	}
	if (pthread_cond_init(&platform->left, NULL) != 0) {
		pthread_mutex_destroy(&platform->lock);
		free(platform);
		return NULL;
	}
	platform->ledger = ledger_create(ledger_capacity);
	if (platform->ledger) {
		platform->iommu = iommu_create(platform->ledger);
		platform->idxd = idxd_create(config, &ports, platform->ledger);
	}
	if (!platform->iommu || !platform->idxd)
		goto fail;
	if (run_engine && !start_engine(platform))
		goto fail;
	platform->engine_runs = run_engine;
	return platform;
fail:
	free_parts(platform);
	return NULL;
}

void platform_stop(struct platform *platform)
{
	idxd_stop_engines(platform->idxd);
	if (platform->engine_runs)
		pthread_join(platform->engine, NULL);
	platform->engine_runs = false;
}

void platform_destroy(struct platform *platform)
{
	if (!platform)
		return;
	platform_stop(platform);
	free_parts(platform);
}

struct idxd *platform_idxd(struct platform *platform)
{
	return platform->idxd;
}

struct iommu *platform_iommu(struct platform *platform)
{
	return platform->iommu;
}

struct ledger *platform_ledger(struct platform *platform)
{
	return platform->ledger;
}
