/*
 * vlint.h - is this a PCI function that a guest's firmware and drivers can live with? Run on every virtual device before it is
 * shown: a QEMU that is given overlapping capabilities crashes, and a driver that is given overlapping tables writes elsewhere.
 */
#ifndef VDSA_VDEV_VLINT_H
#define VDSA_VDEV_VLINT_H

#include <stdint.h>

/* Bytes of BAR0 that are registers of one kind. */
struct vlint_range {
	uint64_t offset, size;
};

enum { VLINT_MAX_RANGES = 8 };

/* All of BAR0 but the MSI-X table and the PBA, which the config space names. */
struct vlint_bar0 {
	uint32_t count;
	struct vlint_range ranges[VLINT_MAX_RANGES];
};

/* By the capability registers that `read` gives (OFFSETS, WQCAP, GRPCAP, GENCAP) and the number of MSI-X vectors. */
void vlint_read_tables(uint64_t (*read)(void *it, uint64_t offset, unsigned size), void *it, uint32_t num_vectors,
		       struct vlint_bar0 *bar0);

/* config: all 4,096 bytes, at power-on. NULL: nothing to complain of; else which rule is broken, in a few words. */
const char *vdev_lint(const uint8_t *config, uint64_t bar0_size, uint64_t bar2_size, const struct vlint_bar0 *bar0);

#endif
