/*
 * vdev.h - a virtual device (an mdev): a PCI function as a guest sees it, and what lies inside it. That is either a device
 * emulated over one work queue and a block of IMS entries of the physical device, or a whole device of its own.
 * This is the part of the host that runs at each access of a guest (the "VDCM"); which work queue, entries, handles and
 * capabilities it gets was decided by the host's control part before.
 *
 * Thread rules: all functions are thread-safe unless they say otherwise. The transport calls region and reset functions
 * from one thread a connection; the engine delivers interrupts from its own.
 */
#ifndef VDSA_VDEV_VDEV_H
#define VDSA_VDEV_VDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../core/dma.h"
#include "../core/idxd.h"

struct vdev;
struct platform;
struct iommu_target;

/* Region indices are VFIO's: 0 and 2 are BAR0 and BAR2, 7 is the config space. */
enum { VDEV_REGION_BAR0 = 0, VDEV_REGION_BAR2 = 2, VDEV_REGION_CONFIG = 7, VDEV_NUM_REGIONS = 9 };

/* PCI config space (vendor 8086, device 0b25): capability positions that the transport needs for hiding MSI-X. */
enum { VDEV_CONFIG_SIZE = 4096, VDEV_MSIX_CAP = 0x80, VDEV_MAX_VECTORS = 256 };

/*
 * The way into the VM behind a connection: given by the transport while a client is attached.
 * No function may block for longer than a bounded time, none may call back into the vdev, and none is called with a lock held.
 */
struct vdev_vm {
	void *ctx;
	/* Interrupt as a memory write of `data` (4 bytes) to `address` in the VM. 0, or -errno: not delivered. */
	int (*message)(void *ctx, uint64_t address, uint32_t data);
	/* Interrupt by the eventfd that the client registered for `vector`. 0, or -errno. Only with QEMU-owned MSI-X. */
	int (*signal)(void *ctx, unsigned vector);
	/* Into the VM's address space; see dma.h. Left by space->ops->leave. Ranges are checked there; a read-only map is no
	 * target. */
	void (*dma_enter)(void *ctx, struct dma_space *space);
};

/* ---- for the host's control part ---- */

/* An IMS-backed vector: the entry behind it, and the handle that Request Interrupt Handle returns for it. */
struct vdev_vector {
	uint32_t entry;
	uint32_t handle; /* 16 bits */
};

/* What the host composed. The register values are those that the guest sees (facts of 9.2.2 - 9.2.7). */
struct vdev_config {
	uint32_t id;             /* of the mdev, not 0: for the ledger */
	uint32_t wq;             /* physical work queue behind the guest's WQ 0 */
	uint32_t num_vectors;    /* 1 + IMS-backed ones, at most VDEV_MAX_VECTORS */
	uint32_t vmm_owns_msix;  /* 1: delivery mode eventfd */
	uint64_t gencap, wqcap, grpcap, engcap, opcap, cmdcap;
	uint32_t wq_size;        /* WQCFG as the guest sees it; with GENCAP_CONFIG the most that it may set */
	uint32_t wq_mode;
	uint32_t wq_limits;
	uint32_t mapped_portal;  /* 1: the guest maps its portals, a thread looks for descriptors in them (vmapped.c) */
};

/* A device of its own: sizes as of a physical one, with num_msix vectors and without an IMS. */
struct vdev_own_config {
	uint32_t id;             /* of the mdev, not 0: for the ledger */
	uint32_t vmm_owns_msix;
	uint32_t run_engines;    /* 0: stepped by vdev_engine_step(), for tests */
	uint32_t mapped_portal;
	struct idxd_config device;
};

/* vectors: num_vectors - 1 of them, for vectors 1 and up. NULL with *error a negative errno: -EINVAL, -ENOMEM. */
struct vdev *vdev_create(struct platform *platform, const struct vdev_config *config, const struct vdev_vector *vectors,
			 int *error);
/* *error also -ENOTSUP: the device cannot be shown as a PCI function, its config space or tables overlap. */
struct vdev *vdev_create_own(struct platform *platform, const struct vdev_own_config *config, int *error);
/* Nothing may be attached or bound to it any more. */
void vdev_destroy(struct vdev *vdev);
/* Processes one descriptor of a device of its own that has no engine threads. False: there was none. */
bool vdev_engine_step(struct vdev *vdev);
/* The far side for entries of the IOMMU; lives as long as the vdev. NULL: a device of its own, which needs none. */
const struct iommu_target *vdev_target(struct vdev *vdev);
/* Portal writes are dropped from now on: the first step of taking a device away. */
void vdev_close_portal(struct vdev *vdev);

/* ---- for the transport ---- */

/* From now on interrupts and DMA of this vdev go to *vm (copied). -EBUSY: already attached. */
int vdev_attach(struct vdev *vdev, const struct vdev_vm *vm);
/* Returns when no call into the vm given to vdev_attach is in progress or will follow, and all who had entered its memory have
 * left. Idempotent. The device's state stays. */
void vdev_detach(struct vdev *vdev);

/* Size in bytes; 0: no such region. */
uint64_t vdev_region_size(const struct vdev *vdev, unsigned region);
/*
 * An access of the guest. count is 1, 2, 4 or 8 and offset a multiple of it for BAR0 and for reads of BAR2; writes of
 * BAR2 also take 64 bytes; the config space takes any count that stays inside (QEMU reads 4096 at once).
 * 0, or -EINVAL: outside the region, or an access that this region does not take (nothing was done; a read gives all ones).
 */
int vdev_region_read(struct vdev *vdev, unsigned region, uint64_t offset, void *buf, uint32_t count);
int vdev_region_write(struct vdev *vdev, unsigned region, uint64_t offset, const void *buf, uint32_t count);
/* vdev_region_read() of somebody who is not the guest: it is neither counted nor traced. */
int vdev_peek(struct vdev *vdev, unsigned region, uint64_t offset, void *buf, uint32_t count);

/*
 * Portals that the client may map: areas of BAR2, in a file where they are at the same offsets. 0: all portals trap. The descriptor of
 * the file is the caller's; -1: there is none just now. Each client has another file.
 */
struct vdev_area {
	uint64_t offset, size;
};
uint32_t vdev_num_portal_areas(const struct vdev *vdev);
struct vdev_area vdev_portal_area(uint32_t area);
int vdev_portal_fd(struct vdev *vdev);

/* Number of MSI-X vectors. */
unsigned vdev_num_vectors(const struct vdev *vdev);
/* True: MSI-X table and PBA are the VMM's, interrupts go by vdev_vm.signal (delivery mode eventfd). */
bool vdev_vmm_owns_msix(const struct vdev *vdev);
/* Function-level reset, also for VFIO_USER_DEVICE_RESET: own work aborted, everything to its power-on values. */
void vdev_reset(struct vdev *vdev);

#endif
