/* vdev_internal.h - the state behind struct vdev, for the files of this folder only. Guarded by `lock` unless a field says otherwise. */
#ifndef VDSA_VDEV_VDEV_INTERNAL_H
#define VDSA_VDEV_VDEV_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "../core/regs.h"
#include "../platform/platform.h"
#include "observe_internal.h"
#include "vdev.h"

enum { VDEV_BAR0_SIZE = 0x10000, VDEV_BAR2_SIZE = PORTAL_WQ_STRIDE };

/* Where a vdev keeps its tables in BAR0. */
enum {
	VTABLE_GRPCFG = 0x400,
	VTABLE_WQCFG = 0x600,
	VTABLE_MSIXPERM = 0x800, /* 8 bytes a vector: up to 0x1000 */
	VTABLE_MSIX = 0x2000,    /* 16 bytes a vector: up to 0x3000 */
	VTABLE_PBA = 0x3000,
};

/* A vector as the guest sees it, and the IMS entry behind it. */
struct vvector {
	uint64_t address;
	uint32_t data;
	uint32_t ctrl;    /* MSIX_VCTRL_MASK */
	bool pending;
	uint32_t sending; /* messages decided on, not yet handed to the VM */
	struct witness pending_witness;
	uint32_t perm;    /* MSIXPERM */
	uint32_t entry;   /* UINT32_MAX: emulated (vector 0) */
	uint32_t handle;
	bool handle_live;
};

/* A 64-byte store that arrives in eight pieces of 8 bytes. */
struct gather {
	uint8_t bytes[PORTAL_DESC];
	uint32_t next; /* piece that must come next */
};

enum { GATHER_PAGES = 2, GATHER_SLOTS = PORTAL_PAGE / PORTAL_DESC };

struct vdev {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a sender or a user of the vm has left, a command has ended */
	struct platform *platform;
	struct vdev_config config;
	struct iommu_target target;
	struct wq_owner owner;
	/* the VM behind the connection */
	struct vdev_vm vm;
	bool attached;
	uint32_t inside;
	/* PCI */
	uint8_t pci[VDEV_CONFIG_SIZE];
	bool msix_enabled, msix_function_mask, bus_master;
	/* registers */
	uint32_t state, gencfg, genctrl, intcause, cmdstatus;
	uint64_t swerror[4];
	uint32_t wq_threshold, wq_mode;
	/* the command in CMD */
	struct wq_waiter cmd_waiter;
	uint32_t cmd_code;
	bool cmd_interrupt;
	struct vvector *vectors;
	struct vdev_stats stats;
	_Atomic bool portal_open;
	struct observe *observe; /* has a lock of its own */
	/* touched by the connection's thread only */
	struct gather gathers[GATHER_PAGES][GATHER_SLOTS];
};

/* vmsix.c */
void vmsix_interrupt(struct vdev *vdev, unsigned vector, const struct witness *witness);
/* Lock held; given up while messages are sent. Sends what is pending and may go now. */
void vmsix_flush(struct vdev *vdev);
/* Lock held; given up while it waits. Afterwards no message decided on before is still on its way. */
void vmsix_quiesce(struct vdev *vdev);
void vmsix_reset(struct vdev *vdev);
uint64_t vmsix_read(struct vdev *vdev, uint64_t offset);
void vmsix_write_dword(struct vdev *vdev, uint64_t offset, uint32_t value);
uint64_t vmsix_read_pba(struct vdev *vdev, unsigned word);

/* vconfig.c */
void vconfig_init(struct vdev *vdev);
void vconfig_reset(struct vdev *vdev);
uint32_t vconfig_bar_mask(unsigned bar);
int vconfig_read(struct vdev *vdev, uint64_t offset, uint8_t *buf, uint32_t count);
int vconfig_write(struct vdev *vdev, uint64_t offset, const uint8_t *buf, uint32_t count);

/* vregs.c */
uint64_t vregs_read(struct vdev *vdev, uint64_t offset, unsigned size);
void vregs_write(struct vdev *vdev, uint64_t offset, unsigned size, uint64_t value);
void vregs_reset(struct vdev *vdev);
void vregs_error(struct vdev *vdev, const uint64_t swerror[4]);
/* Lock held; given up while the interrupt is sent. An emulated interrupt, vector 0, for `cause` bits of INTCAUSE. */
void vregs_raise(struct vdev *vdev, uint32_t cause);

/* vcommand.c; lock held, given up while it works */
void vcommand_write(struct vdev *vdev, uint32_t cmd);
/*
 * No lock held, the work queue quiet: handles released, Pending and Ignore of the IMS entries cleared. When it returns, none of
 * their messages is on its way.
 */
void vcommand_retire_entries(struct vdev *vdev);

/* vportal.c */
void vportal_write(struct vdev *vdev, uint64_t offset, const uint8_t *buf, uint32_t count);
void vportal_reset(struct vdev *vdev);

#endif
