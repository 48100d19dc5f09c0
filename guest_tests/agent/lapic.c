#include "lapic.h"
#include "abi.h"
#include "io.h"

#define LAPIC 0xfee00000ull
#define LAPIC_ID 0x020
#define LAPIC_EOI 0x0b0
#define LAPIC_SPURIOUS 0x0f0
#define LAPIC_IN_SERVICE 0x100
#define LAPIC_TIMER 0x320
#define LAPIC_TIMER_INITIAL 0x380
#define LAPIC_TIMER_COUNT 0x390
#define LAPIC_TIMER_DIVIDE 0x3e0
#define SPURIOUS_ENABLE 0x100
#define TIMER_MASKED 0x10000
#define DIVIDE_BY_1 0xb

#define IOAPIC_SELECT 0xfec00000ull
#define IOAPIC_WINDOW 0xfec00010ull
#define IOAPIC_TABLE 0x10

void lapic_start(void)
{
    write32(LAPIC + LAPIC_SPURIOUS, SPURIOUS_ENABLE | AGENT_VECTOR_SPURIOUS);
    write32(LAPIC + LAPIC_TIMER_DIVIDE, DIVIDE_BY_1);
    write32(LAPIC + LAPIC_TIMER, TIMER_MASKED | AGENT_VECTOR_TIMER);
    write32(LAPIC + LAPIC_TIMER_INITIAL, 0xffffffff);
}

uint32_t lapic_id(void)
{
    return read32(LAPIC + LAPIC_ID) >> 24;
}

void lapic_end_of_interrupt(void)
{
    write32(LAPIC + LAPIC_EOI, 0);
}

bool lapic_in_service(uint32_t vector)
{
    return read32(LAPIC + LAPIC_IN_SERVICE + (vector / 32) * 16) >> (vector % 32) & 1;
}

uint32_t lapic_count(void)
{
    return read32(LAPIC + LAPIC_TIMER_COUNT);
}

void lapic_alarm(uint32_t ns)
{
    write32(LAPIC + LAPIC_TIMER, AGENT_VECTOR_TIMER);
    write32(LAPIC + LAPIC_TIMER_INITIAL, ns);
}

void ioapic_route(uint32_t line, uint32_t vector)
{
    write32(IOAPIC_SELECT, IOAPIC_TABLE + 2 * line + 1);
    write32(IOAPIC_WINDOW, lapic_id() << 24);
    write32(IOAPIC_SELECT, IOAPIC_TABLE + 2 * line);
    write32(IOAPIC_WINDOW, vector);
}

uint32_t message_address(void)
{
    return (uint32_t)LAPIC | lapic_id() << 12;
}

uint32_t message_data(uint32_t vector)
{
    return vector;
}
