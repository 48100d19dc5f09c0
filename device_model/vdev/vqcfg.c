/*
 * vqcfg.c - GRPCFG and WQCFG of a virtual device over a work queue (DSA specification 9.2.23, 9.2.24; table 9-7).
 *
 * Who bounds the guest: the host's own WQCFG is never the guest's to write (7.5). What the guest configures is checked and kept
 * here; when it enables its queue, this part of the host programs the physical queue, as it does with the PASID: the transfer and
 * batch limits, at most those granted, into the physical WQCFG, and the size as a limit on the queue, because the size in the
 * physical WQCFG is fixed while the physical device is enabled. So the hardware enforces, and no descriptor is looked at on the
 * way. Without configuration support only what table 9-7 leaves writable is the guest's, and the physical queue keeps what the
 * host has given it.
 */
#include <string.h>

#include "vqueue.h"

bool vqcfg_writable(const struct vqueue *vq)
{
	return vq->config.gencap & GENCAP_CONFIG;
}

void vqcfg_reset(struct vqueue *vq)
{
	const bool writable = vqcfg_writable(vq);

	memset(&vq->cfg, 0, sizeof(vq->cfg));
	if (writable)
		return;
	vq->cfg.group_wqs = 1;
	vq->cfg.group_engines = 1;
	vq->cfg.wq[WQCFG_SIZE] = vq->config.wq_size;
	vq->cfg.wq[WQCFG_MODE] = vq->config.wq_mode;
	vq->cfg.wq[WQCFG_LIMITS] = vq->config.wq_limits;
}

/* All but the size (9.2.12). */
void vqcfg_reset_wq(struct vqueue *vq)
{
	const struct vqueue_cfg before = vq->cfg;

	vqcfg_reset(vq);
	vq->cfg.group_wqs = before.group_wqs;
	vq->cfg.group_engines = before.group_engines;
	vq->cfg.group_flags = before.group_flags;
	vq->cfg.wq[WQCFG_SIZE] = before.wq[WQCFG_SIZE];
}

static uint32_t physical_state(const struct vqueue *vq)
{
	return idxd_wq_state(platform_idxd(vq->platform), vq->config.wq);
}

/* ---- GRPCFG ---- */

uint64_t vqcfg_read_group(const struct vqueue *vq, uint64_t offset)
{
	switch (offset) {
	case 0:
		return vq->cfg.group_wqs;
	case GRPCFG_ENGINES:
		return vq->cfg.group_engines;
	case GRPCFG_FLAGS:
		return vq->cfg.group_flags;
	default:
		return 0;
	}
}

void vqcfg_write_group(struct vqueue *vq, uint64_t offset, uint32_t value)
{
	if (!vqcfg_writable(vq) || vq->state != DEVICE_DISABLED)
		return;
	switch (offset) { /* queue 0 and engine 0 are all there are; traffic classes are kept and mean nothing */
	case 0:
		vq->cfg.group_wqs = value & 1;
		break;
	case GRPCFG_ENGINES:
		vq->cfg.group_engines = value & 1;
		break;
	case GRPCFG_FLAGS:
		vq->cfg.group_flags = value & GRPFLAGS_WRITABLE;
		break;
	default:
		break;
	}
}

/* ---- WQCFG ---- */

uint32_t vqcfg_read_wq(const struct vqueue *vq, unsigned dword)
{
	return vq->cfg.wq[dword] |
	       (dword == WQCFG_STATE ? physical_state(vq) << WQCFG_STATE_SHIFT | WQCFG_STATE_MODE_SUPPORT : 0);
}

static uint32_t writable_bits(const struct vqueue *vq, unsigned dword)
{
	const bool writable = vqcfg_writable(vq), wq_disabled = physical_state(vq) == WQ_DISABLED;

	switch (dword) {
	case WQCFG_SIZE:
		return writable && vq->state == DEVICE_DISABLED ? 0xFFFFu : 0;
	case WQCFG_THRESHOLD:
		return 0xFFFFu;
	case WQCFG_MODE: /* priv, PASID and its enable; with configuration also mode, block on fault, priority */
		return !wq_disabled ? 0 : writable ? WQCFG_MODE_WRITABLE | WQCFG_MODE_BOF : 0x3FFFFF00u;
	case WQCFG_LIMITS:
		return writable && wq_disabled ? 0x1FFu : 0;
	default:
		return 0;
	}
}

void vqcfg_write_wq(struct vqueue *vq, unsigned dword, uint32_t value)
{
	const uint32_t mask = writable_bits(vq, dword);

	vq->cfg.wq[dword] = (vq->cfg.wq[dword] & ~mask) | (value & mask);
}

/* ---- what Enable Device and Enable WQ refuse (9.2.13, table 5-8) ---- */

enum command_error vqcfg_check_device(const struct vqueue *vq)
{
	const uint32_t size = vq->cfg.wq[WQCFG_SIZE];

	if (size > vq->config.wq_size)
		return CMDERR_WQ_SIZE_SUM;
	if (vq->cfg.group_wqs != vq->cfg.group_engines)
		return CMDERR_GROUP_CONFIG;
	return (size != 0) != (vq->cfg.group_wqs != 0) ? CMDERR_WQ_GROUP : CMDERR_NONE;
}

enum command_error vqcfg_check_wq(const struct vqueue *vq)
{
	const uint32_t mode = vq->cfg.wq[WQCFG_MODE], limits = vq->cfg.wq[WQCFG_LIMITS], most = vq->config.wq_limits;

	if (vq->cfg.wq[WQCFG_SIZE] == 0)
		return CMDERR_WQ_SIZE;
	if (!(mode & WQCFG_MODE_DEDICATED))
		return CMDERR_WQ_MODE;
	if (mode & WQCFG_MODE_BOF)
		return CMDERR_WQ_BOF;
	if (mode & WQCFG_MODE_PASID_EN)
		return CMDERR_WQ_PASID;
	if (WQCFG_LIMITS_BATCH(limits) == 0 || WQCFG_LIMITS_BATCH(limits) > WQCFG_LIMITS_BATCH(most))
		return CMDERR_WQ_BATCH;
	return WQCFG_LIMITS_XFER(limits) > WQCFG_LIMITS_XFER(most) ? CMDERR_WQ_XFER : CMDERR_NONE;
}

/* By the same registers as the host's control part: its offset is in OFFSETS, and nobody else writes this queue's. */
void vqcfg_apply(struct vqueue *vq, const struct vqueue_cfg *cfg)
{
	struct idxd *idxd = platform_idxd(vq->platform);
	const uint64_t table = (idxd_bar0_read(idxd, REG_OFFSETS, 8) >> 16 & 0xFFFF) * 0x100;
	const unsigned stride_log2 = (unsigned)(idxd_bar0_read(idxd, REG_WQCAP, 8) >> 24 & 0xF) + 5;
	const uint64_t wqcfg = table + ((uint64_t)vq->config.wq << stride_log2);

	if (!vqcfg_writable(vq))
		return;
	idxd_bar0_write(idxd, wqcfg + 4 * WQCFG_LIMITS, 4, cfg->wq[WQCFG_LIMITS]);
	idxd_wq_set_limit(idxd, vq->config.wq, cfg->wq[WQCFG_SIZE]);
}
