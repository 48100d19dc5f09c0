/* capabilities.c - what the device is and can do (DSA specification 9.2.1 - 9.2.7, 9.2.14), and where its tables are. */
#include <string.h>

#include "idxd_internal.h"
#include "operation.h"

/*
 * Tables in BAR0; the device says where they are in OFFSETS. The message store (IMS) is the first of those that grow, the MSI-X table
 * comes after it, in pages of its own.
 */
enum {
	GRPCFG_FEW = 0x600,  /* up to 8 groups */
	GRPCFG_MANY = 0x200, /* up to 16 */
	WQCFG_BASE = 0x800,  /* 255 of 64 bytes: up to 0x47C0 */
	MSIXPERM_BASE = 0x5000, /* 2048 of 8 bytes: up to 0x9000 */
	PBA_BASE = 0x9000,
	IMS_BASE = 0x10000,
	PAGE = 0x1000,
};

static bool has(const struct idxd *idxd, uint32_t feature)
{
	return idxd->config.features & feature;
}

uint64_t table_grpcfg(const struct idxd *idxd)
{
	return idxd->config.num_groups > (WQCFG_BASE - GRPCFG_FEW) / GRPCFG_STRIDE ? GRPCFG_MANY : GRPCFG_FEW;
}

uint64_t table_wqcfg(const struct idxd *idxd)
{
	(void)idxd;
	return WQCFG_BASE;
}

uint64_t table_msixperm(const struct idxd *idxd)
{
	(void)idxd;
	return MSIXPERM_BASE;
}

uint64_t table_ims(const struct idxd *idxd)
{
	(void)idxd;
	return IMS_BASE;
}

uint64_t idxd_msix_table_offset(const struct idxd *idxd)
{
	return IMS_BASE + (store_size(idxd->store) + PAGE - 1) / PAGE * PAGE;
}

uint64_t idxd_msix_pba_offset(const struct idxd *idxd)
{
	(void)idxd;
	return PBA_BASE;
}

uint64_t idxd_bar0_size(const struct idxd *idxd)
{
	const uint64_t end = idxd_msix_table_offset(idxd) + (uint64_t)idxd->config.num_msix * MSIX_STRIDE;
	uint64_t size = IMS_BASE;

	while (size < end)
		size *= 2;
	return size;
}

uint32_t wqcfg_stride(const struct idxd *idxd)
{
	return has(idxd, IDXD_OPCFG) ? WQCFG_WIDE_STRIDE : WQCFG_STRIDE;
}

/* Only an array has a size that GENCAP can tell. An IAA has no batches and copies nothing. */
static uint64_t gencap(const struct idxd *idxd)
{
	const uint32_t array = idxd->config.organisation == STORE_ARRAY ? idxd->config.num_ims : 0;
	uint64_t value = GENCAP_CACHE_CONTROL | (uint64_t)idxd->config.max_xfer_log2 << GENCAP_MAX_XFER_SHIFT |
			 (uint64_t)(array / 256) << GENCAP_IMS_SHIFT;

	if (idxd->config.kind == IDXD_DSA)
		value |= GENCAP_OVERLAP_COPY | (uint64_t)idxd->config.max_batch_log2 << GENCAP_MAX_BATCH_SHIFT;
	if (!has(idxd, IDXD_NO_CMDCAP))
		value |= GENCAP_CMDCAP;
	if (!has(idxd, IDXD_FIXED_CONFIG))
		value |= GENCAP_CONFIG;
	if (has(idxd, IDXD_EVENT_LOG))
		value |= GENCAP_EVENT_LOG | GENCAP_EVENT_LOG_OVERFLOW;
	return value;
}

static uint64_t wqcap(const struct idxd *idxd)
{
	const uint64_t value = idxd->config.total_wq_size | (uint64_t)idxd->config.num_wqs << 16 | WQCAP_DEDICATED |
			       WQCAP_PRIORITY | WQCAP_OCCUPANCY;

	return has(idxd, IDXD_OPCFG) ? value | WQCAP_OPCFG | 1ull << WQCAP_CFG_SIZE_SHIFT : value;
}

/* Commands 1 to 12, which all devices have (table 9-6), and those of interrupt handles. */
static uint64_t commands(const struct idxd *idxd)
{
	const uint64_t usual = 0x1FFE;

	if (has(idxd, IDXD_NO_CMDCAP | IDXD_NO_HANDLES))
		return usual;
	return usual | 1ull << CMD_REQUEST_INT_HANDLE | 1ull << CMD_RELEASE_INT_HANDLE;
}

bool capabilities_command(const struct idxd *idxd, uint32_t code)
{
	return code < 64 && (commands(idxd) >> code & 1);
}

void capabilities_create(struct idxd *idxd)
{
	operation_capabilities(idxd->opcap);
	if (idxd->config.kind == IDXD_IAA) {
		memset(idxd->opcap, 0, sizeof(idxd->opcap));
		idxd->opcap[0] = 1ull << OP_NOOP | 1ull << OP_DRAIN;
	}
}

/* A table that the device does not have is at 0. */
static uint64_t offsets(const struct idxd *idxd)
{
	uint64_t value = table_grpcfg(idxd) / 0x100 | table_wqcfg(idxd) / 0x100 << 16;

	if (idxd->msix)
		value |= table_msixperm(idxd) / 0x100 << 32;
	if (store_size(idxd->store) > 0)
		value |= table_ims(idxd) / 0x100 << 48;
	return value;
}

uint64_t capabilities_read(const struct idxd *idxd, uint64_t offset)
{
	switch (offset) {
	case REG_VERSION:
		return idxd->config.kind == IDXD_IAA ? VERSION_2_0 : VERSION_1_0;
	case REG_GENCAP:
		return gencap(idxd);
	case REG_WQCAP:
		return wqcap(idxd);
	case REG_GRPCAP:
		return idxd->config.num_groups;
	case REG_ENGCAP:
		return idxd->config.num_engines;
	case REG_OFFSETS:
		return offsets(idxd);
	case REG_CMDCAP:
		return has(idxd, IDXD_NO_CMDCAP) ? 0 : commands(idxd);
	case REG_IAACAP: /* nothing beyond what version 1 has */
	default:
		return offset >= REG_OPCAP && offset < REG_OPCAP + 32 ? idxd->opcap[(offset - REG_OPCAP) / 8] : 0;
	}
}
