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
#include "fault.h"
#include "formats.h"
#include "ims.h"
#include "ledger.h"
#include "regs.h"

struct idxd;

enum idxd_kind { IDXD_DSA = 0, IDXD_IAA = 1 };

struct idxd_config {
	uint32_t num_wqs;        /* 1 .. 255                                                */
	uint32_t total_wq_size;  /* descriptors, 1 .. 65535                                 */
	uint32_t num_ims;        /* IMS entries: a multiple of 256, at most 63 * 256; 0: none */
	uint32_t max_xfer_log2;  /* 12 .. 31                                                */
	uint32_t max_batch_log2; /* 1 .. 10                                                 */
	uint32_t num_groups;     /* 1 .. 16                                                 */
	uint32_t num_engines;    /* 1 .. 16                                                 */
	uint32_t num_msix;       /* vectors of the device's own MSI-X table, 0 .. 2048      */
	uint32_t kind;           /* enum idxd_kind                                          */
};

/* What the device is connected to. No function is called with a lock held; all may be called from any thread. */
struct idxd_ports {
	void *ctx;
	void (*message)(void *ctx, const struct interrupt_message *message);
	/* Memory of the address space `pasid`, or with pasid_enable false of the device's own. *done: bytes moved. */
	enum dma_result (*dma_read)(void *ctx, bool pasid_enable, uint32_t pasid, uint64_t iova, void *buf, size_t len,
				    size_t *done);
	enum dma_result (*dma_write)(void *ctx, bool pasid_enable, uint32_t pasid, uint64_t iova, const void *buf,
				     size_t len, size_t *done);
	/* An error that has no completion record to go to, in the format of SWERROR (9.2.16). */
	void (*error)(void *ctx, uint32_t wq, const uint64_t swerror[4]);
};

/* NULL: out of memory or a value outside its range. */
struct idxd *idxd_create(const struct idxd_config *config, const struct idxd_ports *ports, struct ledger *ledger);
/* No engine may be running. */
void idxd_destroy(struct idxd *idxd);

struct ims *idxd_ims(struct idxd *idxd);
uint32_t idxd_num_wqs(const struct idxd *idxd);
/* WQ_DISABLED, WQ_ENABLED or WQ_DRAINING. */
uint32_t idxd_wq_state(struct idxd *idxd, uint32_t wq);

/* ---- BAR0 (chapter 9): offset and size (1, 2, 4, 8; aligned). An access outside reads 0 and writes nothing. ---- */
uint64_t idxd_bar0_size(const struct idxd *idxd);
uint64_t idxd_bar0_read(struct idxd *idxd, uint64_t offset, unsigned size);
void idxd_bar0_write(struct idxd *idxd, uint64_t offset, unsigned size, uint64_t value);

/* ---- portals (9.3) ---- */

/* A whole 64-byte store to a portal of work queue `wq`. requester is for the ledger only. */
void idxd_submit(struct idxd *idxd, uint32_t wq, enum portal portal, const uint8_t desc[64], uint32_t requester);

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

/* ---- engines ---- */

/* Takes one descriptor by round robin from the work queues and processes it. False: there was none. */
bool idxd_engine_step(struct idxd *idxd);
/* An engine's life: processes until idxd_stop_engines; sleeps while there is no work. Call it in a thread of its own. */
void idxd_engine_run(struct idxd *idxd);
void idxd_stop_engines(struct idxd *idxd);

#ifdef VDSA_PLANTED_FAULTS
void idxd_plant_fault(struct idxd *idxd, enum planted_fault fault);
#endif

#endif
