/* store_internal.h - what the files of the organisations have in common: one table of functions for each, and records. */
#ifndef VDSA_CORE_STORE_INTERNAL_H
#define VDSA_CORE_STORE_INTERNAL_H

#include "store.h"

/* What an organisation does; see store.h. NULL: not of this organisation. */
struct store_ops {
	void (*destroy)(struct store *store);
	bool (*has_entry)(struct store *store, uint32_t entry);
	uint64_t (*size)(const struct store *store);
	uint64_t (*read)(struct store *store, uint64_t offset, unsigned size);
	void (*write)(struct store *store, uint64_t offset, unsigned size, uint64_t value);
	void (*reset)(struct store *store);
	/* of an entry that there is */
	void (*set_requested)(struct store *store, uint32_t entry, bool requested);
	void (*wait_sent)(struct store *store, uint32_t entry);
	void (*set_ignore)(struct store *store, uint32_t entry, bool ignore);
	bool (*pending)(struct store *store, uint32_t entry);
	/* *entry: UINT32_MAX if the handle leads nowhere */
	enum refusal (*check)(struct store *store, const struct witness *witness, bool pasid_enable, uint32_t *entry);
	void (*raise)(struct store *store, const struct witness *witness, bool pasid_enable);
#ifdef VDSA_PLANTED_FAULTS
	void (*plant_fault)(struct store *store, enum planted_fault fault);
#endif
};

/* The first member of each organisation's own structure. */
struct store {
	const struct store_ops *ops;
	enum organisation organisation;
	struct ledger *ledger;
};

struct store *store_array_create(const struct store_config *config, const struct interrupt_sink *sink, struct ledger *ledger);
struct store *store_table_create(const struct store_config *config, const struct interrupt_sink *sink, struct ledger *ledger);
struct store *store_queue_create(const struct store_config *config, const struct interrupt_sink *sink, struct ledger *ledger);
struct store *store_msix_create(const struct store_config *config, struct ledger *ledger);

/* What a record says beside who led to it. */
struct store_note {
	uint64_t detail;
	uint32_t entry;
	uint8_t kind, reason, more_flags;
};
void store_write_note(struct ledger *ledger, const struct store_note *note, const struct witness *witness);
/* detail of FIRED: ns since the descriptor was accepted; 0: it is not known. */
uint64_t store_latency_ns(const struct witness *witness);

#endif
