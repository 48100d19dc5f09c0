/* registers.c - BAR0 of the physical device: which offset is which register, and who may write it when (chapter 9). */
#include <string.h>

#include "idxd_internal.h"

/* Where the tables are: the device says so in OFFSETS, in units of 0x100. */
enum { TABLE_GRPCFG = 0x600, TABLE_WQCFG = 0x800, TABLE_IMS = 0x10000 };

void registers_reset(struct idxd *idxd)
{
	idxd->state = DEVICE_DISABLED;
	idxd->gencfg = 0;
	idxd->genctrl = 0;
	idxd->intcause = 0;
	memset(idxd->groups, 0, idxd->config.num_groups * sizeof(*idxd->groups));
	for (uint32_t i = 0; i < idxd->config.num_wqs; i++) {
		memset(idxd->wqs[i].cfg, 0, sizeof(idxd->wqs[i].cfg));
		idxd->wqs[i].state = WQ_DISABLED;
	}
}

uint64_t idxd_bar0_size(const struct idxd *idxd)
{
	const uint64_t end = TABLE_IMS + (uint64_t)idxd->config.num_ims * IMS_STRIDE;
	uint64_t size = 0x10000;

	while (size < end)
		size *= 2;
	return size;
}

void registers_error(struct idxd *idxd, uint32_t wq, const uint64_t swerror[4])
{
	pthread_mutex_lock(&idxd->lock);
	if (idxd->swerror[0] & SWERROR_VALID) {
		idxd->swerror[0] |= SWERROR_OVERFLOW;
	} else {
		memcpy(idxd->swerror, swerror, sizeof(idxd->swerror));
		idxd->intcause |= INTCAUSE_SWERR;
	}
	pthread_mutex_unlock(&idxd->lock);
	idxd->ports.error(idxd->ports.ctx, wq, swerror);
}

/* ---- fixed registers: as 64-bit words at offset & ~7 ---- */

static uint64_t gencap(const struct idxd *idxd)
{
	return GENCAP_OVERLAP_COPY | GENCAP_CACHE_CONTROL | GENCAP_CMDCAP | GENCAP_CONFIG |
	       (uint64_t)idxd->config.max_xfer_log2 << GENCAP_MAX_XFER_SHIFT |
	       (uint64_t)idxd->config.max_batch_log2 << GENCAP_MAX_BATCH_SHIFT |
	       (uint64_t)(idxd->config.num_ims / 256) << GENCAP_IMS_SHIFT;
}

/* Commands 1 to 10 without drain and abort by PASID, and the interrupt handle commands. */
static uint64_t cmdcap(void)
{
	return 0x7FEull | 1ull << CMD_REQUEST_INT_HANDLE | 1ull << CMD_RELEASE_INT_HANDLE;
}

static uint64_t read_fixed(const struct idxd *idxd, uint64_t offset)
{
	switch (offset) {
	case REG_VERSION:
		return VERSION_1_0;
	case REG_GENCAP:
		return gencap(idxd);
	case REG_WQCAP:
		return idxd->config.total_wq_size | (uint64_t)idxd->config.num_wqs << 16 | WQCAP_DEDICATED;
	case REG_GRPCAP:
		return idxd->config.num_groups;
	case REG_ENGCAP:
		return idxd->config.num_engines;
	case REG_OPCAP:
		return 1ull << OP_NOOP | 1ull << OP_MEMMOVE;
	case REG_OFFSETS:
		return TABLE_GRPCFG / 0x100 | (uint64_t)TABLE_WQCFG / 0x100 << 16 | (uint64_t)TABLE_IMS / 0x100 << 48;
	case REG_GENCFG:
		return idxd->gencfg;
	case REG_GENCTRL:
		return idxd->genctrl;
	case REG_GENSTS:
		return idxd->state;
	case REG_INTCAUSE:
		return idxd->intcause;
	case REG_CMDSTATUS:
		return idxd->cmdstatus;
	case REG_CMDCAP:
		return cmdcap();
	default:
		break;
	}
	if (offset >= REG_SWERROR && offset < REG_SWERROR + 32)
		return idxd->swerror[(offset - REG_SWERROR) / 8];
	return 0;
}

static void write_fixed(struct idxd *idxd, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case REG_GENCTRL:
		idxd->genctrl = value & GENCTRL_MASK;
		break;
	case REG_INTCAUSE:
		idxd->intcause &= ~value;
		break;
	case REG_CMD:
		command_write(idxd, value);
		break;
	case REG_SWERROR: /* W1C of Valid and Overflow */
		idxd->swerror[0] &= ~((uint64_t)value & (SWERROR_VALID | SWERROR_OVERFLOW));
		break;
	default:
		break; /* read-only, or reserved: ignored */
	}
}

/* ---- GRPCFG, as 64-bit words; the offset is inside the table ---- */

static uint64_t *group_word(struct idxd *idxd, uint64_t offset)
{
	struct group *group = &idxd->groups[offset / GRPCFG_STRIDE];

	offset %= GRPCFG_STRIDE;
	if (offset < 8 * GRPCFG_WQ_WORDS)
		return &group->wqs[offset / 8];
	if (offset == GRPCFG_ENGINES)
		return &group->engines;
	return offset == GRPCFG_FLAGS ? &group->flags : NULL;
}

static bool in_table(uint64_t offset, uint64_t base, uint64_t size)
{
	return offset >= base && offset - base < size;
}

static uint64_t wqcfg_bytes(const struct idxd *idxd)
{
	return (uint64_t)idxd->config.num_wqs * WQCFG_STRIDE;
}

/* A 64-bit word at an offset that is a multiple of 8; lock held. */
static uint64_t read_word(struct idxd *idxd, uint64_t offset)
{
	if (offset < REG_FIXED_END)
		return read_fixed(idxd, offset);
	if (in_table(offset, TABLE_GRPCFG, (uint64_t)idxd->config.num_groups * GRPCFG_STRIDE)) {
		const uint64_t *word = group_word(idxd, offset - TABLE_GRPCFG);

		return word ? *word : 0;
	}
	if (in_table(offset, TABLE_WQCFG, wqcfg_bytes(idxd))) {
		const uint32_t wq = (uint32_t)((offset - TABLE_WQCFG) / WQCFG_STRIDE);
		const unsigned dword = (unsigned)((offset - TABLE_WQCFG) % WQCFG_STRIDE / 4);

		return wq_read_cfg(idxd, wq, dword) | (uint64_t)wq_read_cfg(idxd, wq, dword + 1) << 32;
	}
	return offset >= REG_DUMMY_PORTAL && offset < REG_DUMMY_PORTAL + PORTAL_PAGE ? UINT64_MAX : 0;
}

/* 32 bits at an offset that is a multiple of 4; lock held. */
static void write_dword(struct idxd *idxd, uint64_t offset, uint32_t value)
{
	if (offset < REG_FIXED_END) {
		write_fixed(idxd, offset, value);
	} else if (in_table(offset, TABLE_GRPCFG, (uint64_t)idxd->config.num_groups * GRPCFG_STRIDE)) {
		uint64_t *word = group_word(idxd, (offset - TABLE_GRPCFG) & ~7ull);
		const unsigned shift = offset % 8 * 8;

		if (word && idxd->state == DEVICE_DISABLED)
			*word = (*word & ~(0xFFFFFFFFull << shift)) | (uint64_t)value << shift;
	} else if (in_table(offset, TABLE_WQCFG, wqcfg_bytes(idxd))) {
		wq_write_cfg(idxd, (uint32_t)((offset - TABLE_WQCFG) / WQCFG_STRIDE),
			     (unsigned)((offset - TABLE_WQCFG) % WQCFG_STRIDE / 4), value);
	}
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
	if (offset >= TABLE_IMS)
		return ims_read(idxd->ims, offset - TABLE_IMS, size);
	pthread_mutex_lock(&idxd->lock);
	word = read_word(idxd, offset & ~7ull);
	pthread_mutex_unlock(&idxd->lock);
	word >>= offset % 8 * 8;
	return size == 8 ? word : word & ((1ull << size * 8) - 1);
}

/* Writable registers are 32 bits and more (9.1): narrower writes are ignored. */
void idxd_bar0_write(struct idxd *idxd, uint64_t offset, unsigned size, uint64_t value)
{
	if (!access_ok(idxd, offset, size) || size < 4)
		return;
	if (offset >= TABLE_IMS) {
		ims_write(idxd->ims, offset - TABLE_IMS, size, value);
		return;
	}
	pthread_mutex_lock(&idxd->lock);
	write_dword(idxd, offset, (uint32_t)value);
	if (size == 8)
		write_dword(idxd, offset + 4, (uint32_t)(value >> 32));
	pthread_mutex_unlock(&idxd->lock);
}
