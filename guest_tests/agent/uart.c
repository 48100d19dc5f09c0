#include "uart.h"
#include "abi.h"
#include "io.h"
#include "lapic.h"

#define UART 0x3f8
#define UART_LINE 4
#define UART_DATA (UART + 0)
#define UART_INTERRUPT_ENABLE (UART + 1)
#define UART_MODEM_CONTROL (UART + 4)
#define UART_STATUS (UART + 5)
#define RECEIVED 0x01
#define SEND_EMPTY 0x20
#define MODEM_READY 0x0b
#define NO_UART 0xff
#define SEND_TRIES 100000
#define DRAIN_MAX 64

void uart_start(void)
{
    ioapic_route(UART_LINE, AGENT_VECTOR_UART);
    outb(UART_MODEM_CONTROL, MODEM_READY);
    outb(UART_INTERRUPT_ENABLE, RECEIVED);
}

/* A byte that cannot be sent is dropped: the block says all, the byte only says "look". */
void uart_ring(uint8_t event)
{
    for (unsigned i = 0; i < SEND_TRIES; i++) {
        uint8_t status = inb(UART_STATUS);

        if (status == NO_UART)
            return;
        if (status & SEND_EMPTY) {
            outb(UART_DATA, event);
            return;
        }
    }
}

void uart_drain(void)
{
    for (unsigned i = 0; i < DRAIN_MAX; i++) {
        uint8_t status = inb(UART_STATUS);

        if (status == NO_UART || !(status & RECEIVED))
            return;
        inb(UART_DATA);
    }
}
