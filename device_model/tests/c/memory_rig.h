/* memory_rig.h - one device, one virtual device with its VM's memory, no engine: a test is the engine. */
#ifndef VDSA_TESTS_MEMORY_RIG_H
#define VDSA_TESTS_MEMORY_RIG_H

#include "../../core/memory.h"
#include "../../platform/platform.h"
#include "guest_memory.h"

enum { RIG_PASID = 7, RIG_PAGE = 4096, RIG_PAGES = 1024, RIG_BASE = 0x100000 };

struct rig {
	struct platform *platform;
	struct vdev *vdev;
	struct guest_memory guest; /* RIG_PAGES pages */
	struct memory memory;
	uint8_t *scratch;
};

/* Attached, bus master, its PASID bound; no memory mapped. */
void rig_up(struct rig *rig, bool sealed);
void rig_down(struct rig *rig);
void rig_bus_master(struct rig *rig, bool on);
/* Maps pages from..from+count-1 of the file at RIG_BASE + from pages, with all rights. */
void rig_map(struct rig *rig, unsigned from, unsigned count);

#endif
