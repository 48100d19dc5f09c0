#include "submit.h"
#include "clock.h"
#include "io.h"
#include "slot.h"

#define PORTAL_SIZE 0x1000u
#define DESCRIPTOR_SIZE 64u

struct submission {
    struct slot *slot;
    uint32_t generation; /* of the slot at the beginning: a device that came later is another one */
    uint64_t portal;
    uint32_t position; /* offset in the portal page of the next descriptor */
    bool mapped;       /* the portal is memory that the device looks at */
    uint32_t timeout_us;
};

/* What is looked at while waiting for one item. */
struct watch {
    volatile struct agent_item *item;
    volatile uint64_t *count; /* of the vector waited for; NULL: none */
    uint64_t before;
    bool needs_completion;
};

static bool open_portal(const struct agent *agent, struct submission *job, struct slot *slot, uint64_t bar, uint64_t offset,
                        uint32_t timeout_us)
{
    if (bar >= AGENT_BARS || offset % PORTAL_SIZE)
        return false;
    if (offset >= slot->function.bar[bar].size || slot->function.bar[bar].size - offset < PORTAL_SIZE)
        return false;
    job->slot = slot;
    job->generation = slot->generation;
    job->portal = slot->function.bar[bar].address + offset;
    job->position = 0;
    job->mapped = agent->shared->config.flags & AGENT_CONFIG_MAPPED_PORTAL;
    job->timeout_us = timeout_us;
    return true;
}

static bool gone(struct agent *agent, const struct submission *job)
{
    slots_serve(agent);
    return job->slot->generation != job->generation;
}

static volatile uint64_t *counter_of(struct agent *agent, volatile struct agent_item *item)
{
    uint32_t vector = item->expect_vector;

    return vector < AGENT_VECTORS ? &agent->shared->interrupts.count[vector] : NULL;
}

/* What was stored to a mapped slot before has been taken. */
static bool becomes_free(struct agent *agent, struct submission *job, uint64_t target)
{
    struct wait wait;
    bool free = true;

    wait_begin(agent, &wait, job->timeout_us);
    while (read64(target) != 0) {
        free = !gone(agent, job) && wait_more(agent, &wait);
        if (!free)
            break;
    }
    wait_finish(&wait);
    return free;
}

/* Eight ascending stores; or, where nobody gathers them, the first of them last. */
static void store_descriptor(const struct submission *job, uint64_t target, volatile struct agent_item *item)
{
    for (unsigned i = job->mapped; i < 8; i++)
        write64(target + 8 * i, item->descriptor[i]);
    if (job->mapped)
        write64(target, item->descriptor[0]);
}

/* To one 64-byte slot of the portal; the slots of the page are used in turn. False: that slot does not become free. */
static bool send(struct agent *agent, struct submission *job, volatile struct agent_item *item)
{
    volatile uint64_t *counter = counter_of(agent, item);
    uint64_t target = job->portal + job->position;

    if (job->mapped && !becomes_free(agent, job, target))
        return false;
    job->position = (job->position + DESCRIPTOR_SIZE) % PORTAL_SIZE;
    item->result = AGENT_ITEM_SENT;
    item->status = 0;
    item->completion[0] = 0;
    item->irq_before_complete = 0;
    item->tsc_completion = 0;
    item->tsc_interrupt = 0;
    item->irq_delta = counter ? (uint32_t)*counter : 0; /* the count before, until the item retires */
    item->tsc_start = rdtsc();
    store_descriptor(job, target, item);
    return true;
}

/* The counter is read before the record: an interrupt seen with an empty record came too early. */
static bool arrived(struct agent *agent, struct watch *watch)
{
    volatile struct agent_item *item = watch->item;
    bool interrupted = watch->count && (uint32_t)*watch->count != (uint32_t)watch->before;
    uint8_t status = item->completion[0];

    if (status && !item->status) {
        item->status = status;
        item->tsc_completion = rdtsc();
        agent->shared->answer.step = AGENT_STEP_INTERRUPT;
    }
    if (interrupted && !item->tsc_interrupt) {
        item->tsc_interrupt = agent->shared->interrupts.last_tsc[item->expect_vector];
        item->irq_before_complete = watch->needs_completion && !status;
    }
    return (interrupted || !watch->count) && (status || !watch->needs_completion);
}

/* Completion status of a descriptor whose interrupt handle was refused: no interrupt follows it (DSA specification 5.4). */
enum { STATUS_HANDLE_REFUSED = 0x19 };

static enum agent_item_result missing(const struct watch *watch)
{
    return watch->needs_completion && !watch->item->status ? AGENT_ITEM_NO_COMPLETION : AGENT_ITEM_NO_INTERRUPT;
}

static enum agent_item_result await(struct agent *agent, struct submission *job, struct watch *watch)
{
    struct wait wait;
    enum agent_item_result result = AGENT_ITEM_DONE;

    if (!watch->count && !watch->needs_completion)
        return AGENT_ITEM_SENT;
    agent->shared->answer.step = watch->needs_completion ? AGENT_STEP_COMPLETION : AGENT_STEP_INTERRUPT;
    wait_begin(agent, &wait, job->timeout_us);
    while (!arrived(agent, watch)) {
        if (gone(agent, job))
            result = AGENT_ITEM_GONE;
        else if (watch->item->status == STATUS_HANDLE_REFUSED || !wait_more(agent, &wait))
            result = missing(watch);
        if (result != AGENT_ITEM_DONE)
            break;
    }
    wait_finish(&wait);
    return result;
}

/* Waits for what the item is due and writes down what became of it. The interrupt only counts if `paced`. */
static enum agent_item_result retire(struct agent *agent, struct submission *job, volatile struct agent_item *item,
                                     bool paced)
{
    volatile uint64_t *counter = counter_of(agent, item);
    uint32_t before = item->irq_delta;
    struct watch watch = { .item = item, .count = paced ? counter : NULL, .before = before,
                           .needs_completion = item->flags & AGENT_ITEM_WAIT_COMPLETION };
    enum agent_item_result result = await(agent, job, &watch);

    item->irq_delta = counter ? (uint32_t)*counter - before : 0;
    item->result = result;
    return result;
}

static enum agent_result command_result(enum agent_item_result result)
{
    switch (result) {
    case AGENT_ITEM_SENT:
    case AGENT_ITEM_DONE:
        return AGENT_RESULT_OK;
    case AGENT_ITEM_GONE:
        return AGENT_RESULT_GONE;
    default:
        return AGENT_RESULT_TIMEOUT;
    }
}

/* A mapped slot stays full: the device has gone, or does not look. */
static enum agent_result not_taken(struct agent *agent, const struct submission *job)
{
    return gone(agent, job) ? AGENT_RESULT_GONE : AGENT_RESULT_TIMEOUT;
}

static enum agent_result pump(struct agent *agent, struct submission *job, volatile struct agent_item *items,
                              uint64_t count, uint64_t window)
{
    volatile struct agent_answer *answer = &agent->shared->answer;
    uint64_t sent = 0, retired = 0;
    enum agent_result result = AGENT_RESULT_OK;

    while (retired < count && result == AGENT_RESULT_OK) {
        if (sent < count && sent - retired < window) {
            answer->step = AGENT_STEP_SEND;
            if (send(agent, job, &items[sent]))
                sent++;
            else
                result = not_taken(agent, job);
            continue;
        }
        result = command_result(retire(agent, job, &items[retired], window == 1));
        retired += result == AGENT_RESULT_OK;
        answer->progress = retired;
    }
    answer->value[0] = retired;
    answer->value[1] = sent;
    return result;
}

enum agent_result submit_items(struct agent *agent, struct slot *slot, const uint64_t *arg, uint32_t timeout_us)
{
    struct submission job;
    uint64_t first = arg[0], count = arg[1], window = arg[4];

    if (first >= AGENT_ITEMS || count == 0 || count > AGENT_ITEMS - first || window == 0)
        return AGENT_RESULT_BAD_ARGUMENT;
    if (!open_portal(agent, &job, slot, arg[2], arg[3], timeout_us))
        return AGENT_RESULT_BAD_ARGUMENT;
    return pump(agent, &job, &agent->shared->items[first], count, window);
}

enum agent_result submit_spin(struct agent *agent, struct slot *slot, const uint64_t *arg, uint32_t timeout_us)
{
    volatile struct agent_shared *shared = agent->shared;
    struct submission job;
    enum agent_result result = AGENT_RESULT_OK;
    uint64_t fired = 0;

    if (arg[0] >= AGENT_ITEMS || !open_portal(agent, &job, slot, arg[1], arg[2], timeout_us))
        return AGENT_RESULT_BAD_ARGUMENT;
    while (fired < arg[3] && !shared->command.stop && result == AGENT_RESULT_OK) {
        if (send(agent, &job, &shared->items[arg[0]]))
            result = command_result(retire(agent, &job, &shared->items[arg[0]], true));
        else
            result = not_taken(agent, &job);
        fired += result == AGENT_RESULT_OK;
        shared->answer.progress = fired;
        if (result == AGENT_RESULT_OK && gone(agent, &job))
            result = AGENT_RESULT_GONE;
    }
    shared->answer.value[0] = fired;
    return result;
}
