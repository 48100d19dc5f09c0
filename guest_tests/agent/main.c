#include "agent.h"
#include "clock.h"
#include "command.h"
#include "io.h"
#include "irq.h"
#include "lapic.h"
#include "pci.h"
#include "slot.h"
#include "uart.h"

extern uint8_t agent_shared[];

/* The only object with a name: isr.S and boot.S pass its address on. */
struct agent agent_context;

static void block_open(struct agent *agent)
{
    volatile struct agent_shared *shared = (volatile struct agent_shared *)agent_shared;

    agent->shared = shared;
    shared->tsc_entered = rdtsc();
    shared->magic = AGENT_MAGIC;
    shared->abi_version = AGENT_ABI_VERSION;
    shared->size = sizeof(*shared);
    shared->boot_count++;
    shared->stage = AGENT_STAGE_ENTERED;
}

static void slots_publish(struct agent *agent)
{
    for (unsigned i = 0; i < AGENT_SLOTS; i++)
        agent->shared->slots[i].state = AGENT_SLOT_NO_PORT;
}

static void become_ready(struct agent *agent)
{
    volatile struct agent_shared *shared = agent->shared;

    clock_calibrate(agent);
    shared->tsc_ready = rdtsc();
    shared->stage = AGENT_STAGE_READY;
    shared->ready = shared->boot_count;
    uart_ring(AGENT_EVENT_READY);
}

static _Noreturn void serve(struct agent *agent)
{
    for (;;) {
        slots_serve(agent);
        if (command_waiting(agent))
            command_run(agent);
        interrupts_off();
        if (!agent->hotplug_pending && !command_waiting(agent))
            halt_for_interrupt();
        interrupts_on();
    }
}

_Noreturn void agent_main(struct agent *agent)
{
    block_open(agent);
    cpu_load_tables(&agent->cpu);
    lapic_start();
    clock_start(agent);
    irq_start(agent);
    agent->shared->stage = AGENT_STAGE_TABLES;
    slots_publish(agent);
    uart_start();
    pci_open();
    slots_find(agent);
    agent->shared->stage = AGENT_STAGE_PORTS;
    slots_look(agent, (1u << agent->slot_count) - 1);
    command_abandon(agent);
    become_ready(agent);
    interrupts_on();
    serve(agent);
}
