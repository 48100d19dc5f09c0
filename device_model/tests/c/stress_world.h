/*
 * stress_world.h - what the parts of stress_device.c share. A world is one device with guests; the promises are checked where a
 * message or a DMA arrives: each VM knows its own id, and has a flag for each thing that must not arrive any more. A flag
 * is set after the call that promises it has returned, and taken back before the call that ends it.
 */
#ifndef VDSA_TESTS_STRESS_WORLD_H
#define VDSA_TESTS_STRESS_WORLD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "../../platform/platform.h"
#include "../../vdev/vdev.h"

enum { LIST = 0x1000, MEMBERS = 8, ENGINES = 3 };
enum { GUESTS = 4, VECTORS = 3, ENTRIES = 256, RAM = 0x10000, RAM_SIZE = 0x4000, PASID_BASE = 100 };
enum { BAR0_CMD = 0xA0, TABLE_MSIX = 0x2000, TABLE_PERM = 0x800, PORTAL = 0x1000, HOST_IMS = 0x10000, HOST_WQCFG = 0x800 };
/* What is tried with which vector. */
enum { GUEST_MASKS = 1, HOST_MASKS = 2, HOST_UNBINDS = 3 };

/* The VM behind a virtual device: a new one for each device that is made. */
struct vm {
	uint32_t id;
	atomic_bool gone;                  /* detached                            */
	atomic_bool reset;                 /* reset and not yet set up again      */
	atomic_bool no_memory;             /* its PASID leads nowhere             */
	atomic_bool silent[VECTORS + 1];   /* masked or unbound                   */
	atomic_uint_fast64_t messages;
	atomic_uint inside;                /* its memory                          */
	_Alignas(8) uint8_t memory[RAM_SIZE];
};

struct guest {
	unsigned index;
	uint32_t random;
	pthread_mutex_t life;  /* held for each access of the guest, and while the device is taken away */
	pthread_mutex_t parts; /* held while the host changes what its parts belong to; taken after life */
	struct vdev *vdev;
	struct vm *vm;
	uint8_t *pages; /* its portals, mapped while it is attached; NULL: they trap */
	bool attached;
	struct world *world;
};

struct world {
	struct platform *platform;
	struct idxd *idxd;
	struct iommu *iommu;
	struct guest guests[GUESTS];
	atomic_uint ids;
	atomic_bool stop;
	atomic_uint_fast64_t received; /* by VMs that are no more */
	uint64_t injected, lost_records; /* of the watcher, and at the end */
	unsigned rounds;
};

/* A thread of the host. */
struct host {
	struct world *world;
	uint32_t random;
};

static inline uint32_t next(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* stress_vm.c: a VM comes and goes. */
void attach(struct guest *guest);
void detach(struct guest *guest);

/* stress_parts.c: the parts of guest i are work queue i, PASID_BASE + i, entries and remapping entries from entry(i, 1) on. */
uint32_t entry(unsigned index, unsigned vector);
void ims_open(struct world *world, unsigned index, unsigned vector, bool masked);
/* Makes its VM and its virtual device, and attaches it. */
void compose(struct guest *guest);
/* As mdev.py does. Anything that comes afterwards meets freed memory, or a VM of another id. */
void take_away(struct guest *guest);

/* stress_guest.c; `life` held. */
void set_up(struct guest *guest);
void submit(struct guest *guest);
/* The list of its batches: Memory Moves with interrupts, the last by a handle of another guest. */
void lay_list(struct guest *guest);
void write_bar0(struct guest *guest, uint64_t offset, uint32_t count, uint64_t value);
/* Its thread: the rounds; argument: a guest. */
void *guest_main(void *guest);

/* stress_hosts.c: threads of the host until world->stop; argument: a host. */
void *entries_main(void *host);
void *bindings_main(void *host);
void *watcher_main(void *host);
void read_ledger(struct world *world);

#endif
