/* idxd_internal.h - the state behind struct idxd, for the files of the core only. Everything is guarded by `lock`. */
#ifndef VDSA_CORE_IDXD_INTERNAL_H
#define VDSA_CORE_IDXD_INTERNAL_H

#include <pthread.h>

#include "idxd.h"
#include "msix.h"
#include "request.h"

/* A descriptor in a work queue. */
struct work {
	uint8_t desc[PORTAL_DESC];
	uint64_t cause;
	uint64_t accepted_ns;
	uint32_t requester;
	uint8_t portal; /* enum portal */
};

struct wq {
	uint32_t cfg[WQCFG_DWORDS]; /* WQCFG as read, but for the state */
	uint8_t state;              /* WQ_DISABLED, WQ_ENABLED, WQ_DRAINING */
	bool busy;                  /* an engine works on a descriptor of this queue: order is kept by one at a time */
	uint64_t busy_cause;
	struct work *ring;          /* a slice of the device's storage, given when the device is enabled */
	uint32_t size, head, count;
	struct wq_waiter *waiters;  /* newest first */
	bool telling;               /* a thread is telling a waiter that its command has ended */
};

/* GRPCFG */
struct group {
	uint64_t wqs[GRPCFG_WQ_WORDS], engines, flags;
};

struct idxd {
	pthread_mutex_t lock;
	pthread_cond_t work_ready;
	struct idxd_config config;
	struct idxd_ports ports;
	struct ledger *ledger;
	struct ims *ims;   /* NULL: num_ims 0 */
	struct msix *msix; /* NULL: num_msix 0 */
	uint8_t *scratch;  /* of the engine, for struct memory */
	uint64_t next_cause;
	uint32_t next_wq; /* arbitration: where the round starts */
	uint32_t planted;
	bool stopping;
	/* registers */
	uint32_t state; /* GENSTS */
	uint32_t gencfg, genctrl, intcause, cmdstatus;
	uint64_t swerror[4];
	struct group *groups; /* num_groups */
	struct wq *wqs;
	struct work *storage; /* total_wq_size descriptors */
	struct wq_waiter *cmd_waiters; /* one a work queue, for the CMD register */
	uint32_t cmd_outstanding; /* queues that the command in CMD still waits for */
	uint32_t cmd_code;
	bool cmd_interrupt;
};

/* registers.c */
void registers_reset(struct idxd *idxd);
/* Records an error that has no completion record (5.8) and passes it on. Takes the lock. */
void registers_error(struct idxd *idxd, uint32_t wq, const uint64_t swerror[4]);

/* wq.c; lock held */
void wq_write_cfg(struct idxd *idxd, uint32_t wq, unsigned dword, uint32_t value);
uint32_t wq_read_cfg(const struct idxd *idxd, uint32_t wq, unsigned dword);
void wq_lay_out(struct idxd *idxd);
/* Takes the next descriptor to work on; false: none. *index is its work queue, now busy. */
bool wq_take(struct idxd *idxd, struct work *work, uint32_t *index);
/* The descriptor taken from `index` is finished. Gives up the lock while it tells waiters. */
void wq_finish(struct idxd *idxd, uint32_t index);

/* command.c; lock held, given up while it works */
void command_write(struct idxd *idxd, uint32_t cmd);

/* execute.c; no lock held */
void execute(struct idxd *idxd, const struct work *work, uint32_t wq, const struct wq_terms *terms);

#endif
