/* dma_map.c - see dma_map.h. */
#include "dma_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 16 };

void vfu_dma_table_init(struct vfu_dma_table *table)
{
	memset(table, 0, sizeof(*table));
	pthread_mutex_init(&table->lock, NULL);
	pthread_cond_init(&table->ended, NULL);
	gate_open(&table->phases[0]);
}

void vfu_dma_table_destroy(struct vfu_dma_table *table)
{
	uint64_t bytes;
	(void)vfu_dma_table_remove(table, 0, UINT64_MAX, &bytes);
	free(table->sorted);
	table->sorted = NULL;
	pthread_cond_destroy(&table->ended);
	pthread_mutex_destroy(&table->lock);
}

static bool is_aligned(uint64_t value)
{
	return value % VFU_PAGE_SIZE == 0;
}

int vfu_dma_map_check(const struct vfu_dma_map *map)
{
	uint64_t end;
	if (map->argsz < sizeof(*map) || map->flags == 0)
		return -EINVAL;
	if (map->flags & ~(uint32_t)(VFU_DMA_MAP_READ | VFU_DMA_MAP_WRITE))
		return -EINVAL;
	if (map->size == 0 || !is_aligned(map->iova) || !is_aligned(map->size) || !is_aligned(map->offset))
		return -EINVAL;
	if (map->size - 1 > UINT64_MAX - map->iova)
		return -EINVAL;
	if (__builtin_add_overflow(map->offset, map->size, &end) || end > INT64_MAX)
		return -EINVAL;
	return 0;
}

/* Index of the first range that ends at or after iova. */
static uint32_t first_at_or_after(const struct vfu_dma_table *table, uint64_t iova)
{
	uint32_t low = 0, high = table->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (table->sorted[middle]->last < iova)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* With the lock held. */
static int make_room(struct vfu_dma_table *table)
{
	if (table->count < table->capacity)
		return 0;
	uint32_t capacity = table->capacity ? table->capacity * 2 : FIRST_CAPACITY;
	struct vfu_dma_mapping **sorted = realloc(table->sorted, capacity * sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	table->sorted = sorted;
	table->capacity = capacity;
	return 0;
}

static struct vfu_dma_mapping *new_mapping(struct vfu_dma_table *table, const struct vfu_dma_map *map, int *fd, int *error)
{
	struct vfu_dma_mapping *mapping = calloc(1, sizeof(*mapping));
	if (!mapping) {
		*error = -ENOMEM;
		return NULL;
	}
	mapping->first = map->iova;
	mapping->last = map->iova + (map->size - 1);
	mapping->offset = map->offset;
	mapping->rights = map->flags;
	if (*fd >= 0) {
		bool write = map->flags & VFU_DMA_MAP_WRITE;
		*error = vfu_dma_files_get(&table->files, fd, map->offset + map->size, write, &mapping->file);
		if (*error) {
			free(mapping);
			return NULL;
		}
	}
	return mapping;
}

/* Only the connection's thread changes the table, so it may look without the lock. */
int vfu_dma_table_add(struct vfu_dma_table *table, const struct vfu_dma_map *map, int *fd)
{
	int error = 0;
	uint32_t at = first_at_or_after(table, map->iova);
	if (at < table->count && table->sorted[at]->first <= map->iova + (map->size - 1))
		return -EEXIST;
	if (table->count >= VFU_MAX_DMA_MAPS)
		return -ENOSPC;
	pthread_mutex_lock(&table->lock);
	error = make_room(table);
	pthread_mutex_unlock(&table->lock);
	if (error)
		return error;
	struct vfu_dma_mapping *mapping = new_mapping(table, map, fd, &error);
	if (!mapping)
		return error;
	pthread_mutex_lock(&table->lock);
	memmove(table->sorted + at + 1, table->sorted + at, (table->count - at) * sizeof(*table->sorted));
	table->sorted[at] = mapping;
	table->count++;
	table->bytes += map->size;
	table->has_files |= mapping->file != NULL;
	pthread_mutex_unlock(&table->lock);
	return 0;
}

static void drop(struct vfu_dma_table *table, struct vfu_dma_mapping *mapping)
{
	if (mapping->file)
		vfu_dma_files_put(&table->files, mapping->file);
	free(mapping);
}

/* With the lock held; given up while it waits for the visits that have begun so far. */
static void end_phase(struct vfu_dma_table *table)
{
	unsigned over = atomic_load_explicit(&table->phase, memory_order_relaxed);
	gate_open(&table->phases[!over]);
	atomic_store_explicit(&table->phase, !over, memory_order_release);
	gate_shut(&table->phases[over], &table->lock, &table->ended);
}

/* Takes the ranges begin..end-1 out of the table, as a list; no visit has any of them. */
static struct vfu_dma_mapping *take_out(struct vfu_dma_table *table, uint32_t begin, uint32_t end, uint64_t *bytes)
{
	struct vfu_dma_mapping *list = NULL;
	pthread_mutex_lock(&table->lock);
	for (uint32_t i = begin; i < end; i++) {
		struct vfu_dma_mapping *mapping = table->sorted[i];
		mapping->next = list;
		list = mapping;
		*bytes += mapping->last - mapping->first + 1;
	}
	memmove(table->sorted + begin, table->sorted + end, (table->count - end) * sizeof(*table->sorted));
	table->count -= end - begin;
	table->bytes -= *bytes;
	end_phase(table);
	pthread_mutex_unlock(&table->lock);
	return list;
}

int vfu_dma_table_remove(struct vfu_dma_table *table, uint64_t first, uint64_t last, uint64_t *bytes)
{
	*bytes = 0;
	uint32_t begin = first_at_or_after(table, first);
	uint32_t end = begin;
	while (end < table->count && table->sorted[end]->first <= last) {
		if (table->sorted[end]->first < first || table->sorted[end]->last > last)
			return -EINVAL;
		end++;
	}
	if (begin == end)
		return 0;
	struct vfu_dma_mapping *list = take_out(table, begin, end, bytes);
	while (list) {
		struct vfu_dma_mapping *mapping = list;
		list = mapping->next;
		drop(table, mapping);
	}
	return 0;
}

/* Bytes from iova on that may be touched at once: none in the MSI window, and none across its beginning. */
static uint64_t clear_of_msi(uint64_t iova, uint64_t length)
{
	if (iova > VFU_MSI_LAST)
		return length;
	if (iova >= VFU_MSI_FIRST)
		return 0;
	return length < VFU_MSI_FIRST - iova ? length : VFU_MSI_FIRST - iova;
}

static bool may_access(const struct vfu_dma_table *table, const struct vfu_dma_mapping *mapping, uint64_t iova,
		       uint32_t rights)
{
	if (mapping->first > iova || (mapping->rights & rights) != rights)
		return false;
	return mapping->file || !table->has_files;
}

unsigned vfu_dma_table_enter(struct vfu_dma_table *table)
{
	unsigned phase;
	do {
		phase = atomic_load_explicit(&table->phase, memory_order_acquire);
	} while (!gate_enter(&table->phases[phase])); /* it was over at that moment: then there is a new one */
	return phase;
}

void vfu_dma_table_leave(struct vfu_dma_table *table, unsigned phase)
{
	gate_leave(&table->phases[phase], &table->lock, &table->ended);
}

static const struct vfu_dma_mapping *look_up(struct vfu_dma_table *table, uint64_t iova, uint32_t rights)
{
	const struct vfu_dma_mapping *mapping = NULL;
	pthread_mutex_lock(&table->lock);
	uint32_t at = first_at_or_after(table, iova);
	if (at < table->count && may_access(table, table->sorted[at], iova, rights))
		mapping = table->sorted[at];
	pthread_mutex_unlock(&table->lock);
	return mapping;
}

bool vfu_dma_table_find(struct vfu_dma_table *table, uint64_t iova, uint64_t length, uint32_t rights,
			struct vfu_dma_piece *piece)
{
	uint64_t wanted = clear_of_msi(iova, length);
	if (wanted == 0)
		return false;
	const struct vfu_dma_mapping *mapping = look_up(table, iova, rights);
	if (!mapping)
		return false;
	uint64_t there = mapping->last - iova; /* and one more */
	piece->mapping = mapping;
	piece->iova = iova;
	piece->length = wanted - 1 < there ? wanted : there + 1;
	return true;
}

uint64_t vfu_dma_piece_begin(const struct vfu_dma_piece *piece)
{
	uint64_t first = piece->mapping->first;
	return piece->iova > VFU_MSI_LAST && first <= VFU_MSI_LAST ? VFU_MSI_LAST + 1 : first;
}

void vfu_dma_table_totals(struct vfu_dma_table *table, uint32_t *count, uint64_t *bytes)
{
	pthread_mutex_lock(&table->lock);
	*count = table->count;
	*bytes = table->bytes;
	pthread_mutex_unlock(&table->lock);
}
