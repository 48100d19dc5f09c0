/*
 * Where things lie in the guest's memory. Included by C, by the assembler sources and by the linker script, so only
 * plain numbers here. Each region begins on a 2 MiB page of its own, because each has its own access rights.
 *
 *   0        unmapped, so that a null pointer faults
 *   2 MiB    code and constants     read, execute
 *   4 MiB    stack, then .bss       read, write; the stack grows down into the read-only page and faults there
 *   6 MiB    shared block           not part of any PT_LOAD: survives a reset, may be written before the guest starts
 *   8 MiB    scratch, to the end    belongs to the host: data buffers, batch lists
 */
#ifndef AGENT_LAYOUT_H
#define AGENT_LAYOUT_H

#define LAYOUT_LOAD 0x00200000
#define LAYOUT_DATA 0x00400000
#define LAYOUT_SHARED 0x00600000
#define LAYOUT_SCRATCH 0x00800000
#define LAYOUT_STACK_SIZE 0x4000

/* PCI: 64 MiB of addresses for each slot, the lower half for non-prefetchable BARs; the ports' own BARs below that. */
#define LAYOUT_ECAM 0xe0000000
#define LAYOUT_SLOT_MMIO 0xc0000000
#define LAYOUT_SLOT_MMIO_SIZE 0x04000000
#define LAYOUT_PORT_BARS 0xbf000000

#endif
