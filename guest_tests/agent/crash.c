#include "agent.h"
#include "io.h"
#include "irq.h"
#include "lapic.h"
#include "uart.h"

#define EXCEPTION_NMI 2
#define UNMAPPED 0x100000000ull /* the first address beyond the identity map */

struct empty_table {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

static uint64_t read_cr2(void)
{
    uint64_t value;

    __asm__ volatile("movq %%cr2, %0" : "=r"(value));
    return value;
}

static uint64_t read_cr3(void)
{
    uint64_t value;

    __asm__ volatile("movq %%cr3, %0" : "=r"(value));
    return value;
}

/* A device told to send a message with a vector below 32 lands here too; the local APIC knows the difference. */
static uint32_t came_as_message(struct agent *agent, uint32_t vector)
{
    if (vector == EXCEPTION_NMI || !lapic_in_service(vector))
        return 0;
    irq_count_stray(agent, vector);
    return 1;
}

void crash_report(struct agent *agent, const struct crash_frame *frame)
{
    volatile struct agent_shared *shared = agent->shared;
    volatile struct agent_crash *crash = &shared->crash;

    crash->vector = (uint32_t)frame->vector;
    crash->error_code = frame->error_code;
    crash->rip = frame->rip;
    crash->cs = frame->cs;
    crash->rflags = frame->rflags;
    crash->rsp = frame->rsp;
    crash->cr2 = read_cr2();
    crash->cr3 = read_cr3();
    for (unsigned i = 0; i < 15; i++)
        crash->general[i] = frame->general[i];
    crash->op = shared->command.seq == shared->answer.seq ? 0xffffffff : shared->command.op;
    crash->was_message = came_as_message(agent, (uint32_t)frame->vector);
    crash->tsc = rdtsc();
    shared->stage = AGENT_STAGE_CRASHED;
    crash->valid = shared->boot_count;
    uart_ring(AGENT_EVENT_CRASH);
    halt_for_ever();
}

static void raise_triple_fault(void)
{
    struct empty_table none = { 0, 0 };

    __asm__ volatile("lidt %0\n\tud2" : : "m"(none) : "memory");
}

static void raise_stack_overflow(void)
{
    __asm__ volatile("1: pushq $0\n\tjmp 1b" : : : "memory");
}

void fault_raise(uint64_t kind)
{
    switch (kind) {
    case AGENT_FAULT_INVALID_OPCODE:
        __asm__ volatile("ud2" : : : "memory");
        break;
    case AGENT_FAULT_PAGE:
        write32(UNMAPPED, 0);
        break;
    case AGENT_FAULT_TRIPLE:
        raise_triple_fault();
        break;
    case AGENT_FAULT_HANG:
        halt_for_ever();
    case AGENT_FAULT_STACK:
        raise_stack_overflow();
        break;
    default:
        break;
    }
}
