/*
 * vqueue.h - the inside of a virtual device that is emulated over one work queue and a block of IMS entries of the physical
 * device (DSA specification 7.5). Guarded by `lock` unless a field says otherwise. For its own files only.
 */
#ifndef VDSA_VDEV_VQUEUE_H
#define VDSA_VDEV_VQUEUE_H

#include "../core/msix.h"
#include "vdev_internal.h"

enum { VQUEUE_BAR0_SIZE = 0x10000 };

/* Where it keeps its tables in BAR0. */
enum {
	VTABLE_GRPCFG = 0x400,
	VTABLE_WQCFG = 0x600,
	VTABLE_MSIXPERM = 0x800, /* 8 bytes a vector: up to 0x1000 */
	VTABLE_MSIX = 0x2000,    /* 16 bytes a vector: up to 0x3000 */
	VTABLE_PBA = 0x3000,
};

/* The entry of the message store behind a vector. */
struct vvector {
	uint32_t entry; /* UINT32_MAX: emulated (vector 0) */
	uint32_t handle;
	bool handle_live;
};

/* What the guest may configure: its one group and its one work queue. */
struct vqueue_cfg {
	uint64_t group_wqs, group_engines, group_flags;
	uint32_t wq[WQCFG_DWORDS];
};

struct vqueue {
	struct vdev *vdev; /* the function around it */
	struct platform *platform;
	struct vdev_config config;
	struct wq_owner owner;
	struct msix *msix; /* what the guest sees as its table; it has its own lock */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a command has ended */
	bool bus_master;
	bool resetting; /* nobody is told of what ends by it */
	/* registers */
	uint32_t state, gencfg, genctrl, intcause, cmdstatus;
	uint64_t swerror[4];
	struct event_log event_log;
	bool logging; /* a thread is appending to the event log */
	struct vqueue_cfg cfg;
	/* the command in CMD */
	struct wq_waiter cmd_waiter;
	uint32_t cmd_code;
	bool cmd_interrupt;
	struct vvector *vectors;
};

/* vqregs.c */
uint64_t vqregs_read(void *vq, uint64_t offset, unsigned size);
void vqregs_write(void *vq, uint64_t offset, unsigned size, uint64_t value);
void vqregs_reset(struct vqueue *vq);
void vqregs_error(struct vqueue *vq, const struct error_report *report);
/* Lock held; given up while the interrupt is sent. An emulated interrupt, vector 0, for `cause` bits of INTCAUSE; not while resetting. */
void vqregs_raise(struct vqueue *vq, uint32_t cause);

/* vqcfg.c; lock held */
bool vqcfg_writable(const struct vqueue *vq); /* GENCAP_CONFIG */
void vqcfg_reset(struct vqueue *vq);
void vqcfg_reset_wq(struct vqueue *vq);
uint64_t vqcfg_read_group(const struct vqueue *vq, uint64_t offset);
void vqcfg_write_group(struct vqueue *vq, uint64_t offset, uint32_t value);
uint32_t vqcfg_read_wq(const struct vqueue *vq, unsigned dword);
void vqcfg_write_wq(struct vqueue *vq, unsigned dword, uint32_t value);
enum command_error vqcfg_check_device(const struct vqueue *vq);
enum command_error vqcfg_check_wq(const struct vqueue *vq);
/* Has the physical queue, which is disabled, keep the guest's limits. No lock held; cfg is a copy. */
void vqcfg_apply(struct vqueue *vq, const struct vqueue_cfg *cfg);

/* vqcommand.c; lock held, given up while it works */
void vqcommand_write(struct vqueue *vq, uint32_t cmd);
/*
 * No lock held, the work queue quiet: handles released, Pending and Ignore of the IMS entries cleared. When it returns, none of
 * their messages is on its way.
 */
void vqcommand_retire_entries(struct vqueue *vq);

#endif
