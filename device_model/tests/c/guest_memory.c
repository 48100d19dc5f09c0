/* guest_memory.c - see guest_memory.h. */
#define _GNU_SOURCE
#include "guest_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

void guest_memory_init(struct guest_memory *memory, size_t size, bool sealed)
{
	memory->size = size;
	memory->fd = memfd_create("guest-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	CHECK(memory->fd >= 0);
	CHECK_EQUAL(ftruncate(memory->fd, (off_t)size), 0);
	if (sealed)
		CHECK_EQUAL(fcntl(memory->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	memory->bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory->fd, 0);
	CHECK(memory->bytes != MAP_FAILED);
	memory->connection = calloc(1, sizeof(*memory->connection));
	CHECK(memory->connection);
	vfu_dma_table_init(&memory->connection->dma);
}

void guest_memory_destroy(struct guest_memory *memory)
{
	vfu_dma_table_destroy(&memory->connection->dma);
	free(memory->connection);
	munmap(memory->bytes, memory->size);
	close(memory->fd);
}

static int no_message(void *ctx, uint64_t address, uint32_t data)
{
	(void)ctx, (void)address, (void)data;
	return -ENOTCONN;
}

struct vdev_vm guest_memory_vm(struct guest_memory *memory)
{
	struct vdev_vm vm;

	vfu_connection_vm(memory->connection, &vm);
	vm.message = no_message;
	return vm;
}

void guest_memory_map(struct guest_memory *memory, uint64_t iova, uint64_t size, int64_t offset, uint32_t rights)
{
	const struct vfu_dma_map map = {
		.argsz = sizeof(map),
		.flags = rights,
		.offset = offset < 0 ? 0 : (uint64_t)offset,
		.iova = iova,
		.size = size,
	};
	int fd = offset < 0 ? -1 : dup(memory->fd);

	CHECK_EQUAL(vfu_dma_map_check(&map), 0);
	CHECK_EQUAL(vfu_dma_table_add(&memory->connection->dma, &map, &fd), 0);
	if (fd >= 0) /* the file was mapped already */
		close(fd);
}

void guest_memory_unmap(struct guest_memory *memory, uint64_t iova, uint64_t size)
{
	uint64_t bytes;

	CHECK_EQUAL(vfu_dma_table_remove(&memory->connection->dma, iova, iova + (size - 1), &bytes), 0);
	CHECK_EQUAL(bytes, size);
}
