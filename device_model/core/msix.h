/*
 * msix.h - an MSI-X table with its pending bits (PCI Express base specification 6.1.4, 7.7.2) and the device's MSI-X
 * permissions (DSA specification 9.2.22). All functions are thread-safe.
 *
 * A vector that is masked, or a function that may not send, keeps the interrupt pending; exactly one message leaves when
 * that ends, none is lost, and none leaves while it is masked. A message has address and data of one moment.
 *
 * Functions that wait for messages on their way must be called with no lock held that the sink takes.
 */
#ifndef VDSA_CORE_MSIX_H
#define VDSA_CORE_MSIX_H

#include <stdbool.h>
#include <stdint.h>

#include "fault.h"
#include "ledger.h"
#include "message.h"

enum { MSIX_MAX_VECTORS = 2048 };

struct msix;

/* What a table is made for: the physical device's own, or one that a virtual device shows to its guest. */
struct msix_config {
	uint32_t vectors;            /* 1 .. MSIX_MAX_VECTORS */
	bool handles;                /* a vector must have been requested before a descriptor may name it (3.7) */
	bool elsewhere;              /* the table is the VMM's: each interrupt goes to the sink, which knows the vector only */
	/* for the ledger */
	uint8_t fired, pended;       /* kinds of record; fired 0: the sink writes that record itself */
	uint32_t target;             /* id of the mdev whose table it is; 0: the physical device's */
	const uint32_t *entries; /* of the message store, behind each vector, copied; NULL: none */
};

/* The sink gets messages with `msix` set and `entry` the vector. NULL: out of memory or bad number. */
struct msix *msix_create(const struct msix_config *config, const struct interrupt_sink *sink, struct ledger *ledger);
void msix_destroy(struct msix *msix);
uint32_t msix_num_vectors(const struct msix *msix);

/*
 * MSI-X Enable and Function Mask of the capability; Bus Master Enable of the command register. All are needed to send; at
 * creation all are off. What is pending and may go leaves now. When it returns, no message that the new state forbids is
 * still on its way.
 */
void msix_set_capability(struct msix *msix, bool enabled, bool function_mask);
void msix_set_bus_master(struct msix *msix, bool on);

/*
 * The table as registers: offset in bytes, size 4 or 8, aligned; else reads 0, writes nothing. A write that sets Mask returns
 * when no message of the vector is on its way.
 */
uint64_t msix_read(struct msix *msix, uint64_t offset, unsigned size);
void msix_write(struct msix *msix, uint64_t offset, unsigned size, uint64_t value);
/* Pending bits of vectors 64 * word and up. */
uint64_t msix_read_pba(struct msix *msix, uint32_t word);
/* MSIXPERM of a vector; outside: 0, nothing. */
uint32_t msix_read_perm(struct msix *msix, uint32_t vector);
void msix_write_perm(struct msix *msix, uint32_t vector, uint32_t value);

/* Ignore of a vector's permissions alone; nothing outside the table. */
void msix_set_ignore(struct msix *msix, uint32_t vector, bool ignore);
/* Returns when no message of the vector is on its way. */
void msix_wait(struct msix *msix, uint32_t vector);

/* Request / Release Interrupt Handle (9.2.12). The handle of a vector is its index. False: no such vector. Release clears Pending. */
bool msix_request_handle(struct msix *msix, uint32_t vector);
bool msix_release_handle(struct msix *msix, uint32_t vector);

/*
 * The check of 5.4 for a descriptor whose handle is a vector of this table: in range, requested if handles are needed, and
 * PASID Enable and PASID of its permissions equal to the work queue's. Changes nothing but the ledger (GRANTED or REFUSED).
 */
enum refusal msix_check(struct msix *msix, const struct witness *witness, bool pasid_enable);
/* A completion interrupt after a check that passed: dropped if the vector's permissions have Ignore set. */
void msix_raise(struct msix *msix, uint32_t handle, const struct witness *witness);
/* An interrupt of any other cause: Ignore is not looked at (9.2.22). */
void msix_signal(struct msix *msix, uint32_t vector, const struct witness *witness);

/* Permissions to 0, Pending cleared, handles released: Reset Device. When it returns, no message is on its way. */
void msix_reset_permissions(struct msix *msix);
/* Everything to power-on values, the function's state too: FLR. When it returns, no message is on its way. */
void msix_reset(struct msix *msix);

#ifdef VDSA_PLANTED_FAULTS
void msix_plant_fault(struct msix *msix, enum planted_fault fault);
#endif

#endif
