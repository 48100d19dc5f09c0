#include "host_memory.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 0x1000, MAX_PAGES = 1 << 23, NO_PAGE = -1 };

/* Page n is at address (n + 1) * PAGE: nothing is at 0. */
struct page {
	uint8_t *bytes; /* NULL: not given */
	int32_t next_free;
};

struct host_memory {
	pthread_mutex_t lock;
	struct page *pages;
	uint32_t count, room; /* pages that have had an address; places in `pages` */
	uint32_t given;
	int32_t free; /* the page freed last */
};

struct host_memory *host_memory_create(void)
{
	struct host_memory *memory = calloc(1, sizeof(*memory));

	if (!memory)
		return NULL;
	memory->free = NO_PAGE;
	if (pthread_mutex_init(&memory->lock, NULL) != 0) {
		free(memory);
		return NULL;
	}
	return memory;
}

void host_memory_destroy(struct host_memory *memory)
{
	if (!memory)
		return;
	for (uint32_t i = 0; i < memory->count; i++)
		free(memory->pages[i].bytes);
	free(memory->pages);
	pthread_mutex_destroy(&memory->lock);
	free(memory);
}

/* ---- pages; lock held ---- */

static bool grow(struct host_memory *memory)
{
	const uint32_t room = memory->room ? memory->room * 2 : 64;
	struct page *pages;

	if (memory->count < memory->room)
		return true;
	if (room > MAX_PAGES)
		return false;
	pages = realloc(memory->pages, room * sizeof(*pages));
	if (!pages)
		return false;
	memory->pages = pages;
	memory->room = room;
	return true;
}

/* A page without an owner, or NO_PAGE. */
static int32_t find_free(struct host_memory *memory)
{
	const int32_t page = memory->free;

	if (page != NO_PAGE) {
		memory->free = memory->pages[page].next_free;
		return page;
	}
	if (!grow(memory))
		return NO_PAGE;
	memory->pages[memory->count] = (struct page){ .next_free = NO_PAGE };
	return (int32_t)memory->count++;
}

static void put_back(struct host_memory *memory, int32_t page)
{
	memory->pages[page].next_free = memory->free;
	memory->free = page;
}

uint64_t host_memory_page(struct host_memory *memory)
{
	uint8_t *bytes = calloc(1, PAGE);
	uint64_t address = 0;
	int32_t page;

	if (!bytes)
		return 0;
	pthread_mutex_lock(&memory->lock);
	page = find_free(memory);
	if (page != NO_PAGE) {
		memory->pages[page].bytes = bytes;
		memory->given++;
		address = ((uint64_t)page + 1) * PAGE;
	}
	pthread_mutex_unlock(&memory->lock);
	if (address == 0)
		free(bytes);
	return address;
}

static struct page *page_at(const struct host_memory *memory, uint64_t address)
{
	const uint64_t number = address / PAGE;

	if (number == 0 || number > memory->count || !memory->pages[number - 1].bytes)
		return NULL;
	return &memory->pages[number - 1];
}

int host_memory_free(struct host_memory *memory, uint64_t address)
{
	struct page *page;
	uint8_t *bytes = NULL;

	pthread_mutex_lock(&memory->lock);
	page = address % PAGE == 0 ? page_at(memory, address) : NULL;
	if (page) {
		bytes = page->bytes;
		page->bytes = NULL;
		put_back(memory, (int32_t)(address / PAGE - 1));
		memory->given--;
	}
	pthread_mutex_unlock(&memory->lock);
	free(bytes);
	return bytes ? 0 : -EINVAL;
}

uint64_t host_memory_pages(struct host_memory *memory)
{
	uint64_t given;

	pthread_mutex_lock(&memory->lock);
	given = memory->given;
	pthread_mutex_unlock(&memory->lock);
	return given;
}

/* ---- accesses ---- */

/* Lock held. NULL: nothing is there, or the access is none that is one. */
static uint8_t *place(const struct host_memory *memory, uint64_t address, size_t size)
{
	const struct page *page;

	if ((size != 4 && size != 8 && size != 16) || address % size != 0)
		return NULL;
	page = page_at(memory, address);
	return page ? page->bytes + address % PAGE : NULL;
}

bool host_memory_read(struct host_memory *memory, uint64_t address, void *data, size_t size)
{
	const uint8_t *from;

	pthread_mutex_lock(&memory->lock);
	from = place(memory, address, size);
	if (from)
		memcpy(data, from, size);
	pthread_mutex_unlock(&memory->lock);
	return from != NULL;
}

bool host_memory_write(struct host_memory *memory, uint64_t address, const void *data, size_t size)
{
	uint8_t *to;

	pthread_mutex_lock(&memory->lock);
	to = place(memory, address, size);
	if (to)
		memcpy(to, data, size);
	pthread_mutex_unlock(&memory->lock);
	return to != NULL;
}

bool host_memory_update(struct host_memory *memory, uint64_t address, uint32_t clear, uint32_t set, uint32_t *before)
{
	uint32_t value;
	uint8_t *at;

	pthread_mutex_lock(&memory->lock);
	at = place(memory, address, sizeof(value));
	if (at) {
		memcpy(&value, at, sizeof(value));
		if (before)
			*before = value;
		value = (value & ~clear) | set;
		memcpy(at, &value, sizeof(value));
	}
	pthread_mutex_unlock(&memory->lock);
	return at != NULL;
}
