#include "memory.h"

#include "idxd_internal.h"

static size_t until_wrap(uint64_t iova, size_t len)
{
	const uint64_t last = UINT64_MAX - iova; /* offset of the last byte there is */

	return len == 0 || len - 1 <= last ? len : (size_t)last + 1;
}

enum dma_result memory_read(struct memory *memory, uint64_t iova, void *buf, size_t len, size_t *done)
{
	const struct idxd_ports *ports = &memory->idxd->ports;
	const size_t reachable = until_wrap(iova, len);
	enum dma_result result = DMA_FAULT;
	size_t moved = 0;

	if (reachable > 0)
		result = ports->dma_read(ports->ctx, memory->pasid_enable, memory->pasid, iova, buf, reachable, &moved);
	if (done)
		*done = moved;
	return result == DMA_OK && reachable < len ? DMA_FAULT : result;
}

enum dma_result memory_write(struct memory *memory, uint64_t iova, const void *buf, size_t len, size_t *done)
{
	const struct idxd_ports *ports = &memory->idxd->ports;
	const size_t reachable = until_wrap(iova, len);
	enum dma_result result = DMA_FAULT;
	size_t moved = 0;

	if (reachable > 0)
		result = ports->dma_write(ports->ctx, memory->pasid_enable, memory->pasid, iova, buf, reachable, &moved);
	if (done)
		*done = moved;
	return result == DMA_OK && reachable < len ? DMA_FAULT : result;
}

static void open_view(struct memory *memory, unsigned slot, uint64_t iova, size_t len, struct view *view)
{
	*view = (struct view){
		.bytes = memory->scratch + (size_t)slot * MEMORY_CHUNK,
		.length = len < MEMORY_CHUNK ? len : MEMORY_CHUNK,
		.iova = iova,
		.slot = slot,
	};
}

enum dma_result memory_view(struct memory *memory, unsigned slot, uint64_t iova, size_t len, struct view *view)
{
	enum dma_result result;
	size_t done = 0;

	open_view(memory, slot, iova, len, view);
	result = memory_read(memory, iova, view->bytes, view->length, &done);
	if (result != DMA_OK && done == 0)
		return result;
	view->length = done; /* the fault, if there was one, is met when the next view begins there */
	return DMA_OK;
}

void memory_close(struct memory *memory, struct view *view)
{
	(void)memory;
	view->bytes = NULL;
}

enum dma_result memory_target(struct memory *memory, unsigned slot, uint64_t iova, size_t len, struct view *view)
{
	open_view(memory, slot, iova, len, view);
	return DMA_OK;
}

enum dma_result memory_commit(struct memory *memory, struct view *view, size_t used, size_t *done)
{
	const uint8_t *bytes = view->bytes;

	view->bytes = NULL;
	*done = 0;
	return used == 0 ? DMA_OK : memory_write(memory, view->iova, bytes, used, done);
}
