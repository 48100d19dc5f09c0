/* observe.c - counters, watchdog and the way into the trace: see observe.h. */
#include <stdlib.h>
#include <string.h>

#include "vdev_internal.h"

/* ---- life ---- */

struct observe *observe_create(uint32_t id)
{
	struct observe *observe = calloc(1, sizeof(*observe));

	if (!observe)
		return NULL;
	if (pthread_mutex_init(&observe->lock, NULL) != 0) {
		free(observe);
		return NULL;
	}
	atomic_init(&observe->trace, NULL);
	observe->tally.id = id;
	return observe;
}

void observe_destroy(struct observe *observe)
{
	if (!observe)
		return;
	touches_free(observe);
	pthread_mutex_destroy(&observe->lock);
	free(observe);
}

struct tally_entry *observe_tally(struct observe *observe)
{
	return &observe->tally;
}

/* ---- the watchdog; lock held ---- */

static bool is_polling(const struct observe_watch *watch)
{
	const uint64_t ms = 1000000, lasted = watch->last_ns - watch->since_ns;

	return watch->reads >= OBSERVE_POLL_READS && lasted >= OBSERVE_POLL_MS * ms &&
	       lasted / watch->reads <= OBSERVE_POLL_MEAN_MS * ms;
}

static void end_watch(struct observe *observe)
{
	const struct observe_watch *watch = &observe->watch, *longest = &observe->longest;

	if (is_polling(watch) && watch->last_ns - watch->since_ns > longest->last_ns - longest->since_ns)
		observe->longest = *watch;
	observe->watch.reads = 0;
}

static void watch_read(struct observe *observe, unsigned region, uint64_t offset, const void *buf, uint32_t count)
{
	struct observe_watch *watch = &observe->watch;
	uint64_t value = 0;

	if (count > sizeof(value)) {
		end_watch(observe);
		return;
	}
	memcpy(&value, buf, count);
	if (watch->reads > 0 && watch->offset == offset && watch->value == value && watch->size == count &&
	    watch->region == region) {
		watch->reads++;
		watch->last_ns = observe_coarse_ns();
		return;
	}
	end_watch(observe);
	*watch = (struct observe_watch){ .reads = 1, .value = value, .offset = offset, .region = region, .size = count };
	watch->since_ns = watch->last_ns = observe_coarse_ns();
}

void vdev_observe_polling(struct vdev *vdev, struct observe_watch *now, struct observe_watch *longest)
{
	struct observe *observe = vdev->observe;
	const struct observe_watch none = { .reads = 0 };

	pthread_mutex_lock(&observe->lock);
	*now = is_polling(&observe->watch) ? observe->watch : none;
	*longest = observe->longest;
	if (now->last_ns - now->since_ns > longest->last_ns - longest->since_ns)
		*longest = *now;
	pthread_mutex_unlock(&observe->lock);
}

/* ---- the trace ---- */

void vdev_observe_trace(struct vdev *vdev, struct trace *trace)
{
	atomic_store_explicit(&vdev->observe->trace, trace, memory_order_release);
}

static void trace_access(const struct vdev *vdev, enum trace_kind kind, unsigned region, uint64_t offset, const void *buf,
			 uint32_t count)
{
	struct trace *trace = atomic_load_explicit(&vdev->observe->trace, memory_order_acquire);

	if (__builtin_expect(trace != NULL, 0)) {
		const struct trace_record record = {
			.offset = offset,
			.mdev = vdev->id,
			.size = count > UINT16_MAX ? UINT16_MAX : (uint16_t)count,
			.kind = (uint8_t)kind,
			.region = (uint8_t)region,
		};

		trace_write(trace, &record, buf, count);
	}
}

void observe_event(struct vdev *vdev, enum trace_kind kind)
{
	trace_access(vdev, kind, 0, 0, NULL, 0);
}

/* ---- accesses of the guest ---- */

void observe_read(struct vdev *vdev, unsigned region, uint64_t offset, const void *buf, uint32_t count, int result)
{
	struct observe *observe = vdev->observe;
	const unsigned index = observe_index(region);

	if (index == OBSERVE_REGIONS)
		return;
	trace_access(vdev, result == 0 ? TRACE_READ : TRACE_REFUSED, region, offset, buf, count);
	pthread_mutex_lock(&observe->lock);
	if (result == 0) {
		observe->stats.reads[index]++;
		watch_read(observe, region, offset, buf, count);
		if (region == VDEV_REGION_BAR0)
			touches_read(observe, offset, count);
	} else {
		end_watch(observe);
		touches_refused(observe, region, offset, count, TOUCH_READ_SIZE);
	}
	pthread_mutex_unlock(&observe->lock);
}

/* Lock held. index: observe_index() of the region. */
static void count_write(struct observe *observe, unsigned index, uint64_t offset, uint32_t count)
{
	observe->stats.writes[index]++;
	end_watch(observe);
	if (index == OBSERVE_BAR2)
		touches_store(observe, offset, count);
}

/* Lock held. */
static void count_command(struct observe *observe, uint64_t offset, const uint8_t *buf, uint32_t count)
{
	uint32_t cmd;

	if (offset > REG_CMD || REG_CMD - offset + sizeof(cmd) > count)
		return;
	memcpy(&cmd, buf + (REG_CMD - offset), sizeof(cmd));
	observe->stats.commands[CMD_CODE(cmd)]++;
}

/* Whether the region will take it, as far as that has to be known to look at it. */
static bool well_formed(const struct vdev *vdev, unsigned region, uint64_t offset, uint32_t count)
{
	const uint64_t size = vdev_region_size(vdev, region);

	if (count == 0 || offset >= size || count > size - offset)
		return false;
	if (region == VDEV_REGION_CONFIG)
		return true;
	return (count & (count - 1)) == 0 && count <= (region == VDEV_REGION_BAR2 ? PORTAL_DESC : OBSERVE_PAIR) && offset % count == 0;
}

void observe_write(struct vdev *vdev, unsigned region, uint64_t offset, const void *buf, uint32_t count)
{
	struct observe *observe = vdev->observe;
	const unsigned index = observe_index(region);

	if (index == OBSERVE_REGIONS || !well_formed(vdev, region, offset, count))
		return;
	if (region != VDEV_REGION_BAR2) /* whole descriptors are traced, not the pieces of them */
		trace_access(vdev, TRACE_WRITE, region, offset, buf, count);
	pthread_mutex_lock(&observe->lock);
	count_write(observe, index, offset, count);
	if (region == VDEV_REGION_BAR0)
		count_command(observe, offset, buf, count);
	pthread_mutex_unlock(&observe->lock);
	if (region != VDEV_REGION_BAR2)
		touches_write(vdev, region, offset, buf, count);
}

void observe_refused_write(struct vdev *vdev, unsigned region, uint64_t offset, uint32_t count)
{
	struct observe *observe = vdev->observe;

	if (observe_index(region) == OBSERVE_REGIONS)
		return;
	trace_access(vdev, TRACE_REFUSED, region, offset, NULL, count);
	pthread_mutex_lock(&observe->lock);
	end_watch(observe);
	touches_refused(observe, region, offset, count, TOUCH_WRITE_SIZE);
	pthread_mutex_unlock(&observe->lock);
}

/* Lock held. */
static void count_descriptor(struct observe *observe, const uint8_t desc[PORTAL_DESC])
{
	const uint8_t opcode = desc[7];

	observe->stats.descriptors++;
	observe->stats.opcodes[opcode]++;
}

void observe_descriptor(struct vdev *vdev, uint64_t offset, const uint8_t desc[PORTAL_DESC])
{
	struct observe *observe = vdev->observe;

	trace_access(vdev, TRACE_DESCRIPTOR, VDEV_REGION_BAR2, offset, desc, PORTAL_DESC);
	pthread_mutex_lock(&observe->lock);
	count_descriptor(observe, desc);
	pthread_mutex_unlock(&observe->lock);
}

void observe_store(struct vdev *vdev, uint64_t offset, const uint8_t desc[PORTAL_DESC])
{
	struct observe *observe = vdev->observe;

	trace_access(vdev, TRACE_DESCRIPTOR, VDEV_REGION_BAR2, offset, desc, PORTAL_DESC);
	pthread_mutex_lock(&observe->lock);
	count_write(observe, OBSERVE_BAR2, offset, PORTAL_DESC);
	count_descriptor(observe, desc);
	pthread_mutex_unlock(&observe->lock);
}

/* ---- what the device does for it ---- */

void observe_error(struct vdev *vdev)
{
	pthread_mutex_lock(&vdev->observe->lock);
	vdev->observe->stats.errors++;
	pthread_mutex_unlock(&vdev->observe->lock);
}

void observe_dma(struct vdev *vdev, uint64_t bytes_read, uint64_t bytes_written)
{
	struct observe_stats *stats = &vdev->observe->stats;

	pthread_mutex_lock(&vdev->observe->lock);
	stats->dma_read_bytes += bytes_read;
	stats->dma_written_bytes += bytes_written;
	pthread_mutex_unlock(&vdev->observe->lock);
}

/* The vdev's lock, then ours, then the ledger's: while all are held nothing is counted anywhere. */
void vdev_observe_stats(struct vdev *vdev, struct observe_stats *stats)
{
	pthread_mutex_lock(&vdev->lock);
	pthread_mutex_lock(&vdev->observe->lock);
	*stats = vdev->observe->stats;
	stats->interrupts = vdev->stats.interrupts;
	stats->interrupts_lost = vdev->stats.interrupts_lost;
	stats->partial_stores = vdev->stats.partial_stores;
	stats->resets = vdev->stats.resets;
	ledger_tally_get(platform_ledger(vdev->platform), &vdev->observe->tally, &stats->ledger);
	pthread_mutex_unlock(&vdev->observe->lock);
	pthread_mutex_unlock(&vdev->lock);
}
