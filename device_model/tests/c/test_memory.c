/* test_memory.c - what an operation sees of a requester's memory: where it lies, where it ends, in which order it changes. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "memory_rig.h"

static uint64_t page(unsigned index)
{
	return RIG_BASE + (uint64_t)index * RIG_PAGE;
}

/* Bytes of a view or a target; 0: a fault. */
static size_t reach(struct rig *rig, uint64_t iova, size_t len, bool write)
{
	struct view view;
	size_t done;

	if ((write ? memory_target : memory_view)(&rig->memory, 0, iova, len, &view) != DMA_OK)
		return 0;
	if (write)
		CHECK_EQUAL(memory_commit(&rig->memory, &view, 0, &done), DMA_OK);
	else
		memory_close(&rig->memory, &view);
	return view.length;
}

static void views_of_a_sealed_file_lie_in_it(void)
{
	struct view source, target;
	struct rig rig;
	size_t done;

	rig_up(&rig, true);
	rig_map(&rig, 0, 4);
	memcpy(rig.guest.bytes + 8, "here", 4);
	CHECK_EQUAL(memory_view(&rig.memory, 0, page(0) + 8, 4, &source), DMA_OK);
	CHECK_EQUAL(memory_target(&rig.memory, 1, page(1), 4, &target), DMA_OK);
	CHECK_EQUAL(target.bytes - source.bytes, RIG_PAGE - 8);
	memcpy(target.bytes, source.bytes, 4);
	CHECK_EQUAL(memcmp(rig.guest.bytes + RIG_PAGE, "here", 4), 0); /* before the commit: there is no other copy */
	CHECK_EQUAL(memory_commit(&rig.memory, &target, 4, &done), DMA_OK);
	CHECK_EQUAL(done, 4);
	memory_close(&rig.memory, &source);
	rig_down(&rig);
}

static void a_view_ends_with_its_map_and_at_a_hole_there_is_none(void)
{
	uint8_t data[3 * RIG_PAGE];
	struct rig rig;
	size_t done;

	rig_up(&rig, true);
	rig_map(&rig, 0, 1);
	rig_map(&rig, 1, 1);
	rig_map(&rig, 3, 1);
	for (int write = 0; write < 2; write++) {
		CHECK_EQUAL(reach(&rig, page(0) + 100, 10000, write), RIG_PAGE - 100);
		CHECK_EQUAL(reach(&rig, page(1), 10000, write), RIG_PAGE);
		CHECK_EQUAL(reach(&rig, page(2), 1, write), 0);
		CHECK_EQUAL(reach(&rig, page(2) + RIG_PAGE - 1, 2, write), 0);
		CHECK_EQUAL(reach(&rig, page(3) + 1, 7, write), 7);
		CHECK_EQUAL(reach(&rig, page(0) - 1, 8, write), 0);
	}
	CHECK_EQUAL(memory_read(&rig.memory, page(0) + 96, data, sizeof(data), &done), DMA_FAULT);
	CHECK_EQUAL(done, 2 * RIG_PAGE - 96);
	CHECK_EQUAL(memory_write(&rig.memory, page(0) + 96, data, sizeof(data), &done), DMA_FAULT);
	CHECK_EQUAL(done, 2 * RIG_PAGE - 96);
	rig_down(&rig);
}

static void nothing_wraps_around(void)
{
	uint8_t data[64] = { 0 };
	struct rig rig;
	size_t done;

	rig_up(&rig, true);
	guest_memory_map(&rig.guest, 0, RIG_PAGE, 0, GUEST_RAM);
	guest_memory_map(&rig.guest, UINT64_MAX - RIG_PAGE + 1, RIG_PAGE, RIG_PAGE, GUEST_RAM);
	CHECK_EQUAL(reach(&rig, UINT64_MAX - 3, 8, false), 4);
	CHECK_EQUAL(memory_read(&rig.memory, UINT64_MAX - 3, data, 8, &done), DMA_FAULT);
	CHECK_EQUAL(done, 4);
	CHECK_EQUAL(memory_write(&rig.memory, UINT64_MAX - 3, data, 8, &done), DMA_FAULT);
	CHECK_EQUAL(done, 4);
	memset(data, 1, sizeof(data));
	CHECK_EQUAL(memory_write(&rig.memory, UINT64_MAX - 7, data, 64, &done), DMA_FAULT);
	CHECK_EQUAL(done, 8);
	CHECK_EQUAL(rig.guest.bytes[0], 0);
	rig_down(&rig);
}

static void a_read_only_map_is_no_target(void)
{
	uint8_t data[8] = { 1 };
	struct rig rig;
	size_t done;

	rig_up(&rig, true);
	rig_map(&rig, 0, 1);
	guest_memory_map(&rig.guest, page(1), RIG_PAGE, RIG_PAGE, GUEST_READ);
	CHECK_EQUAL(reach(&rig, page(1), 8, false), 8);
	CHECK_EQUAL(reach(&rig, page(1), 8, true), 0);
	CHECK_EQUAL(reach(&rig, page(1), 8, false), 8); /* also once it has been found */
	CHECK_EQUAL(reach(&rig, page(1), 8, true), 0);
	CHECK_EQUAL(memory_write(&rig.memory, page(1), data, 8, &done), DMA_FAULT);
	CHECK_EQUAL(rig.guest.bytes[RIG_PAGE], 0);
	rig_down(&rig);
}

static void interrupts_and_bars_are_no_memory(void)
{
	uint8_t data[64] = { 1 };
	struct rig rig;
	size_t done;

	rig_up(&rig, true);
	guest_memory_map(&rig.guest, VFU_MSI_FIRST - RIG_PAGE, 512 * RIG_PAGE, 0, GUEST_RAM);
	guest_memory_map(&rig.guest, UINT64_C(1) << 40, RIG_PAGE, -1, GUEST_RAM); /* a BAR: no file, where RAM has one */
	for (int write = 0; write < 2; write++) {
		CHECK_EQUAL(reach(&rig, VFU_MSI_FIRST - 8, 64, write), 8);
		CHECK_EQUAL(reach(&rig, VFU_MSI_FIRST, 4, write), 0);
		CHECK_EQUAL(reach(&rig, VFU_MSI_LAST, 1, write), 0);
		CHECK_EQUAL(reach(&rig, VFU_MSI_LAST + 1, 64, write), 64);
		CHECK_EQUAL(reach(&rig, UINT64_C(1) << 40, 8, write), 0);
	}
	CHECK_EQUAL(memory_write(&rig.memory, VFU_MSI_FIRST + 0x1000, data, 4, &done), DMA_FAULT);
	CHECK_EQUAL(memory_write(&rig.memory, VFU_MSI_FIRST - 32, data, 64, &done), DMA_FAULT);
	CHECK_EQUAL(done, 32);
	CHECK_EQUAL(rig.guest.bytes[RIG_PAGE - 32], 0); /* the first word of an ordered write comes last, or never */
	rig_down(&rig);
}

static void a_file_that_may_shrink_is_copied_and_its_end_is_a_fault(void)
{
	struct view view;
	struct rig rig;
	size_t done;

	rig_up(&rig, false);
	rig_map(&rig, 0, 4);
	memset(rig.guest.bytes, 1, 4 * RIG_PAGE);
	CHECK_EQUAL(memory_view(&rig.memory, 2, page(0), 2 * RIG_PAGE, &view), DMA_OK);
	CHECK(view.bytes == rig.scratch + 2 * MEMORY_CHUNK);
	CHECK_EQUAL(view.length, 2 * RIG_PAGE);
	CHECK_EQUAL(ftruncate(rig.guest.fd, RIG_PAGE), 0);
	CHECK_EQUAL(view.bytes[RIG_PAGE], 1);
	memory_close(&rig.memory, &view);
	CHECK_EQUAL(reach(&rig, page(0), 2 * RIG_PAGE, false), RIG_PAGE);
	CHECK_EQUAL(reach(&rig, page(1), 8, false), 0);
	CHECK_EQUAL(memory_target(&rig.memory, 0, page(1), 8, &view), DMA_OK);
	memset(view.bytes, 2, 8);
	CHECK_EQUAL(memory_commit(&rig.memory, &view, 8, &done), DMA_FAULT);
	CHECK_EQUAL(done, 0);
	CHECK_EQUAL(lseek(rig.guest.fd, 0, SEEK_END), RIG_PAGE);
	CHECK_EQUAL(ftruncate(rig.guest.fd, (off_t)RIG_PAGES * RIG_PAGE), 0);
	rig_down(&rig);
}

static void a_target_of_a_copied_file_reaches_it_at_the_commit(void)
{
	struct view view;
	struct rig rig;
	size_t done;

	rig_up(&rig, false);
	rig_map(&rig, 0, 1);
	CHECK_EQUAL(memory_target(&rig.memory, 0, page(0), 100, &view), DMA_OK);
	memset(view.bytes, 7, 100);
	CHECK_EQUAL(rig.guest.bytes[0], 0);
	CHECK_EQUAL(memory_commit(&rig.memory, &view, 60, &done), DMA_OK);
	CHECK_EQUAL(done, 60);
	CHECK_EQUAL(rig.guest.bytes[59], 7);
	CHECK_EQUAL(rig.guest.bytes[60], 0);
	rig_down(&rig);
}

struct watch {
	_Atomic uint64_t *words;
	atomic_bool stop;
};

/* Who sees the first word sees the rest: all words of write n are n, and the rest of write n + 1 may be there already. */
static void *watch_order(void *argument)
{
	struct watch *watch = argument;

	while (!atomic_load(&watch->stop)) {
		const uint64_t first = atomic_load_explicit(&watch->words[0], memory_order_acquire);

		for (unsigned i = 1; i < 8; i++)
			CHECK(atomic_load_explicit(&watch->words[i], memory_order_relaxed) >= first);
	}
	return NULL;
}

/* Three ways: in one map, across two maps, into a file that is not mapped. */
static void check_order(bool sealed, unsigned offset)
{
	struct watch watch = { 0 };
	pthread_t watcher;
	struct rig rig;

	rig_up(&rig, sealed);
	rig_map(&rig, 0, 1);
	rig_map(&rig, 1, 1);
	watch.words = (_Atomic uint64_t *)(void *)(rig.guest.bytes + offset);
	CHECK_EQUAL(pthread_create(&watcher, NULL, watch_order, &watch), 0);
	for (uint64_t n = 1; n <= 20000; n++) {
		const uint64_t record[8] = { n, n, n, n, n, n, n, n };

		CHECK_EQUAL(memory_write(&rig.memory, page(0) + offset, record, sizeof(record), NULL), DMA_OK);
	}
	atomic_store(&watch.stop, true);
	pthread_join(watcher, NULL);
	CHECK_EQUAL(watch.words[0], 20000);
	rig_down(&rig);
}

static void the_first_word_of_a_record_changes_last(void)
{
	check_order(true, 64);
	check_order(true, RIG_PAGE - 16);
	check_order(false, 64);
}

static void without_an_address_space_every_access_is_a_fault(void)
{
	static const struct { bool enable; uint32_t pasid; } nowhere[] = {
		{ false, 0 }, { false, RIG_PASID }, { true, RIG_PASID + 1 }, { true, 5000 }, { true, UINT32_MAX },
	};
	struct rig rig;

	rig_up(&rig, true);
	rig_map(&rig, 0, 1);
	CHECK_EQUAL(reach(&rig, page(0), 8, true), 8);
	memory_leave(&rig.memory);
	for (unsigned i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
		memory_enter(&rig.memory, platform_idxd(rig.platform), nowhere[i].enable, nowhere[i].pasid, rig.scratch);
		CHECK_EQUAL(reach(&rig, page(0), 8, false), 0);
		CHECK_EQUAL(reach(&rig, page(0), 8, true), 0);
		memory_leave(&rig.memory);
	}
	rig_down(&rig);
}

int main(void)
{
	RUN(views_of_a_sealed_file_lie_in_it);
	RUN(a_view_ends_with_its_map_and_at_a_hole_there_is_none);
	RUN(nothing_wraps_around);
	RUN(a_read_only_map_is_no_target);
	RUN(interrupts_and_bars_are_no_memory);
	RUN(a_file_that_may_shrink_is_copied_and_its_end_is_a_fault);
	RUN(a_target_of_a_copied_file_reaches_it_at_the_commit);
	RUN(the_first_word_of_a_record_changes_last);
	RUN(without_an_address_space_every_access_is_a_fault);
	return 0;
}
