/* The part of slot.h that runs once: finding the root ports and arming them. */
#include "express.h"
#include "io.h"
#include "layout.h"
#include "msix.h"
#include "pci.h"
#include "slot.h"

#define HEADER_BRIDGE 1u
#define HEADER_MANY_FUNCTIONS 0x80u
#define PORT_BAR_SIZE 0x1000

/* The capability of a root port with a hotplug slot, or 0. */
static uint64_t hotplug_port(uint64_t config)
{
    uint64_t express;
    uint16_t flags;

    if ((read8(config + PCI_HEADER_TYPE) & 0x7f) != HEADER_BRIDGE)
        return 0;
    express = pci_capability(config, PCI_CAPABILITY_EXPRESS);
    if (!express)
        return 0;
    flags = read16(express + EXPRESS_FLAGS);
    if (FLAGS_TYPE(flags) != FLAGS_TYPE_ROOT_PORT || !(flags & FLAGS_SLOT))
        return 0;
    return read32(express + EXPRESS_SLOT_CAPABILITIES) & CAPABILITIES_HOTPLUG ? express : 0;
}

/* QEMU's pcie-root-port interrupts by MSI-X; table and pending bits are in its BAR 0. */
static void arm_interrupt(struct agent *agent, struct slot *slot)
{
    uint64_t bar = LAYOUT_PORT_BARS + (uint64_t)slot->index * PORT_BAR_SIZE;
    uint64_t msix = pci_capability(slot->port, PCI_CAPABILITY_MSIX);
    uint32_t vector = AGENT_VECTOR_HOTPLUG + slot->index;

    if (msix)
        write32(slot->port + PCI_BAR, (uint32_t)bar);
    write16(slot->port + PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_NO_INTX);
    if (!msix)
        return;
    agent->owner[vector] = OWNER_HOTPLUG;
    msix_program(bar + (read32(msix + MSIX_TABLE) & ~7u), 0, vector, 0);
    write16(msix + MSIX_CONTROL, MSIX_ENABLE);
}

static void port_adopt(struct agent *agent, uint32_t devfn, uint64_t config, uint64_t express)
{
    struct slot *slot = &agent->slots[agent->slot_count];
    volatile struct agent_slot *block = &agent->shared->slots[agent->slot_count];
    uint32_t bus = agent->slot_count + 1;
    uint16_t control = read16(express + EXPRESS_SLOT_CONTROL);

    slot->index = agent->slot_count++;
    slot->port = config;
    slot->express = express;
    slot->state = AGENT_SLOT_EMPTY;
    slot->tsc_event = rdtsc();
    block->devfn = devfn;
    block->physical_slot = CAPABILITIES_NUMBER(read32(express + EXPRESS_SLOT_CAPABILITIES));
    block->state = AGENT_SLOT_EMPTY;
    write32(config + PCI_PRIMARY_BUS, bus << 8 | bus << 16);
    arm_interrupt(agent, slot);
    write16(express + EXPRESS_SLOT_CONTROL, (control & CONTROL_POWER_STATE) | CONTROL_INTERRUPTS);
}

static void look_at(struct agent *agent, uint32_t devfn)
{
    uint64_t config = pci_function(0, devfn);
    uint64_t express;

    if (agent->slot_count == AGENT_SLOTS || read32(config + PCI_ID) == PCI_NOBODY)
        return;
    express = hotplug_port(config);
    if (express)
        port_adopt(agent, devfn, config, express);
}

void slots_find(struct agent *agent)
{
    for (uint32_t devfn = 0; devfn < 256; devfn += 8) {
        uint64_t config = pci_function(0, devfn);

        if (read32(config + PCI_ID) == PCI_NOBODY)
            continue;
        look_at(agent, devfn);
        if (!(read8(config + PCI_HEADER_TYPE) & HEADER_MANY_FUNCTIONS))
            continue;
        for (uint32_t function = 1; function < 8; function++)
            look_at(agent, devfn + function);
    }
    agent->shared->slot_count = agent->slot_count;
}
