#include "flights.h"

#include <stddef.h>

bool flights_init(struct flights *flights)
{
	flights->begun = 0;
	flights->first = NULL;
	return pthread_cond_init(&flights->landed, NULL) == 0;
}

void flights_destroy(struct flights *flights)
{
	pthread_cond_destroy(&flights->landed);
}

void flights_begin(struct flights *flights, struct flight *flight, uint32_t entry, uint16_t wq)
{
	*flight = (struct flight){
		.number = ++flights->begun,
		.entry = entry,
		.wq = wq,
		.next = flights->first,
		.at = &flights->first,
	};
	if (flight->next)
		flight->next->at = &flight->next;
	flights->first = flight;
}

void flights_end(struct flights *flights, struct flight *flight)
{
	*flight->at = flight->next;
	if (flight->next)
		flight->next->at = flight->at;
	pthread_cond_broadcast(&flights->landed);
}

static bool entry_flies(const struct flights *flights, uint64_t upto, uint32_t first, uint32_t count)
{
	for (const struct flight *flight = flights->first; flight; flight = flight->next)
		if (flight->number <= upto && flight->entry - first < count)
			return true;
	return false;
}

static bool wq_flies(const struct flights *flights, uint64_t upto, uint16_t wq)
{
	for (const struct flight *flight = flights->first; flight; flight = flight->next)
		if (flight->number <= upto && flight->wq == wq)
			return true;
	return false;
}

void flights_wait_entries(struct flights *flights, pthread_mutex_t *lock, uint32_t first, uint32_t count)
{
	const uint64_t upto = flights->begun;

	while (entry_flies(flights, upto, first, count))
		pthread_cond_wait(&flights->landed, lock);
}

void flights_wait_wq(struct flights *flights, pthread_mutex_t *lock, uint16_t wq)
{
	const uint64_t upto = flights->begun;

	while (wq_flies(flights, upto, wq))
		pthread_cond_wait(&flights->landed, lock);
}
