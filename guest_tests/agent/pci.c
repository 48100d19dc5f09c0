#include "pci.h"
#include "io.h"
#include "layout.h"

#define HOST_BRIDGE_ECAM 0x80000060u
#define ECAM_ENABLE 1u
#define CAPABILITIES_MAX 48

#define BAR_IO 0x1u
#define BAR_64BIT 0x4u
#define BAR_PREFETCHABLE 0x8u
#define BAR_FLAGS 0xfu
#define WINDOW_GRANULE 0x100000ull
#define WINDOW_CLOSED 0x0000fff0u

/* One half of a slot's addresses, filled from its beginning. */
struct range {
    uint64_t base;
    uint64_t next;
    uint64_t end;
};

void pci_open(void)
{
    outl(0xcf8, HOST_BRIDGE_ECAM);
    outl(0xcfc, LAYOUT_ECAM | ECAM_ENABLE);
}

uint64_t pci_function(uint32_t bus, uint32_t devfn)
{
    return LAYOUT_ECAM + ((uint64_t)bus << 20) + ((uint64_t)devfn << 12);
}

uint64_t pci_capability(uint64_t config, uint8_t number)
{
    uint8_t offset = read8(config + PCI_CAPABILITIES) & 0xfc;

    for (unsigned i = 0; i < CAPABILITIES_MAX && offset >= 0x40; i++) {
        uint16_t header = read16(config + offset);

        if ((header & 0xff) == number)
            return config + offset;
        offset = header >> 8 & 0xfc;
    }
    return 0;
}

/*
 * Decoding is off while BARs hold all ones: the function's command register is still 0. The kind of a BAR is taken
 * from what it held before: in one smaller than 16 bytes the bits of the kind can be written.
 */
static uint64_t bar_size(uint64_t reg, uint32_t *flags)
{
    uint64_t mask;

    *flags = read32(reg) & BAR_FLAGS;
    if (*flags & BAR_IO)
        return 0;
    write32(reg, 0xffffffff);
    mask = read32(reg);
    if (mask == 0 || mask == PCI_NOBODY)
        return 0;
    if (*flags & BAR_64BIT) {
        write32(reg + 4, 0xffffffff);
        mask |= (uint64_t)read32(reg + 4) << 32;
    } else {
        mask |= 0xffffffff00000000ull;
    }
    return ~(mask & ~(uint64_t)BAR_FLAGS) + 1;
}

static bool bar_place(uint64_t reg, uint32_t flags, struct bar *bar, struct range *range)
{
    uint64_t address = (range->next + bar->size - 1) & ~(bar->size - 1);

    if (bar->size > range->end - range->base || address + bar->size > range->end)
        return false;
    bar->address = address;
    range->next = address + bar->size;
    write32(reg, (uint32_t)address);
    if (flags & BAR_64BIT)
        write32(reg + 4, 0);
    return true;
}

static void window_write(uint64_t port, uint32_t offset, const struct range *range, uint32_t *written)
{
    uint64_t last = (range->next + WINDOW_GRANULE - 1) & ~(WINDOW_GRANULE - 1);
    uint32_t window = WINDOW_CLOSED;

    if (range->next != range->base)
        window = (uint32_t)(range->base >> 16) | (uint32_t)((last - 1) & 0xfff00000);
    /* Each write rebuilds QEMU's memory map, so none that changes nothing. */
    if (window == *written)
        return;
    write32(port + offset, window);
    *written = window;
}

static void windows_open(struct slot *slot, const struct range *plain, const struct range *prefetchable)
{
    window_write(slot->port, PCI_MEMORY_WINDOW, plain, &slot->window);
    window_write(slot->port, PCI_PREFETCH_WINDOW, prefetchable, &slot->prefetch_window);
    if (read32(slot->port + PCI_PREFETCH_BASE_HIGH) | read32(slot->port + PCI_PREFETCH_LIMIT_HIGH)) {
        write32(slot->port + PCI_PREFETCH_BASE_HIGH, 0);
        write32(slot->port + PCI_PREFETCH_LIMIT_HIGH, 0);
    }
}

bool pci_assign_bars(struct slot *slot)
{
    uint64_t base = LAYOUT_SLOT_MMIO + (uint64_t)slot->index * LAYOUT_SLOT_MMIO_SIZE;
    uint64_t middle = base + LAYOUT_SLOT_MMIO_SIZE / 2;
    struct range plain = { base, base, middle };
    struct range prefetchable = { middle, middle, base + LAYOUT_SLOT_MMIO_SIZE };

    for (uint32_t i = 0; i < AGENT_BARS; i++) {
        uint64_t reg = slot->function.config + PCI_BAR + 4 * i;
        struct bar *bar = &slot->function.bar[i];
        uint32_t flags;

        bar->size = bar_size(reg, &flags);
        if (bar->size && !bar_place(reg, flags, bar, flags & BAR_PREFETCHABLE ? &prefetchable : &plain))
            return false;
        if (bar->size && (flags & BAR_64BIT))
            i++;
    }
    windows_open(slot, &plain, &prefetchable);
    return true;
}
