/* A function's MSI-X capability, table and control. */
#ifndef AGENT_MSIX_H
#define AGENT_MSIX_H

#include <stdbool.h>
#include <stdint.h>

#include "agent.h"

#define MSIX_CONTROL 2
#define MSIX_TABLE 4
#define MSIX_PBA 8
#define MSIX_ENABLE 0x8000u
#define MSIX_MASK_ALL 0x4000u
#define MSIX_COUNT 0x07ffu

/* Reads the capability, if there is one; the BARs have their addresses. Fills the slot's block too. */
void msix_find(struct slot *slot, volatile struct agent_slot *block);

/* Writes entry `index`: this CPU, `vector`, mask bit as given. */
void msix_program(uint64_t table, uint32_t index, uint32_t vector, uint32_t masked);

/* Entries [0, count) to the vectors from `base` on, open; all others stay masked. MSI-X is on afterwards. */
void msix_enable(struct function *function, uint32_t base, uint32_t count);
void msix_disable(struct function *function);

/* Both answer with what is read back. */
uint32_t msix_mask_vector(struct function *function, uint32_t index, bool masked);
uint32_t msix_mask_function(struct function *function, bool masked);

#endif
