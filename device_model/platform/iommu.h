/*
 * iommu.h - what stands between the device and the virtual machines on the host: a PASID table (whose memory a DMA goes to)
 * and interrupt remapping (which vector of which virtual device a message means). It executes; the host's control part
 * decides what is in it.
 */
#ifndef VDSA_PLATFORM_IOMMU_H
#define VDSA_PLATFORM_IOMMU_H

#include <stdint.h>

#include "../core/dma.h"
#include "../core/message.h"
#include "../core/ledger.h"

/* The far side of a binding: a virtual device. Functions are called with no lock of the IOMMU held. */
struct iommu_target {
	void *ctx;
	uint32_t id; /* of the mdev, for the ledger */
	void (*interrupt)(void *ctx, unsigned vector, const struct witness *witness);
	/* Into the memory of the VM; see dma.h. False: there is none that this device may access now. */
	bool (*dma_enter)(void *ctx, struct dma_space *space);
	void (*dma_leave)(void *ctx, struct dma_space *space);
};

struct iommu;

enum { IOMMU_MAX_REMAP = 1 << 16, IOMMU_MAX_PASID = 1 << 20 };

struct iommu *iommu_create(struct ledger *ledger);
void iommu_destroy(struct iommu *iommu);

/*
 * An entry of the interrupt remapping table. A message in remappable format (VT-d specification 5.1.2.2: address
 * 0xFEE00010 | index[14:0] << 5 | index[15] << 2) goes to `vector` of `target`. -EINVAL: index out of range. An entry in use is replaced.
 */
int iommu_remap_set(struct iommu *iommu, uint32_t index, const struct iommu_target *target, unsigned vector);
/* Returns when no message is on its way through the entry. Idempotent. */
int iommu_remap_clear(struct iommu *iommu, uint32_t index);

/* An entry of the PASID table. -EINVAL: out of range; -ENOMEM. An entry in use is replaced. */
int iommu_pasid_set(struct iommu *iommu, uint32_t pasid, const struct iommu_target *target);
/* Returns when all who had entered the address space by this entry have left. Idempotent. */
int iommu_pasid_clear(struct iommu *iommu, uint32_t pasid);

/* For the device (struct idxd_ports). */
void iommu_message(struct iommu *iommu, const struct interrupt_message *message);
bool iommu_dma_enter(struct iommu *iommu, uint32_t pasid, struct dma_space *space);
void iommu_dma_leave(struct iommu *iommu, struct dma_space *space);

/* Entries in use, for the audit at the end of a run. */
void iommu_count(struct iommu *iommu, uint32_t *remap_entries, uint32_t *pasids);

#endif
