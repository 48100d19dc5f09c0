/*
 * vdev_internal.h - the PCI function around a virtual device, and the table of functions by which it reaches its inside. For the
 * files of this folder only. Guarded by `lock` unless a field says otherwise.
 */
#ifndef VDSA_VDEV_VDEV_INTERNAL_H
#define VDSA_VDEV_VDEV_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "../core/formats.h"
#include "../core/gate.h"
#include "../core/regs.h"
#include "../platform/platform.h"
#include "observe_internal.h"
#include "vdev.h"

/*
 * What is inside of a PCI function. Called with no lock of the function held; `it` is the state of the inside. All but `destroy`,
 * `interrupt` and `step` are called from the connection's thread.
 */
struct inside {
	/* Ends its threads first. The function is still there, but nothing is attached to it. */
	void (*destroy)(void *it);
	/* BAR0: size 1, 2, 4, 8 at an aligned offset inside it. */
	uint64_t (*read)(void *it, uint64_t offset, unsigned size);
	void (*write)(void *it, uint64_t offset, unsigned size, uint64_t value);
	/* A whole 64-byte store to an MSI-X portal of work queue `wq`, as the guest numbers them. */
	void (*submit)(void *it, uint32_t wq, const uint8_t desc[PORTAL_DESC]);
	/* MSI-X Enable, Function Mask and Bus Master Enable have been written. When it returns, no message that the new state
	 * forbids is on its way, and what may go now has gone. */
	void (*function)(void *it, bool msix_enabled, bool function_mask, bool bus_master);
	/* Function-level reset: to power-on values. When it returns, nothing of it writes or interrupts. */
	void (*reset)(void *it);
	/* An interrupt from the IOMMU for a vector. NULL: the inside sends its own. */
	void (*interrupt)(void *it, unsigned vector, const struct witness *witness);
	/* Work queue `wq`, as the guest numbers them, is enabled. From any thread. */
	bool (*accepting)(void *it, uint32_t wq);
	/* NULL: it has no engine. */
	bool (*step)(void *it);
};

/* What the PCI function shows of its inside. */
struct shape {
	uint16_t device_id;
	uint64_t bar0_size, bar2_size; /* powers of two */
	uint32_t num_vectors;
	uint32_t msix_table, msix_pba; /* offsets in BAR0 */
};

/* A 64-byte store that arrives in eight pieces of 8 bytes. */
struct gather {
	uint8_t bytes[PORTAL_DESC];
	uint32_t next; /* piece that must come next */
};

/* The pages of a work queue that take descriptors: the two MSI-X portals. */
enum { GATHER_PAGES = 2, GATHER_SLOTS = PORTAL_PAGE / PORTAL_DESC, PORTAL_PAGES = PORTAL_WQ_STRIDE / PORTAL_PAGE };

struct vmapped;

struct vdev {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a sender, or a user of the memory, has left */
	struct platform *platform;
	const struct inside *inside;
	void *it;
	uint32_t id;
	bool vmm_owns_msix;
	uint32_t num_wqs, first_wq; /* first_wq: number of its WQ 0 in the ledger */
	struct shape shape;
	struct iommu_target target;
	/* the VM behind the connection */
	struct vdev_vm vm;
	bool attached, bus_master;
	uint32_t senders;   /* of interrupts */
	struct gate memory; /* open: attached, and bus master */
	uint8_t pci[VDEV_CONFIG_SIZE];
	struct {
		uint64_t interrupts, interrupts_lost, partial_stores, resets;
	} stats; /* of struct observe_stats those that are counted here */
	_Atomic bool portal_open;
	struct vmapped *mapped; /* NULL: portals trap */
	struct observe *observe; /* has a lock of its own */
	/* touched by the connection's thread only */
	struct gather *gathers; /* num_wqs * GATHER_PAGES * GATHER_SLOTS */
};

/* vdev.c: a function around nothing yet. NULL: out of memory. */
struct vdev *vdev_make(struct platform *platform, uint32_t id, bool vmm_owns_msix, uint32_t num_wqs);
/* Puts the inside into it and lints what a guest would see. 0 or -ENOTSUP, and then the inside is still the caller's. */
int vdev_fill(struct vdev *vdev, const struct shape *shape, const struct inside *inside, void *it);
/* Its portals are mapped from now on. 0 or -ENOMEM. */
int vdev_map_portals(struct vdev *vdev);
/* Without what is inside it. */
void vdev_free(struct vdev *vdev);

/* An interrupt that has passed all masks, and where it comes from. */
struct outgoing {
	unsigned vector;
	uint32_t entry; /* of the IMS or of the device's own MSI-X table; UINT32_MAX: emulated */
	uint64_t address;
	uint32_t data;
	const struct witness *witness;
};

/* vvm.c; no lock held */
void vvm_send(struct vdev *vdev, const struct outgoing *message);
/* Noted in the ledger as a decision about this interrupt. */
void vvm_note(struct vdev *vdev, uint8_t kind, const struct outgoing *message, uint64_t detail, uint8_t more_flags);

/* vconfig.c */
void vconfig_init(struct vdev *vdev);
void vconfig_reset(struct vdev *vdev);
int vconfig_read(struct vdev *vdev, uint64_t offset, uint8_t *buf, uint32_t count);
int vconfig_write(struct vdev *vdev, uint64_t offset, const uint8_t *buf, uint32_t count);

/* vmemory.c */
/* For struct iommu_target, and for a device of its own. */
bool vmemory_enter(void *vdev, struct dma_space *space);
void vmemory_leave(void *vdev, struct dma_space *space);
/* Lock held. After each change of `attached` or `bus_master`. If the memory may not be accessed any more, the lock is given up
 * until all who had entered it have left. */
void vmemory_update(struct vdev *vdev);

/* vportal.c */
/* A store of a whole descriptor, observed and submitted. False: nothing there takes one, and nothing has happened. */
bool vportal_store(struct vdev *vdev, uint64_t offset, const uint8_t desc[PORTAL_DESC]);
/* Any other store in BAR2. */
void vportal_write(struct vdev *vdev, uint64_t offset, const uint8_t *buf, uint32_t count);
void vportal_reset(struct vdev *vdev);
/* A whole descriptor for the portal that is at `offset` of BAR2. From any thread. */
void vportal_submit(struct vdev *vdev, uint64_t offset, const uint8_t desc[PORTAL_DESC]);

/* vmapped.c; NULL is taken for a device whose portals trap, and nothing is done */
/* After vdev_fill(). NULL: no memory. */
struct vmapped *vmapped_create(struct vdev *vdev);
void vmapped_destroy(struct vmapped *mapped);
/* When it returns, what was in the pages before has been submitted: before a command, or a reset, that is to cover it. */
void vmapped_sweep(struct vmapped *mapped);
/* After what may have enabled or disabled a work queue. What was stored while it was disabled is gone. */
void vmapped_follow(struct vmapped *mapped);
/* When it returns, nothing is submitted any more. */
void vmapped_close(struct vmapped *mapped);
/* Other pages: those that a client has seen are of no more meaning. */
void vmapped_renew(struct vmapped *mapped);
/* A descriptor of the pages' file, which is the caller's; -1: there is none. */
int vmapped_fd(struct vmapped *mapped);

#endif
