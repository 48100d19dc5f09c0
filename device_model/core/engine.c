/* engine.c - engines: their sleep, and their turns at the work queues of their group (DSA specification 3.2, 4.1). */
#include <stdlib.h>

#include "turn.h"

/* ---- life ---- */

static void destroy_first(struct idxd *idxd, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		pthread_cond_destroy(&idxd->engines[i].wake);
		free(idxd->engines[i].scratch);
	}
	free(idxd->engines);
}

static bool create_one(struct engine *engine)
{
	engine->group = NO_GROUP;
	engine->scratch = malloc((size_t)MEMORY_VIEWS * MEMORY_CHUNK);
	if (!engine->scratch)
		return false;
	if (pthread_cond_init(&engine->wake, NULL) == 0)
		return true;
	free(engine->scratch);
	return false;
}

bool engines_create(struct idxd *idxd)
{
	idxd->engines = calloc(idxd->config.num_engines, sizeof(*idxd->engines));
	if (!idxd->engines)
		return false;
	for (uint32_t i = 0; i < idxd->config.num_engines; i++) {
		if (!create_one(&idxd->engines[i])) {
			destroy_first(idxd, i);
			return false;
		}
	}
	return true;
}

void engines_destroy(struct idxd *idxd)
{
	destroy_first(idxd, idxd->config.num_engines);
}

/* ---- a turn ---- */

void turn_write_notes(struct turn *turn)
{
	const struct ledger_source source = {
		.requester = turn->work->requester,
		.pasid = turn->terms.pasid,
		.wq = (uint16_t)turn->index,
	};

	if (turn->num_notes > 0)
		ledger_write_notes(turn->idxd->ledger, &source, turn->notes, turn->num_notes);
	turn->num_notes = 0;
}

void turn_leave(struct turn *turn)
{
	turn_write_notes(turn);
	if (turn->inside)
		memory_leave(&turn->memory);
	turn->inside = false;
}

/* Lock held. Of the queue turn->index. */
static void begin_turn(struct turn *turn, struct idxd *idxd, const struct engine *engine)
{
	const struct wq *wq = &idxd->wqs[turn->index];
	const uint32_t mode = wq->cfg[WQCFG_MODE], limits = wq->cfg[WQCFG_LIMITS];

	turn->idxd = idxd;
	turn->wq = &idxd->wqs[turn->index];
	turn->work = wq->begun;
	turn->tried = 0;
	turn->ended = 0;
	turn->scratch = engine->scratch;
	turn->inside = false;
	turn->bytes = 0;
	turn->num_notes = 0;
	turn->known = NULL;
	turn->terms = (struct wq_terms){
		.pasid_enable = mode & WQCFG_MODE_PASID_EN,
		.pasid = WQCFG_MODE_PASID(mode),
		.max_xfer_log2 = WQCFG_LIMITS_XFER(limits),
		.max_batch_log2 = WQCFG_LIMITS_BATCH(limits),
		.iaa = idxd->config.kind == IDXD_IAA,
		.no_interrupts = wqcfg_no_interrupts(idxd, turn->index),
	};
	wqcfg_operations(idxd, turn->index, turn->terms.operations);
}

/* True: it has ended. */
static bool run(struct turn *turn, const struct work *work)
{
	struct request request;

	turn->work = work;
	if (work->desc[7] == OP_BATCH && !turn->terms.iaa)
		return batch_run(turn);
	request_parse(turn, work->desc, work->cause, &request);
	return execute(turn, &request) != STATUS_NONE;
}

/* The next one may be begun: it is not to be dropped, and it is the first, or nobody waits for the end of this turn. */
static bool goes_on(const struct turn *turn)
{
	if (atomic_load_explicit(&turn->wq->abandon, memory_order_acquire))
		return false;
	return turn->tried == 0 || !arbiter_is_called(turn->idxd, turn->index);
}

static void take_turn(struct turn *turn)
{
	while (turn->ended < turn->most && turn->ended == turn->tried && goes_on(turn))
		turn->ended += run(turn, &turn->wq->begun[turn->tried++]);
	turn_leave(turn);
}

/* Lock held; given up during the turn, which has at most `most` descriptors. */
static bool turn_locked(struct idxd *idxd, struct engine *engine, uint32_t most)
{
	struct turn turn;

	if (!arbiter_next(idxd, engine->group, &turn.index))
		return false;
	turn.most = wq_take(idxd, turn.index, most);
	begin_turn(&turn, idxd, engine);
	pthread_mutex_unlock(&idxd->lock);
	take_turn(&turn);
	pthread_mutex_lock(&idxd->lock);
	wq_finish(idxd, turn.index, turn.tried, turn.ended);
	return true;
}

static bool one_turn(struct idxd *idxd, uint32_t index, uint32_t most)
{
	bool worked;

	if (index >= idxd->config.num_engines)
		return false;
	pthread_mutex_lock(&idxd->lock);
	worked = turn_locked(idxd, &idxd->engines[index], most);
	pthread_mutex_unlock(&idxd->lock);
	return worked;
}

bool idxd_engine_turn(struct idxd *idxd, uint32_t index)
{
	return one_turn(idxd, index, TURN_DESCRIPTORS);
}

bool idxd_engine_step(struct idxd *idxd, uint32_t index)
{
	return one_turn(idxd, index, 1);
}

void idxd_engine_run(struct idxd *idxd, uint32_t index)
{
	struct engine *engine;

	if (index >= idxd->config.num_engines)
		return;
	engine = &idxd->engines[index];
	pthread_mutex_lock(&idxd->lock);
	while (!idxd->stopping) {
		if (turn_locked(idxd, engine, TURN_DESCRIPTORS))
			continue;
		engine->asleep = true;
		while (engine->asleep && !idxd->stopping)
			pthread_cond_wait(&engine->wake, &idxd->lock);
		engine->asleep = false;
	}
	pthread_mutex_unlock(&idxd->lock);
}

void idxd_let_engines_run(struct idxd *idxd)
{
	pthread_mutex_lock(&idxd->lock);
	idxd->stopping = false;
	pthread_mutex_unlock(&idxd->lock);
}

void idxd_stop_engines(struct idxd *idxd)
{
	pthread_mutex_lock(&idxd->lock);
	idxd->stopping = true;
	arbiter_call_all(idxd);
	for (uint32_t i = 0; i < idxd->config.num_engines; i++)
		pthread_cond_signal(&idxd->engines[i].wake);
	pthread_mutex_unlock(&idxd->lock);
}
