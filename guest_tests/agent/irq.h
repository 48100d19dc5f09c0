/* Counting interrupts, and who may have which vector. */
#ifndef AGENT_IRQ_H
#define AGENT_IRQ_H

#include <stdbool.h>
#include <stdint.h>

struct agent;

void irq_start(struct agent *agent);

/* Takes [first, first + count) for `owner` if all are device vectors and free; else changes nothing. */
bool irq_claim(struct agent *agent, uint64_t first, uint64_t count, uint8_t owner);

/* Gives all vectors of `owner` back: what still arrives on them counts as stray. */
void irq_release(struct agent *agent, uint8_t owner);

/* Called by isr.S for every vector above the exceptions, with interrupts off. */
void irq_entry(struct agent *agent, uint32_t vector);

/* Counts a message that came with the vector of an exception. */
void irq_count_stray(struct agent *agent, uint32_t vector);

#endif
