/*
 * idxd.h - the physical device: BAR0 registers, work queues with their portals, engines.
 *
 * It sees the world through two interfaces that it is given: a sink for interrupt messages and DMA memory of a requester.
 * It knows no virtual machine, no socket and no file descriptor. All functions are thread-safe.
 */
#ifndef VDSA_CORE_IDXD_H
#define VDSA_CORE_IDXD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dma.h"
#include "eventlog.h"
#include "fault.h"
#include "formats.h"
#include "ledger.h"
#include "regs.h"
#include "store.h"

struct idxd;

enum idxd_kind { IDXD_DSA = 0, IDXD_IAA = 1 };

/* What a device can do more or less than the usual one; bits of idxd_config.features. */
enum idxd_features {
	IDXD_OPCFG = 1 << 0,        /* WQCAP[54]: WQCFG has 64 bytes, and says which operations a work queue takes */
	IDXD_NO_HANDLES = 1 << 1,   /* no interrupt handle commands: a handle is the index of an entry (3.7) */
	IDXD_NO_CMDCAP = 1 << 2,    /* GENCAP[4] 0: the commands of table 9-6 and no others, so no handles either */
	IDXD_FIXED_CONFIG = 1 << 3, /* GENCAP[31] 0: groups, sizes and limits are fixed, mode and PASID are not */
	IDXD_NO_PASID = 1 << 4,     /* no PASID capability: no work queue can have PASID Enable */
	IDXD_EVENT_LOG = 1 << 5,    /* GENCAP[14:13], GENCAP[32]: errors may go to a log in memory (5.9) */
	IDXD_ALL_FEATURES = (1 << 6) - 1,
};

struct idxd_config {
	uint32_t num_wqs;        /* 1 .. 255                                                */
	uint32_t total_wq_size;  /* descriptors, 1 .. 65535                                 */
	uint32_t num_ims;        /* entries of the message store, if it is in the device: see store.h; array and 0: no store */
	uint32_t max_xfer_log2;  /* 12 .. 31                                                */
	uint32_t max_batch_log2; /* 1 .. 10                                                 */
	uint32_t num_groups;     /* 1 .. 16                                                 */
	uint32_t num_engines;    /* 1 .. 16                                                 */
	uint32_t num_msix;       /* vectors of the device's own MSI-X table, 0 .. 2048      */
	uint32_t kind;           /* enum idxd_kind                                          */
	uint32_t features;       /* enum idxd_features                                      */
	uint32_t organisation;   /* enum organisation of the message store; msix: of the MSI-X table that num_msix gives it */
};

/* What the device is connected to. No function is called with a lock held; all may be called from any thread. */
struct idxd_ports {
	void *ctx;
	void (*message)(void *ctx, const struct interrupt_message *message);
	/* Into the address space `pasid`, or with pasid_enable false the device's own; see dma.h for what that means. False:
	 * nothing is there, every access is a fault. True: dma_leave must follow, on the same thread. */
	bool (*dma_enter)(void *ctx, bool pasid_enable, uint32_t pasid, struct dma_space *space);
	void (*dma_leave)(void *ctx, struct dma_space *space);
	/* An error that has no completion record to go to. wq: UINT32_MAX, of no queue. */
	void (*error)(void *ctx, uint32_t wq, const struct error_report *report);
	/* Where the message store `queue` is kept; with another organisation it is not used. */
	struct host_memory_port memory;
};

/* NULL: out of memory or a value outside its range. */
struct idxd *idxd_create(const struct idxd_config *config, const struct idxd_ports *ports, struct ledger *ledger);
/* No engine may be running. */
void idxd_destroy(struct idxd *idxd);

/*
 * Its descriptors are numbered from `first` on in the ledger (cause), not from 1: where several devices share a ledger. Before
 * anything is submitted.
 */
void idxd_number_from(struct idxd *idxd, uint64_t first);

/* NULL: it has none. */
struct store *idxd_store(struct idxd *idxd);
uint32_t idxd_num_wqs(const struct idxd *idxd);
/* WQ_DISABLED, WQ_ENABLED or WQ_DRAINING. */
uint32_t idxd_wq_state(struct idxd *idxd, uint32_t wq);

/* ---- BAR0 (chapter 9): offset and size (1, 2, 4, 8; aligned). An access outside reads 0 and writes nothing. ---- */
uint64_t idxd_bar0_size(const struct idxd *idxd);
uint64_t idxd_bar0_read(struct idxd *idxd, uint64_t offset, unsigned size);
void idxd_bar0_write(struct idxd *idxd, uint64_t offset, unsigned size, uint64_t value);

/* Where the MSI-X table and its pending bits are in BAR0, for the MSI-X capability: multiples of 0x1000. num_msix 0: no meaning. */
uint64_t idxd_msix_table_offset(const struct idxd *idxd);
uint64_t idxd_msix_pba_offset(const struct idxd *idxd);

/*
 * ---- the PCI function: what its config space decides ----
 *
 * A device with num_msix 0 is the host's own: bus master from the start. One with an MSI-X table starts as PCI does: not bus
 * master, MSI-X off. Call these with no lock held that the message port takes; not from an engine, not from a port.
 */

/*
 * Bus Master Enable. Cleared while the device is not Disabled: idxd_halt (9.1, 5.7). When it returns, no message is on its way
 * that needed it.
 */
void idxd_set_bus_master(struct idxd *idxd, bool on);
/* MSI-X Enable and Function Mask. What is pending and may go leaves now; what may not, is not on its way when it returns. */
void idxd_set_msix(struct idxd *idxd, bool enabled, bool function_mask);
/*
 * The device stops for a change of its PCI configuration: state Halt, SWERROR 0x51, INTCAUSE[4] if GENCTRL[1]. What is queued or
 * running is dropped; a command in progress ends with error 0x03. Reset Device or an FLR ends the state. Nothing, if the device
 * is Disabled, halted or being reset.
 */
void idxd_halt(struct idxd *idxd);
/*
 * Function-level reset: everything is dropped, without records, and every register, the IMS, the MSI-X table and its
 * permissions are as after power-on, MSI-X and bus master as at creation. When it returns, nothing is written or signalled.
 */
void idxd_flr(struct idxd *idxd);

/* ---- portals (9.3) ---- */

/* A whole 64-byte store to a portal of work queue `wq`. requester is for the ledger only. */
void idxd_submit(struct idxd *idxd, uint32_t wq, enum portal portal, const uint8_t desc[64], uint32_t requester);

/*
 * At most `limit` descriptors are in the queue, 0: as many as its WQCFG says. Reset WQ ends it. For a virtual device whose guest
 * has configured less than the host has given it.
 */
void idxd_wq_set_limit(struct idxd *idxd, uint32_t wq, uint32_t limit);

/* ---- work queue commands (9.2.12), as used by the CMD register and by virtual devices ---- */

/* Enable WQ: all checks of table 9-5 first. CMDERR_NONE or the error. */
enum command_error idxd_wq_enable(struct idxd *idxd, uint32_t wq);

/* WQ_STOP: abort and disable with the configuration kept, as a virtual device is reset. */
enum wq_command { WQ_DRAIN, WQ_ABORT, WQ_DISABLE, WQ_RESET, WQ_STOP };

/* Owned by the caller, untouched by it until `done` has been called. */
struct wq_waiter {
	void (*done)(struct wq_waiter *waiter); /* no lock held; from the caller's thread or an engine's */
	void *ctx;
	struct wq_waiter *next;
	uint64_t upto;
	bool disable;
};

/*
 * Starts a command; `done` is called exactly once, when nothing more will be written or signalled for the descriptors that
 * it covers (3.10). CMDERR_WQ_NOT_ENABLED (drain, abort, disable of a queue that is disabled): done is not called.
 */
enum command_error idxd_wq_start(struct idxd *idxd, uint32_t wq, enum wq_command command, struct wq_waiter *waiter);
/* The same, waiting for it. Not from an engine. */
enum command_error idxd_wq_command(struct idxd *idxd, uint32_t wq, enum wq_command command);

/* ---- engines 0 .. num_engines - 1 ---- */

/*
 * One turn of an engine: descriptors of a work queue of its group, or members of a Batch, as many as a turn may have; one descriptor
 * only if another queue of the group has work, too. False: there was nothing to do. One thread at a time for each engine.
 */
bool idxd_engine_turn(struct idxd *idxd, uint32_t engine);
/* The same with one descriptor in any case, so that what is queued, running and done is known one by one. */
bool idxd_engine_step(struct idxd *idxd, uint32_t engine);
/* An engine's life: turns until idxd_stop_engines; sleeps while there is no work. Call it in a thread of its own. */
void idxd_engine_run(struct idxd *idxd, uint32_t engine);
void idxd_stop_engines(struct idxd *idxd);
/* Takes idxd_stop_engines() back, once all threads have returned from idxd_engine_run(): it may be called again. */
void idxd_let_engines_run(struct idxd *idxd);

#ifdef VDSA_PLANTED_FAULTS
void idxd_plant_fault(struct idxd *idxd, enum planted_fault fault);
#endif

#endif
