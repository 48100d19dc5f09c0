/* vqregs.c - BAR0 of a virtual device: the registers as the guest sees them (DSA specification chapter 9, 7.5). */
#include <string.h>

#include "vqueue.h"

void vqregs_reset(struct vqueue *vq)
{
	vq->state = DEVICE_DISABLED;
	vq->gencfg = 0;
	vq->genctrl = 0;
	vq->intcause = 0;
	vq->cmdstatus = 0;
	memset(vq->swerror, 0, sizeof(vq->swerror));
	memset(&vq->event_log, 0, sizeof(vq->event_log));
	vqcfg_reset(vq);
}

/* ---- emulated interrupts: vector 0 ---- */

void vqregs_raise(struct vqueue *vq, uint32_t cause)
{
	const struct witness witness = { .requester = vq->config.id, .wq = UINT16_MAX };

	if (vq->resetting)
		return;
	vq->intcause |= cause;
	pthread_mutex_unlock(&vq->lock);
	msix_signal(vq->msix, 0, &witness);
	pthread_mutex_lock(&vq->lock);
}

/* Lock held. */
static void note_error(struct vqueue *vq, const struct error_report *report)
{
	if (vq->swerror[0] & SWERROR_VALID) {
		vq->swerror[0] |= SWERROR_OVERFLOW;
	} else {
		/* Overflow is cleared by software only (9.2.15). */
		const uint64_t overflow = vq->swerror[0] & SWERROR_OVERFLOW;

		memcpy(vq->swerror, report->swerror, sizeof(vq->swerror));
		vq->swerror[0] |= overflow;
		if (vq->genctrl & GENCTRL_SOFTERR_INT)
			vqregs_raise(vq, INTCAUSE_SWERR);
	}
}

/* No lock held. */
static bool write_event(struct vqueue *vq, uint64_t address, const struct error_report *report)
{
	uint8_t entry[EVL_ENTRY_SIZE];
	struct dma_space space;
	size_t done;
	bool written;

	event_log_entry(report, entry);
	if (!vmemory_enter(vq->vdev, &space))
		return false;
	written = space.ops->write(&space, address, entry, sizeof(entry), &done) == DMA_OK;
	vmemory_leave(vq->vdev, &space);
	return written;
}

/*
 * Lock held, given up while the entry is written, one at a time. Errors of descriptors are passed on in the turn of an engine, so
 * whatever waits for the queue to be quiet waits for this.
 */
static void log_event(struct vqueue *vq, const struct error_report *report)
{
	uint64_t address;
	bool written;

	while (vq->logging)
		pthread_cond_wait(&vq->changed, &vq->lock);
	written = event_log_place(&vq->event_log, &address);
	if (written) {
		vq->logging = true;
		pthread_mutex_unlock(&vq->lock);
		written = write_event(vq, address, report);
		pthread_mutex_lock(&vq->lock);
		vq->logging = false;
		pthread_cond_broadcast(&vq->changed);
	}
	if (!written)
		note_error(vq, &event_log_failure);
	else if (event_log_appended(&vq->event_log, vq->genctrl))
		vqregs_raise(vq, INTCAUSE_EVENT_LOG);
}

/* The guest's view of an error: its only work queue is WQ 0, its portals are for MSI-X, and host PASIDs are not shown to it. */
void vqregs_error(struct vqueue *vq, const struct error_report *report)
{
	struct error_report shown = *report;

	shown.swerror[0] &= ~(0xFFull << 16 | 0xFFFFFull << 40);
	shown.more &= ~EVL_MORE_IMS;
	observe_error(vq->vdev);
	pthread_mutex_lock(&vq->lock);
	if (event_log_takes(&vq->event_log, &shown))
		log_event(vq, &shown);
	else
		note_error(vq, &shown);
	pthread_mutex_unlock(&vq->lock);
}

static bool has_event_log(const struct vqueue *vq)
{
	return vq->config.gencap & GENCAP_EVENT_LOG;
}

/* ---- reading, as 64-bit words ---- */

static uint64_t read_fixed(const struct vqueue *vq, uint64_t offset)
{
	switch (offset) {
	case REG_VERSION:
		return VERSION_1_0;
	case REG_GENCAP:
		return vq->config.gencap;
	case REG_WQCAP:
		return vq->config.wqcap;
	case REG_GRPCAP:
		return vq->config.grpcap;
	case REG_ENGCAP:
		return vq->config.engcap;
	case REG_OPCAP:
		return vq->config.opcap;
	case REG_OFFSETS:
		return VTABLE_GRPCFG / 0x100 | (uint64_t)VTABLE_WQCFG / 0x100 << 16 | (uint64_t)VTABLE_MSIXPERM / 0x100 << 32;
	case REG_GENCFG:
		return vq->gencfg;
	case REG_GENCTRL:
		return vq->genctrl;
	case REG_GENSTS:
		return vq->state;
	case REG_INTCAUSE:
		return vq->intcause;
	case REG_CMDSTATUS:
		return vq->cmdstatus;
	case REG_CMDCAP:
		return vq->config.cmdcap;
	default:
		break;
	}
	if (offset >= REG_SWERROR && offset < REG_SWERROR + 32)
		return vq->swerror[(offset - REG_SWERROR) / 8];
	if (has_event_log(vq) && offset >= REG_EVLCFG && offset <= REG_EVLSTATUS)
		return event_log_read(&vq->event_log, offset - REG_EVLCFG);
	return 0;
}

static bool in_table(uint64_t offset, uint64_t base, uint64_t size)
{
	return offset >= base && offset - base < size;
}

static uint64_t read_word(struct vqueue *vq, uint64_t offset)
{
	if (offset < REG_FIXED_END)
		return read_fixed(vq, offset);
	if (in_table(offset, VTABLE_GRPCFG, GRPCFG_STRIDE))
		return vqcfg_read_group(vq, offset - VTABLE_GRPCFG);
	if (in_table(offset, VTABLE_WQCFG, WQCFG_STRIDE)) {
		const unsigned dword = (unsigned)(offset - VTABLE_WQCFG) / 4;

		return vqcfg_read_wq(vq, dword) | (uint64_t)vqcfg_read_wq(vq, dword + 1) << 32;
	}
	return offset >= REG_DUMMY_PORTAL ? UINT64_MAX : 0;
}

/* Composed of the virtual pending bits and the Pending bits of the IMS entries (7.5.4). */
static uint64_t read_pba(struct vqueue *vq, uint32_t word)
{
	uint64_t bits = msix_read_pba(vq->msix, word);

	for (uint32_t i = 0; i < 64 && word * 64 + i < vq->config.num_vectors; i++)
		bits |= (uint64_t)store_pending(idxd_store(platform_idxd(vq->platform)), vq->vectors[word * 64 + i].entry) << i;
	return bits;
}

/* What belongs to the vectors has locks of its own; the device's is not held, for the table waits for messages on their way. */
static bool read_vectors(struct vqueue *vq, uint64_t offset, uint64_t *word)
{
	const uint64_t vectors = vq->config.num_vectors;

	if (in_table(offset, VTABLE_MSIXPERM, vectors * MSIXPERM_STRIDE))
		*word = msix_read_perm(vq->msix, (uint32_t)((offset - VTABLE_MSIXPERM) / MSIXPERM_STRIDE));
	else if (in_table(offset, VTABLE_MSIX, vectors * MSIX_STRIDE))
		*word = msix_read(vq->msix, offset - VTABLE_MSIX, 8);
	else if (in_table(offset, VTABLE_PBA, (vectors + 63) / 64 * 8))
		*word = read_pba(vq, (uint32_t)((offset - VTABLE_PBA) / 8));
	else
		return false;
	return true;
}

uint64_t vqregs_read(void *it, uint64_t offset, unsigned size)
{
	struct vqueue *vq = it;
	uint64_t word;

	if (!read_vectors(vq, offset & ~7ull, &word)) {
		pthread_mutex_lock(&vq->lock);
		word = read_word(vq, offset & ~7ull);
		pthread_mutex_unlock(&vq->lock);
	}
	word >>= offset % 8 * 8;
	return size == 8 ? word : word & ((1ull << size * 8) - 1);
}

/* ---- writing, as 32-bit words ---- */

/* Ignore is the guest's to set, and is kept where the hardware looks at it: in the entry of the message store (7.5.4). */
static void write_perm(struct vqueue *vq, uint32_t index, uint32_t value)
{
	msix_write_perm(vq->msix, index, value);
	store_set_ignore(idxd_store(platform_idxd(vq->platform)), vq->vectors[index].entry, value & MSIXPERM_IGNORE);
}

/* No lock held. False: not of the vectors. */
static bool write_vectors(struct vqueue *vq, uint64_t offset, uint32_t value)
{
	const uint64_t vectors = vq->config.num_vectors;

	if (in_table(offset, VTABLE_MSIXPERM, vectors * MSIXPERM_STRIDE)) {
		if (offset % MSIXPERM_STRIDE == 0)
			write_perm(vq, (uint32_t)((offset - VTABLE_MSIXPERM) / MSIXPERM_STRIDE), value);
		return true;
	}
	if (!in_table(offset, VTABLE_MSIX, vectors * MSIX_STRIDE))
		return false;
	msix_write(vq->msix, offset - VTABLE_MSIX, 4, value);
	return true;
}

/* Event Log Enable is writable without configuration support too (9.2.8). */
static uint32_t gencfg_writable(const struct vqueue *vq)
{
	return (vqcfg_writable(vq) ? GENCFG_USER_INTERRUPTS : 0) | (has_event_log(vq) ? GENCFG_EVENT_LOG : 0);
}

/* Lock held. */
static void write_fixed(struct vqueue *vq, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case REG_GENCFG:
		if (vq->state == DEVICE_DISABLED)
			vq->gencfg = value & gencfg_writable(vq);
		break;
	case REG_GENCTRL:
		vq->genctrl = value & GENCTRL_MASK;
		break;
	case REG_INTCAUSE:
		vq->intcause &= ~value;
		break;
	case REG_CMD:
		vqcommand_write(vq, value);
		break;
	case REG_SWERROR: /* W1C of Valid and Overflow */
		vq->swerror[0] &= ~((uint64_t)value & (SWERROR_VALID | SWERROR_OVERFLOW));
		break;
	default: /* read-only, or reserved: ignored */
		if (has_event_log(vq) && offset >= REG_EVLCFG && offset < REG_EVLSTATUS + 8)
			event_log_write(&vq->event_log, offset - REG_EVLCFG, value, UINT32_MAX, vq->state == DEVICE_DISABLED);
		break;
	}
}

static void write_dword(struct vqueue *vq, uint64_t offset, uint32_t value)
{
	if (write_vectors(vq, offset, value))
		return;
	pthread_mutex_lock(&vq->lock);
	if (offset < REG_FIXED_END)
		write_fixed(vq, offset, value);
	else if (in_table(offset, VTABLE_WQCFG, WQCFG_STRIDE))
		vqcfg_write_wq(vq, (unsigned)(offset - VTABLE_WQCFG) / 4, value);
	else if (in_table(offset, VTABLE_GRPCFG, GRPCFG_STRIDE))
		vqcfg_write_group(vq, offset - VTABLE_GRPCFG, value);
	pthread_mutex_unlock(&vq->lock);
}

/* Writable registers are 32 bits and more (9.1): narrower writes are ignored. */
void vqregs_write(void *it, uint64_t offset, unsigned size, uint64_t value)
{
	struct vqueue *vq = it;

	if (size < 4)
		return;
	write_dword(vq, offset, (uint32_t)value);
	if (size == 8)
		write_dword(vq, offset + 4, (uint32_t)(value >> 32));
}
