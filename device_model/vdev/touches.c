/* touches.c - which registers a virtual device has, and what its guest touches beside them: see observe.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vdev_internal.h"

enum { UNIT_SHIFT = 2, MAX_KINDS = 256 };

struct unit_kind {
	uint32_t writable, flags;
};

/* units[i]: 0 for nothing, else a kind, from 1. Many units are of a kind: a table has as many as an entry of it has registers. */
struct region_map {
	uint32_t shift, num_units, num_kinds;
	struct unit_kind kinds[MAX_KINDS];
	uint8_t units[];
};

unsigned observe_index(unsigned region)
{
	switch (region) {
	case VDEV_REGION_BAR0:
		return OBSERVE_BAR0;
	case VDEV_REGION_BAR2:
		return OBSERVE_BAR2;
	case VDEV_REGION_CONFIG:
		return OBSERVE_CONFIG;
	default:
		return OBSERVE_REGIONS;
	}
}

uint64_t observe_coarse_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void touches_free(struct observe *observe)
{
	for (unsigned i = 0; i < OBSERVE_REGIONS; i++)
		free(observe->maps[i]);
}

/* ---- what is there ---- */

static bool range_ok(const struct observe_range *range, uint32_t unit, uint64_t size)
{
	if (range->count == 0)
		return true;
	if (range->first % unit != 0 || range->stride % unit != 0)
		return false;
	return (uint64_t)range->first + (uint64_t)range->stride * (range->count - 1) + unit <= size;
}

/* The number of a kind, from 1; 0: there is no room for one more. */
static uint8_t kind_number(struct region_map *map, const struct observe_range *range)
{
	for (uint32_t i = 0; i < map->num_kinds; i++)
		if (map->kinds[i].writable == range->writable && map->kinds[i].flags == range->flags)
			return (uint8_t)(i + 1);
	if (map->num_kinds == MAX_KINDS - 1)
		return 0;
	map->kinds[map->num_kinds++] = (struct unit_kind){ range->writable, range->flags };
	return (uint8_t)map->num_kinds;
}

static int fill(struct region_map *map, const struct observe_range *ranges, size_t count, uint64_t size)
{
	for (size_t i = 0; i < count; i++) {
		const struct observe_range *range = &ranges[i];
		const uint8_t kind = kind_number(map, range);

		if (!range_ok(range, 1u << map->shift, size))
			return -EINVAL;
		if (kind == 0)
			return -ENOSPC;
		for (uint32_t n = 0; n < range->count; n++)
			map->units[(range->first + (uint64_t)n * range->stride) >> map->shift] = kind;
	}
	return 0;
}

int vdev_observe_map(struct vdev *vdev, unsigned region, const struct observe_range *ranges, size_t count)
{
	const uint64_t size = vdev_region_size(vdev, region);
	const uint32_t shift = region == VDEV_REGION_BAR2 ? OBSERVE_PAGE_SHIFT : UNIT_SHIFT;
	const unsigned index = observe_index(region);
	struct region_map *map, *before;
	int result;

	if (index == OBSERVE_REGIONS)
		return -EINVAL;
	map = calloc(1, sizeof(*map) + (size >> shift));
	if (!map)
		return -ENOMEM;
	map->shift = shift;
	map->num_units = (uint32_t)(size >> shift);
	result = fill(map, ranges, count, size);
	if (result != 0) {
		free(map);
		return result;
	}
	pthread_mutex_lock(&vdev->observe->lock);
	before = vdev->observe->maps[index];
	vdev->observe->maps[index] = map;
	pthread_mutex_unlock(&vdev->observe->lock);
	free(before);
	return 0;
}

/* NULL: nothing is there. */
static const struct unit_kind *kind_at(const struct region_map *map, uint64_t offset)
{
	const uint64_t unit = offset >> map->shift;
	const uint8_t kind = unit < map->num_units ? map->units[unit] : 0;

	return kind ? &map->kinds[kind - 1] : NULL;
}

/* ---- the burn-down; lock held ---- */

struct touched {
	unsigned region;
	uint64_t offset; /* of the unit */
	enum touch_kind kind;
	uint32_t size, bits;
};

static void note_touch(struct observe *observe, const struct touched *touched)
{
	struct observe_touch *touch = NULL;

	for (uint32_t i = 0; i < observe->num_touches && !touch; i++) {
		struct observe_touch *one = &observe->touches[i];

		if (one->offset == touched->offset && one->region == touched->region && one->kind == touched->kind)
			touch = one;
	}
	if (!touch) {
		if (observe->num_touches == OBSERVE_TOUCHES) {
			observe->touch_overflow++;
			return;
		}
		touch = &observe->touches[observe->num_touches++];
		*touch = (struct observe_touch){
			.first_ns = observe_coarse_ns(),
			.offset = (uint32_t)touched->offset,
			.region = (uint8_t)touched->region,
			.kind = (uint8_t)touched->kind,
			.size = (uint8_t)touched->size,
		};
	}
	touch->count++;
	touch->bits |= touched->bits;
}

void touches_refused(struct observe *observe, unsigned region, uint64_t offset, uint32_t size, enum touch_kind kind)
{
	const uint64_t unit = region == VDEV_REGION_BAR2 ? 1u << OBSERVE_PAGE_SHIFT : OBSERVE_UNIT;
	const struct touched touched = { region, offset / unit * unit, kind, size > UINT8_MAX ? UINT8_MAX : size, 0 };

	observe->stats.accesses_refused++;
	if (offset <= UINT32_MAX && observe->maps[observe_index(region)])
		note_touch(observe, &touched);
}

/* Registers next to each other may be read at once, and the gaps between them too. */
void touches_read(struct observe *observe, uint64_t offset, uint32_t count)
{
	const struct region_map *map = observe->maps[OBSERVE_BAR0];
	const struct touched touched = { VDEV_REGION_BAR0, offset & ~3ull, TOUCH_READ_UNKNOWN, count, 0 };

	if (map && !kind_at(map, offset) && !(count == OBSERVE_PAIR && kind_at(map, offset + OBSERVE_UNIT)))
		note_touch(observe, &touched);
}

/* The written part of an aligned pair of units: their values, and which bits of them were written. */
struct written {
	unsigned region;
	uint64_t offset;
	uint32_t size; /* of the access */
	uint32_t value[2], lane[2];
};

static struct written part_of(unsigned region, uint64_t offset, const uint8_t *buf, uint32_t count, uint64_t pair)
{
	struct written written = { .region = region, .offset = pair, .size = count };

	for (unsigned i = 0; i < OBSERVE_PAIR; i++) {
		const uint64_t at = pair + i;

		if (at < offset || at - offset >= count)
			continue;
		written.value[i / OBSERVE_UNIT] |= (uint32_t)buf[at - offset] << i % OBSERVE_UNIT * 8;
		written.lane[i / OBSERVE_UNIT] |= 0xFFu << i % OBSERVE_UNIT * 8;
	}
	return written;
}

/* A unit of a write. Returns the bits that are wrong unless they are set already: the caller has to look. */
static uint32_t examine_unit(struct observe *observe, const struct written *written, unsigned half, bool alone)
{
	const uint64_t offset = written->offset + half * OBSERVE_UNIT;
	const struct unit_kind *kind = kind_at(observe->maps[observe_index(written->region)], offset);
	const uint32_t lane = written->lane[half], value = written->value[half];
	struct touched touched = { written->region, offset, TOUCH_WRITE_UNKNOWN, written->size, value };

	if (kind && (kind->flags & OBSERVE_ANY_WRITE))
		return 0;
	if (kind && written->region == VDEV_REGION_BAR0 && written->size < OBSERVE_UNIT)
		touched.kind = TOUCH_WRITE_SIZE;
	else if (kind && alone && (kind->writable & lane) == 0)
		touched.kind = TOUCH_READ_ONLY;
	else if (kind)
		return value & ~kind->writable;
	else if (value == 0 && written->lane[!half] && (half || !alone))
		return 0; /* the gap beside what was written */
	note_touch(observe, &touched);
	return 0;
}

static bool takes_bits(const struct observe *observe, const struct written *written, unsigned half)
{
	const struct unit_kind *kind = kind_at(observe->maps[observe_index(written->region)], written->offset + half * OBSERVE_UNIT);

	return kind && (kind->flags & OBSERVE_ANY_WRITE || kind->writable & written->lane[half]);
}

static void examine_pair(struct observe *observe, const struct written *written, uint32_t suspects[2])
{
	for (unsigned half = 0; half < 2; half++)
		if (written->lane[half])
			suspects[half] = examine_unit(observe, written, half, !takes_bits(observe, written, !half));
}

/* No lock held. Bits that were set before are only written back. */
static void convict(struct vdev *vdev, const struct written *written, unsigned half, uint32_t bits)
{
	const uint64_t offset = written->offset + half * OBSERVE_UNIT;
	uint32_t before = 0;
	struct touched touched = { written->region, offset, TOUCH_BITS, written->size, 0 };

	if (vdev_peek(vdev, written->region, offset, &before, sizeof(before)) != 0 || (bits & ~before) == 0)
		return;
	touched.bits = bits & ~before;
	pthread_mutex_lock(&vdev->observe->lock);
	note_touch(vdev->observe, &touched);
	pthread_mutex_unlock(&vdev->observe->lock);
}

/* Registers, or bytes of the config space. */
void touches_write(struct vdev *vdev, unsigned region, uint64_t offset, const uint8_t *buf, uint32_t count)
{
	for (uint64_t pair = offset & ~7ull; pair < offset + count; pair += OBSERVE_PAIR) {
		const struct written written = part_of(region, offset, buf, count, pair);
		uint32_t suspects[2] = { 0, 0 };

		pthread_mutex_lock(&vdev->observe->lock);
		if (vdev->observe->maps[observe_index(region)])
			examine_pair(vdev->observe, &written, suspects);
		pthread_mutex_unlock(&vdev->observe->lock);
		for (unsigned half = 0; half < 2; half++)
			if (suspects[half])
				convict(vdev, &written, half, suspects[half]);
	}
}

/* Lock held. A store to a page of BAR2: of eight or 64 bytes, and to a portal. */
void touches_store(struct observe *observe, uint64_t offset, uint32_t count)
{
	const struct region_map *map = observe->maps[OBSERVE_BAR2];
	struct touched touched = { VDEV_REGION_BAR2, offset >> OBSERVE_PAGE_SHIFT << OBSERVE_PAGE_SHIFT, TOUCH_WRITE_UNKNOWN, count, 0 };

	if (!map)
		return;
	if (kind_at(map, offset)) {
		if (count == OBSERVE_PAIR || count == PORTAL_DESC)
			return;
		touched.kind = TOUCH_WRITE_SIZE;
	}
	note_touch(observe, &touched);
}

size_t vdev_observe_touches(struct vdev *vdev, struct observe_touch *touches, size_t max, uint64_t *overflow)
{
	struct observe *observe = vdev->observe;
	size_t count;

	pthread_mutex_lock(&observe->lock);
	count = observe->num_touches < max ? observe->num_touches : max;
	memcpy(touches, observe->touches, count * sizeof(*touches));
	*overflow = observe->touch_overflow;
	pthread_mutex_unlock(&observe->lock);
	return count;
}
