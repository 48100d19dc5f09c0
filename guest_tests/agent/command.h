/* The host's commands: one at a time, from the command block, answered in the answer block. */
#ifndef AGENT_COMMAND_H
#define AGENT_COMMAND_H

#include <stdbool.h>

#include "agent.h"

bool command_waiting(const struct agent *agent);
void command_run(struct agent *agent);

/* After a reset: a command that was outstanding then is answered with AGENT_RESULT_RESET, not run. */
void command_abandon(struct agent *agent);

#endif
