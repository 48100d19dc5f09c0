/* Configuration space by address (ECAM), capabilities, BARs. */
#ifndef AGENT_PCI_H
#define AGENT_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include "agent.h"

#define PCI_ID 0x00
#define PCI_COMMAND 0x04
#define PCI_CLASS_REVISION 0x08
#define PCI_HEADER_TYPE 0x0e
#define PCI_BAR 0x10
#define PCI_CAPABILITIES 0x34
#define PCI_PRIMARY_BUS 0x18
#define PCI_MEMORY_WINDOW 0x20
#define PCI_PREFETCH_WINDOW 0x24
#define PCI_PREFETCH_BASE_HIGH 0x28
#define PCI_PREFETCH_LIMIT_HIGH 0x2c

#define PCI_COMMAND_MEMORY 0x0002
#define PCI_COMMAND_MASTER 0x0004
#define PCI_COMMAND_NO_INTX 0x0400

#define PCI_CAPABILITY_EXPRESS 0x10
#define PCI_CAPABILITY_MSIX 0x11

#define PCI_NOBODY 0xffffffffu

/* Opens ECAM on a q35 (host bridge register 0x60). */
void pci_open(void);
uint64_t pci_function(uint32_t bus, uint32_t devfn);

/* Address of the first capability with this number, or 0. */
uint64_t pci_capability(uint64_t config, uint8_t number);

/*
 * Sizes the memory BARs of the slot's function, gives them addresses in the slot's range and opens just enough of the
 * port's two windows. False: a BAR is larger than the range.
 */
bool pci_assign_bars(struct slot *slot);

#endif
