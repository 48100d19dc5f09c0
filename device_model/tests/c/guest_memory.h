/* guest_memory.h - a VM's memory as the transport has it, real files and real maps, with no client at the other end. */
#ifndef VDSA_TESTS_GUEST_MEMORY_H
#define VDSA_TESTS_GUEST_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../transport/connection.h"
#include "../../vdev/vdev.h"

struct guest_memory {
	struct vfu_connection *connection; /* its memory only */
	int fd;
	uint8_t *bytes; /* as the VM sees it: a mapping of its own */
	size_t size;
};

/* A file of `size` bytes; nothing is mapped for the device yet. sealed: it can never shrink. */
void guest_memory_init(struct guest_memory *memory, size_t size, bool sealed);
/* The device must be detached. */
void guest_memory_destroy(struct guest_memory *memory);
/* The way into this VM; it takes no interrupts. */
struct vdev_vm guest_memory_vm(struct guest_memory *memory);

enum { GUEST_READ = VFU_DMA_MAP_READ, GUEST_WRITE = VFU_DMA_MAP_WRITE, GUEST_RAM = GUEST_READ | GUEST_WRITE };
/* DMA_MAP of a part of the file; with offset -1 of memory that comes without a file. */
void guest_memory_map(struct guest_memory *memory, uint64_t iova, uint64_t size, int64_t offset, uint32_t rights);
/* DMA_UNMAP; returns when it would be answered. */
void guest_memory_unmap(struct guest_memory *memory, uint64_t iova, uint64_t size);

#endif
