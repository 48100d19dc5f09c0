/*
 * ledger.h - every decision on the way of an interrupt, as a ring of fixed-size records.
 *
 * The ledger is a witness: nothing ever reads it to decide something. Writers never wait for the reader; a reader that
 * falls behind by more than the capacity loses the oldest records, and is told how many (a run that lost records cannot
 * be judged).
 */
#ifndef VDSA_CORE_LEDGER_H
#define VDSA_CORE_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ledger_kind {
	LEDGER_ACCEPTED = 1,   /* descriptor taken into a work queue, or member of a batch begun      */
	LEDGER_DROPPED = 2,    /* portal write not taken (reason: enum drop_reason)                   */
	LEDGER_REFUSED = 3,    /* interrupt handle check failed, not executed (reason: enum refusal)  */
	LEDGER_GRANTED = 4,    /* interrupt handle check passed                                       */
	LEDGER_COMPLETED = 5,  /* descriptor completed (status)                                       */
	LEDGER_FIRED = 6,      /* entry sent its message                                              */
	LEDGER_PENDED = 7,     /* entry masked: Pending set                                           */
	LEDGER_IGNORED = 8,    /* entry has Ignore set                                                */
	LEDGER_REMAPPED = 9,   /* host message translated to (target, vector)                         */
	LEDGER_BLOCKED = 10,   /* host message with no remapping entry                                */
	LEDGER_INJECTED = 11,  /* message or eventfd sent into the VM of `target`                     */
	LEDGER_VM_PENDED = 12, /* virtual MSI-X entry masked or disabled: PBA bit set                 */
	LEDGER_LOST = 13,      /* the VM is not attached, or its socket failed: not delivered         */
	LEDGER_ABORTED = 14,   /* descriptor dropped by an abort, disable or reset                    */
	LEDGER_VANISHED = 15,  /* after GRANTED: the entry is not the work queue's any more, nothing sent (reason: enum refusal; */
			       /* 0: it is, but its address is not of an interrupt)                                     */
};

/* Why an interrupt handle was refused (DSA spec 5.4, table 5-2; completion status 0x19). */
enum refusal {
	REFUSAL_NONE = 0,
	REFUSAL_OUT_OF_RANGE = 1,   /* handle >= number of entries it may name            */
	REFUSAL_NOT_REQUESTED = 2,  /* never requested, or released                       */
	REFUSAL_PASID_ENABLE = 3,   /* entry's and WQ's PASID Enable differ               */
	REFUSAL_PASID = 4,          /* entry's and descriptor's PASID differ              */
	REFUSAL_NO_STORAGE = 5,     /* the work queue leads to no table, directory or page */
};

/* Why a portal write was not taken into a work queue. */
enum drop_reason {
	DROP_NONE = 0,
	DROP_WQ_DISABLED = 1, /* ignored silently (spec 9.3)           */
	DROP_WQ_FULL = 2,     /* SWERROR 0x53 (spec 5.8)               */
	DROP_PARTIAL = 3,     /* not a whole, ordered 64-byte store    */
};

/* A record: 64 bytes, natural alignment. `cause` joins all records that one descriptor led to; 0: no descriptor. */
struct ledger_record {
	uint64_t seq;        /* 0, 1, 2 ... in the order in which decisions were written          */
	uint64_t time_ns;    /* CLOCK_MONOTONIC                                                   */
	uint64_t cause;      /* number of the descriptor, device-wide, from 1                     */
	uint64_t detail;     /* ACCEPTED: completion record address. FIRED: ns since ACCEPTED.    */
			     /* REMAPPED/BLOCKED/INJECTED: message address                        */
	uint32_t requester;  /* id of the mdev whose portal took the descriptor; 0: none          */
	uint32_t target;     /* id of the mdev that owns the vector (REMAPPED and later); else 0  */
	uint32_t pasid;      /* PASID the descriptor ran with                                     */
	uint32_t entry;      /* of the message store; UINT32_MAX: none                            */
	uint16_t handle;     /* interrupt handle of the descriptor                                */
	uint16_t vector;     /* vector of the target                                              */
	uint16_t wq;         /* work queue; UINT16_MAX: none                                      */
	uint8_t kind;        /* enum ledger_kind                                                  */
	uint8_t reason;      /* enum refusal or enum drop_reason                                  */
	uint8_t status;      /* completion status code (spec 5.7, table 5-5)                      */
	uint8_t opcode;      /* operation                                                         */
	uint8_t flags;       /* LEDGER_F_*                                                        */
	uint8_t reserved[5];
};

enum {
	LEDGER_F_CRAV = 1 << 0,   /* descriptor had a completion record address      */
	LEDGER_F_RCI = 1 << 1,    /* descriptor requested a completion interrupt     */
	LEDGER_F_MASKED = 1 << 2, /* the entry was masked when the record was written */
	LEDGER_F_EVENTFD = 1 << 3, /* injected by eventfd, not by message            */
	LEDGER_F_RETRACTS = 1 << 4, /* LOST: takes back the INJECTED record before it */
	LEDGER_F_MEMBER = 1 << 5, /* the descriptor was read from the list of a batch, not taken from a portal */
};

struct ledger;

/* capacity: number of records, a power of two; more if there are batches. NULL: out of memory or bad capacity. */
struct ledger *ledger_create(size_t capacity);
void ledger_destroy(struct ledger *ledger);

/* Appends a copy of *record with seq filled in, and time_ns if it is 0. Thread-safe; never blocks on a reader. */
void ledger_write(struct ledger *ledger, const struct ledger_record *record);

/* What records that are written together have in common. */
struct ledger_source {
	uint32_t requester, pasid;
	uint16_t wq;
};

/* What is different in them. */
struct ledger_note {
	uint64_t cause, detail;
	uint16_t handle;
	uint8_t kind, status, opcode, flags;
	bool after_accepted; /* two records: first that it was accepted */
};

/* Records for each note, in this order, of one moment; without entry, target and reason. Cheaper: the lock is taken, the time
 * read and the virtual device found once, and two records of a note take the place of one. */
void ledger_write_notes(struct ledger *ledger, const struct ledger_source *source, const struct ledger_note *notes, size_t count);

/* Takes up to max records in order. *lost is increased by the number overwritten before they could be read. */
size_t ledger_read(struct ledger *ledger, struct ledger_record *records, size_t max, uint64_t *lost);

/*
 * The same for one more reader with a place of its own, which takes nothing away from ledger_read(). *next is the seq of the record to
 * begin with, and is moved behind the last one copied; UINT64_MAX: begins with what is written from now on.
 */
size_t ledger_follow(struct ledger *ledger, uint64_t *next, struct ledger_record *records, size_t max, uint64_t *lost);

struct tally;
struct tally_entry;
/* From now on records of the virtual device entry->id are counted in *entry (tally.h), until it is removed. */
void ledger_tally_add(struct ledger *ledger, struct tally_entry *entry);
void ledger_tally_remove(struct ledger *ledger, struct tally_entry *entry);
/* All counts as of one moment. */
void ledger_tally_get(struct ledger *ledger, const struct tally_entry *entry, struct tally *counts);

#endif
