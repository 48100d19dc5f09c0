/* enable.c - what Enable Device checks (DSA specification 5.1, table 5-8). Bits that a field does not have cannot be set here. */
#include "idxd_internal.h"

static uint32_t groups_with_wq(const struct idxd *idxd, uint32_t wq)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < idxd->config.num_groups; i++)
		count += idxd->groups[i].wqs[wq / 64] >> (wq % 64) & 1;
	return count;
}

static uint32_t groups_with_engine(const struct idxd *idxd, uint32_t engine)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < idxd->config.num_groups; i++)
		count += idxd->groups[i].engines >> engine & 1;
	return count;
}

static bool sizes_fit(const struct idxd *idxd)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < idxd->config.num_wqs; i++)
		sum += idxd->wqs[i].cfg[WQCFG_SIZE];
	return sum <= idxd->config.total_wq_size;
}

/* Work queues and engines, or neither. */
static bool groups_are_whole(const struct idxd *idxd)
{
	for (uint32_t i = 0; i < idxd->config.num_groups; i++) {
		const struct group *group = &idxd->groups[i];
		const bool wqs = group->wqs[0] || group->wqs[1] || group->wqs[2] || group->wqs[3];

		if (wqs != (group->engines != 0))
			return false;
	}
	return true;
}

static bool wqs_are_grouped(const struct idxd *idxd)
{
	for (uint32_t i = 0; i < idxd->config.num_wqs; i++)
		if (groups_with_wq(idxd, i) != (idxd->wqs[i].cfg[WQCFG_SIZE] != 0))
			return false;
	return true;
}

static bool engines_are_grouped(const struct idxd *idxd)
{
	for (uint32_t i = 0; i < idxd->config.num_engines; i++)
		if (groups_with_engine(idxd, i) > 1)
			return false;
	return true;
}

enum command_error check_device(const struct idxd *idxd)
{
	if (idxd->state != DEVICE_DISABLED)
		return CMDERR_DEV_NOT_DISABLED;
	if (!idxd->bus_master)
		return CMDERR_BUS_MASTER;
	if (!sizes_fit(idxd))
		return CMDERR_WQ_SIZE_SUM;
	if (!groups_are_whole(idxd))
		return CMDERR_GROUP_CONFIG;
	if (!wqs_are_grouped(idxd))
		return CMDERR_WQ_GROUP;
	if (!engines_are_grouped(idxd))
		return CMDERR_ENGINE_GROUP;
	return event_log_check(&idxd->event_log, idxd->gencfg);
}
