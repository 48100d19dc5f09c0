#include "trace.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

_Static_assert(sizeof(struct trace_record) == 96, "a trace record is 96 bytes");

struct trace {
	pthread_mutex_t lock;
	uint64_t written; /* records ever written */
	uint64_t taken;   /* records ever read or lost */
	size_t capacity;
	struct trace_record *ring;
};

struct trace *trace_create(size_t capacity)
{
	struct trace *trace;

	if (capacity == 0 || (capacity & (capacity - 1)) != 0)
		return NULL;
	trace = calloc(1, sizeof(*trace));
	if (!trace)
		return NULL;
	trace->ring = calloc(capacity, sizeof(*trace->ring));
	if (!trace->ring || pthread_mutex_init(&trace->lock, NULL) != 0) {
		free(trace->ring);
		free(trace);
		return NULL;
	}
	trace->capacity = capacity;
	return trace;
}

void trace_destroy(struct trace *trace)
{
	if (!trace)
		return;
	pthread_mutex_destroy(&trace->lock);
	free(trace->ring);
	free(trace);
}

void trace_write(struct trace *trace, const struct trace_record *record, const void *data, size_t len)
{
	struct trace_record *slot;
	struct timespec now;

	pthread_mutex_lock(&trace->lock);
	clock_gettime(CLOCK_MONOTONIC, &now);
	slot = &trace->ring[trace->written & (trace->capacity - 1)];
	*slot = *record;
	memset(slot->data, 0, sizeof(slot->data));
	if (data)
		memcpy(slot->data, data, len < TRACE_DATA ? len : TRACE_DATA);
	slot->seq = trace->written++;
	slot->time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	pthread_mutex_unlock(&trace->lock);
}

size_t trace_read(struct trace *trace, struct trace_record *records, size_t max, uint64_t *lost)
{
	size_t count = 0;

	pthread_mutex_lock(&trace->lock);
	if (trace->written - trace->taken > trace->capacity) {
		*lost += trace->written - trace->taken - trace->capacity;
		trace->taken = trace->written - trace->capacity;
	}
	while (count < max && trace->taken < trace->written)
		records[count++] = trace->ring[trace->taken++ & (trace->capacity - 1)];
	pthread_mutex_unlock(&trace->lock);
	return count;
}
