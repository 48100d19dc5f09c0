#include "msix.h"
#include "io.h"
#include "lapic.h"
#include "pci.h"

#define ENTRY_SIZE 16
#define ENTRY_ADDRESS_HIGH 4
#define ENTRY_DATA 8
#define ENTRY_CONTROL 12
#define ENTRY_MASKED 1u

void msix_find(struct slot *slot, volatile struct agent_slot *block)
{
    struct function *function = &slot->function;
    uint64_t capability = pci_capability(function->config, PCI_CAPABILITY_MSIX);
    uint32_t table, pba;

    if (!capability)
        return;
    table = read32(capability + MSIX_TABLE);
    pba = read32(capability + MSIX_PBA);
    function->msix_control = capability + MSIX_CONTROL;
    function->msix_count = (read16(function->msix_control) & MSIX_COUNT) + 1;
    if ((table & 7) < AGENT_BARS && function->bar[table & 7].address)
        function->msix_table = function->bar[table & 7].address + (table & ~7u);
    block->msix_capability = (uint32_t)(capability - function->config);
    block->msix_count = function->msix_count;
    block->msix_table_bar = table & 7;
    block->msix_table_offset = table & ~7u;
    block->msix_pba_bar = pba & 7;
    block->msix_pba_offset = pba & ~7u;
}

void msix_program(uint64_t table, uint32_t index, uint32_t vector, uint32_t masked)
{
    uint64_t entry = table + (uint64_t)index * ENTRY_SIZE;

    write32(entry, message_address());
    write32(entry + ENTRY_ADDRESS_HIGH, 0);
    write32(entry + ENTRY_DATA, message_data(vector));
    write32(entry + ENTRY_CONTROL, masked);
}

void msix_enable(struct function *function, uint32_t base, uint32_t count)
{
    /* Nothing may be sent from an entry that is half written. */
    write16(function->msix_control, MSIX_ENABLE | MSIX_MASK_ALL);
    for (uint32_t i = 0; i < count; i++)
        msix_program(function->msix_table, i, base + i, 0);
    for (uint32_t i = count; i < function->vector_count && i < function->msix_count; i++)
        msix_mask_vector(function, i, true);
    write16(function->msix_control, MSIX_ENABLE);
}

void msix_disable(struct function *function)
{
    write16(function->msix_control, MSIX_ENABLE | MSIX_MASK_ALL);
    for (uint32_t i = 0; i < function->vector_count; i++)
        msix_program(function->msix_table, i, 0, ENTRY_MASKED);
    write16(function->msix_control, 0);
}

uint32_t msix_mask_vector(struct function *function, uint32_t index, bool masked)
{
    uint64_t control = function->msix_table + (uint64_t)index * ENTRY_SIZE + ENTRY_CONTROL;

    write32(control, masked);
    return read32(control);
}

uint32_t msix_mask_function(struct function *function, bool masked)
{
    uint16_t control = read16(function->msix_control) & (uint16_t)~MSIX_MASK_ALL;

    write16(function->msix_control, masked ? (uint16_t)(control | MSIX_MASK_ALL) : control);
    return read16(function->msix_control);
}
