/*
 * store_fire.c - fills a message store and fires interrupts out of it faster than Python can, on a device that Python has made: what
 * is timed is then the device, not the calls into it. Built by host_ctl.capacity.driver as a library of its own, it knows the
 * device by the addresses of its functions.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "../core/formats.h"

enum { FLAGS_AT = 4, HANDLE_AT = 36, ENTRY = 16 };

/* The device: its parts, and functions of the library as declared in core/idxd.h, core/store.h and platform/host_memory.h. */
struct way {
	void *idxd, *store, *memory;
	void (*submit)(void *idxd, uint32_t wq, int portal, const uint8_t desc[64], uint32_t requester);
	bool (*step)(void *idxd, uint32_t engine);
	void (*bar0_write)(void *idxd, uint64_t offset, unsigned size, uint64_t value);
	bool (*memory_write)(void *memory, uint64_t address, const void *data, size_t size);
	bool (*request_handle)(void *store, uint32_t entry);
};

struct shot {
	uint32_t wq, handle;
};

/* An entry: address and data of its message, control word. */
struct words {
	uint64_t address;
	uint32_t data, control;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A No-op that asks for a completion interrupt and no record: no memory of a virtual machine has a part in it. */
static void describe(uint8_t desc[64], uint32_t handle)
{
	const uint32_t flags = DESC_F_RCI | (uint32_t)OP_NOOP << 24;
	const uint16_t short_handle = (uint16_t)handle;

	memset(desc, 0, 64);
	memcpy(desc + FLAGS_AT, &flags, sizeof(flags));
	memcpy(desc + HANDLE_AT, &short_handle, sizeof(short_handle));
}

/* One descriptor at a time, ns[i] from its store to the portal until its message has been handed over. Descriptors that were not
 * processed: how many. */
__attribute__((visibility("default"))) uint32_t fire_shots(const struct way *way, int portal, const struct shot *shots, uint32_t count,
							   uint32_t *ns)
{
	uint32_t left = 0;
	uint8_t desc[64];

	for (uint32_t i = 0; i < count; i++) {
		uint64_t begin;

		describe(desc, shots[i].handle);
		begin = now_ns();
		way->submit(way->idxd, shots[i].wq, portal, desc, 0);
		left += !way->step(way->idxd, 0);
		ns[i] = (uint32_t)(now_ns() - begin);
	}
	return left;
}

/* The guests' part of an allocation: each has asked for its handles. Entries that there are not: how many. */
__attribute__((visibility("default"))) uint32_t request_handles(const struct way *way, const uint32_t *entries, uint32_t count)
{
	uint32_t missing = 0;

	for (uint32_t i = 0; i < count; i++)
		missing += !way->request_handle(way->store, entries[i]);
	return missing;
}

/* Entries that are registers, one after another from an offset of BAR0: message first, then open. */
__attribute__((visibility("default"))) void program_registers(const struct way *way, uint64_t offset, uint32_t count,
							      const struct words *words)
{
	for (uint32_t i = 0; i < count; i++, offset += ENTRY) {
		way->bar0_write(way->idxd, offset, 8, words->address);
		way->bar0_write(way->idxd, offset + 8, 4, words->data);
		way->bar0_write(way->idxd, offset + 12, 4, words->control);
	}
}

/* The same for entries in host memory. Those at whose place is no memory: how many. */
__attribute__((visibility("default"))) uint32_t program_memory(const struct way *way, const uint32_t *entries, uint32_t count,
							       const struct words *words)
{
	uint32_t missing = 0;

	for (uint32_t i = 0; i < count; i++)
		missing += !way->memory_write(way->memory, (uint64_t)entries[i] * ENTRY, &words->address, 8) ||
			   !way->memory_write(way->memory, (uint64_t)entries[i] * ENTRY + 8, &words->data, 4) ||
			   !way->memory_write(way->memory, (uint64_t)entries[i] * ENTRY + 12, &words->control, 4);
	return missing;
}
