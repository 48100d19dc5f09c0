/*
 * tally.h - what the ledger says about one virtual device, counted as it is written: exact however seldom somebody looks, and
 * however small the ring is. Like the ledger it is a witness: nothing looks at it to decide something.
 */
#ifndef VDSA_CORE_TALLY_H
#define VDSA_CORE_TALLY_H

#include <stdint.h>

#include "ledger.h"

struct tally {
	uint64_t accepted;  /* descriptors taken into a work queue                                    */
	uint64_t dropped;   /* portal writes not taken: queue disabled or full, store in pieces        */
	uint64_t aborted;   /* descriptors dropped by an abort, disable or reset                       */
	uint64_t succeeded; /* completions with status 0x01 or 0x02 (false predicate)                  */
	uint64_t refused;   /* completions with status 0x19: interrupt handle                          */
	uint64_t failed;    /* completions with any other status                                       */
	uint64_t injected;  /* interrupts given to the VM, also those that its connection then lost    */
	uint64_t pended;    /* interrupts held back by a mask, at the IMS entry or at the virtual one  */
	uint64_t ignored;   /* interrupts dropped by Ignore                                            */
};

enum { TALLY_BUCKETS = 256 };

/* Owned by whom it counts for; in the ledger's list between ledger_tally_add() and ledger_tally_remove(). */
struct tally_entry {
	struct tally_entry *next;
	uint32_t id; /* of the virtual device */
	struct tally counts;
};

struct tallies {
	struct tally_entry *buckets[TALLY_BUCKETS];
};

/* For the ledger; its lock held. */
void tallies_add(struct tallies *tallies, struct tally_entry *entry);
void tallies_remove(struct tallies *tallies, struct tally_entry *entry);
void tallies_count(struct tallies *tallies, const struct ledger_record *record);
/* Of one requester, without a target. */
void tallies_count_notes(struct tallies *tallies, uint32_t requester, const struct ledger_note *notes, size_t count);

#endif
