/* registers.c - BAR0 of the physical device: which offset is which register, and who may write it when (DSA specification chapter 9). */
#include <string.h>

#include "idxd_internal.h"

void registers_reset(struct idxd *idxd)
{
	idxd->state = DEVICE_DISABLED;
	idxd->gencfg = idxd->config.features & IDXD_FIXED_CONFIG ? GENCFG_USER_INTERRUPTS : 0;
	idxd->genctrl = 0;
	idxd->intcause = 0;
	event_log_reset(&idxd->event_log);
	wqcfg_power_on(idxd);
}

/* ---- events ---- */

void registers_raise(struct idxd *idxd, uint32_t cause)
{
	const struct witness witness = { .wq = UINT16_MAX };

	idxd->intcause |= cause;
	if (!idxd->msix)
		return;
	idxd->raising++;
	pthread_mutex_unlock(&idxd->lock);
	msix_signal(idxd->msix, 0, &witness);
	pthread_mutex_lock(&idxd->lock);
	if (--idxd->raising == 0)
		pthread_cond_broadcast(&idxd->settled);
}

/* Lock held. */
static void note_error(struct idxd *idxd, const struct error_report *report)
{
	if (idxd->swerror[0] & SWERROR_VALID) {
		idxd->swerror[0] |= SWERROR_OVERFLOW;
	} else {
		/* Overflow is cleared by software only (9.2.15). */
		const uint64_t overflow = idxd->swerror[0] & SWERROR_OVERFLOW;

		memcpy(idxd->swerror, report->swerror, sizeof(idxd->swerror));
		idxd->swerror[0] |= overflow;
		if (idxd->genctrl & GENCTRL_SOFTERR_INT)
			registers_raise(idxd, INTCAUSE_SWERR);
	}
}

/* No lock held. The device's own address space: EVLCFG has no PASID Enable here. */
static bool write_event(struct idxd *idxd, uint64_t address, const struct error_report *report)
{
	uint8_t entry[EVL_ENTRY_SIZE];
	struct dma_space space;
	size_t done;
	bool written;

	event_log_entry(report, entry);
	if (!idxd->ports.dma_enter(idxd->ports.ctx, false, 0, &space))
		return false;
	written = space.ops->write(&space, address, entry, sizeof(entry), &done) == DMA_OK;
	idxd->ports.dma_leave(idxd->ports.ctx, &space);
	return written;
}

/*
 * Lock held, given up while the entry is written, one at a time. Errors of descriptors are reported in the turn of an engine, so
 * whatever waits for its descriptors waits for this.
 */
static void log_event(struct idxd *idxd, const struct error_report *report)
{
	uint64_t address;
	bool written;

	while (idxd->logging)
		pthread_cond_wait(&idxd->settled, &idxd->lock);
	written = event_log_place(&idxd->event_log, &address);
	if (written) {
		idxd->logging = true;
		pthread_mutex_unlock(&idxd->lock);
		written = write_event(idxd, address, report);
		pthread_mutex_lock(&idxd->lock);
		idxd->logging = false;
		pthread_cond_broadcast(&idxd->settled);
	}
	if (!written)
		note_error(idxd, &event_log_failure);
	else if (event_log_appended(&idxd->event_log, idxd->genctrl))
		registers_raise(idxd, INTCAUSE_EVENT_LOG);
}

void registers_error(struct idxd *idxd, uint32_t wq, const struct error_report *report)
{
	pthread_mutex_lock(&idxd->lock);
	if (event_log_takes(&idxd->event_log, report))
		log_event(idxd, report);
	else
		note_error(idxd, report);
	pthread_mutex_unlock(&idxd->lock);
	idxd->ports.error(idxd->ports.ctx, wq, report);
}

/* ---- fixed registers ---- */

static bool has_event_log(const struct idxd *idxd)
{
	return idxd->config.features & IDXD_EVENT_LOG;
}

/* A 64-bit word at an offset that is a multiple of 8. */
static uint64_t read_fixed(const struct idxd *idxd, uint64_t offset)
{
	switch (offset) {
	case REG_GENCFG:
		return idxd->gencfg;
	case REG_GENCTRL:
		return idxd->genctrl;
	case REG_GENSTS: /* the reset type that is needed is always the command (0) */
		return idxd->state | (uint32_t)RESET_BY_COMMAND << RESET_TYPE_SHIFT;
	case REG_INTCAUSE:
		return idxd->intcause;
	case REG_CMDSTATUS:
		return idxd->cmdstatus;
	default:
		break;
	}
	if (offset >= REG_SWERROR && offset < REG_SWERROR + 32)
		return idxd->swerror[(offset - REG_SWERROR) / 8];
	if (has_event_log(idxd) && offset >= REG_EVLCFG && offset <= REG_EVLSTATUS)
		return event_log_read(&idxd->event_log, offset - REG_EVLCFG);
	return capabilities_read(idxd, offset);
}

static bool configurable(const struct idxd *idxd)
{
	return idxd->state == DEVICE_DISABLED && !(idxd->config.features & IDXD_FIXED_CONFIG);
}

static uint32_t merge(uint32_t old, uint32_t value, uint32_t mask)
{
	return (old & ~mask) | (value & mask);
}

/* Event Log Enable is writable without configuration support too (9.2.8). */
static uint32_t gencfg_writable(const struct idxd *idxd)
{
	const uint32_t log = has_event_log(idxd) && idxd->state == DEVICE_DISABLED ? GENCFG_EVENT_LOG : 0;

	return configurable(idxd) ? GENCFG_USER_INTERRUPTS | log : log;
}

/* lanes: the bits of the dword that the write brings. */
static void write_fixed(struct idxd *idxd, uint64_t offset, uint32_t value, uint32_t lanes)
{
	switch (offset) {
	case REG_GENCFG:
		idxd->gencfg = merge(idxd->gencfg, value, lanes & gencfg_writable(idxd));
		break;
	case REG_GENCTRL:
		idxd->genctrl = merge(idxd->genctrl, value, lanes & GENCTRL_MASK);
		break;
	case REG_INTCAUSE:
		idxd->intcause &= ~(value & lanes);
		break;
	case REG_CMD: /* part of a command is none */
		if (lanes == UINT32_MAX)
			command_write(idxd, value);
		break;
	case REG_SWERROR: /* W1C of Valid and Overflow */
		idxd->swerror[0] &= ~((uint64_t)(value & lanes) & (SWERROR_VALID | SWERROR_OVERFLOW));
		break;
	default: /* read-only, or reserved: ignored */
		if (has_event_log(idxd) && offset >= REG_EVLCFG && offset < REG_EVLSTATUS + 8)
			event_log_write(&idxd->event_log, offset - REG_EVLCFG, value, lanes, idxd->state == DEVICE_DISABLED);
		break;
	}
}

/* ---- GRPCFG; the offset is inside the table ---- */

static uint64_t low_bits(uint32_t count)
{
	return count >= 64 ? UINT64_MAX : (1ull << count) - 1;
}

/* The 64-bit word, and which of its bits there are. NULL: none. */
static uint64_t *group_word(struct idxd *idxd, uint64_t offset, uint64_t *implemented)
{
	struct group *group = &idxd->groups[offset / GRPCFG_STRIDE];
	const uint32_t num_wqs = idxd->config.num_wqs;
	const uint32_t at = (uint32_t)(offset % GRPCFG_STRIDE) & ~7u;

	if (at < 8 * GRPCFG_WQ_WORDS) {
		*implemented = num_wqs > at * 8 ? low_bits(num_wqs - at * 8) : 0;
		return &group->wqs[at / 8];
	}
	*implemented = at == GRPCFG_ENGINES ? low_bits(idxd->config.num_engines) : GRPFLAGS_WRITABLE;
	if (at == GRPCFG_ENGINES)
		return &group->engines;
	return at == GRPCFG_FLAGS ? &group->flags : NULL;
}

static void write_group(struct idxd *idxd, uint64_t offset, uint32_t value, uint32_t lanes)
{
	uint64_t implemented;
	uint64_t *word = group_word(idxd, offset, &implemented);
	const unsigned shift = offset % 8 * 8;
	const uint64_t mask = (uint64_t)lanes << shift & (word ? implemented : 0);

	if (word && configurable(idxd))
		*word = (*word & ~mask) | ((uint64_t)value << shift & mask);
}

/* ---- WQCFG; the offset is inside the table ---- */

static uint64_t read_wqcfg(const struct idxd *idxd, uint64_t offset)
{
	const uint32_t wq = (uint32_t)(offset / wqcfg_stride(idxd));
	const unsigned dword = (unsigned)(offset % wqcfg_stride(idxd) / 4);

	return wq_read_cfg(idxd, wq, dword) | (uint64_t)wq_read_cfg(idxd, wq, dword + 1) << 32;
}

static void write_wqcfg(struct idxd *idxd, uint64_t offset, uint32_t value, uint32_t lanes)
{
	const uint32_t wq = (uint32_t)(offset / wqcfg_stride(idxd));
	const unsigned dword = (unsigned)(offset % wqcfg_stride(idxd) / 4);

	wq_write_cfg(idxd, wq, dword, merge(wq_read_cfg(idxd, wq, dword), value, lanes));
}

/* ---- which register ---- */

static bool in_table(uint64_t offset, uint64_t base, uint64_t size)
{
	return offset >= base && offset - base < size;
}

static uint64_t grpcfg_bytes(const struct idxd *idxd)
{
	return (uint64_t)idxd->config.num_groups * GRPCFG_STRIDE;
}

static uint64_t wqcfg_bytes(const struct idxd *idxd)
{
	return (uint64_t)idxd->config.num_wqs * wqcfg_stride(idxd);
}

/* A 64-bit word at an offset that is a multiple of 8; lock held. */
static uint64_t read_own(struct idxd *idxd, uint64_t offset)
{
	uint64_t implemented;

	if (in_table(offset, table_grpcfg(idxd), grpcfg_bytes(idxd))) {
		const uint64_t *word = group_word(idxd, offset - table_grpcfg(idxd), &implemented);

		return word ? *word : 0;
	}
	if (in_table(offset, table_wqcfg(idxd), wqcfg_bytes(idxd)))
		return read_wqcfg(idxd, offset - table_wqcfg(idxd));
	return offset < REG_FIXED_END ? read_fixed(idxd, offset) : 0;
}

/* 32 bits at an offset that is a multiple of 4; lock held. */
static void write_own(struct idxd *idxd, uint64_t offset, uint32_t value, uint32_t lanes)
{
	if (in_table(offset, table_grpcfg(idxd), grpcfg_bytes(idxd)))
		write_group(idxd, offset - table_grpcfg(idxd), value, lanes);
	else if (in_table(offset, table_wqcfg(idxd), wqcfg_bytes(idxd)))
		write_wqcfg(idxd, offset - table_wqcfg(idxd), value, lanes);
	else if (offset < REG_FIXED_END)
		write_fixed(idxd, offset, value, lanes);
}

static bool in_store(const struct idxd *idxd, uint64_t offset)
{
	return in_table(offset, table_ims(idxd), store_size(idxd->store));
}

static bool in_msix(const struct idxd *idxd, uint64_t offset)
{
	return in_table(offset, idxd_msix_table_offset(idxd), (uint64_t)idxd->config.num_msix * MSIX_STRIDE);
}

static bool in_msixperm(const struct idxd *idxd, uint64_t offset)
{
	return in_table(offset, table_msixperm(idxd), (uint64_t)idxd->config.num_msix * MSIXPERM_STRIDE);
}

static bool in_pba(const struct idxd *idxd, uint64_t offset)
{
	return in_table(offset, idxd_msix_pba_offset(idxd), ((uint64_t)idxd->config.num_msix + 63) / 64 * 8);
}

static uint64_t read_word(struct idxd *idxd, uint64_t offset)
{
	uint64_t word;

	if (in_store(idxd, offset))
		return store_read(idxd->store, offset - table_ims(idxd), 8);
	if (in_msix(idxd, offset))
		return msix_read(idxd->msix, offset - idxd_msix_table_offset(idxd), 8);
	if (in_msixperm(idxd, offset))
		return msix_read_perm(idxd->msix, (uint32_t)((offset - table_msixperm(idxd)) / MSIXPERM_STRIDE));
	if (in_pba(idxd, offset))
		return msix_read_pba(idxd->msix, (uint32_t)((offset - idxd_msix_pba_offset(idxd)) / 8));
	if (in_table(offset, REG_DUMMY_PORTAL, PORTAL_PAGE))
		return UINT64_MAX;
	pthread_mutex_lock(&idxd->lock);
	word = read_own(idxd, offset);
	pthread_mutex_unlock(&idxd->lock);
	return word;
}

static void write_perm(struct idxd *idxd, uint64_t offset, uint32_t value, uint32_t lanes)
{
	const uint32_t vector = (uint32_t)((offset - table_msixperm(idxd)) / MSIXPERM_STRIDE);

	if (offset % MSIXPERM_STRIDE == 0)
		msix_write_perm(idxd->msix, vector, merge(msix_read_perm(idxd->msix, vector), value, lanes));
}

static void write_dword(struct idxd *idxd, uint64_t offset, uint32_t value, uint32_t lanes)
{
	if (in_msixperm(idxd, offset)) {
		write_perm(idxd, offset, value, lanes);
		return;
	}
	pthread_mutex_lock(&idxd->lock);
	write_own(idxd, offset, value, lanes);
	pthread_mutex_unlock(&idxd->lock);
}

static bool access_ok(const struct idxd *idxd, uint64_t offset, unsigned size)
{
	const bool size_ok = size == 1 || size == 2 || size == 4 || size == 8;

	return size_ok && offset % size == 0 && offset < idxd_bar0_size(idxd);
}

uint64_t idxd_bar0_read(struct idxd *idxd, uint64_t offset, unsigned size)
{
	uint64_t word;

	if (!access_ok(idxd, offset, size))
		return 0;
	word = read_word(idxd, offset & ~7ull) >> offset % 8 * 8;
	return size == 8 ? word : word & ((1ull << size * 8) - 1);
}

/* Tables of interrupt messages take whole 32-bit words only; their functions refuse what is narrower. */
void idxd_bar0_write(struct idxd *idxd, uint64_t offset, unsigned size, uint64_t value)
{
	const unsigned shift = offset % 4 * 8;
	const uint32_t lanes = size >= 4 ? UINT32_MAX : ((1u << size * 8) - 1) << shift;

	if (!access_ok(idxd, offset, size))
		return;
	if (in_store(idxd, offset)) {
		store_write(idxd->store, offset - table_ims(idxd), size, value);
	} else if (in_msix(idxd, offset)) {
		msix_write(idxd->msix, offset - idxd_msix_table_offset(idxd), size, value);
	} else {
		write_dword(idxd, offset & ~3ull, (uint32_t)value << shift, lanes);
		if (size == 8)
			write_dword(idxd, offset + 4, (uint32_t)(value >> 32), UINT32_MAX);
	}
}
