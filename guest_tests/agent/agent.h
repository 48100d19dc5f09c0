/* The agent's own state: one object, handed to every function; the interrupt entry finds it by its symbol. */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "abi.h"
#include "cpu.h"

/* Who owns a CPU vector. Slots own device vectors as OWNER_SLOT + slot. */
enum owner {
    OWNER_NONE = 0,
    OWNER_AGENT = 1,
    OWNER_HOTPLUG = 2,
    OWNER_SLOT = 16,
};

struct bar {
    uint64_t address; /* 0: not assigned */
    uint64_t size;
};

/* The PCI function behind a port. Valid while its slot is PRESENT. */
struct function {
    uint64_t config; /* address of its configuration space */
    struct bar bar[AGENT_BARS];
    uint64_t msix_control; /* address of Message Control; 0: no MSI-X */
    uint64_t msix_table;   /* address of entry 0; 0: no MSI-X */
    uint32_t msix_count;
    uint32_t vector_base;
    uint32_t vector_count;
    uint32_t cmdcap;
    bool is_idxd;
};

struct slot {
    uint64_t port;    /* address of the root port's configuration space */
    uint64_t express; /* address of the port's PCI Express capability */
    uint32_t index;
    uint32_t state;
    uint32_t generation;
    uint32_t window;          /* memory base and limit as last written to the port; 0: never */
    uint32_t prefetch_window;
    volatile uint64_t tsc_event;
    struct function function;
};

struct agent {
    volatile struct agent_shared *shared;
    struct cpu_tables cpu;
    uint64_t tsc_khz;
    uint32_t clock_start; /* LAPIC count and TSC of one moment at boot: the clock's calibration */
    uint64_t tsc_start;
    volatile uint64_t interrupts;      /* taken since boot, of any kind */
    volatile uint32_t hotplug_pending; /* bit per slot */
    uint8_t owner[AGENT_VECTORS];
    uint32_t slot_count;
    struct slot slots[AGENT_SLOTS];
};

_Noreturn void agent_main(struct agent *agent);

#endif
