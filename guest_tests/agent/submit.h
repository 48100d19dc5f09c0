/* Descriptors to a portal: SUBMIT and SPIN. */
#ifndef AGENT_SUBMIT_H
#define AGENT_SUBMIT_H

#include <stdint.h>

#include "agent.h"

/* arg: first item, count, BAR, portal offset, window. value[0], [1]: items retired, sent. */
enum agent_result submit_items(struct agent *agent, struct slot *slot, const uint64_t *arg, uint32_t timeout_us);

/* arg: item, BAR, portal offset, maximum. Fires one item again and again until the host sets command.stop. */
enum agent_result submit_spin(struct agent *agent, struct slot *slot, const uint64_t *arg, uint32_t timeout_us);

#endif
