/* vregs.c - BAR0 of a virtual device: the registers as the guest sees them (DSA specification chapter 9, 7.5). */
#include <string.h>

#include "vdev_internal.h"

void vregs_reset(struct vdev *vdev)
{
	vdev->state = DEVICE_DISABLED;
	vdev->gencfg = 0;
	vdev->genctrl = 0;
	vdev->intcause = 0;
	vdev->cmdstatus = 0;
	memset(vdev->swerror, 0, sizeof(vdev->swerror));
	vdev->wq_threshold = 0;
	vdev->wq_mode = vdev->config.wq_mode;
}

/* ---- emulated interrupts: vector 0 ---- */

void vregs_raise(struct vdev *vdev, uint32_t cause)
{
	const struct witness witness = { .requester = vdev->config.id, .wq = UINT16_MAX };

	vdev->intcause |= cause;
	pthread_mutex_unlock(&vdev->lock);
	vmsix_interrupt(vdev, 0, &witness);
	pthread_mutex_lock(&vdev->lock);
}

/* The guest's view of an error: its only work queue is WQ 0, and host PASIDs are not shown to it. */
void vregs_error(struct vdev *vdev, const uint64_t swerror[4])
{
	const uint64_t hidden = 0xFFull << 16 | 0xFFFFFull << 40;

	observe_error(vdev);
	pthread_mutex_lock(&vdev->lock);
	if (vdev->swerror[0] & SWERROR_VALID) {
		vdev->swerror[0] |= SWERROR_OVERFLOW;
	} else {
		memcpy(vdev->swerror, swerror, sizeof(vdev->swerror));
		vdev->swerror[0] &= ~hidden;
		if (vdev->genctrl & GENCTRL_SOFTERR_INT)
			vregs_raise(vdev, INTCAUSE_SWERR);
	}
	pthread_mutex_unlock(&vdev->lock);
}

/* ---- reading, as 64-bit words ---- */

static uint64_t read_fixed(const struct vdev *vdev, uint64_t offset)
{
	switch (offset) {
	case REG_VERSION:
		return VERSION_1_0;
	case REG_GENCAP:
		return vdev->config.gencap;
	case REG_WQCAP:
		return vdev->config.wqcap;
	case REG_GRPCAP:
		return vdev->config.grpcap;
	case REG_ENGCAP:
		return vdev->config.engcap;
	case REG_OPCAP:
		return vdev->config.opcap;
	case REG_OFFSETS:
		return VTABLE_GRPCFG / 0x100 | (uint64_t)VTABLE_WQCFG / 0x100 << 16 | (uint64_t)VTABLE_MSIXPERM / 0x100 << 32;
	case REG_GENCFG:
		return vdev->gencfg;
	case REG_GENCTRL:
		return vdev->genctrl;
	case REG_GENSTS:
		return vdev->state;
	case REG_INTCAUSE:
		return vdev->intcause;
	case REG_CMDSTATUS:
		return vdev->cmdstatus;
	case REG_CMDCAP:
		return vdev->config.cmdcap;
	default:
		break;
	}
	if (offset >= REG_SWERROR && offset < REG_SWERROR + 32)
		return vdev->swerror[(offset - REG_SWERROR) / 8];
	return 0;
}

static uint32_t read_wqcfg(struct vdev *vdev, unsigned dword)
{
	switch (dword) {
	case WQCFG_SIZE:
		return vdev->config.wq_size;
	case WQCFG_THRESHOLD:
		return vdev->wq_threshold;
	case WQCFG_MODE:
		return vdev->wq_mode;
	case WQCFG_LIMITS:
		return vdev->config.wq_limits;
	case WQCFG_STATE:
		return idxd_wq_state(platform_idxd(vdev->platform), vdev->config.wq) << WQCFG_STATE_SHIFT |
		       WQCFG_STATE_MODE_SUPPORT;
	default:
		return 0;
	}
}

static bool in_table(uint64_t offset, uint64_t base, uint64_t size)
{
	return offset >= base && offset - base < size;
}

static uint64_t read_word(struct vdev *vdev, uint64_t offset)
{
	const uint64_t vectors = vdev->config.num_vectors;

	if (offset < REG_FIXED_END)
		return read_fixed(vdev, offset);
	if (offset == VTABLE_GRPCFG || offset == VTABLE_GRPCFG + GRPCFG_ENGINES)
		return 1; /* group 0 holds the one work queue and the one engine */
	if (in_table(offset, VTABLE_WQCFG, WQCFG_STRIDE)) {
		const unsigned dword = (unsigned)(offset - VTABLE_WQCFG) / 4;

		return read_wqcfg(vdev, dword) | (uint64_t)read_wqcfg(vdev, dword + 1) << 32;
	}
	if (in_table(offset, VTABLE_MSIXPERM, vectors * MSIXPERM_STRIDE))
		return vdev->vectors[(offset - VTABLE_MSIXPERM) / MSIXPERM_STRIDE].perm;
	if (in_table(offset, VTABLE_MSIX, vectors * MSIX_STRIDE))
		return vmsix_read(vdev, offset - VTABLE_MSIX);
	if (in_table(offset, VTABLE_PBA, (vectors + 63) / 64 * 8))
		return vmsix_read_pba(vdev, (unsigned)((offset - VTABLE_PBA) / 8));
	return offset >= REG_DUMMY_PORTAL ? UINT64_MAX : 0;
}

uint64_t vregs_read(struct vdev *vdev, uint64_t offset, unsigned size)
{
	uint64_t word;

	pthread_mutex_lock(&vdev->lock);
	word = read_word(vdev, offset & ~7ull);
	pthread_mutex_unlock(&vdev->lock);
	word >>= offset % 8 * 8;
	return size == 8 ? word : word & ((1ull << size * 8) - 1);
}

/* ---- writing, as 32-bit words; lock held ---- */

/* Ignore is the guest's to set, and is kept where the hardware looks at it: in the IMS entry (7.5.4). */
static void write_perm(struct vdev *vdev, unsigned index, uint32_t value)
{
	struct vvector *vector = &vdev->vectors[index];

	vector->perm = value & MSIXPERM_WRITABLE;
	ims_set_ignore(idxd_ims(platform_idxd(vdev->platform)), vector->entry, value & MSIXPERM_IGNORE);
}

static void write_wqcfg(struct vdev *vdev, unsigned dword, uint32_t value)
{
	const uint32_t mode_mask = 0x3FFFFF00u; /* priv, PASID enable, PASID; the mode itself is fixed */

	if (dword == WQCFG_THRESHOLD)
		vdev->wq_threshold = value & 0xFFFFu;
	else if (dword == WQCFG_MODE &&
		 idxd_wq_state(platform_idxd(vdev->platform), vdev->config.wq) == WQ_DISABLED)
		vdev->wq_mode = (vdev->wq_mode & ~mode_mask) | (value & mode_mask);
}

static void write_fixed(struct vdev *vdev, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case REG_GENCTRL:
		vdev->genctrl = value & GENCTRL_MASK;
		break;
	case REG_INTCAUSE:
		vdev->intcause &= ~value;
		break;
	case REG_CMD:
		vcommand_write(vdev, value);
		break;
	case REG_SWERROR: /* W1C of Valid and Overflow */
		vdev->swerror[0] &= ~((uint64_t)value & (SWERROR_VALID | SWERROR_OVERFLOW));
		break;
	default:
		break; /* read-only, or reserved: ignored */
	}
}

static void write_dword(struct vdev *vdev, uint64_t offset, uint32_t value)
{
	const uint64_t vectors = vdev->config.num_vectors;

	if (offset < REG_FIXED_END)
		write_fixed(vdev, offset, value);
	else if (in_table(offset, VTABLE_WQCFG, WQCFG_STRIDE))
		write_wqcfg(vdev, (unsigned)(offset - VTABLE_WQCFG) / 4, value);
	else if (in_table(offset, VTABLE_MSIXPERM, vectors * MSIXPERM_STRIDE) && offset % MSIXPERM_STRIDE == 0)
		write_perm(vdev, (unsigned)((offset - VTABLE_MSIXPERM) / MSIXPERM_STRIDE), value);
	else if (in_table(offset, VTABLE_MSIX, vectors * MSIX_STRIDE))
		vmsix_write_dword(vdev, offset - VTABLE_MSIX, value);
}

/* Writable registers are 32 bits and more (9.1): narrower writes are ignored. */
void vregs_write(struct vdev *vdev, uint64_t offset, unsigned size, uint64_t value)
{
	if (size < 4)
		return;
	pthread_mutex_lock(&vdev->lock);
	write_dword(vdev, offset, (uint32_t)value);
	if (size == 8)
		write_dword(vdev, offset + 4, (uint32_t)(value >> 32));
	pthread_mutex_unlock(&vdev->lock);
}
