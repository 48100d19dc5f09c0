/*
 * flights.h - messages on their way from a message store to the sink, so that whoever forbids one can wait until it has arrived.
 *
 * Who waits, waits for those only that are on their way when he begins: however busy others keep the same entry or work queue, his
 * wait ends. All functions are called with the store's lock held.
 */
#ifndef VDSA_CORE_FLIGHTS_H
#define VDSA_CORE_FLIGHTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* A message on its way: on the stack of the thread that sends it. */
struct flight {
	uint64_t number; /* in the order in which they began */
	uint32_t entry;
	uint16_t wq;
	struct flight *next, **at;
};

struct flights {
	pthread_cond_t landed;
	uint64_t begun;
	struct flight *first;
};

/* False: out of memory. */
bool flights_init(struct flights *flights);
/* Nothing is on its way. */
void flights_destroy(struct flights *flights);

void flights_begin(struct flights *flights, struct flight *flight, uint32_t entry, uint16_t wq);
void flights_end(struct flights *flights, struct flight *flight);

/* Give the lock up until all have arrived that are on their way now out of these entries, or of this work queue. */
void flights_wait_entries(struct flights *flights, pthread_mutex_t *lock, uint32_t first, uint32_t count);
void flights_wait_wq(struct flights *flights, pthread_mutex_t *lock, uint16_t wq);

#endif
