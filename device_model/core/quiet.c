/*
 * quiet.c - the commands after which a work queue is quiet: drain, abort, disable, reset
 * (DSA specification 3.15).
 */
#include <string.h>

#include "idxd_internal.h"

/* True: nothing up to `upto` is queued or in an engine's hands any more. */
static bool is_quiet(const struct wq *wq, uint64_t upto)
{
	if (wq->num_begun > 0 && wq->begun[0].cause <= upto)
		return false;
	return wq->count == 0 || wq->ring[wq->head].cause > upto;
}

/* Takes the oldest waiter out of the list if its time has come, and carries out what was promised to it. */
static struct wq_waiter *take_ready(struct wq *wq)
{
	struct wq_waiter **link = &wq->waiters;
	struct wq_waiter *waiter;

	if (!*link)
		return NULL;
	while ((*link)->next)
		link = &(*link)->next;
	waiter = *link;
	if (!is_quiet(wq, waiter->upto))
		return NULL;
	*link = NULL;
	if (waiter->disable)
		wq->state = WQ_DISABLED;
	return waiter;
}

/*
 * Lock held; given up while waiters are told. One at a time and in order: who has been told may rely on it that those before
 * have been told and have returned, so a virtual device may be freed after the last command of its queue has ended.
 */
static void tell_ready(struct idxd *idxd, struct wq *wq)
{
	struct wq_waiter *waiter;

	if (wq->telling) /* that thread looks again before it leaves */
		return;
	wq->telling = true;
	while ((waiter = take_ready(wq)) != NULL) {
		pthread_mutex_unlock(&idxd->lock);
		waiter->done(waiter);
		pthread_mutex_lock(&idxd->lock);
	}
	wq->telling = false;
}

/* What is begun ends without a record and without an interrupt. */
static void drop_begun(struct idxd *idxd, uint32_t index)
{
	struct wq *wq = &idxd->wqs[index];

	for (uint32_t i = 0; i < wq->num_begun; i++)
		wq_note(idxd, &wq->begun[i], index, LEDGER_ABORTED, 0);
	wq->num_begun = 0;
}

/* The first ones of what is begun have ended. */
static void forget(struct wq *wq, uint32_t ended)
{
	wq->num_begun -= ended;
	if (ended > 0)
		memmove(wq->begun, wq->begun + ended, wq->num_begun * sizeof(wq->begun[0]));
}

void wq_finish(struct idxd *idxd, uint32_t index, uint32_t tried, uint32_t ended)
{
	struct wq *wq = &idxd->wqs[index];

	wq->busy = false;
	for (uint32_t i = 1; i < tried; i++)
		arbiter_again(idxd, index); /* a Reset WQ has taken its priority: then like one of the lowest */
	forget(wq, ended);
	if (atomic_load_explicit(&wq->abandon, memory_order_relaxed))
		drop_begun(idxd, index);
	if (wq->num_begun == 0)
		atomic_store_explicit(&wq->abandon, false, memory_order_relaxed); /* whoever looks at it has had the lock in between */
	arbiter_update(idxd, index);
	tell_ready(idxd, wq);
}

/* Of what an engine has in hands, the rest: it looks at `abandon` before each member of a batch, and before each record. */
static void drop_all(struct idxd *idxd, uint32_t index)
{
	struct wq *wq = &idxd->wqs[index];

	if (wq->busy)
		atomic_store(&wq->abandon, true);
	else
		drop_begun(idxd, index);
	while (wq->count > 0) {
		wq_note(idxd, &wq->ring[wq->head], index, LEDGER_ABORTED, 0);
		wq->head = (wq->head + 1) % wq->size;
		wq->count--;
	}
	arbiter_update(idxd, index);
}

enum command_error idxd_wq_start(struct idxd *idxd, uint32_t index, enum wq_command command, struct wq_waiter *waiter)
{
	struct wq *wq;

	if (index >= idxd->config.num_wqs)
		return CMDERR_WQ_INDEX;
	wq = &idxd->wqs[index];
	pthread_mutex_lock(&idxd->lock);
	if (wq->state == WQ_DISABLED && command != WQ_RESET && command != WQ_STOP) {
		pthread_mutex_unlock(&idxd->lock);
		return CMDERR_WQ_NOT_ENABLED;
	}
	waiter->disable = command == WQ_DISABLE || command == WQ_RESET || command == WQ_STOP;
	waiter->upto = atomic_load(&idxd->last_cause);
	if (waiter->disable && wq->state == WQ_ENABLED)
		wq->state = WQ_DRAINING;
	if (command != WQ_DRAIN && command != WQ_DISABLE)
		drop_all(idxd, index);
	if (command == WQ_RESET) {
		wqcfg_reset(idxd, index);
		wq->limit = 0;
	}
	waiter->next = wq->waiters;
	wq->waiters = waiter;
	tell_ready(idxd, wq);
	pthread_mutex_unlock(&idxd->lock);
	return CMDERR_NONE;
}

struct sync_wait {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
};

static void wake(struct wq_waiter *waiter)
{
	struct sync_wait *wait = waiter->ctx;

	pthread_mutex_lock(&wait->lock);
	wait->done = true;
	pthread_cond_signal(&wait->cond);
	pthread_mutex_unlock(&wait->lock);
}

enum command_error idxd_wq_command(struct idxd *idxd, uint32_t index, enum wq_command command)
{
	struct sync_wait wait = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };
	struct wq_waiter waiter = { .done = wake, .ctx = &wait };
	const enum command_error error = idxd_wq_start(idxd, index, command, &waiter);

	if (error == CMDERR_NONE) {
		pthread_mutex_lock(&wait.lock);
		while (!wait.done)
			pthread_cond_wait(&wait.cond, &wait.lock);
		pthread_mutex_unlock(&wait.lock);
	}
	pthread_cond_destroy(&wait.cond);
	pthread_mutex_destroy(&wait.lock);
	return error;
}
