#include "irq.h"
#include "agent.h"
#include "io.h"
#include "lapic.h"
#include "uart.h"

void irq_start(struct agent *agent)
{
    agent->owner[AGENT_VECTOR_UART] = OWNER_AGENT;
    agent->owner[AGENT_VECTOR_TIMER] = OWNER_AGENT;
}

bool irq_claim(struct agent *agent, uint64_t first, uint64_t count, uint8_t owner)
{
    if (first < AGENT_VECTOR_DEVICE || first >= AGENT_VECTOR_SPURIOUS || count > AGENT_VECTOR_SPURIOUS - first)
        return false;
    for (uint64_t vector = first; vector < first + count; vector++)
        if (agent->owner[vector] != OWNER_NONE)
            return false;
    for (uint64_t vector = first; vector < first + count; vector++)
        agent->owner[vector] = owner;
    return true;
}

void irq_release(struct agent *agent, uint8_t owner)
{
    for (unsigned vector = 0; vector < AGENT_VECTORS; vector++)
        if (agent->owner[vector] == owner)
            agent->owner[vector] = OWNER_NONE;
}

static void ring_append(volatile struct agent_interrupts *log, uint32_t vector, uint64_t tsc, bool stray)
{
    volatile struct agent_ring_entry *entry = &log->ring[log->ring_head % AGENT_RING];

    entry->tsc = tsc;
    entry->vector = vector;
    entry->stray = stray;
    log->ring_head++;
}

/* The count moves last: whoever sees it move finds the rest in place. */
static void count(struct agent *agent, uint32_t vector, uint8_t owner)
{
    volatile struct agent_interrupts *log = &agent->shared->interrupts;
    uint64_t tsc = rdtsc();

    if (owner != OWNER_AGENT)
        ring_append(log, vector, tsc, owner == OWNER_NONE);
    if (owner == OWNER_NONE) {
        log->stray[vector]++;
        log->stray_total++;
    }
    log->last_tsc[vector] = tsc;
    log->count[vector]++;
}

void irq_count_stray(struct agent *agent, uint32_t vector)
{
    count(agent, vector, OWNER_NONE);
}

static void hotplug_note(struct agent *agent, uint32_t vector)
{
    uint32_t slot = vector - AGENT_VECTOR_HOTPLUG;

    agent->slots[slot].tsc_event = rdtsc();
    agent->hotplug_pending |= 1u << slot;
}

void irq_entry(struct agent *agent, uint32_t vector)
{
    uint8_t owner = agent->owner[vector];

    agent->interrupts++;
    if (vector == AGENT_VECTOR_SPURIOUS && !lapic_in_service(vector))
        return; /* the APIC's own spurious interrupt: no message came, no end is due */
    count(agent, vector, owner);
    if (owner == OWNER_HOTPLUG)
        hotplug_note(agent, vector);
    else if (vector == AGENT_VECTOR_UART)
        uart_drain();
    lapic_end_of_interrupt();
}
