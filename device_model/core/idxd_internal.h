/* idxd_internal.h - the state behind struct idxd, for the files of the core only. Everything is guarded by `lock`. */
#ifndef VDSA_CORE_IDXD_INTERNAL_H
#define VDSA_CORE_IDXD_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "arbiter.h"
#include "idxd.h"
#include "msix.h"
#include "request.h"

/* A descriptor in a work queue, and what is known about it. */
struct work {
	uint8_t desc[PORTAL_DESC];
	uint64_t cause;
	uint64_t accepted_ns;
	uint32_t requester, pasid;
	uint8_t portal; /* enum portal */
};

/* A Batch descriptor in progress. Its list is copied in parts; each descriptor in it is read once. */
enum { BATCH_PART = 32 };
struct batch {
	_Alignas(16) uint8_t members[BATCH_PART][PORTAL_DESC]; /* so that no field of one lies across two cache lines */
	/* Members: in all, 0 if it has not been begun; the next to be processed; copied so far, those from `first` on are here. */
	uint32_t count, next, fetched, first;
	uint64_t first_cause;          /* of the member `first`: their causes follow each other */
	bool failed;                   /* one has ended with another status than success */
};

/*
 * So that a queue holds up the others for no longer, a turn ends with the member that reaches one of these. Several descriptors of a turn
 * exceed neither, as far as their transfer sizes tell.
 */
enum { TURN_DESCRIPTORS = BATCH_PART, TURN_BYTES = 1 << 20 };

struct wq {
	uint32_t cfg[WQCFG_DWORDS]; /* WQCFG as read, but for the state; in OPCFG, what differs from OPCAP: all 0 is its reset value */
	uint8_t state;              /* WQ_DISABLED, WQ_ENABLED, WQ_DRAINING */
	/*
	 * Order is kept by one engine at a time: while `busy`, it processes what is begun one after the other, without the lock.
	 * What is begun is one Batch, or several others.
	 */
	bool busy;
	atomic_bool abandon;        /* what is begun is dropped before its next descriptor or member, or its record */
	uint32_t num_begun;
	struct work begun[TURN_DESCRIPTORS];
	struct batch batch;         /* of begun[0], if it is one */
	uint8_t group, turns;       /* for the arbiter: turns left in `round` */
	uint64_t round;
	struct work *ring;          /* a slice of the device's storage, given when the device is enabled */
	uint32_t size, head, count;
	uint32_t limit;             /* 0, or less than the size: see idxd_wq_set_limit() */
	struct wq_waiter *waiters;  /* newest first */
	bool telling;               /* a thread is telling a waiter that its command has ended */
};

/* GRPCFG */
struct group {
	uint64_t wqs[GRPCFG_WQ_WORDS], engines, flags;
};

struct engine {
	pthread_cond_t wake;
	bool asleep;
	uint8_t group;
	uint8_t *scratch; /* for struct memory */
};

struct idxd {
	pthread_mutex_t lock;
	struct idxd_config config;
	struct idxd_ports ports;
	struct ledger *ledger;
	struct store *store; /* NULL: none */
	struct msix *msix;   /* NULL: num_msix 0 */
	struct engine *engines;   /* num_engines */
	struct arbiter *arbiters; /* num_groups */
	atomic_uint_fast64_t last_cause; /* numbers of descriptors, those of members of batches among them */
	uint64_t opcap[4]; /* OPCAP, fixed at creation */
	uint32_t planted;
	bool stopping;
	/* registers */
	uint32_t state; /* GENSTS[1:0] */
	uint32_t gencfg, genctrl, intcause, cmdstatus;
	uint64_t swerror[4];
	struct event_log event_log;
	bool logging; /* a thread is appending to the event log */
	struct group *groups; /* num_groups */
	struct wq *wqs;
	struct work *storage; /* total_wq_size descriptors */
	struct wq_waiter *cmd_waiters; /* one a work queue, for the CMD register */
	uint32_t cmd_outstanding; /* queues that the command in CMD still waits for */
	uint32_t cmd_code;
	bool cmd_interrupt;
	/* the PCI function */
	pthread_cond_t settled; /* a command has ended, an interrupt has been handed over, a reset is over */
	bool bus_master, resetting;
	uint32_t raising; /* interrupts of the device itself that are on their way to the MSI-X table */
};

/* registers.c; lock held unless it says otherwise */
/* All but CMDSTATUS, SWERROR and what has a table of its own: as Reset Device leaves them. */
void registers_reset(struct idxd *idxd);
/* Sets `cause` in INTCAUSE and sends the interrupt of vector 0. Gives up the lock meanwhile. */
void registers_raise(struct idxd *idxd, uint32_t cause);
/* Records an error that has no completion record (5.8) and passes it on. Takes the lock. */
void registers_error(struct idxd *idxd, uint32_t wq, const struct error_report *report);

/* capabilities.c */
/* The register at an offset that is a multiple of 8, up to OFFSETS, and CMDCAP and IAACAP; else 0. */
uint64_t capabilities_read(const struct idxd *idxd, uint64_t offset);
/* Once, at creation: fills opcap. */
void capabilities_create(struct idxd *idxd);
bool capabilities_command(const struct idxd *idxd, uint32_t code);
/* Where tables are in BAR0: multiples of 0x100. */
uint64_t table_grpcfg(const struct idxd *idxd);
uint64_t table_wqcfg(const struct idxd *idxd);
uint64_t table_msixperm(const struct idxd *idxd);
uint64_t table_ims(const struct idxd *idxd);
uint32_t wqcfg_stride(const struct idxd *idxd);

/* wqcfg.c; lock held */
void wq_write_cfg(struct idxd *idxd, uint32_t wq, unsigned dword, uint32_t value);
uint32_t wq_read_cfg(const struct idxd *idxd, uint32_t wq, unsigned dword);
/* The checks of Enable WQ that are about WQCFG (5.2), but for the size. */
enum command_error wqcfg_check(const struct idxd *idxd, const struct wq *wq);
/* The operations that a work queue takes. */
void wqcfg_operations(const struct idxd *idxd, uint32_t wq, uint64_t operations[4]);
/* Descriptors of this queue may not ask for completion interrupts: user mode, which GENCFG does not give them (9.2.8). */
bool wqcfg_no_interrupts(const struct idxd *idxd, uint32_t wq);
/* Reset WQ: initial values, but for the size (3.15). */
void wqcfg_reset(struct idxd *idxd, uint32_t wq);
/* GRPCFG and WQCFG to their initial values, all work queues Disabled. */
void wqcfg_power_on(struct idxd *idxd);

/* enable.c; lock held: the checks of Enable Device (5.1). */
enum command_error check_device(const struct idxd *idxd);

/* function.c */
bool function_create(struct idxd *idxd);
void function_destroy(struct idxd *idxd);
/* No lock held. Message store and MSI-X permissions to their reset values, no handle requested. When it returns, none of their messages is on its way. */
void function_wipe_interrupts(struct idxd *idxd);

/* wq.c; lock held */
void wq_lay_out(struct idxd *idxd);
static inline bool wq_has_work(const struct wq *wq)
{
	return wq->num_begun > 0 || wq->count > 0;
}
/* A record about a descriptor in a queue; it is only read. */
void wq_note(const struct idxd *idxd, const struct work *work, uint32_t wq, uint8_t kind, uint8_t reason);
/* For the engine that has the turn: the queue is busy, and it works on the first of `begun`. How many, at most `most` > 0. */
uint32_t wq_take(struct idxd *idxd, uint32_t wq, uint32_t most);
/* True: the queue's descriptors run with this PASID (drain and abort of a PASID). */
bool wq_has_pasid(const struct wq *wq, uint32_t pasid);

/* quiet.c; lock held */
/* The turn of an engine is over: it was at the first `tried` of what is begun, and the first `ended` of them are finished. Gives up the
 * lock while it tells waiters. */
void wq_finish(struct idxd *idxd, uint32_t wq, uint32_t tried, uint32_t ended);

/* command.c; lock held, given up while it works */
void command_write(struct idxd *idxd, uint32_t cmd);

/* engine.c */
bool engines_create(struct idxd *idxd);
void engines_destroy(struct idxd *idxd);

#endif
