/*
 * host_memory.h - pages of the host's own memory that it has given to the device, at addresses as the device uses them: where a message
 * store that is apart from the device is kept. No virtual machine reaches it. All functions are thread-safe.
 */
#ifndef VDSA_PLATFORM_HOST_MEMORY_H
#define VDSA_PLATFORM_HOST_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct host_memory;

/* NULL: out of memory. */
struct host_memory *host_memory_create(void);
void host_memory_destroy(struct host_memory *memory);

/* The address of a page of 4 KiB, all zero; 0: out of memory. The page that was freed last is given first. */
uint64_t host_memory_page(struct host_memory *memory);
/* Takes a page back; from now on nothing is at its address. -EINVAL: no page that was given. */
int host_memory_free(struct host_memory *memory, uint64_t address);
/* Pages that are given. */
uint64_t host_memory_pages(struct host_memory *memory);

/* 4, 8 or 16 bytes, aligned, as one. False: nothing is there, or the access is none of these. */
bool host_memory_read(struct host_memory *memory, uint64_t address, void *data, size_t size);
bool host_memory_write(struct host_memory *memory, uint64_t address, const void *data, size_t size);
/* 4 bytes, aligned, as one: takes away the bits of `clear`, then adds those of `set`. *before, unless NULL: what was there. */
bool host_memory_update(struct host_memory *memory, uint64_t address, uint32_t clear, uint32_t set, uint32_t *before);

#endif
