/* dma_commands.c - DMA_MAP and DMA_UNMAP. */
#include <errno.h>
#include <string.h>

#include "commands.h"
#include "connection.h"

static void publish_totals(struct vfu_connection *c)
{
	uint32_t count;
	uint64_t bytes;
	vfu_dma_table_totals(&c->dma, &count, &bytes);
	atomic_store(&c->counters->mappings, count);
	atomic_store(&c->counters->mapped_bytes, bytes);
}

int vfu_command_dma_map(struct vfu_connection *c)
{
	struct vfu_dma_map map;
	memcpy(&map, c->wire.payload, sizeof(map));
	int error = vfu_dma_map_check(&map);
	if (error)
		return error;
	int fd = vfu_fds_take(&c->wire.fds, 0);
	error = vfu_dma_table_add(&c->dma, &map, &fd);
	vfu_fd_close(&fd);
	publish_totals(c);
	return error;
}

/* The range that a DMA_UNMAP means. */
static int unmap_range(const struct vfu_dma_unmap *unmap, uint64_t *first, uint64_t *last)
{
	if (unmap->argsz < sizeof(*unmap))
		return -EINVAL;
	if (unmap->flags == VFU_DMA_UNMAP_ALL) {
		*first = 0;
		*last = UINT64_MAX;
		return unmap->iova == 0 && unmap->size == 0 ? 0 : -EINVAL;
	}
	if (unmap->flags != 0 || unmap->size == 0 || unmap->size - 1 > UINT64_MAX - unmap->iova)
		return -EINVAL;
	*first = unmap->iova;
	*last = unmap->iova + (unmap->size - 1);
	return 0;
}

/* Like VFIO, a range in which nothing is mapped is no error: the reply's size says how many bytes were. */
int vfu_command_dma_unmap(struct vfu_connection *c)
{
	struct vfu_dma_unmap unmap;
	uint64_t first, last;
	memcpy(&unmap, c->wire.payload, sizeof(unmap));
	int error = unmap_range(&unmap, &first, &last);
	if (error)
		return error;
	error = vfu_dma_table_remove(&c->dma, first, last, &unmap.size);
	if (error)
		return error;
	publish_totals(c);
	unmap.argsz = sizeof(unmap);
	memcpy(c->reply.payload, &unmap, sizeof(unmap));
	c->reply_size = sizeof(unmap);
	return 0;
}
