/*
 * test_host_memory.c - the promises of platform/host_memory.h, and what becomes of a store and of host memory when memory is short.
 * Linked with calloc and realloc wrapped, so that any of them can fail.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "store_rig.h"

enum { PAGE = 4096, THREADS = 4, ROUNDS = 20000 };

static struct host_memory *memory;

/* ---- allocations that fail ---- */

void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *at, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *at, size_t size);

static atomic_int failing_in = -1; /* that many allocations succeed, then one fails; -1: none */

static bool fails(void)
{
	const int left = atomic_load(&failing_in);

	if (left >= 0)
		atomic_store(&failing_in, left - 1);
	return left == 0;
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *at, size_t size)
{
	return fails() ? NULL : __real_realloc(at, size);
}

/* ---- pages ---- */

static void make(void)
{
	memory = host_memory_create();
	CHECK(memory);
}

static uint64_t page(void)
{
	const uint64_t address = host_memory_page(memory);

	CHECK(address != 0 && address % PAGE == 0);
	return address;
}

static uint64_t word(uint64_t address)
{
	uint64_t value = UINT64_MAX;

	CHECK(host_memory_read(memory, address, &value, 8));
	return value;
}

static void page_is_zero_also_when_it_was_anothers(void)
{
	const uint64_t value = UINT64_MAX;
	uint64_t address;

	make();
	address = page();
	for (uint64_t at = 0; at < PAGE; at += 8)
		CHECK(host_memory_write(memory, address + at, &value, 8));
	CHECK_EQUAL(host_memory_free(memory, address), 0);
	CHECK_EQUAL(page(), address);
	for (uint64_t at = 0; at < PAGE; at += 8)
		CHECK_EQUAL(word(address + at), 0);
	host_memory_destroy(memory);
}

static void page_freed_last_is_given_first(void)
{
	uint64_t pages[200]; /* more than there is room for at first */

	make();
	for (unsigned i = 0; i < 200; i++)
		pages[i] = page();
	for (unsigned i = 0; i < 200; i++)
		for (unsigned k = 0; k < i; k++)
			CHECK(pages[i] != pages[k]);
	CHECK_EQUAL(host_memory_free(memory, pages[7]), 0);
	CHECK_EQUAL(host_memory_free(memory, pages[150]), 0);
	CHECK_EQUAL(host_memory_free(memory, pages[0]), 0);
	CHECK_EQUAL(host_memory_pages(memory), 197);
	CHECK_EQUAL(page(), pages[0]);
	CHECK_EQUAL(page(), pages[150]);
	CHECK_EQUAL(page(), pages[7]);
	CHECK_EQUAL(host_memory_pages(memory), 200);
	host_memory_destroy(memory);
}

static void only_a_page_that_was_given_can_be_taken_back_and_once(void)
{
	uint64_t address;

	make();
	CHECK_EQUAL(host_memory_free(memory, 0), -EINVAL);
	CHECK_EQUAL(host_memory_free(memory, PAGE), -EINVAL);
	address = page();
	CHECK_EQUAL(host_memory_free(memory, address + 8), -EINVAL);
	CHECK_EQUAL(host_memory_free(memory, address + PAGE), -EINVAL);
	CHECK_EQUAL(host_memory_free(memory, UINT64_MAX - PAGE + 1), -EINVAL);
	CHECK_EQUAL(host_memory_pages(memory), 1);
	CHECK_EQUAL(host_memory_free(memory, address), 0);
	CHECK_EQUAL(host_memory_free(memory, address), -EINVAL);
	CHECK_EQUAL(host_memory_pages(memory), 0);
	host_memory_destroy(memory);
}

static void access_is_of_4_8_or_16_aligned_bytes_of_a_page(void)
{
	uint8_t data[32] = { 0 };
	uint64_t address;

	make();
	address = page();
	for (size_t size = 0; size <= 32; size++)
		for (uint64_t at = 0; at <= PAGE; at++) {
			const bool good = (size == 4 || size == 8 || size == 16) && at % size == 0 && at < PAGE;

			if (at > 32 && at < PAGE - 32)
				continue;
			CHECK_EQUAL(host_memory_read(memory, address + at, data, size), good);
			CHECK_EQUAL(host_memory_write(memory, address + at, data, size), good);
			CHECK_EQUAL(host_memory_update(memory, address + at, 0, 0, NULL), at % 4 == 0 && at < PAGE);
		}
	host_memory_destroy(memory);
}

static void nothing_is_at_0_between_pages_and_where_a_page_was(void)
{
	uint64_t foreign[] = { 0, PAGE - 16, 0, 0, 1ull << 35, UINT64_MAX - 15 };
	uint8_t data[16] = { 0 };

	make();
	foreign[2] = page();
	foreign[3] = page() + PAGE;
	CHECK_EQUAL(host_memory_free(memory, foreign[2]), 0);
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		CHECK(!host_memory_read(memory, foreign[i], data, 16));
		CHECK(!host_memory_write(memory, foreign[i], data, 16));
		CHECK(!host_memory_update(memory, foreign[i], 0, 1, NULL));
	}
	host_memory_destroy(memory);
}

static void update_takes_away_then_adds_and_tells_what_was_there(void)
{
	uint32_t before = 0;
	uint64_t address;

	make();
	address = page();
	CHECK(host_memory_update(memory, address + 4, 0, 0xF0, NULL));
	CHECK(host_memory_update(memory, address + 4, 0x30, 0x11, &before));
	CHECK_EQUAL(before, 0xF0);
	CHECK_EQUAL(word(address), 0xD1ull << 32);
	host_memory_destroy(memory);
}

/* ---- threads ---- */

static uint64_t shared;

/* Each thread has a bit of one word, and a pattern that is written whole. */
static void *change(void *arg)
{
	const uint32_t bit = 1u << (uintptr_t)arg;
	uint64_t entry[2], pattern[2];
	uint32_t before;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		CHECK(host_memory_update(memory, shared, 0, bit, &before));
		CHECK_EQUAL(before & bit, 0);
		CHECK(host_memory_update(memory, shared, bit, 0, &before));
		CHECK_EQUAL(before & bit, bit);
		pattern[0] = pattern[1] = (uint64_t)bit << 32 | i;
		CHECK(host_memory_write(memory, shared + 16, pattern, 16));
		CHECK(host_memory_read(memory, shared + 16, entry, 16));
		CHECK_EQUAL(entry[0], entry[1]);
	}
	return NULL;
}

/* A page is one thread's as long as he has it. */
static void *give_and_take(void *arg)
{
	const uint64_t me = (uintptr_t)arg + 1;
	uint64_t seen;

	for (unsigned i = 0; i < ROUNDS / 8; i++) {
		const uint64_t address = host_memory_page(memory);

		CHECK_EQUAL(word(address + 8), 0);
		CHECK(host_memory_write(memory, address + 8, &me, 8));
		sched_yield();
		CHECK(host_memory_read(memory, address + 8, &seen, 8));
		CHECK_EQUAL(seen, me);
		CHECK_EQUAL(host_memory_free(memory, address), 0);
	}
	return NULL;
}

static void run_threads(void *(*body)(void *))
{
	pthread_t threads[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK_EQUAL(pthread_create(&threads[i], NULL, body, (void *)i), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void accesses_of_many_threads_are_each_one(void)
{
	make();
	shared = page();
	run_threads(change);
	CHECK_EQUAL(word(shared), 0);
	host_memory_destroy(memory);
}

static void pages_have_one_owner_at_a_time(void)
{
	make();
	run_threads(give_and_take);
	CHECK_EQUAL(host_memory_pages(memory), 0);
	host_memory_destroy(memory);
}

/* ---- short of memory ---- */

static bool no_read(void *ctx, uint64_t address, void *data, size_t size)
{
	(void)ctx, (void)address, (void)data, (void)size;
	return false;
}

static bool no_update(void *ctx, uint64_t address, uint32_t clear, uint32_t set)
{
	(void)ctx, (void)address, (void)clear, (void)set;
	return false;
}

/* What was allocated before the one that failed is freed: the address sanitizer looks at that. */
static void store_is_not_made_if_any_allocation_fails(void)
{
	const struct interrupt_sink sink = { 0 };
	const struct msix_config table = { .vectors = 1 };
	struct msix *msix = msix_create(&table, &sink, NULL);
	struct store_config config = { .num_wqs = 4, .memory = { .read = no_read, .update = no_update }, .msix = msix };
	const int allocations[ORGANISATIONS] = { 2, 5, 2, 1 };

	for (int which = 0; which < ORGANISATIONS; which++) {
		config.organisation = (enum organisation)which;
		config.entries = which <= STORE_TABLE ? 256 : 0;
		for (int i = 0; i <= allocations[which]; i++) {
			struct store *store;

			atomic_store(&failing_in, i);
			store = store_create(&config, &sink, NULL);
			CHECK_EQUAL(store != NULL, i == allocations[which]);
			store_destroy(store);
		}
	}
	atomic_store(&failing_in, -1);
	msix_destroy(msix);
}

static void page_is_not_given_if_any_allocation_fails_and_nothing_is_lost(void)
{
	uint64_t first;

	atomic_store(&failing_in, 0);
	CHECK(!host_memory_create());
	make();
	for (int i = 0; i < 2; i++) {
		atomic_store(&failing_in, i);
		CHECK_EQUAL(host_memory_page(memory), 0);
		CHECK_EQUAL(host_memory_pages(memory), 0);
	}
	first = page();
	for (unsigned i = 1; i < 64; i++)
		page();
	atomic_store(&failing_in, 1); /* there is no room for a 65th */
	CHECK_EQUAL(host_memory_page(memory), 0);
	CHECK_EQUAL(host_memory_pages(memory), 64);
	CHECK_EQUAL(word(first), 0);
	CHECK_EQUAL(host_memory_free(memory, first), 0);
	CHECK_EQUAL(page(), first);
	CHECK_EQUAL(page(), 65 * PAGE);
	host_memory_destroy(memory);
}

int main(void)
{
	RUN(page_is_zero_also_when_it_was_anothers);
	RUN(page_freed_last_is_given_first);
	RUN(only_a_page_that_was_given_can_be_taken_back_and_once);
	RUN(access_is_of_4_8_or_16_aligned_bytes_of_a_page);
	RUN(nothing_is_at_0_between_pages_and_where_a_page_was);
	RUN(update_takes_away_then_adds_and_tells_what_was_there);
	RUN(accesses_of_many_threads_are_each_one);
	RUN(pages_have_one_owner_at_a_time);
	RUN(store_is_not_made_if_any_allocation_fails);
	RUN(page_is_not_given_if_any_allocation_fails_and_nothing_is_lost);
	return 0;
}
