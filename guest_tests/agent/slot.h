/* Root ports and what is plugged into them (native PCI Express hotplug). A slot's state is a level, not an event. */
#ifndef AGENT_SLOT_H
#define AGENT_SLOT_H

#include <stdint.h>

#include "agent.h"

/* Finds the root ports on bus 0, gives them bus numbers and arms their hotplug interrupts. */
void slots_find(struct agent *agent);

/* Looks at each slot in `mask`: powers up what is new, ejects what the host wants back, forgets what left. */
void slots_look(struct agent *agent, uint32_t mask);

/* The same for the slots that interrupted since the last call. Cheap when there are none. */
void slots_serve(struct agent *agent);

void slot_eject(struct agent *agent, struct slot *slot);

/* A slot that holds a device, or NULL. */
struct slot *slot_present(struct agent *agent, uint32_t index);

#endif
