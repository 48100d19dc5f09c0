/* Registers of the PCI Express capability of a port with a slot (PCI Express Base Specification, 7.5.3). */
#ifndef AGENT_EXPRESS_H
#define AGENT_EXPRESS_H

#define EXPRESS_FLAGS 0x02
#define EXPRESS_SLOT_CAPABILITIES 0x14
#define EXPRESS_SLOT_CONTROL 0x18
#define EXPRESS_SLOT_STATUS 0x1a

#define FLAGS_TYPE(flags) ((flags) >> 4 & 0xf)
#define FLAGS_TYPE_ROOT_PORT 4
#define FLAGS_SLOT 0x0100u

#define CAPABILITIES_HOTPLUG 0x0040u
#define CAPABILITIES_NUMBER(capabilities) ((capabilities) >> 19)

#define CONTROL_INTERRUPTS 0x0029u /* attention button, presence, and hotplug interrupts at all */
#define CONTROL_INDICATOR_ON 0x0100u
#define CONTROL_INDICATOR_OFF 0x0300u
#define CONTROL_POWER_OFF 0x0400u
#define CONTROL_POWER_STATE 0x07c0u

#define STATUS_ATTENTION 0x0001u
#define STATUS_PRESENCE_CHANGED 0x0008u
#define STATUS_PRESENT 0x0040u
#define STATUS_EVENTS 0x011fu

#endif
