/* msix_internal.h - the state behind struct msix, for msix.c and msix_table.c only. Guarded by `lock`. */
#ifndef VDSA_CORE_MSIX_INTERNAL_H
#define VDSA_CORE_MSIX_INTERNAL_H

#include <pthread.h>

#include "flights.h"
#include "msix.h"
#include "regs.h"

struct msix_vector {
	uint64_t address;
	uint32_t data;
	uint32_t ctrl;    /* MSIX_VCTRL_MASK */
	uint32_t perm;    /* MSIXPERM */
	uint32_t entry;   /* of the IMS, for the ledger */
	bool requested;   /* a handle was returned for it and not released */
	bool pending;
	struct witness pending_witness; /* what set Pending */
};

struct msix {
	pthread_mutex_t lock;
	struct flights flights;
	struct interrupt_sink sink;
	struct ledger *ledger;
	struct msix_config config;
	bool enabled, function_mask, bus_master;
	uint32_t planted; /* enum planted_fault; FAULT_NONE for ever in the build that ships */
	struct msix_vector *vectors;
};

/* msix.c; lock held, given up while the sink has a message. Sends what is pending on the vector and may go now. */
void msix_flush_vector(struct msix *msix, uint32_t index);
/* msix.c; lock held, given up until what is on its way now out of the vector has arrived. */
void msix_wait_sent(struct msix *msix, uint32_t index);

#endif
