#include "slot.h"
#include "express.h"
#include "idxd.h"
#include "io.h"
#include "irq.h"
#include "msix.h"
#include "pci.h"
#include "uart.h"

static void power_on(struct slot *slot)
{
    write16(slot->express + EXPRESS_SLOT_CONTROL, CONTROL_INTERRUPTS | CONTROL_INDICATOR_ON);
}

/* With both off QEMU takes the device away at once. */
static void power_off(struct slot *slot)
{
    write16(slot->express + EXPRESS_SLOT_CONTROL, CONTROL_INTERRUPTS | CONTROL_INDICATOR_OFF | CONTROL_POWER_OFF);
}

static void settle(struct agent *agent, struct slot *slot, uint32_t state, uint32_t error)
{
    volatile struct agent_slot *block = &agent->shared->slots[slot->index];

    slot->state = state;
    slot->generation++;
    block->error = error;
    block->tsc_event = slot->tsc_event;
    block->tsc_settled = rdtsc();
    block->state = state;
    block->generation++;
    uart_ring((uint8_t)(AGENT_EVENT_SLOT + slot->index));
}

/* Zeroes what describes a device, in both copies; the port's own fields stay. */
static void forget_device(struct agent *agent, struct slot *slot)
{
    volatile struct agent_slot *block = &agent->shared->slots[slot->index];
    volatile uint32_t *word = (volatile uint32_t *)&block->vendor;
    volatile uint32_t *end = (volatile uint32_t *)&block->tsc_event;

    slot->function = (struct function){ 0 };
    while (word < end)
        *word++ = 0;
}

static void give_vectors_back(struct agent *agent, const struct slot *slot)
{
    irq_release(agent, (uint8_t)(OWNER_SLOT + slot->index));
}

static void describe_bars(const struct function *function, volatile struct agent_slot *block)
{
    for (unsigned i = 0; i < AGENT_BARS; i++) {
        block->bar_address[i] = function->bar[i].address;
        block->bar_size[i] = function->bar[i].size;
    }
}

static void bring_up(struct agent *agent, struct slot *slot)
{
    volatile struct agent_slot *block = &agent->shared->slots[slot->index];
    struct function *function = &slot->function;
    uint32_t id;

    forget_device(agent, slot);
    give_vectors_back(agent, slot);
    power_on(slot);
    function->config = pci_function(slot->index + 1, 0);
    id = read32(function->config + PCI_ID);
    if (id == PCI_NOBODY) {
        settle(agent, slot, AGENT_SLOT_FAILED, AGENT_SLOT_ERROR_NO_ANSWER);
        return;
    }
    block->vendor = (uint16_t)id;
    block->device = (uint16_t)(id >> 16);
    block->class_revision = read32(function->config + PCI_CLASS_REVISION);
    if (!pci_assign_bars(slot)) {
        settle(agent, slot, AGENT_SLOT_FAILED, AGENT_SLOT_ERROR_BAR_SIZE);
        return;
    }
    describe_bars(function, block);
    write16(function->config + PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_NO_INTX);
    msix_find(slot, block);
    idxd_describe(function, block, id);
    settle(agent, slot, AGENT_SLOT_PRESENT, AGENT_SLOT_ERROR_NONE);
}

static void become_empty(struct agent *agent, struct slot *slot)
{
    forget_device(agent, slot);
    settle(agent, slot, AGENT_SLOT_EMPTY, AGENT_SLOT_ERROR_NONE);
}

/*
 * First the word, then the deed: once QEMU says that the device is gone, nobody may find it still PRESENT. Its vectors
 * are given back last: until then what it sends is its own.
 */
void slot_eject(struct agent *agent, struct slot *slot)
{
    become_empty(agent, slot);
    power_off(slot);
    give_vectors_back(agent, slot);
}

/* The device is gone already. */
static void lose(struct agent *agent, struct slot *slot)
{
    become_empty(agent, slot);
    give_vectors_back(agent, slot);
}

/*
 * Takes all events, until there is none: the port interrupts again only after a moment without any (PCI Express Base
 * Specification, 6.7.3.4), so one that came between the look and the clearing would else be lost.
 * Returns them, and the state of the slot after the last of them.
 */
static uint16_t take_events(const struct slot *slot)
{
    uint16_t events = 0, status;

    while ((status = read16(slot->express + EXPRESS_SLOT_STATUS)) & STATUS_EVENTS) {
        events |= status & STATUS_EVENTS;
        write16(slot->express + EXPRESS_SLOT_STATUS, status & STATUS_EVENTS);
    }
    return status | events;
}

static void look(struct agent *agent, struct slot *slot)
{
    uint32_t config = agent->shared->config.flags;
    uint16_t status = take_events(slot);
    bool occupied = slot->state != AGENT_SLOT_EMPTY;

    if (!(status & STATUS_PRESENT)) {
        if (occupied)
            lose(agent, slot);
    } else if (!occupied || (status & STATUS_PRESENCE_CHANGED)) {
        if (!(config & AGENT_CONFIG_IGNORE_PRESENCE))
            bring_up(agent, slot);
    } else if (status & STATUS_ATTENTION) {
        if (!(config & AGENT_CONFIG_IGNORE_ATTENTION))
            slot_eject(agent, slot);
    }
}

void slots_look(struct agent *agent, uint32_t mask)
{
    for (uint32_t i = 0; i < agent->slot_count; i++)
        if (mask & 1u << i)
            look(agent, &agent->slots[i]);
}

void slots_serve(struct agent *agent)
{
    uint32_t mask;

    if (!agent->hotplug_pending)
        return;
    interrupts_off();
    mask = agent->hotplug_pending;
    agent->hotplug_pending = 0;
    interrupts_on();
    slots_look(agent, mask);
}

struct slot *slot_present(struct agent *agent, uint32_t index)
{
    if (index >= agent->slot_count || agent->slots[index].state != AGENT_SLOT_PRESENT)
        return NULL;
    return &agent->slots[index];
}
