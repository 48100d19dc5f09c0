#include "platform.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

enum { MAX_WQS = 256, MAX_ENGINES = 16 };

struct platform;

struct engine_thread {
	struct platform *platform;
	uint32_t index;
	pthread_t thread;
};

struct owner_slot {
	const struct wq_owner *owner;
	uint32_t inside;
};

struct platform {
	struct idxd *idxd;
	struct iommu *iommu;
	struct ledger *ledger;
	struct host_memory *memory;
	struct engine_thread engines[MAX_ENGINES];
	uint32_t num_engines;
	uint32_t num_running;
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
static bool on_dma_enter(void *ctx, bool pasid_enable, uint32_t pasid, struct dma_space *space)
{
	struct platform *platform = ctx;

	return pasid_enable && iommu_dma_enter(platform->iommu, pasid, space);
}

static void on_dma_leave(void *ctx, struct dma_space *space)
{
	struct platform *platform = ctx;

	iommu_dma_leave(platform->iommu, space);
}

static bool on_memory_read(void *ctx, uint64_t address, void *data, size_t size)
{
	struct platform *platform = ctx;

	return host_memory_read(platform->memory, address, data, size);
}

static bool on_memory_update(void *ctx, uint64_t address, uint32_t clear, uint32_t set)
{
	struct platform *platform = ctx;

	return host_memory_update(platform->memory, address, clear, set, NULL);
}

static void on_error(void *ctx, uint32_t wq, const struct error_report *report)
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
	owner->error(owner->ctx, report);
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
	const struct engine_thread *engine = arg;

	idxd_engine_run(engine->platform->idxd, engine->index);
	return NULL;
}

static void stop_engines(struct platform *platform)
{
	idxd_stop_engines(platform->idxd);
	while (platform->num_running > 0)
		pthread_join(platform->engines[--platform->num_running].thread, NULL);
}

/* With all signals blocked: they are for the threads of the program that uses this library. */
static bool start_engines(struct platform *platform)
{
	sigset_t all, before;
	int error = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (uint32_t i = 0; i < platform->num_engines && error == 0; i++) {
		struct engine_thread *engine = &platform->engines[i];

		*engine = (struct engine_thread){ .platform = platform, .index = i };
		error = pthread_create(&engine->thread, NULL, engine_main, engine);
		platform->num_running += error == 0;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error != 0)
		stop_engines(platform);
	return error == 0;
}

static void free_parts(struct platform *platform)
{
	idxd_destroy(platform->idxd);
	host_memory_destroy(platform->memory);
	iommu_destroy(platform->iommu);
	ledger_destroy(platform->ledger);
	pthread_cond_destroy(&platform->left);
	pthread_mutex_destroy(&platform->lock);
	free(platform);
}

struct platform *platform_create(const struct idxd_config *config, size_t ledger_capacity, bool run_engines)
{
	struct platform *platform = calloc(1, sizeof(*platform));
	const struct idxd_ports ports = {
		.ctx = platform,
		.message = on_message,
		.dma_enter = on_dma_enter,
		.dma_leave = on_dma_leave,
		.error = on_error,
		.memory = { .ctx = platform, .read = on_memory_read, .update = on_memory_update },
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
	platform->num_engines = config->num_engines;
	platform->ledger = ledger_create(ledger_capacity);
	platform->memory = host_memory_create();
	if (platform->ledger && platform->memory) {
		platform->iommu = iommu_create(platform->ledger);
		platform->idxd = idxd_create(config, &ports, platform->ledger);
	}
	if (!platform->iommu || !platform->idxd)
		goto fail;
	if (run_engines && !start_engines(platform))
		goto fail;
	return platform;
fail:
	free_parts(platform);
	return NULL;
}

void platform_stop(struct platform *platform)
{
	stop_engines(platform);
}

int platform_start(struct platform *platform)
{
	if (platform->num_running > 0)
		return 0;
	idxd_let_engines_run(platform->idxd);
	return start_engines(platform) ? 0 : -EAGAIN;
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

struct host_memory *platform_memory(struct platform *platform)
{
	return platform->memory;
}

struct ledger *platform_ledger(struct platform *platform)
{
	return platform->ledger;
}
