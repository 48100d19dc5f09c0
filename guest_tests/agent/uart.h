/* The serial line as a doorbell: one byte out for each event, any byte in wakes the agent. */
#ifndef AGENT_UART_H
#define AGENT_UART_H

#include <stdint.h>

void uart_start(void);
void uart_ring(uint8_t event);
void uart_drain(void);

#endif
