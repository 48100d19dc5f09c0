/* vlint.c - rules of PCI (PCI Local Bus specification 6.1, 6.7; PCI Express base specification 7.5, 7.7) and of BAR0's layout. */
#include "vlint.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "../core/formats.h"
#include "../core/regs.h"

enum {
	CONFIG_SIZE = 4096,
	CAPS_END = 256,
	CAPS_FIRST = 0x40,
	STATUS = 0x06,
	STATUS_CAP_LIST = 1 << 4,
	HEADER_TYPE = 0x0E,
	BARS = 0x10,
	BAR_64_PREFETCHABLE = 0xC,
	CAP_POINTER = 0x34,
	INTERRUPT_PIN = 0x3D,
	CAP_EXPRESS = 0x10,
	CAP_MSIX = 0x11,
	EXPRESS_SIZE = 0x3C, /* of version 2 */
	MSIX_SIZE = 12,
	CAP_LEAST = 4,
	ENDPOINT_IN_ROOT_COMPLEX = 9,
	DEVCAP_FLR = 1 << 28,
};

static uint32_t get(const uint8_t *config, unsigned offset, unsigned size)
{
	uint32_t value = 0;

	memcpy(&value, config + offset, size);
	return value;
}

/* ---- header ---- */

static bool power_of_two(uint64_t size)
{
	return size != 0 && (size & (size - 1)) == 0;
}

static const char *lint_bars(const uint8_t *config, uint64_t bar0_size, uint64_t bar2_size)
{
	if (!power_of_two(bar0_size) || !power_of_two(bar2_size))
		return "the size of a BAR is not a power of two";
	if (bar0_size < 0x10000 || bar2_size < PORTAL_WQ_STRIDE)
		return "a BAR is too small for its registers";
	if (get(config, BARS, 4) != BAR_64_PREFETCHABLE || get(config, BARS + 8, 4) != BAR_64_PREFETCHABLE)
		return "BAR0 and BAR2 are not 64 bits wide, prefetchable and unassigned";
	if (get(config, BARS + 4, 4) || get(config, BARS + 12, 4) || get(config, BARS + 16, 4) || get(config, BARS + 20, 4))
		return "a BAR register that is not BAR0 or BAR2 is not zero";
	return NULL;
}

static const char *lint_header(const uint8_t *config)
{
	if (get(config, 0, 2) == 0 || get(config, 0, 2) == 0xFFFF || get(config, 2, 2) == 0)
		return "no vendor or device ID";
	if (config[HEADER_TYPE] != 0)
		return "the header type is not 0";
	if (config[INTERRUPT_PIN] != 0)
		return "there is an INTx pin";
	if (get(config, STATUS, 2) != STATUS_CAP_LIST)
		return "the status register shows something else than a capability list";
	return NULL;
}

/* ---- capabilities ---- */

static const char *lint_express(const uint8_t *config, unsigned at)
{
	const uint32_t flags = get(config, at + 2, 2);

	if ((flags & 0xF) != 2)
		return "the PCI Express capability is not of version 2";
	if ((flags >> 4 & 0xF) != ENDPOINT_IN_ROOT_COMPLEX)
		return "the function is no root complex integrated endpoint";
	return get(config, at + 4, 4) & DEVCAP_FLR ? NULL : "function-level reset is not announced";
}

static bool overlap(struct vlint_range one, struct vlint_range other)
{
	return one.offset < other.offset + other.size && other.offset < one.offset + one.size;
}

static const char *lint_msix(const uint8_t *config, unsigned at, uint64_t bar0_size, const struct vlint_bar0 *bar0)
{
	const uint64_t vectors = (get(config, at + 2, 2) & 0x7FF) + 1;
	const uint32_t table_at = get(config, at + 4, 4), pba_at = get(config, at + 8, 4);
	const struct vlint_range table = { table_at & ~7u, vectors * MSIX_STRIDE };
	const struct vlint_range pba = { pba_at & ~7u, (vectors + 63) / 64 * 8 };

	if ((table_at & 7) != 0 || (pba_at & 7) != 0)
		return "the MSI-X table or its PBA is not in BAR0";
	if (table.offset + table.size > bar0_size || pba.offset + pba.size > bar0_size)
		return "the MSI-X table or its PBA goes beyond BAR0";
	if (overlap(table, pba))
		return "the MSI-X table and its PBA overlap";
	for (uint32_t i = 0; i < bar0->count; i++)
		if (overlap(table, bar0->ranges[i]) || overlap(pba, bar0->ranges[i]))
			return "the MSI-X table or its PBA overlaps registers";
	return NULL;
}

static unsigned size_of(uint8_t id)
{
	return id == CAP_EXPRESS ? EXPRESS_SIZE : id == CAP_MSIX ? MSIX_SIZE : CAP_LEAST;
}

/* Marks the bytes of a capability as taken. False: outside, or taken already, as by an earlier turn of a loop. */
static bool take(uint8_t taken[CAPS_END], unsigned at, unsigned size)
{
	if (at < CAPS_FIRST || at % 4 != 0 || at + size > CAPS_END)
		return false;
	for (unsigned i = at; i < at + size; i++) {
		if (taken[i])
			return false;
		taken[i] = 1;
	}
	return true;
}

static const char *lint_capabilities(const uint8_t *config, uint64_t bar0_size, const struct vlint_bar0 *bar0)
{
	uint8_t taken[CAPS_END] = { 0 };
	bool express = false, msix = false;
	const char *complaint = NULL;

	for (unsigned at = config[CAP_POINTER]; at != 0 && !complaint; at = config[at + 1]) {
		if (!take(taken, at, at + CAP_LEAST <= CAPS_END ? size_of(config[at]) : CAP_LEAST))
			return "a capability is misplaced, overlaps another or leads back to it";
		if (config[at] == CAP_EXPRESS) {
			complaint = express ? "two PCI Express capabilities" : lint_express(config, at);
			express = true;
		} else if (config[at] == CAP_MSIX) {
			complaint = msix ? "two MSI-X capabilities" : lint_msix(config, at, bar0_size, bar0);
			msix = true;
		}
	}
	if (complaint)
		return complaint;
	return express && msix ? NULL : "a capability is missing: PCI Express or MSI-X";
}

/* Each header is 4 bytes: ID, version, next. The list may be empty; no capability is less than 4 bytes. */
static const char *lint_extended(const uint8_t *config)
{
	unsigned at = CAPS_END, steps = 0;

	if (get(config, at, 4) == 0)
		return NULL;
	while (at != 0) {
		if (at < CAPS_END || at % 4 != 0 || at > CONFIG_SIZE - CAP_LEAST || ++steps > (CONFIG_SIZE - CAPS_END) / CAP_LEAST)
			return "an extended capability is misplaced or leads back to an earlier one";
		at = get(config, at, 4) >> 20;
	}
	return NULL;
}

/* ---- BAR0 ---- */

static const char *lint_ranges(uint64_t bar0_size, const struct vlint_bar0 *bar0)
{
	for (uint32_t i = 0; i < bar0->count; i++) {
		if (bar0->ranges[i].offset + bar0->ranges[i].size > bar0_size)
			return "registers go beyond BAR0";
		for (uint32_t j = 0; j < i; j++)
			if (overlap(bar0->ranges[i], bar0->ranges[j]))
				return "registers overlap each other";
	}
	return NULL;
}

static void add(struct vlint_bar0 *bar0, uint64_t offset, uint64_t size)
{
	if (size != 0)
		bar0->ranges[bar0->count++] = (struct vlint_range){ offset, size };
}

void vlint_read_tables(uint64_t (*read)(void *it, uint64_t offset, unsigned size), void *it, uint32_t num_vectors,
		       struct vlint_bar0 *bar0)
{
	const uint64_t offsets = read(it, REG_OFFSETS, 8), wqcap = read(it, REG_WQCAP, 8);
	const uint64_t groups = read(it, REG_GRPCAP, 8) & 0xFF, ims = read(it, REG_GENCAP, 8) >> GENCAP_IMS_SHIFT & 0x3F;
	const uint64_t unit = 0x100;

	bar0->count = 0;
	add(bar0, 0, 2 * unit); /* the fixed registers, DSACAP and IAACAP */
	add(bar0, (offsets & 0xFFFF) * unit, groups * GRPCFG_STRIDE);
	add(bar0, (offsets >> 16 & 0xFFFF) * unit, (wqcap >> 16 & 0xFF) << ((wqcap >> 24 & 0xF) + 5));
	add(bar0, (offsets >> 32 & 0xFFFF) * unit, (uint64_t)num_vectors * MSIXPERM_STRIDE);
	add(bar0, (offsets >> 48 & 0xFFFF) * unit, ims * 256 * IMS_STRIDE);
	add(bar0, REG_DUMMY_PORTAL, PORTAL_PAGE);
}

const char *vdev_lint(const uint8_t *config, uint64_t bar0_size, uint64_t bar2_size, const struct vlint_bar0 *bar0)
{
	const char *complaint = lint_header(config);

	if (!complaint)
		complaint = lint_bars(config, bar0_size, bar2_size);
	if (!complaint)
		complaint = lint_ranges(bar0_size, bar0);
	if (!complaint)
		complaint = lint_capabilities(config, bar0_size, bar0);
	return complaint ? complaint : lint_extended(config);
}
