/*
 * ims.h - the Interrupt Message Storage as a fixed array of entries shared by all work queues, a PASID in each entry
 * (DSA specification 9.2.28; organisation `array`).
 */
#ifndef VDSA_CORE_IMS_H
#define VDSA_CORE_IMS_H

#include <stdbool.h>
#include <stdint.h>

#include "fault.h"
#include "ledger.h"
#include "message.h"

struct ims;

/* num_entries: a multiple of 256, at most 63 * 256 (GENCAP[30:25]). NULL: out of memory or bad number. */
struct ims *ims_create(uint32_t num_entries, const struct interrupt_sink *sink, struct ledger *ledger);
void ims_destroy(struct ims *ims);
/* A device without an IMS has NULL: no entries, and no entry can be named to the functions that take one. */
uint32_t ims_num_entries(const struct ims *ims);

/* Register access to the slot region: offset in bytes, size 4 or 8, aligned, inside the region (else reads 0, writes nothing). */
uint64_t ims_read(struct ims *ims, uint64_t offset, unsigned size);
void ims_write(struct ims *ims, uint64_t offset, unsigned size, uint64_t value);
/* All entries to their reset values, all handles released: Reset Device and FLR of the physical device. */
void ims_reset(struct ims *ims);

/*
 * Request / Release Interrupt Handle (9.2.12). The handle of an entry is its index. False: no such entry.
 * Release also clears Pending: the specification does not say how a pending interrupt of an entry that nobody owns any more
 * ends, and a next owner must not inherit it.
 */
bool ims_request_handle(struct ims *ims, uint32_t entry);
bool ims_release_handle(struct ims *ims, uint32_t entry);
/* Returns when no message of the entry is on its way. Call it with no lock held that the sink takes. */
void ims_wait_sent(struct ims *ims, uint32_t entry);
/* Sets the Ignore bit alone, for the owner of the virtual vector behind the entry. */
void ims_set_ignore(struct ims *ims, uint32_t entry, bool ignore);
/* The Pending bit, for a PBA composed of it. */
bool ims_pending(struct ims *ims, uint32_t entry);

/*
 * The check of 5.4 (table 5-2), made before a descriptor is executed: the handle was requested, PASID Enable of entry and
 * work queue agree, and so do the PASIDs. Changes nothing but the ledger.
 */
enum refusal ims_check(struct ims *ims, const struct witness *witness, bool pasid_enable);
/* A completion interrupt after a check that passed: Ignore drops it, Mask makes it pending, else the message is sent. */
void ims_raise(struct ims *ims, uint32_t entry, const struct witness *witness);

#ifdef VDSA_PLANTED_FAULTS
void ims_plant_fault(struct ims *ims, enum planted_fault fault);
#endif

#endif
