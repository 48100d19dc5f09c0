#include "clock.h"
#include "agent.h"
#include "io.h"
#include "lapic.h"

#define CALIBRATION_NS 200000u
#define SPIN_US 50u
#define NAP_NS 100000u
#define LONGEST_NAP_NS 800000u
#define TRIES 4

/* Both clocks at one moment. */
struct moment {
    uint32_t count;
    uint64_t tsc;
};

/* The host may take the CPU away between two readings: the closest pair of some is taken. */
static struct moment moment_now(void)
{
    struct moment best = { 0 };
    uint64_t closest = UINT64_MAX;

    for (unsigned i = 0; i < TRIES; i++) {
        uint64_t before = rdtsc();
        uint32_t count = lapic_count();
        uint64_t apart = rdtsc() - before;

        if (apart >= closest)
            continue;
        closest = apart;
        best = (struct moment){ .count = count, .tsc = before };
    }
    return best;
}

void clock_start(struct agent *agent)
{
    struct moment now = moment_now();

    agent->clock_start = now.count;
    agent->tsc_start = now.tsc;
}

void clock_calibrate(struct agent *agent)
{
    struct moment now;
    uint32_t ns;

    /* Bounded, should the counter stand still. */
    for (unsigned i = 0; i < 1000000 && agent->clock_start - lapic_count() < CALIBRATION_NS; i++)
        ;
    now = moment_now();
    ns = agent->clock_start - now.count;
    agent->tsc_khz = (now.tsc - agent->tsc_start) * 1000000 / (ns ? ns : 1);
    agent->shared->tsc_khz = agent->tsc_khz;
}

static uint64_t ticks(const struct agent *agent, uint32_t us)
{
    return us * agent->tsc_khz / 1000;
}

void wait_begin(struct agent *agent, struct wait *wait, uint32_t timeout_us)
{
    uint32_t spin_us = agent->shared->config.spin_us;
    uint64_t now = rdtsc();

    wait->end = now + ticks(agent, timeout_us);
    wait->spin = ticks(agent, spin_us ? spin_us : SPIN_US);
    wait->spin_end = now + wait->spin;
    wait->seen = agent->interrupts;
    wait->nap_ns = NAP_NS;
    wait->expired = false;
    wait->alarm = false;
}

void wait_next(struct wait *wait)
{
    wait->spin_end = rdtsc() + wait->spin;
    wait->nap_ns = NAP_NS;
}

/* Halts unless an interrupt came after the condition was last looked at. */
static void nap(struct agent *agent, struct wait *wait)
{
    interrupts_off();
    if (agent->interrupts == wait->seen) {
        lapic_alarm(wait->nap_ns);
        wait->alarm = true;
        halt_for_interrupt();
        if (wait->nap_ns < LONGEST_NAP_NS)
            wait->nap_ns *= 2;
    }
    interrupts_on();
}

bool wait_more(struct agent *agent, struct wait *wait)
{
    uint64_t now = rdtsc();

    if (wait->expired)
        return false;
    if (now >= wait->end)
        wait->expired = true;
    else if (now >= wait->spin_end)
        nap(agent, wait);
    wait->seen = agent->interrupts;
    return true;
}

void wait_finish(struct wait *wait)
{
    if (wait->alarm)
        lapic_alarm(0);
}
