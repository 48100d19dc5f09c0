/* wqcfg.c - WQCFG: which field may be written when (DSA specification 9.2.24, table 9-7), and its checks at Enable WQ (5.2). */
#include <string.h>

#include "idxd_internal.h"

static bool has(const struct idxd *idxd, uint32_t feature)
{
	return idxd->config.features & feature;
}

/* ---- as registers ---- */

static uint32_t writable_bits(const struct idxd *idxd, const struct wq *wq, unsigned dword)
{
	const bool fixed = has(idxd, IDXD_FIXED_CONFIG);
	const bool open = wq->state == WQ_DISABLED;

	switch (dword) {
	case WQCFG_SIZE:
		return !fixed && idxd->state == DEVICE_DISABLED ? 0xFFFFu : 0;
	case WQCFG_THRESHOLD:
		return 0xFFFFu;
	case WQCFG_MODE:
		if (!open)
			return 0;
		return fixed ? WQCFG_MODE_WRITABLE & ~WQCFG_MODE_PRIORITY_FIELD : WQCFG_MODE_WRITABLE;
	case WQCFG_LIMITS:
		if (fixed || !open)
			return 0;
		return idxd->config.kind == IDXD_DSA ? 0x1FFu : 0x1Fu;
	default:
		return !fixed && open && dword >= WQCFG_OPCFG ? UINT32_MAX : 0;
	}
}

/* Of OPCFG it is kept what differs from OPCAP: the value that the dword is kept against. */
static uint32_t kept_against(const struct idxd *idxd, unsigned dword)
{
	if (dword < WQCFG_OPCFG)
		return 0;
	return (uint32_t)(idxd->opcap[(dword - WQCFG_OPCFG) / 2] >> (dword % 2 * 32));
}

void wq_write_cfg(struct idxd *idxd, uint32_t index, unsigned dword, uint32_t value)
{
	struct wq *wq = &idxd->wqs[index];
	const uint32_t mask = writable_bits(idxd, wq, dword);

	wq->cfg[dword] = (wq->cfg[dword] & ~mask) | ((value ^ kept_against(idxd, dword)) & mask);
}

uint32_t wq_read_cfg(const struct idxd *idxd, uint32_t index, unsigned dword)
{
	const struct wq *wq = &idxd->wqs[index];
	uint32_t value = wq->cfg[dword] ^ kept_against(idxd, dword);

	if (dword == WQCFG_STATE)
		value |= WQCFG_STATE_MODE_SUPPORT | (uint32_t)wq->state << WQCFG_STATE_SHIFT | (wq->count & 0xFFFFu);
	return value;
}

/* ---- Enable WQ ---- */

static bool operations_ok(const struct idxd *idxd, const struct wq *wq)
{
	for (unsigned dword = WQCFG_OPCFG; dword < WQCFG_DWORDS; dword++)
		if (wq->cfg[dword] & ~kept_against(idxd, dword)) /* differs from OPCAP where OPCAP is 0 */
			return false;
	return true;
}

static bool batch_ok(const struct idxd *idxd, uint32_t limits)
{
	const uint32_t log2 = WQCFG_LIMITS_BATCH(limits);

	return idxd->config.kind != IDXD_DSA || (log2 > 0 && log2 <= idxd->config.max_batch_log2);
}

enum command_error wqcfg_check(const struct idxd *idxd, const struct wq *wq)
{
	const uint32_t mode = wq->cfg[WQCFG_MODE];
	const uint32_t limits = wq->cfg[WQCFG_LIMITS];

	if (WQCFG_MODE_PRIORITY(mode) == 0)
		return CMDERR_WQ_PRIORITY;
	if (!(mode & WQCFG_MODE_DEDICATED))
		return CMDERR_WQ_MODE;
	if ((mode & WQCFG_MODE_PASID_EN) && has(idxd, IDXD_NO_PASID))
		return CMDERR_WQ_PASID;
	if (!batch_ok(idxd, limits))
		return CMDERR_WQ_BATCH;
	if (WQCFG_LIMITS_XFER(limits) > idxd->config.max_xfer_log2)
		return CMDERR_WQ_XFER;
	if ((mode & WQCFG_MODE_PASID_EN) && (mode & WQCFG_MODE_PRIV)) /* no privileged mode here */
		return CMDERR_WQ_PRIV;
	return operations_ok(idxd, wq) ? CMDERR_NONE : CMDERR_WQ_OPCFG;
}

void wqcfg_operations(const struct idxd *idxd, uint32_t index, uint64_t operations[4])
{
	const uint32_t *removed = &idxd->wqs[index].cfg[WQCFG_OPCFG];

	for (unsigned word = 0; word < 4; word++)
		operations[word] = idxd->opcap[word] & ~(removed[2 * word] | (uint64_t)removed[2 * word + 1] << 32);
}

/* There is no privileged mode: with a PASID, every descriptor is user mode. */
bool wqcfg_no_interrupts(const struct idxd *idxd, uint32_t index)
{
	return (idxd->wqs[index].cfg[WQCFG_MODE] & WQCFG_MODE_PASID_EN) && !(idxd->gencfg & GENCFG_USER_INTERRUPTS);
}

/* ---- initial values ---- */

void wqcfg_reset(struct idxd *idxd, uint32_t index)
{
	struct wq *wq = &idxd->wqs[index];
	const uint32_t size = wq->cfg[WQCFG_SIZE];

	memset(wq->cfg, 0, sizeof(wq->cfg));
	wq->cfg[WQCFG_SIZE] = size;
	if (!has(idxd, IDXD_FIXED_CONFIG))
		return;
	wq->cfg[WQCFG_MODE] = WQCFG_MODE_DEDICATED | 1u << 4;
	wq->cfg[WQCFG_LIMITS] = idxd->config.max_xfer_log2;
	if (idxd->config.kind == IDXD_DSA)
		wq->cfg[WQCFG_LIMITS] |= idxd->config.max_batch_log2 << 5;
}

/* Work queues and engines are dealt out to the groups in turn, as far as all groups get both. */
static void deal_out(struct idxd *idxd)
{
	const struct idxd_config *config = &idxd->config;
	uint32_t groups = config->num_groups;

	groups = groups < config->num_wqs ? groups : config->num_wqs;
	groups = groups < config->num_engines ? groups : config->num_engines;
	for (uint32_t i = 0; i < config->num_engines; i++)
		idxd->groups[i % groups].engines |= 1ull << i;
	for (uint32_t i = 0; i < config->num_wqs; i++) {
		idxd->groups[i % groups].wqs[i / 64] |= 1ull << (i % 64);
		idxd->wqs[i].cfg[WQCFG_SIZE] = config->total_wq_size / config->num_wqs;
	}
}

void wqcfg_power_on(struct idxd *idxd)
{
	memset(idxd->groups, 0, idxd->config.num_groups * sizeof(*idxd->groups));
	for (uint32_t i = 0; i < idxd->config.num_wqs; i++) {
		idxd->wqs[i].cfg[WQCFG_SIZE] = 0;
		idxd->wqs[i].state = WQ_DISABLED;
		wqcfg_reset(idxd, i);
	}
	if (has(idxd, IDXD_FIXED_CONFIG))
		deal_out(idxd);
}
