/* test_dma_map.c - ranges of guest memory: validation, lookup, files of every kind, and removal during access. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../transport/dma_map.h"
#include "check.h"

#define PAGE UINT64_C(4096)

static int new_memfd(uint64_t pages, bool sealed)
{
	int fd = memfd_create("guest-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	CHECK(fd >= 0);
	CHECK_EQUAL(ftruncate(fd, (off_t)(pages * PAGE)), 0);
	if (sealed)
		CHECK_EQUAL(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	return fd;
}

static struct vfu_dma_map map_of(uint64_t iova, uint64_t size, uint64_t offset)
{
	return (struct vfu_dma_map){
		.argsz = sizeof(struct vfu_dma_map),
		.flags = VFU_DMA_MAP_READ | VFU_DMA_MAP_WRITE,
		.offset = offset,
		.iova = iova,
		.size = size,
	};
}

/* Adds with a duplicate of fd, or without one; what was not taken is closed. */
static int add(struct vfu_dma_table *table, struct vfu_dma_map map, int fd)
{
	int own = fd >= 0 ? dup(fd) : -1;
	CHECK_EQUAL(vfu_dma_map_check(&map), 0);
	int result = vfu_dma_table_add(table, &map, &own);
	CHECK(result != 0 || own == -1);
	if (own >= 0)
		close(own);
	return result;
}

static uint64_t remove_range(struct vfu_dma_table *table, uint64_t first, uint64_t last)
{
	uint64_t bytes;
	CHECK_EQUAL(vfu_dma_table_remove(table, first, last, &bytes), 0);
	return bytes;
}

/* Bytes reachable at once from iova; 0: a fault. */
static size_t reach(struct vfu_dma_table *table, uint64_t iova, size_t length, uint32_t rights)
{
	struct vfu_dma_piece piece;
	unsigned phase = vfu_dma_table_enter(table);
	bool found = vfu_dma_table_find(table, iova, length, rights, &piece);
	vfu_dma_table_leave(table, phase);
	return found ? piece.length : 0;
}

static void check_bad(struct vfu_dma_map map)
{
	CHECK_EQUAL(vfu_dma_map_check(&map), -EINVAL);
}

static void bad_requests_are_refused(void)
{
	struct vfu_dma_map map;
	check_bad(map_of(0, 0, 0));
	check_bad(map_of(1, PAGE, 0));
	check_bad(map_of(0, PAGE + 1, 0));
	check_bad(map_of(0, PAGE, 512));
	check_bad(map_of(UINT64_MAX - PAGE + 1, 2 * PAGE, 0));
	check_bad(map_of(PAGE, UINT64_MAX - PAGE + 1, 0));
	check_bad(map_of(0, PAGE, UINT64_MAX - PAGE + 1));
	check_bad(map_of(0, PAGE, INT64_MAX - PAGE + 1));
	map = map_of(0, PAGE, 0);
	map.argsz--;
	check_bad(map);
	map = map_of(0, PAGE, 0);
	map.flags = 0;
	check_bad(map);
	map.flags = 4;
	check_bad(map);
	map = map_of(UINT64_MAX - PAGE + 1, PAGE, 0); /* the last page there is */
	CHECK_EQUAL(vfu_dma_map_check(&map), 0);
}

static void overlap_is_refused_whatever_its_kind(void)
{
	struct vfu_dma_table table;
	vfu_dma_table_init(&table);
	CHECK_EQUAL(add(&table, map_of(4 * PAGE, 4 * PAGE, 0), -1), 0);
	CHECK_EQUAL(add(&table, map_of(4 * PAGE, 4 * PAGE, 0), -1), -EEXIST);
	CHECK_EQUAL(add(&table, map_of(3 * PAGE, 2 * PAGE, 0), -1), -EEXIST);
	CHECK_EQUAL(add(&table, map_of(7 * PAGE, 2 * PAGE, 0), -1), -EEXIST);
	CHECK_EQUAL(add(&table, map_of(5 * PAGE, PAGE, 0), -1), -EEXIST);
	CHECK_EQUAL(add(&table, map_of(0, 16 * PAGE, 0), -1), -EEXIST);
	CHECK_EQUAL(add(&table, map_of(0, 4 * PAGE, 0), -1), 0);
	CHECK_EQUAL(add(&table, map_of(8 * PAGE, PAGE, 0), -1), 0);
	CHECK_EQUAL(table.count, 3);
	vfu_dma_table_destroy(&table);
}

static void number_of_ranges_is_bounded(void)
{
	struct vfu_dma_table table;
	vfu_dma_table_init(&table);
	for (uint64_t i = 0; i < VFU_MAX_DMA_MAPS; i++)
		CHECK_EQUAL(add(&table, map_of(i * PAGE, PAGE, 0), -1), 0);
	CHECK_EQUAL(add(&table, map_of(VFU_MAX_DMA_MAPS * PAGE, PAGE, 0), -1), -ENOSPC);
	CHECK_EQUAL(remove_range(&table, 0, UINT64_MAX), VFU_MAX_DMA_MAPS * PAGE);
	CHECK_EQUAL(table.count, 0);
	vfu_dma_table_destroy(&table);
}

static void removal_takes_whole_ranges_or_nothing(void)
{
	struct vfu_dma_table table;
	uint64_t bytes;
	vfu_dma_table_init(&table);
	for (uint64_t i = 0; i < 4; i++)
		CHECK_EQUAL(add(&table, map_of(i * 4 * PAGE, 2 * PAGE, 0), -1), 0);
	CHECK_EQUAL(vfu_dma_table_remove(&table, 0, 5 * PAGE - 1, &bytes), -EINVAL);
	CHECK_EQUAL(vfu_dma_table_remove(&table, PAGE, 16 * PAGE, &bytes), -EINVAL);
	CHECK_EQUAL(table.count, 4);
	CHECK_EQUAL(remove_range(&table, 2 * PAGE, 4 * PAGE - 1), 0);
	CHECK_EQUAL(remove_range(&table, 3 * PAGE, 11 * PAGE), 4 * PAGE);
	CHECK_EQUAL(table.count, 2);
	CHECK_EQUAL(reach(&table, 4 * PAGE, 1, VFU_DMA_MAP_READ), 0);
	CHECK_EQUAL(reach(&table, 13 * PAGE, 1, VFU_DMA_MAP_READ), 1);
	vfu_dma_table_destroy(&table);
}

static void lookup_stops_at_the_end_of_a_range_and_honours_rights(void)
{
	struct vfu_dma_table table;
	vfu_dma_table_init(&table);
	struct vfu_dma_map rom = map_of(2 * PAGE, PAGE, 0);
	rom.flags = VFU_DMA_MAP_READ;
	CHECK_EQUAL(add(&table, map_of(PAGE, PAGE, 0), -1), 0);
	CHECK_EQUAL(add(&table, rom, -1), 0);
	CHECK_EQUAL(add(&table, map_of(UINT64_MAX - PAGE + 1, PAGE, 0), -1), 0);
	CHECK_EQUAL(reach(&table, PAGE + 100, 10000, VFU_DMA_MAP_READ), PAGE - 100);
	CHECK_EQUAL(reach(&table, PAGE - 1, 2, VFU_DMA_MAP_READ), 0);
	CHECK_EQUAL(reach(&table, 2 * PAGE, 10, VFU_DMA_MAP_READ), 10);
	CHECK_EQUAL(reach(&table, 2 * PAGE, 10, VFU_DMA_MAP_WRITE), 0);
	CHECK_EQUAL(reach(&table, 3 * PAGE, 1, VFU_DMA_MAP_READ), 0);
	CHECK_EQUAL(reach(&table, UINT64_MAX, 100, VFU_DMA_MAP_READ), 1);
	vfu_dma_table_destroy(&table);
}

static void msi_window_is_no_memory_even_if_mapped(void)
{
	struct vfu_dma_table table;
	vfu_dma_table_init(&table);
	CHECK_EQUAL(add(&table, map_of(0, UINT64_C(1) << 32, 0), -1), 0);
	CHECK_EQUAL(reach(&table, VFU_MSI_FIRST, 4, VFU_DMA_MAP_WRITE), 0);
	CHECK_EQUAL(reach(&table, VFU_MSI_LAST, 4, VFU_DMA_MAP_WRITE), 0);
	CHECK_EQUAL(reach(&table, VFU_MSI_FIRST - 8, 64, VFU_DMA_MAP_WRITE), 8);
	CHECK_EQUAL(reach(&table, VFU_MSI_LAST + 1, 64, VFU_DMA_MAP_WRITE), 64);
	vfu_dma_table_destroy(&table);
}

static void range_without_file_is_no_memory_in_a_vm_with_files(void)
{
	struct vfu_dma_table table;
	int fd = new_memfd(1, true);
	vfu_dma_table_init(&table);
	CHECK_EQUAL(add(&table, map_of(0, PAGE, 0), -1), 0);
	CHECK_EQUAL(reach(&table, 0, 1, VFU_DMA_MAP_READ), 1);
	CHECK_EQUAL(add(&table, map_of(PAGE, PAGE, 0), fd), 0);
	CHECK_EQUAL(reach(&table, 0, 1, VFU_DMA_MAP_READ), 0);
	CHECK_EQUAL(remove_range(&table, PAGE, 2 * PAGE - 1), PAGE);
	CHECK_EQUAL(reach(&table, 0, 1, VFU_DMA_MAP_READ), 0);
	vfu_dma_table_destroy(&table);
	close(fd);
}

static void short_file_is_refused(void)
{
	struct vfu_dma_table table;
	vfu_dma_table_init(&table);
	for (int sealed = 0; sealed < 2; sealed++) {
		int fd = new_memfd(2, sealed);
		CHECK_EQUAL(add(&table, map_of(0, 3 * PAGE, 0), fd), -EINVAL);
		CHECK_EQUAL(add(&table, map_of(0, PAGE, 2 * PAGE), fd), -EINVAL);
		CHECK_EQUAL(add(&table, map_of(0, PAGE, INT64_MAX - 3 * PAGE + 1), fd), -EINVAL);
		close(fd);
	}
	CHECK_EQUAL(table.count, 0);
	CHECK_EQUAL(table.files.count, 0);
	vfu_dma_table_destroy(&table);
}

static void what_is_no_memory_file_is_refused(void)
{
	struct vfu_dma_table table;
	int ends[2], null = open("/dev/null", O_RDWR), proc = open("/proc/self/status", O_RDONLY);
	CHECK_EQUAL(pipe(ends), 0);
	vfu_dma_table_init(&table);
	CHECK_EQUAL(add(&table, map_of(0, PAGE, 0), ends[0]), -EINVAL);
	CHECK_EQUAL(add(&table, map_of(0, PAGE, 0), null), -EINVAL);
	CHECK_EQUAL(add(&table, map_of(0, PAGE, 0), proc), -EINVAL);
	vfu_dma_table_destroy(&table);
	close(ends[0]);
	close(ends[1]);
	close(null);
	close(proc);
}

/* The same memfd, opened for reading only. */
static int reopen_read_only(int fd)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int again = open(path, O_RDONLY);
	CHECK(again >= 0);
	return again;
}

static void file_not_open_for_writing_takes_read_only_ranges_only(void)
{
	struct vfu_dma_table table;
	vfu_dma_table_init(&table);
	for (int sealed = 0; sealed < 2; sealed++) {
		int fd = new_memfd(1, sealed), read_only = reopen_read_only(fd);
		struct vfu_dma_map map = map_of(0, PAGE, 0);
		CHECK_EQUAL(add(&table, map, read_only), -EACCES);
		map.flags = VFU_DMA_MAP_READ;
		CHECK_EQUAL(add(&table, map, read_only), 0);
		CHECK_EQUAL(remove_range(&table, 0, UINT64_MAX), PAGE);
		close(fd);
		close(read_only);
	}
	vfu_dma_table_destroy(&table);
}

static void one_file_is_mapped_once_for_many_ranges(void)
{
	struct vfu_dma_table table;
	int fd = new_memfd(64, true);
	vfu_dma_table_init(&table);
	for (uint64_t i = 0; i < 64; i++)
		CHECK_EQUAL(add(&table, map_of(2 * i * PAGE, PAGE, i * PAGE), fd), 0);
	CHECK_EQUAL(table.files.count, 1);
	CHECK_EQUAL(remove_range(&table, 0, UINT64_MAX), 64 * PAGE);
	CHECK_EQUAL(table.files.count, 0);
	vfu_dma_table_destroy(&table);
	close(fd);
}

static void number_of_files_is_bounded(void)
{
	struct vfu_dma_table table;
	vfu_dma_table_init(&table);
	for (uint64_t i = 0; i <= VFU_MAX_DMA_FILES; i++) {
		int fd = new_memfd(1, true);
		CHECK_EQUAL(add(&table, map_of(i * PAGE, PAGE, 0), fd), i < VFU_MAX_DMA_FILES ? 0 : -ENOSPC);
		close(fd);
	}
	vfu_dma_table_destroy(&table);
}

static size_t move(struct vfu_dma_table *table, uint64_t iova, void *data, size_t length, bool write)
{
	struct vfu_dma_piece piece;
	unsigned phase = vfu_dma_table_enter(table);
	CHECK(vfu_dma_table_find(table, iova, length, write ? VFU_DMA_MAP_WRITE : VFU_DMA_MAP_READ, &piece));
	const struct vfu_dma_mapping *m = piece.mapping;
	uint64_t offset = m->offset + (iova - m->first);
	size_t moved = write ? vfu_dma_file_write(m->file, offset, data, piece.length)
			     : vfu_dma_file_read(m->file, offset, data, piece.length);
	vfu_dma_table_leave(table, phase);
	return moved;
}

static void data_lands_at_its_offset_with_and_without_seal(void)
{
	static const size_t lengths[] = {1, 7, 8, 32, 64, 65, 1000};
	for (int sealed = 0; sealed < 2; sealed++) {
		struct vfu_dma_table table;
		uint8_t out[1000], in[1000], seen[1000];
		int fd = new_memfd(4, sealed);
		vfu_dma_table_init(&table);
		CHECK_EQUAL(add(&table, map_of(0x100000, 2 * PAGE, 2 * PAGE), fd), 0);
		for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
			memset(out, (int)(i + 1), sizeof(out));
			CHECK_EQUAL(move(&table, 0x100008, out, lengths[i], true), lengths[i]);
			CHECK_EQUAL(move(&table, 0x100008, in, lengths[i], false), lengths[i]);
			CHECK_EQUAL(pread(fd, seen, lengths[i], 2 * PAGE + 8), (ssize_t)lengths[i]);
			CHECK_EQUAL(memcmp(out, in, lengths[i]), 0);
			CHECK_EQUAL(memcmp(out, seen, lengths[i]), 0);
		}
		vfu_dma_table_destroy(&table);
		close(fd);
	}
}

static void file_cut_short_is_a_short_access_not_a_signal(void)
{
	struct vfu_dma_table table;
	uint8_t data[2 * PAGE];
	int fd = new_memfd(2, false);
	memset(data, 1, sizeof(data));
	vfu_dma_table_init(&table);
	CHECK_EQUAL(add(&table, map_of(0, 2 * PAGE, 0), fd), 0);
	CHECK_EQUAL(ftruncate(fd, PAGE), 0);
	CHECK_EQUAL(move(&table, 0, data, sizeof(data), false), PAGE);
	CHECK_EQUAL(move(&table, PAGE, data, 16, false), 0);
	CHECK_EQUAL(move(&table, PAGE, data, 16, true), 0);
	CHECK_EQUAL(lseek(fd, 0, SEEK_END), PAGE); /* nor was it made longer again */
	vfu_dma_table_destroy(&table);
	close(fd);
}

struct race {
	struct vfu_dma_table table;
	atomic_bool stop;
	atomic_uint accesses;
};

static void *access_for_ever(void *argument)
{
	struct race *race = argument;
	uint64_t word = 0;
	while (!atomic_load(&race->stop)) {
			struct vfu_dma_piece piece;
		unsigned phase = vfu_dma_table_enter(&race->table);
		for (unsigned i = 0; i < 3; i++) {
			if (!vfu_dma_table_find(&race->table, 8 * PAGE, sizeof(word), VFU_DMA_MAP_READ, &piece))
				continue;
			(void)vfu_dma_file_read(piece.mapping->file, piece.mapping->offset, &word, sizeof(word));
			atomic_fetch_add(&race->accesses, 1);
		}
		vfu_dma_table_leave(&race->table, phase);
	}
	return NULL;
}

/* With the address sanitizer an access to a range that has gone would be a use after free, or a fault. */
static void removal_waits_for_accesses_and_is_not_starved_by_them(void)
{
	struct race *race = calloc(1, sizeof(*race));
	pthread_t threads[3];
	int fd = new_memfd(1, true);
	CHECK(race);
	vfu_dma_table_init(&race->table);
	for (unsigned i = 0; i < 3; i++)
		CHECK_EQUAL(pthread_create(&threads[i], NULL, access_for_ever, race), 0);
	for (unsigned round = 0; round < 300 || atomic_load(&race->accesses) < 300; round++) {
		CHECK_EQUAL(add(&race->table, map_of(8 * PAGE, PAGE, 0), fd), 0);
		CHECK_EQUAL(add(&race->table, map_of((round % 8) * PAGE, PAGE, 0), fd), 0);
		CHECK_EQUAL(remove_range(&race->table, 0, UINT64_MAX), 2 * PAGE);
	}
	atomic_store(&race->stop, true);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	vfu_dma_table_destroy(&race->table);
	free(race);
	close(fd);
}

int main(void)
{
	RUN(bad_requests_are_refused);
	RUN(overlap_is_refused_whatever_its_kind);
	RUN(number_of_ranges_is_bounded);
	RUN(removal_takes_whole_ranges_or_nothing);
	RUN(lookup_stops_at_the_end_of_a_range_and_honours_rights);
	RUN(msi_window_is_no_memory_even_if_mapped);
	RUN(range_without_file_is_no_memory_in_a_vm_with_files);
	RUN(short_file_is_refused);
	RUN(what_is_no_memory_file_is_refused);
	RUN(file_not_open_for_writing_takes_read_only_ranges_only);
	RUN(one_file_is_mapped_once_for_many_ranges);
	RUN(number_of_files_is_bounded);
	RUN(data_lands_at_its_offset_with_and_without_seal);
	RUN(file_cut_short_is_a_short_access_not_a_signal);
	RUN(removal_waits_for_accesses_and_is_not_starved_by_them);
	return 0;
}
