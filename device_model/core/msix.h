/*
 * msix.h - an MSI-X table with its pending bits (PCI Express base specification 6.1.4, 7.7.2) and the device's MSI-X
 * permissions (DSA specification 9.2.21). All functions are thread-safe.
 *
 * A vector that is masked, or a function that may not send, keeps the interrupt pending; exactly one message leaves when
 * that ends, none is lost, and none leaves while it is masked.
 */
#ifndef VDSA_CORE_MSIX_H
#define VDSA_CORE_MSIX_H

#include <stdbool.h>
#include <stdint.h>

#include "ledger.h"
#include "message.h"

struct msix;

/* vectors: 1 .. 2048. The sink gets messages with `msix` set. NULL: out of memory or bad number. */
struct msix *msix_create(uint32_t vectors, const struct interrupt_sink *sink, struct ledger *ledger);
void msix_destroy(struct msix *msix);
uint32_t msix_num_vectors(const struct msix *msix);

/* MSI-X Enable and Function Mask of the capability, Bus Master Enable of the command register: all needed to send. What is
 * pending and may go leaves now. When it returns, no message that the new state forbids is still on its way. */
void msix_set_function(struct msix *msix, bool enabled, bool function_mask, bool bus_master);

/* The table and the PBA as registers: 32-bit words at offsets that are multiples of 4, in bytes; outside: 0, nothing. */
uint32_t msix_read(struct msix *msix, uint64_t offset);
void msix_write(struct msix *msix, uint64_t offset, uint32_t value);
uint32_t msix_read_pba(struct msix *msix, uint64_t offset);
/* MSIXPERM: 8 bytes an entry, of which the low 4 are used. */
uint32_t msix_read_perm(struct msix *msix, uint64_t offset);
void msix_write_perm(struct msix *msix, uint64_t offset, uint32_t value);

/*
 * The check of 5.4 for a descriptor whose handle is a vector of this table: in range, and PASID Enable and PASID of its
 * permissions equal to the work queue's. Changes nothing but the ledger (GRANTED or REFUSED).
 */
enum refusal msix_check(struct msix *msix, const struct witness *witness, bool pasid_enable);
/* An interrupt of the device itself, or a completion interrupt after a check that passed. Ignore drops the latter only. */
void msix_raise(struct msix *msix, uint32_t vector, const struct witness *witness);

/* Permissions to 0, Pending cleared: Reset Device. When it returns, no message is on its way. */
void msix_reset_permissions(struct msix *msix);
/* Everything to power-on values: FLR. When it returns, no message is on its way. */
void msix_reset(struct msix *msix);

#endif
