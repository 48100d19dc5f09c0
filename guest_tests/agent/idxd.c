#include "idxd.h"
#include "io.h"
#include "irq.h"
#include "msix.h"
#include "pci.h"
#include "slot.h"

#define ID_DSA 0x0b258086u
#define ID_IAX 0x0cfe8086u

#define REG_VERSION 0x00
#define REG_GENCAP 0x10
#define REG_WQCAP 0x20
#define REG_ENGCAP 0x38
#define REG_OFFSETS 0x60
#define REG_GENCTRL 0x88
#define REG_CMD 0xa0
#define REG_CMDSTATUS 0xa8
#define REG_CMDCAP 0xb0
#define REGISTERS_END 0x100

#define GENCAP_CMDCAP 0x10u
#define GENCAP_CONFIG 0x80000000u
#define GENCAP_LIMITS(gencap) ((uint32_t)((gencap) >> 16 & 0x1ffu)) /* log2 of transfer and batch, as in WQCFG */
#define WQCAP_TOTAL(wqcap) ((uint32_t)(wqcap) & 0xffffu)
#define WQCAP_COUNT(wqcap) ((uint32_t)((wqcap) >> 16) & 0xffu)
#define WQCAP_STRIDE(wqcap) (32u << ((wqcap) >> 24 & 0xfu))
#define OFFSET_GRPCFG(offsets) (((offsets) & 0xffffu) * 0x100)
#define OFFSET_WQCFG(offsets) (((offsets) >> 16 & 0xffffu) * 0x100)
#define GRPCFG_ENGINES 32
#define WQCFG_MODE 8
#define WQCFG_LIMITS 12
#define WQCFG_DEDICATED 0x1u
#define WQCFG_PRIORITY(priority) ((uint32_t)(priority) << 4)
#define GENCTRL_INTERRUPTS 3u
#define CMDSTATUS_ACTIVE 0x80000000u
#define CMDSTATUS_ERROR(status) ((status) & 0xffu)
#define CMDSTATUS_RESULT(status) ((status) >> 8 & 0xffffu)
#define CMDCAP_HANDLES 0x2000u

#define CMD_ENABLE_DEVICE (1u << 20)
#define CMD_DISABLE_DEVICE (2u << 20)
#define CMD_ENABLE_WQ (6u << 20)
#define CMD_DISABLE_WQ (7u << 20)
#define CMD_REQUEST_HANDLE (13u << 20)

#define NOT_REACHED 0xffffffffu
#define WQS_MAX 256

struct enabling {
    struct slot *slot;
    struct wait wait;
    uint32_t vectors; /* MSI-X entries 0 .. vectors */
    uint32_t steps;
    uint32_t wq;
};

void idxd_describe(struct function *function, volatile struct agent_slot *block, uint32_t id)
{
    uint64_t registers = function->bar[0].address;

    if ((id != ID_DSA && id != ID_IAX) || !registers || function->bar[0].size < REGISTERS_END)
        return;
    function->is_idxd = true;
    block->is_idxd = 1;
    block->version = read32(registers + REG_VERSION);
    block->gencap = read64(registers + REG_GENCAP);
    block->wqcap = read64(registers + REG_WQCAP);
    block->offsets[0] = read64(registers + REG_OFFSETS);
    block->offsets[1] = read64(registers + REG_OFFSETS + 8);
    if (block->gencap & GENCAP_CMDCAP)
        function->cmdcap = read32(registers + REG_CMDCAP);
    block->cmdcap = function->cmdcap;
}

enum agent_result idxd_command(struct agent *agent, struct slot *slot, uint32_t command, struct wait *wait,
                               uint32_t *status)
{
    uint64_t registers = slot->function.bar[0].address;
    uint32_t generation = slot->generation;

    wait_next(wait);
    write32(registers + REG_CMD, command);
    for (;;) {
        *status = read32(registers + REG_CMDSTATUS);
        if (*status == PCI_NOBODY)
            return AGENT_RESULT_GONE;
        if (!(*status & CMDSTATUS_ACTIVE))
            return AGENT_RESULT_OK;
        if (!wait_more(agent, wait))
            return AGENT_RESULT_TIMEOUT;
        slots_serve(agent);
        if (slot->generation != generation)
            return AGENT_RESULT_GONE;
    }
}

/* One command as a step of ENABLE or DISABLE: an error code in CMDSTATUS ends it. */
static enum agent_result step(struct agent *agent, struct enabling *work, uint32_t command,
                              volatile uint32_t *report)
{
    uint32_t status;
    enum agent_result result = idxd_command(agent, work->slot, command, &work->wait, &status);

    *report = status;
    agent->shared->answer.detail = status;
    if (result == AGENT_RESULT_OK && CMDSTATUS_ERROR(status))
        return AGENT_RESULT_DEVICE_ERROR;
    return result;
}

static bool begins(struct agent *agent, const struct enabling *work, enum agent_step step_number)
{
    if (!(work->steps >> step_number & 1))
        return false;
    agent->shared->answer.step = step_number;
    return true;
}

static void report_clear(volatile struct agent_enable *report)
{
    report->device_status = NOT_REACHED;
    report->wq_status = NOT_REACHED;
    for (unsigned i = 0; i < AGENT_HANDLES; i++) {
        report->handle_status[i] = NOT_REACHED;
        report->handle[i] = NOT_REACHED;
    }
}

static enum agent_result request_handles(struct agent *agent, struct enabling *work)
{
    volatile struct agent_enable *report = &agent->shared->enable;
    bool mandatory = work->slot->function.cmdcap & CMDCAP_HANDLES;

    for (uint32_t i = 1; i <= work->vectors; i++) {
        enum agent_result result;

        report->handle[i] = i;
        if (!mandatory)
            continue;
        report->handle[i] = NOT_REACHED;
        result = step(agent, work, CMD_REQUEST_HANDLE | i, &report->handle_status[i]);
        if (result != AGENT_RESULT_OK)
            return result;
        report->handle[i] = CMDSTATUS_RESULT(report->handle_status[i]);
    }
    return AGENT_RESULT_OK;
}

/*
 * Where the guest is to configure: all queues, of one size, and all engines in group 0, with the limits of the device. A queue
 * or a device that is enabled already ignores it.
 */
static void configure(const struct enabling *work)
{
    uint64_t registers = work->slot->function.bar[0].address;
    uint64_t gencap = read64(registers + REG_GENCAP), wqcap = read64(registers + REG_WQCAP);
    uint64_t offsets = read64(registers + REG_OFFSETS), engines = read64(registers + REG_ENGCAP) & 0xff;
    uint64_t group = registers + OFFSET_GRPCFG(offsets), queue = registers + OFFSET_WQCFG(offsets);
    uint32_t count = WQCAP_COUNT(wqcap);

    if (!(gencap & GENCAP_CONFIG) || count == 0 || count > 64 || engines > 63)
        return;
    write64(group, ~0ull >> (64 - count));
    write64(group + GRPCFG_ENGINES, (1ull << engines) - 1);
    for (uint32_t i = 0; i < count; i++, queue += WQCAP_STRIDE(wqcap)) {
        write32(queue, WQCAP_TOTAL(wqcap) / count);
        write32(queue + WQCFG_MODE, WQCFG_DEDICATED | WQCFG_PRIORITY(1));
        write32(queue + WQCFG_LIMITS, GENCAP_LIMITS(gencap));
    }
}

static enum agent_result enable_device(struct agent *agent, struct enabling *work)
{
    volatile struct agent_enable *report = &agent->shared->enable;
    enum agent_result result = AGENT_RESULT_OK;

    if (begins(agent, work, AGENT_STEP_GENCTRL))
        write32(work->slot->function.bar[0].address + REG_GENCTRL, GENCTRL_INTERRUPTS);
    if (begins(agent, work, AGENT_STEP_DEVICE)) {
        configure(work);
        result = step(agent, work, CMD_ENABLE_DEVICE, &report->device_status);
    }
    if (result == AGENT_RESULT_OK && begins(agent, work, AGENT_STEP_WQ))
        result = step(agent, work, CMD_ENABLE_WQ | work->wq, &report->wq_status);
    if (result == AGENT_RESULT_OK && begins(agent, work, AGENT_STEP_HANDLES))
        result = request_handles(agent, work);
    return result;
}

static enum agent_result connect_vectors(struct agent *agent, struct enabling *work, uint64_t base)
{
    struct function *function = &work->slot->function;
    volatile struct agent_slot *block = &agent->shared->slots[work->slot->index];
    uint8_t owner = (uint8_t)(OWNER_SLOT + work->slot->index);
    uint32_t count = work->vectors + 1;

    if (!function->msix_table || count > function->msix_count)
        return AGENT_RESULT_BAD_ARGUMENT;
    irq_release(agent, owner);
    if (!irq_claim(agent, base, count, owner))
        return AGENT_RESULT_VECTORS_TAKEN;
    msix_enable(function, (uint32_t)base, count);
    function->vector_base = (uint32_t)base;
    function->vector_count = count;
    block->vector_base = (uint32_t)base;
    block->vector_count = count;
    return AGENT_RESULT_OK;
}

static bool valid(const struct enabling *work, uint64_t vectors, uint64_t wq)
{
    uint32_t only_idxd = work->steps & ~(1u << AGENT_STEP_MSIX);

    return vectors < AGENT_HANDLES && wq < WQS_MAX && (!only_idxd || work->slot->function.is_idxd);
}

enum agent_result idxd_enable(struct agent *agent, struct slot *slot, const uint64_t *arg, uint32_t timeout_us)
{
    struct enabling work = { .slot = slot, .vectors = (uint32_t)arg[0], .steps = (uint32_t)arg[2],
                             .wq = (uint32_t)arg[3] };
    enum agent_result result = AGENT_RESULT_OK;

    if (!valid(&work, arg[0], arg[3]))
        return AGENT_RESULT_BAD_ARGUMENT;
    report_clear(&agent->shared->enable);
    wait_begin(agent, &work.wait, timeout_us);
    if (begins(agent, &work, AGENT_STEP_MSIX))
        result = connect_vectors(agent, &work, arg[1]);
    if (result == AGENT_RESULT_OK)
        result = enable_device(agent, &work);
    wait_finish(&work.wait);
    return result;
}

static void disconnect_vectors(struct agent *agent, struct slot *slot)
{
    volatile struct agent_slot *block = &agent->shared->slots[slot->index];

    if (slot->function.msix_table)
        msix_disable(&slot->function);
    irq_release(agent, (uint8_t)(OWNER_SLOT + slot->index));
    slot->function.vector_base = 0;
    slot->function.vector_count = 0;
    block->vector_base = 0;
    block->vector_count = 0;
}

enum agent_result idxd_disable(struct agent *agent, struct slot *slot, const uint64_t *arg, uint32_t timeout_us)
{
    volatile struct agent_enable *report = &agent->shared->enable;
    struct enabling work = { .slot = slot, .steps = (uint32_t)arg[0], .wq = (uint32_t)arg[1] };
    enum agent_result result = AGENT_RESULT_OK;

    if (!valid(&work, 0, arg[1]))
        return AGENT_RESULT_BAD_ARGUMENT;
    report_clear(report);
    wait_begin(agent, &work.wait, timeout_us);
    if (begins(agent, &work, AGENT_STEP_WQ))
        result = step(agent, &work, CMD_DISABLE_WQ | (work.wq / 16) << 16 | 1u << (work.wq % 16), &report->wq_status);
    if (result == AGENT_RESULT_OK && begins(agent, &work, AGENT_STEP_DEVICE))
        result = step(agent, &work, CMD_DISABLE_DEVICE, &report->device_status);
    /* The vectors go whatever the device said, so that a failed device cannot keep them. */
    if (slot->state == AGENT_SLOT_PRESENT && work.steps & 1u << AGENT_STEP_MSIX)
        disconnect_vectors(agent, slot);
    wait_finish(&work.wait);
    return result;
}
