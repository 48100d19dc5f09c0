#include "cpu.h"

#define SELECTOR_CODE 0x08
#define SELECTOR_TASK 0x18
#define GATE_INTERRUPT 0x8e
#define EXCEPTIONS 32
#define ENTRY_SIZE 16

struct table_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

extern const uint8_t isr_entries[256][ENTRY_SIZE];

static void gdt_fill(struct cpu_tables *cpu)
{
    uint64_t base = (uint64_t)&cpu->task;

    cpu->gdt[1] = 0x00af9b000000ffff; /* 64-bit code */
    cpu->gdt[2] = 0x00cf93000000ffff; /* data */
    cpu->gdt[3] = (sizeof(cpu->task) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    cpu->gdt[4] = base >> 32;
}

static void idt_fill(struct cpu_tables *cpu)
{
    for (unsigned vector = 0; vector < 256; vector++) {
        uint64_t entry = (uint64_t)isr_entries[vector];
        struct gate *gate = &cpu->idt[vector];

        gate->offset_low = (uint16_t)entry;
        gate->offset_middle = (uint16_t)(entry >> 16);
        gate->offset_high = (uint32_t)(entry >> 32);
        gate->selector = SELECTOR_CODE;
        gate->type = GATE_INTERRUPT;
        gate->ist = vector < EXCEPTIONS ? 1 : 0;
    }
}

void cpu_load_tables(struct cpu_tables *cpu)
{
    struct table_pointer gdt = { sizeof(cpu->gdt) - 1, (uint64_t)cpu->gdt };
    struct table_pointer idt = { sizeof(cpu->idt) - 1, (uint64_t)cpu->idt };
    uint64_t stack = (uint64_t)cpu->fault_stack + sizeof(cpu->fault_stack);

    cpu->task.ist[0] = (uint32_t)stack;
    cpu->task.ist[1] = (uint32_t)(stack >> 32);
    cpu->task.io_map = sizeof(cpu->task);
    gdt_fill(cpu);
    idt_fill(cpu);
    /* The code selector keeps its number and its meaning, so CS need not be loaded again. */
    __asm__ volatile("lgdt %0" : : "m"(gdt) : "memory");
    __asm__ volatile("lidt %0" : : "m"(idt) : "memory");
    __asm__ volatile("ltr %0" : : "r"((uint16_t)SELECTOR_TASK) : "memory");
}
