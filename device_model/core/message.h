/* message.h - an interrupt message on its way out of the device, and the witness that goes with it. */
#ifndef VDSA_CORE_MESSAGE_H
#define VDSA_CORE_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

/* Who led to an interrupt: carried along for the ledger, never looked at to decide. */
struct witness {
	uint64_t cause;
	uint64_t accepted_ns;
	uint32_t requester;
	uint32_t pasid;
	uint16_t wq;
	uint16_t handle;
	uint8_t opcode;
	uint8_t flags; /* LEDGER_F_CRAV, LEDGER_F_RCI */
};

/* A memory write of `data` (4 bytes) to `address`. */
struct interrupt_message {
	uint64_t address;
	uint32_t data;
	uint32_t entry; /* of the IMS; with `msix`: of the device's own MSI-X table */
	bool msix;
	struct witness witness;
};

/* Takes messages; called with no lock held, from any thread. Must not block for long and must not call back into the store. */
struct interrupt_sink {
	void *ctx;
	void (*message)(void *ctx, const struct interrupt_message *message);
};

#endif
