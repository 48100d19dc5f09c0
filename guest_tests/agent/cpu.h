/* Descriptor tables, and the report of an exception. */
#ifndef AGENT_CPU_H
#define AGENT_CPU_H

#include <stdint.h>

struct agent;

struct task_state {
    uint32_t reserved0;
    uint32_t rsp[6];
    uint32_t reserved1[2];
    uint32_t ist[14]; /* seven 64-bit addresses, not naturally aligned */
    uint32_t reserved2[2];
    uint16_t reserved3;
    uint16_t io_map;
};

struct gate {
    uint16_t offset_low;
    uint16_t selector;
    uint8_t ist;
    uint8_t type;
    uint16_t offset_middle;
    uint32_t offset_high;
    uint32_t reserved;
};

struct cpu_tables {
    uint64_t gdt[5];
    struct task_state task;
    struct gate idt[256];
    _Alignas(16) uint8_t fault_stack[4096];
};

/* As isr.S leaves it on the fault stack. */
struct crash_frame {
    uint64_t general[15];
    uint64_t vector;
    uint64_t error_code;
    uint64_t rip;
    uint64_t cs;
    uint64_t rflags;
    uint64_t rsp;
    uint64_t ss;
};

_Static_assert(sizeof(struct task_state) == 104, "fixed by the architecture");
_Static_assert(sizeof(struct gate) == 16, "fixed by the architecture");

/* Loads GDT, task register and IDT. Exceptions run on a stack of their own, so a stack overflow is still reported. */
void cpu_load_tables(struct cpu_tables *cpu);

/* Called by isr.S: fills the crash block, rings the doorbell, halts. */
_Noreturn void crash_report(struct agent *agent, const struct crash_frame *frame);

/* Raises the fault that the host asked for (enum agent_fault). Returns only for a number it does not know. */
void fault_raise(uint64_t kind);

#endif
