/*
 * store.h - the storage of interrupt messages of the physical device: more of them than MSI-X has, dealt out to many owners. How it
 * is organised, and so what a handle means and what keeps one owner's entries from another, is chosen for each device:
 *
 *   array  entries in the device, shared by all work queues, the owner's PASID in each (the IMS of 9.2.28)
 *   table  a VM_ID of the work queue leads to a VM object, that to a table of entries in the device; a handle is an index into it
 *   queue  the work queue has a directory in host memory, that leads to pages of entries, each with its owner's PASID; an entry
 *          is fetched when it is needed, and nothing but memory bounds their number
 *   msix   the device's MSI-X table, and a PASID for each vector in a table beside it (MSIXPERM, 9.2.22)
 *
 * An entry has a number in the whole device, by which the host, virtual devices and the ledger name it. All functions are
 * thread-safe. Those that wait for messages on their way must be called with no lock held that the sink takes.
 */
#ifndef VDSA_CORE_STORE_H
#define VDSA_CORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fault.h"
#include "formats.h"
#include "ledger.h"
#include "message.h"

struct msix;
struct store;

enum organisation { STORE_ARRAY = 0, STORE_TABLE = 1, STORE_QUEUE = 2, STORE_MSIX = 3 };

/* Host memory as the device reaches it, apart from the memory of any virtual machine. Called with the store's lock held: must not
 * block for long and must not call back. False: nothing is at the address. */
struct host_memory_port {
	void *ctx;
	/* size: 8 or 16, aligned; as one. */
	bool (*read)(void *ctx, uint64_t address, void *data, size_t size);
	/* 4 bytes, as one: takes away the bits of `clear`, then adds those of `set`. */
	bool (*update)(void *ctx, uint64_t address, uint32_t clear, uint32_t set);
};

struct store_config {
	enum organisation organisation;
	/* array: a multiple of 256, at most 63 * 256 (GENCAP[30:25]); table: a multiple of 256, at most STORE_MAX_POOL; else 0 */
	uint32_t entries;
	uint32_t num_wqs;
	struct host_memory_port memory; /* queue */
	struct msix *msix;              /* msix: the device's own table, which outlives the store */
};

enum { STORE_MAX_ARRAY = 63 * 256, STORE_MAX_POOL = 1 << 21 };

/* NULL: out of memory or bad number. */
struct store *store_create(const struct store_config *config, const struct interrupt_sink *sink, struct ledger *ledger);
void store_destroy(struct store *store);

/* A device without a store has NULL: no entry can be named to the functions that take one. */
bool store_has_entry(struct store *store, uint32_t entry);
/* The portals that take handles of this store (9.3). */
enum portal store_portal(const struct store *store);

/*
 * Its registers: a region of so many bytes in BAR0. Offset in bytes, size 4 or 8, aligned, inside the region; else reads 0, writes
 * nothing. A write that takes something away (Mask, Valid) returns when no message that it forbids is on its way.
 */
uint64_t store_size(const struct store *store);
uint64_t store_read(struct store *store, uint64_t offset, unsigned size);
void store_write(struct store *store, uint64_t offset, unsigned size, uint64_t value);
/* Everything to its reset values, all handles released: Reset Device and FLR of the physical device. Host memory stays as it is. */
void store_reset(struct store *store);

/*
 * Request / Release Interrupt Handle (9.2.12) of an entry. False: no such entry.
 * Release also clears Pending: the specification does not say how a pending interrupt of an entry that nobody owns any more
 * ends, and a next owner must not inherit it.
 */
bool store_request_handle(struct store *store, uint32_t entry);
bool store_release_handle(struct store *store, uint32_t entry);
/* The host's own handle commands name entries of this store (CMD with the IMS bit): those of an array only. */
bool store_takes_commands(const struct store *store);
/* Returns when no message of the entry is on its way. */
void store_wait_sent(struct store *store, uint32_t entry);
/* Sets the Ignore bit alone, for the owner of the virtual vector behind the entry. */
void store_set_ignore(struct store *store, uint32_t entry, bool ignore);
/* The Pending bit, for a PBA composed of it. */
bool store_pending(struct store *store, uint32_t entry);

/*
 * The check of 5.4 (table 5-2), made before a descriptor is executed: does the handle lead to an entry that the work queue may
 * use. Changes nothing but the ledger. Not for `msix`, whose handles come by another portal (msix.h).
 */
enum refusal store_check(struct store *store, const struct witness *witness, bool pasid_enable);
/*
 * A completion interrupt after a check that passed: Ignore drops it, Mask makes it pending, else the message is sent. An array
 * takes the entry that was checked; table and queue look again, and if nothing is there any more, nothing is sent [VANISHED].
 */
void store_raise(struct store *store, const struct witness *witness, bool pasid_enable);

#ifdef VDSA_PLANTED_FAULTS
void store_plant_fault(struct store *store, enum planted_fault fault);
#endif

#endif
