/* The IDXD device in a slot: what it says of itself, its commands, and bringing it into service. */
#ifndef AGENT_IDXD_H
#define AGENT_IDXD_H

#include <stdint.h>

#include "agent.h"
#include "clock.h"

/* Reads the capability registers into the slot's block if `id` (vendor, device) is an IDXD. */
void idxd_describe(struct function *function, volatile struct agent_slot *block, uint32_t id);

/* Writes CMD and waits until CMDSTATUS is not Active. `status` gets CMDSTATUS as last read. */
enum agent_result idxd_command(struct agent *agent, struct slot *slot, uint32_t command, struct wait *wait,
                               uint32_t *status);

/* The bodies of ENABLE and DISABLE; their arguments are in the command block. */
enum agent_result idxd_enable(struct agent *agent, struct slot *slot, const uint64_t *arg, uint32_t timeout_us);
enum agent_result idxd_disable(struct agent *agent, struct slot *slot, const uint64_t *arg, uint32_t timeout_us);

#endif
