/* idxd.c - the life of the physical device and of its engines. */
#include "idxd.h"

#include <stdlib.h>

#include "idxd_internal.h"
#include "memory.h"

static bool config_ok(const struct idxd_config *config)
{
	return config->num_wqs >= 1 && config->num_wqs <= 255 && config->total_wq_size >= 1 &&
	       config->total_wq_size <= 0xFFFF && config->max_xfer_log2 >= 12 && config->max_xfer_log2 <= 31 &&
	       config->max_batch_log2 >= 1 && config->max_batch_log2 <= 10 && config->num_groups >= 1 &&
	       config->num_groups <= 16 && config->num_engines >= 1 && config->num_engines <= 16 &&
	       config->num_msix == 0 && config->kind == IDXD_DSA;
}

static void free_parts(struct idxd *idxd)
{
	ims_destroy(idxd->ims);
	free(idxd->wqs);
	free(idxd->storage);
	free(idxd->cmd_waiters);
	free(idxd->groups);
	free(idxd->scratch);
	free(idxd);
}

struct idxd *idxd_create(const struct idxd_config *config, const struct idxd_ports *ports, struct ledger *ledger)
{
	const struct interrupt_sink sink = { .ctx = ports->ctx, .message = ports->message };
	struct idxd *idxd;

	if (!config_ok(config))
		return NULL;
	idxd = calloc(1, sizeof(*idxd));
	if (!idxd)
		return NULL;
	idxd->config = *config;
	idxd->ports = *ports;
	idxd->ledger = ledger;
	idxd->wqs = calloc(config->num_wqs, sizeof(*idxd->wqs));
	idxd->storage = calloc(config->total_wq_size, sizeof(*idxd->storage));
	idxd->cmd_waiters = calloc(config->num_wqs, sizeof(*idxd->cmd_waiters));
	idxd->groups = calloc(config->num_groups, sizeof(*idxd->groups));
	idxd->scratch = malloc((size_t)MEMORY_VIEWS * MEMORY_CHUNK);
	idxd->ims = ims_create(config->num_ims, &sink, ledger);
	if (!idxd->wqs || !idxd->storage || !idxd->cmd_waiters || !idxd->groups || !idxd->scratch || !idxd->ims)
		goto fail;
	if (pthread_mutex_init(&idxd->lock, NULL) != 0)
		goto fail;
	if (pthread_cond_init(&idxd->work_ready, NULL) != 0) {
		pthread_mutex_destroy(&idxd->lock);
		goto fail;
	}
	registers_reset(idxd);
	return idxd;
fail:
	free_parts(idxd);
	return NULL;
}

void idxd_destroy(struct idxd *idxd)
{
	if (!idxd)
		return;
	pthread_cond_destroy(&idxd->work_ready);
	pthread_mutex_destroy(&idxd->lock);
	free_parts(idxd);
}

struct ims *idxd_ims(struct idxd *idxd)
{
	return idxd->ims;
}

/* Lock held; given up while the descriptor is executed. False: nothing to do. */
static bool step_locked(struct idxd *idxd)
{
	struct work work;
	uint32_t wq;
	struct wq_terms terms;

	if (!wq_take(idxd, &work, &wq))
		return false;
	terms = (struct wq_terms){
		.pasid_enable = idxd->wqs[wq].cfg[WQCFG_MODE] & WQCFG_MODE_PASID_EN,
		.pasid = WQCFG_MODE_PASID(idxd->wqs[wq].cfg[WQCFG_MODE]),
		.max_xfer_log2 = WQCFG_LIMITS_XFER(idxd->wqs[wq].cfg[WQCFG_LIMITS]),
		.max_batch_log2 = WQCFG_LIMITS_BATCH(idxd->wqs[wq].cfg[WQCFG_LIMITS]),
	};
	pthread_mutex_unlock(&idxd->lock);
	execute(idxd, &work, wq, &terms);
	pthread_mutex_lock(&idxd->lock);
	wq_finish(idxd, wq);
	return true;
}

bool idxd_engine_step(struct idxd *idxd)
{
	bool worked;

	pthread_mutex_lock(&idxd->lock);
	worked = step_locked(idxd);
	pthread_mutex_unlock(&idxd->lock);
	return worked;
}

void idxd_engine_run(struct idxd *idxd)
{
	pthread_mutex_lock(&idxd->lock);
	while (!idxd->stopping) {
		if (!step_locked(idxd))
			pthread_cond_wait(&idxd->work_ready, &idxd->lock);
	}
	pthread_mutex_unlock(&idxd->lock);
}

void idxd_stop_engines(struct idxd *idxd)
{
	pthread_mutex_lock(&idxd->lock);
	idxd->stopping = true;
	pthread_cond_broadcast(&idxd->work_ready);
	pthread_mutex_unlock(&idxd->lock);
}

#ifdef VDSA_PLANTED_FAULTS
void idxd_plant_fault(struct idxd *idxd, enum planted_fault fault)
{
	pthread_mutex_lock(&idxd->lock);
	idxd->planted = fault;
	pthread_mutex_unlock(&idxd->lock);
	ims_plant_fault(idxd->ims, fault);
}
#endif
