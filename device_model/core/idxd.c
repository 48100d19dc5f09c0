/* idxd.c - the life of the physical device. */
#include "idxd.h"

#include <stdlib.h>

#include "idxd_internal.h"

/* Only an array can do without handle commands: its entries can all be named. */
static bool organisation_ok(const struct idxd_config *config)
{
	const bool handles = !(config->features & (IDXD_NO_HANDLES | IDXD_NO_CMDCAP));

	return config->organisation == STORE_ARRAY || (config->organisation <= STORE_MSIX && handles);
}

static bool config_ok(const struct idxd_config *config)
{
	return config->num_wqs >= 1 && config->num_wqs <= 255 && config->total_wq_size >= 1 &&
	       config->total_wq_size <= 0xFFFF && config->max_xfer_log2 >= 12 && config->max_xfer_log2 <= 31 &&
	       config->max_batch_log2 >= 1 && config->max_batch_log2 <= 10 && config->num_groups >= 1 &&
	       config->num_groups <= 16 && config->num_engines >= 1 && config->num_engines <= 16 &&
	       config->num_msix <= MSIX_MAX_VECTORS && config->kind <= IDXD_IAA &&
	       config->features <= IDXD_ALL_FEATURES && organisation_ok(config);
}

static void free_parts(struct idxd *idxd)
{
	store_destroy(idxd->store);
	msix_destroy(idxd->msix);
	free(idxd->wqs);
	free(idxd->storage);
	free(idxd->cmd_waiters);
	free(idxd->groups);
	free(idxd->arbiters);
	free(idxd);
}

struct idxd *idxd_create(const struct idxd_config *config, const struct idxd_ports *ports, struct ledger *ledger)
{
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
	idxd->arbiters = calloc(config->num_groups, sizeof(*idxd->arbiters));
	if (!idxd->wqs || !idxd->storage || !idxd->cmd_waiters || !idxd->groups || !idxd->arbiters)
		goto fail;
	if (pthread_mutex_init(&idxd->lock, NULL) != 0)
		goto fail;
	if (!engines_create(idxd)) {
		pthread_mutex_destroy(&idxd->lock);
		goto fail;
	}
	for (uint32_t i = 0; i < config->num_wqs; i++)
		idxd->wqs[i].group = NO_GROUP;
	if (!function_create(idxd)) {
		engines_destroy(idxd);
		pthread_mutex_destroy(&idxd->lock);
		goto fail;
	}
	return idxd;
fail:
	free_parts(idxd);
	return NULL;
}

void idxd_destroy(struct idxd *idxd)
{
	if (!idxd)
		return;
	function_destroy(idxd);
	engines_destroy(idxd);
	pthread_mutex_destroy(&idxd->lock);
	free_parts(idxd);
}

void idxd_number_from(struct idxd *idxd, uint64_t first)
{
	atomic_store(&idxd->last_cause, first - 1);
}

struct store *idxd_store(struct idxd *idxd)
{
	return idxd->store;
}

#ifdef VDSA_PLANTED_FAULTS
void idxd_plant_fault(struct idxd *idxd, enum planted_fault fault)
{
	pthread_mutex_lock(&idxd->lock);
	idxd->planted = fault;
	pthread_mutex_unlock(&idxd->lock);
	store_plant_fault(idxd->store, fault);
	if (idxd->msix)
		msix_plant_fault(idxd->msix, fault);
}
#endif
