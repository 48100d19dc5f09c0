/* arbiter.c - turns of work queues, by priority, and who is woken for them (DSA specification 4.1). */
#include <string.h>

#include "idxd_internal.h"

static uint32_t group_with(const struct idxd *idxd, uint32_t bit, bool engine)
{
	for (uint32_t i = 0; i < idxd->config.num_groups; i++) {
		const struct group *group = &idxd->groups[i];
		const uint64_t word = engine ? group->engines : group->wqs[bit / 64];

		if (word >> (bit % 64) & 1)
			return i;
	}
	return NO_GROUP;
}

void arbiter_lay_out(struct idxd *idxd)
{
	memset(idxd->arbiters, 0, idxd->config.num_groups * sizeof(*idxd->arbiters));
	for (uint32_t i = 0; i < idxd->config.num_wqs; i++) {
		idxd->wqs[i].group = (uint8_t)group_with(idxd, i, false);
		idxd->wqs[i].round = UINT64_MAX;
	}
	for (uint32_t i = 0; i < idxd->config.num_engines; i++)
		idxd->engines[i].group = (uint8_t)group_with(idxd, i, true);
}

/* One that sleeps; it is not taken for asleep any more, so that the next one who looks wakes another. */
static void wake_one(struct idxd *idxd, uint32_t group)
{
	for (uint32_t i = 0; i < idxd->config.num_engines; i++) {
		struct engine *engine = &idxd->engines[i];

		if (engine->group == group && engine->asleep) {
			engine->asleep = false;
			pthread_cond_signal(&engine->wake);
			return;
		}
	}
}

void arbiter_update(struct idxd *idxd, uint32_t index)
{
	const struct wq *wq = &idxd->wqs[index];
	const uint64_t bit = 1ull << (index % 64);
	struct arbiter *arbiter;
	uint64_t *word;

	if (wq->group == NO_GROUP)
		return;
	arbiter = &idxd->arbiters[wq->group];
	word = &arbiter->ready[index / 64];
	if (wq->busy || !wq_has_work(wq)) {
		*word &= ~bit;
	} else if (!(*word & bit)) {
		*word |= bit;
		atomic_store_explicit(&arbiter->called, true, memory_order_relaxed);
		wake_one(idxd, wq->group);
	}
}

static bool is_any(const uint64_t words[GRPCFG_WQ_WORDS])
{
	uint64_t all = 0;

	for (unsigned i = 0; i < GRPCFG_WQ_WORDS; i++)
		all |= words[i];
	return all != 0;
}

/* The first bit behind `last`, around. The bits before and at `last` in its own word come at the very end. */
static bool next_bit(const uint64_t words[GRPCFG_WQ_WORDS], uint32_t last, uint32_t *bit)
{
	const uint64_t up_to_last = last % 64 == 63 ? UINT64_MAX : (2ull << (last % 64)) - 1;

	for (unsigned i = 0; i <= GRPCFG_WQ_WORDS; i++) {
		const unsigned index = (last / 64 + i) % GRPCFG_WQ_WORDS;
		const uint64_t mask = i == 0 ? ~up_to_last : i == GRPCFG_WQ_WORDS ? up_to_last : UINT64_MAX;
		const uint64_t word = words[index] & mask;

		if (word) {
			*bit = index * 64 + (uint32_t)__builtin_ctzll(word);
			return true;
		}
	}
	return false;
}

static bool next_with_turns(const struct arbiter *arbiter, uint32_t *index)
{
	uint64_t words[GRPCFG_WQ_WORDS];

	for (unsigned i = 0; i < GRPCFG_WQ_WORDS; i++)
		words[i] = arbiter->ready[i] & ~arbiter->spent[i];
	return next_bit(words, arbiter->last, index);
}

/* Priority 0 is what a device without priorities has. */
static uint8_t turns_of(const struct wq *wq)
{
	const uint32_t priority = WQCFG_MODE_PRIORITY(wq->cfg[WQCFG_MODE]);

	return (uint8_t)(priority ? priority : 1);
}

static void spend(struct arbiter *arbiter, struct wq *wq, uint32_t index)
{
	if (wq->round != arbiter->round) {
		wq->round = arbiter->round;
		wq->turns = turns_of(wq);
	}
	if (--wq->turns == 0)
		arbiter->spent[index / 64] |= 1ull << (index % 64);
	arbiter->last = index;
}

static void begin_round(struct arbiter *arbiter)
{
	memset(arbiter->spent, 0, sizeof(arbiter->spent));
	arbiter->round++;
}

bool arbiter_next(struct idxd *idxd, uint32_t group, uint32_t *index)
{
	struct arbiter *arbiter;

	if (group == NO_GROUP)
		return false;
	arbiter = &idxd->arbiters[group];
	if (!is_any(arbiter->ready))
		return false;
	if (!next_with_turns(arbiter, index)) {
		begin_round(arbiter);
		next_with_turns(arbiter, index); /* one is ready, so there is one */
	}
	spend(arbiter, &idxd->wqs[*index], *index);
	arbiter->ready[*index / 64] &= ~(1ull << (*index % 64));
	if (is_any(arbiter->ready))
		wake_one(idxd, group);
	return true;
}

bool arbiter_is_called(const struct idxd *idxd, uint32_t index)
{
	return atomic_load_explicit(&idxd->arbiters[idxd->wqs[index].group].called, memory_order_relaxed);
}

bool arbiter_begin_several(struct idxd *idxd, uint32_t index)
{
	struct arbiter *arbiter = &idxd->arbiters[idxd->wqs[index].group];

	if (is_any(arbiter->ready))
		return false;
	atomic_store_explicit(&arbiter->called, false, memory_order_relaxed);
	return true;
}

void arbiter_call_all(struct idxd *idxd)
{
	for (uint32_t i = 0; i < idxd->config.num_groups; i++)
		atomic_store_explicit(&idxd->arbiters[i].called, true, memory_order_relaxed);
}

void arbiter_again(struct idxd *idxd, uint32_t index)
{
	struct wq *wq = &idxd->wqs[index];
	struct arbiter *arbiter = &idxd->arbiters[wq->group];

	if (arbiter->spent[index / 64] >> (index % 64) & 1)
		begin_round(arbiter);
	spend(arbiter, wq, index);
}
