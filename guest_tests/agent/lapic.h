/* Local APIC (memory-mapped) and the one line of the I/O APIC that is used. */
#ifndef AGENT_LAPIC_H
#define AGENT_LAPIC_H

#include <stdbool.h>
#include <stdint.h>

/* Software-enables the APIC and starts its counter, 1 tick per ns, with the timer interrupt off. */
void lapic_start(void);
uint32_t lapic_id(void);
void lapic_end_of_interrupt(void);

/* Whether `vector` is being served: true in its handler, unless the CPU came there by an exception. */
bool lapic_in_service(uint32_t vector);

/* What the counter shows. It counts down from 0xffffffff between lapic_start() and the first alarm. */
uint32_t lapic_count(void);

/* One interrupt on AGENT_VECTOR_TIMER after `ns`; a later call replaces an earlier one; 0 cancels. */
void lapic_alarm(uint32_t ns);

/* Routes an ISA interrupt (edge triggered) to `vector` of this CPU. */
void ioapic_route(uint32_t line, uint32_t vector);

/* Address and data of a message that raises `vector` on this CPU. */
uint32_t message_address(void);
uint32_t message_data(uint32_t vector);

#endif
