/* platform.h - the host machine: the physical device, the IOMMU before it, the ledger of both, and a thread for each engine. */
#ifndef VDSA_PLATFORM_PLATFORM_H
#define VDSA_PLATFORM_PLATFORM_H

#include "../core/idxd.h"
#include "host_memory.h"
#include "iommu.h"

struct platform;

/* Whom an error of a work queue is passed on to. Called with no lock held. */
struct wq_owner {
	void *ctx;
	void (*error)(void *ctx, const struct error_report *report);
};

/* run_engines: false gives a device whose engines are stepped by idxd_engine_step(), for tests of the core. NULL: out of memory, bad value. */
struct platform *platform_create(const struct idxd_config *config, size_t ledger_capacity, bool run_engines);
/* Ends and joins the engines, each after its turn: afterwards the device does nothing on its own. Idempotent. */
void platform_stop(struct platform *platform);
/* The engines go on where platform_stop() has ended them. Not while another thread is in platform_stop(). -EAGAIN: no thread to be had. */
int platform_start(struct platform *platform);
/* All virtual devices must be gone. Stops first. */
void platform_destroy(struct platform *platform);

struct idxd *platform_idxd(struct platform *platform);
struct iommu *platform_iommu(struct platform *platform);
struct ledger *platform_ledger(struct platform *platform);
/* Of the host itself: no virtual machine's. */
struct host_memory *platform_memory(struct platform *platform);

/* NULL owner: returns when no error is being passed to the one before. -EINVAL: no such work queue. */
int platform_set_wq_owner(struct platform *platform, uint32_t wq, const struct wq_owner *owner);

#endif
