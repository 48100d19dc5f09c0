#include "ledger.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tally.h"

_Static_assert(sizeof(struct ledger_record) == 64, "a ledger record is 64 bytes");

/*
 * Two records of one descriptor and one moment, that it was accepted and what became of it, take one place: the second, which says
 * in its reserved byte PAIRED that another comes before it. They are told apart when they are read.
 */
enum { PAIRED = 0 };

struct ledger {
	pthread_mutex_t lock;
	uint64_t written; /* records ever written: the next seq */
	uint64_t placed;  /* places ever filled */
	uint64_t taken;   /* records ever read or lost */
	size_t capacity;  /* places */
	struct ledger_record *ring;
	struct tallies tallies;
};

struct ledger *ledger_create(size_t capacity)
{
	struct ledger *ledger;

	if (capacity == 0 || (capacity & (capacity - 1)) != 0)
		return NULL;
	ledger = calloc(1, sizeof(*ledger));
	if (!ledger)
		return NULL;
	/* A record a cache line; none is read before it is written. */
	ledger->ring = capacity <= SIZE_MAX / sizeof(*ledger->ring)
			       ? aligned_alloc(sizeof(*ledger->ring), capacity * sizeof(*ledger->ring)) : NULL;
	if (!ledger->ring || pthread_mutex_init(&ledger->lock, NULL) != 0) {
		free(ledger->ring);
		free(ledger);
		return NULL;
	}
	ledger->capacity = capacity;
	return ledger;
}

void ledger_destroy(struct ledger *ledger)
{
	if (!ledger)
		return;
	pthread_mutex_destroy(&ledger->lock);
	free(ledger->ring);
	free(ledger);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct ledger_record *slot_of(const struct ledger *ledger, uint64_t place)
{
	return &ledger->ring[place & (ledger->capacity - 1)];
}

/* Places ahead: of the next part of a batch, so that they are in the cache by the time they are written to. */
enum { PREFETCH_AHEAD = 32 };

void ledger_write(struct ledger *ledger, const struct ledger_record *record)
{
	const uint64_t time = record->time_ns ? record->time_ns : now_ns();
	struct ledger_record *slot;

	pthread_mutex_lock(&ledger->lock);
	__builtin_prefetch(slot_of(ledger, ledger->placed + PREFETCH_AHEAD), 1);
	slot = slot_of(ledger, ledger->placed++);
	*slot = *record;
	slot->seq = ledger->written++;
	slot->time_ns = time;
	slot->reserved[PAIRED] = 0;
	tallies_count(&ledger->tallies, record);
	pthread_mutex_unlock(&ledger->lock);
}

/* Field by field: a copy of a record that was just changed makes the CPU wait for the change to reach its cache. `seq`: of a pair,
 * the first one's. */
static inline void place(struct ledger_record *slot, const struct ledger_source *source, const struct ledger_note *note, uint64_t seq,
			 uint64_t time_ns)
{
	slot->seq = seq;
	slot->time_ns = time_ns;
	slot->cause = note->cause;
	slot->detail = note->detail;
	slot->requester = source->requester;
	slot->target = 0;
	slot->pasid = source->pasid;
	slot->entry = UINT32_MAX;
	slot->handle = note->handle;
	slot->vector = 0;
	slot->wq = source->wq;
	slot->kind = note->kind;
	slot->reason = 0;
	slot->status = note->status;
	slot->opcode = note->opcode;
	slot->flags = note->flags;
	memset(slot->reserved, 0, sizeof(slot->reserved));
	slot->reserved[PAIRED] = note->after_accepted;
}

/* Lock held. */
static void append_notes(struct ledger *ledger, const struct ledger_source *source, const struct ledger_note *notes, size_t count,
			 uint64_t time_ns)
{
	const struct ledger_source whose = *source; /* no record can change it: it need not be read again for each */
	struct ledger_record *const ring = ledger->ring;
	const uint64_t mask = ledger->capacity - 1;
	uint64_t seq = ledger->written, at = ledger->placed;

	for (const struct ledger_note *note = notes; note < notes + count; note++, at++) {
		__builtin_prefetch(&ring[(at + PREFETCH_AHEAD) & mask], 1);
		place(&ring[at & mask], &whose, note, seq, time_ns);
		seq += 1 + note->after_accepted;
	}
	ledger->written = seq;
	ledger->placed = at;
}

void ledger_write_notes(struct ledger *ledger, const struct ledger_source *source, const struct ledger_note *notes, size_t count)
{
	const uint64_t time_ns = now_ns();

	pthread_mutex_lock(&ledger->lock);
	append_notes(ledger, source, notes, count, time_ns);
	tallies_count_notes(&ledger->tallies, source->requester, notes, count);
	pthread_mutex_unlock(&ledger->lock);
}

/* Lock held. The oldest place that is still there. */
static uint64_t oldest_place(const struct ledger *ledger)
{
	return ledger->placed > ledger->capacity ? ledger->placed - ledger->capacity : 0;
}

/* Lock held. The next record of a reader who may have fallen behind by more than the ring holds. */
static uint64_t catch_up(const struct ledger *ledger, uint64_t next, uint64_t *lost)
{
	const uint64_t place = oldest_place(ledger);
	const uint64_t oldest = ledger->placed > 0 ? slot_of(ledger, place)->seq : 0;

	if (next >= oldest)
		return next;
	*lost += oldest - next;
	return oldest;
}

/* Lock held. The place of the record `seq`, which is there: the last place that begins with it, or before it. */
static uint64_t place_of(const struct ledger *ledger, uint64_t seq)
{
	uint64_t low = oldest_place(ledger), high = ledger->placed;

	while (high - low > 1) {
		const uint64_t middle = low + (high - low) / 2;

		if (slot_of(ledger, middle)->seq <= seq)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* The record `seq` of the place; true: it is the last one there. */
static bool take_out(const struct ledger_record *slot, uint64_t seq, struct ledger_record *record)
{
	const uint64_t last = slot->seq + slot->reserved[PAIRED];

	*record = *slot;
	record->seq = seq;
	record->reserved[PAIRED] = 0;
	if (seq != last) {
		record->kind = LEDGER_ACCEPTED;
		record->status = 0;
	}
	return seq == last;
}

/* Lock held. */
static size_t copy(const struct ledger *ledger, uint64_t *next, struct ledger_record *records, size_t max)
{
	uint64_t place;
	size_t count = 0;

	if (max == 0 || *next >= ledger->written)
		return 0;
	place = place_of(ledger, *next);
	while (count < max && *next < ledger->written)
		place += take_out(slot_of(ledger, place), (*next)++, &records[count++]);
	return count;
}

size_t ledger_read(struct ledger *ledger, struct ledger_record *records, size_t max, uint64_t *lost)
{
	size_t count;

	pthread_mutex_lock(&ledger->lock);
	ledger->taken = catch_up(ledger, ledger->taken, lost);
	count = copy(ledger, &ledger->taken, records, max);
	pthread_mutex_unlock(&ledger->lock);
	return count;
}

size_t ledger_follow(struct ledger *ledger, uint64_t *next, struct ledger_record *records, size_t max, uint64_t *lost)
{
	size_t count;

	pthread_mutex_lock(&ledger->lock);
	if (*next > ledger->written)
		*next = ledger->written;
	*next = catch_up(ledger, *next, lost);
	count = copy(ledger, next, records, max);
	pthread_mutex_unlock(&ledger->lock);
	return count;
}

/* ---- counts of one virtual device ---- */

void ledger_tally_add(struct ledger *ledger, struct tally_entry *entry)
{
	pthread_mutex_lock(&ledger->lock);
	tallies_add(&ledger->tallies, entry);
	pthread_mutex_unlock(&ledger->lock);
}

void ledger_tally_remove(struct ledger *ledger, struct tally_entry *entry)
{
	pthread_mutex_lock(&ledger->lock);
	tallies_remove(&ledger->tallies, entry);
	pthread_mutex_unlock(&ledger->lock);
}

void ledger_tally_get(struct ledger *ledger, const struct tally_entry *entry, struct tally *counts)
{
	pthread_mutex_lock(&ledger->lock);
	*counts = entry->counts;
	pthread_mutex_unlock(&ledger->lock);
}
