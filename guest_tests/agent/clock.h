/* Time and bounded waiting. The clock is the TSC; its rate is measured against the APIC's counter while booting. */
#ifndef AGENT_CLOCK_H
#define AGENT_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct agent;

struct wait {
    uint64_t end;
    uint64_t spin_end;
    uint64_t spin;
    uint64_t seen;
    uint32_t nap_ns;
    bool expired;
    bool alarm;
};

void clock_start(struct agent *agent);
void clock_calibrate(struct agent *agent);

/*
 * while (!condition) { if (!wait_more(agent, &wait)) give up; }
 *
 * Polls for a while, then halts the CPU between looks: until an interrupt, but not longer than 100 us at first, so that a
 * condition that no interrupt announces is seen too. Later twice as long each time, up to 0.8 ms: where many guests wait
 * for a busy host, their looks are what keeps it busy. After the time is up the condition is looked at once more, so a
 * host that stood still does not make a timeout out of a finished job.
 */
void wait_begin(struct agent *agent, struct wait *wait, uint32_t timeout_us);
bool wait_more(struct agent *agent, struct wait *wait);

/* A new phase under the same end: polls first again. */
void wait_next(struct wait *wait);
void wait_finish(struct wait *wait);

#endif
