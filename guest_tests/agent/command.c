#include "command.h"
#include "idxd.h"
#include "io.h"
#include "msix.h"
#include "slot.h"
#include "submit.h"
#include "uart.h"

#define CONFIG_SIZE 4096

struct request {
    uint32_t op;
    uint32_t timeout_us;
    uint64_t arg[6];
    struct slot *slot;
};

static bool size_is_valid(uint64_t size)
{
    return size == 1 || size == 2 || size == 4 || size == 8;
}

static bool in_range(uint64_t offset, uint64_t size, uint64_t limit)
{
    return size_is_valid(size) && offset % size == 0 && offset < limit;
}

static uint64_t load(uint64_t address, uint64_t size)
{
    switch (size) {
    case 1:
        return read8(address);
    case 2:
        return read16(address);
    case 4:
        return read32(address);
    default:
        return read64(address);
    }
}

static void store(uint64_t address, uint64_t size, uint64_t value)
{
    switch (size) {
    case 1:
        write8(address, (uint8_t)value);
        break;
    case 2:
        write16(address, (uint16_t)value);
        break;
    case 4:
        write32(address, (uint32_t)value);
        break;
    default:
        write64(address, value);
    }
}

/* Address in a BAR of arg: BAR, offset, size; 0 if it does not lie there. */
static uint64_t mmio_address(const struct request *request)
{
    const struct bar *bar;

    if (request->arg[0] >= AGENT_BARS)
        return 0;
    bar = &request->slot->function.bar[request->arg[0]];
    return in_range(request->arg[1], request->arg[2], bar->size) ? bar->address + request->arg[1] : 0;
}

static enum agent_result run_mmio(struct agent *agent, const struct request *request)
{
    uint64_t address = mmio_address(request);

    if (!address)
        return AGENT_RESULT_BAD_ARGUMENT;
    if (request->op == AGENT_OP_MMIO_READ)
        agent->shared->answer.value[0] = load(address, request->arg[2]);
    else
        store(address, request->arg[2], request->arg[3]);
    return AGENT_RESULT_OK;
}

static enum agent_result run_config(struct agent *agent, const struct request *request)
{
    uint64_t address = request->slot->function.config + request->arg[0];

    if (request->arg[1] > 4 || !in_range(request->arg[0], request->arg[1], CONFIG_SIZE))
        return AGENT_RESULT_BAD_ARGUMENT;
    if (request->op == AGENT_OP_CONFIG_READ)
        agent->shared->answer.value[0] = load(address, request->arg[1]);
    else
        store(address, request->arg[1], request->arg[2]);
    return AGENT_RESULT_OK;
}

static enum agent_result run_mask(struct agent *agent, const struct request *request)
{
    struct function *function = &request->slot->function;
    volatile struct agent_answer *answer = &agent->shared->answer;

    if (!function->msix_table)
        return AGENT_RESULT_BAD_ARGUMENT;
    if (request->op == AGENT_OP_FUNCTION_MASK) {
        answer->value[0] = msix_mask_function(function, request->arg[0]);
        return AGENT_RESULT_OK;
    }
    if (request->arg[0] >= function->msix_count)
        return AGENT_RESULT_BAD_ARGUMENT;
    answer->value[0] = msix_mask_vector(function, (uint32_t)request->arg[0], request->arg[1]);
    return AGENT_RESULT_OK;
}

static enum agent_result run_raw_command(struct agent *agent, const struct request *request)
{
    struct wait wait;
    enum agent_result result;
    uint32_t status;

    if (!request->slot->function.is_idxd)
        return AGENT_RESULT_BAD_ARGUMENT;
    wait_begin(agent, &wait, request->timeout_us);
    result = idxd_command(agent, request->slot, (uint32_t)request->arg[0], &wait, &status);
    wait_finish(&wait);
    agent->shared->answer.value[0] = status;
    return result;
}

static enum agent_result run_on_slot(struct agent *agent, const struct request *request)
{
    switch (request->op) {
    case AGENT_OP_ENABLE:
        return idxd_enable(agent, request->slot, request->arg, request->timeout_us);
    case AGENT_OP_DISABLE:
        return idxd_disable(agent, request->slot, request->arg, request->timeout_us);
    case AGENT_OP_COMMAND:
        return run_raw_command(agent, request);
    case AGENT_OP_MMIO_READ:
    case AGENT_OP_MMIO_WRITE:
        return run_mmio(agent, request);
    case AGENT_OP_CONFIG_READ:
    case AGENT_OP_CONFIG_WRITE:
        return run_config(agent, request);
    case AGENT_OP_VECTOR_MASK:
    case AGENT_OP_FUNCTION_MASK:
        return run_mask(agent, request);
    case AGENT_OP_SUBMIT:
        return submit_items(agent, request->slot, request->arg, request->timeout_us);
    case AGENT_OP_SPIN:
        return submit_spin(agent, request->slot, request->arg, request->timeout_us);
    case AGENT_OP_EJECT:
        slot_eject(agent, request->slot);
        return AGENT_RESULT_OK;
    default:
        return AGENT_RESULT_BAD_ARGUMENT;
    }
}

static enum agent_result run(struct agent *agent, struct request *request)
{
    if (request->op == AGENT_OP_NOP)
        return AGENT_RESULT_OK;
    if (request->op == AGENT_OP_FAULT) {
        fault_raise(request->arg[0]);
        return AGENT_RESULT_BAD_ARGUMENT;
    }
    request->slot = slot_present(agent, agent->shared->command.slot);
    return request->slot ? run_on_slot(agent, request) : AGENT_RESULT_NO_DEVICE;
}

static void answer(struct agent *agent, uint32_t seq, enum agent_result result)
{
    volatile struct agent_answer *block = &agent->shared->answer;

    block->result = result;
    block->tsc_end = rdtsc();
    block->seq = seq;
    uart_ring(AGENT_EVENT_ANSWER);
}

bool command_waiting(const struct agent *agent)
{
    return agent->shared->command.seq != agent->shared->answer.seq;
}

void command_run(struct agent *agent)
{
    volatile struct agent_command *command = &agent->shared->command;
    volatile struct agent_answer *block = &agent->shared->answer;
    uint32_t seq = command->seq;
    struct request request = { .op = command->op, .timeout_us = command->timeout_us };
    enum agent_result result;

    for (unsigned i = 0; i < 6; i++)
        request.arg[i] = command->arg[i];
    for (unsigned i = 0; i < 4; i++)
        block->value[i] = 0;
    block->detail = 0;
    block->progress = 0;
    block->step = AGENT_STEP_ACCESS;
    block->tsc_start = rdtsc();
    result = run(agent, &request);
    if (result == AGENT_RESULT_OK)
        block->step = AGENT_STEP_DONE;
    answer(agent, seq, result);
}

void command_abandon(struct agent *agent)
{
    if (command_waiting(agent))
        answer(agent, agent->shared->command.seq, AGENT_RESULT_RESET);
}
