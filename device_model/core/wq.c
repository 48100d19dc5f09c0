/* wq.c - work queues: configuration rules, submission, and the commands that promise quiet (DSA specification 3.2, 3.10, 9.2.24). */
#include <string.h>
#include <time.h>

#include "idxd_internal.h"

/* ---- enabling ---- */

void wq_lay_out(struct idxd *idxd)
{
	struct work *next = idxd->storage;

	for (uint32_t i = 0; i < idxd->config.num_wqs; i++) {
		struct wq *wq = &idxd->wqs[i];

		wq->ring = next;
		wq->size = wq->cfg[WQCFG_SIZE] & 0xFFFFu;
		wq->head = 0;
		wq->count = 0;
		next += wq->size;
	}
}

static enum command_error check_enable(const struct idxd *idxd, const struct wq *wq)
{
	if (idxd->state != DEVICE_ENABLED)
		return CMDERR_DEV_NOT_ENABLED;
	if (wq->state != WQ_DISABLED || wq->busy || wq->waiters)
		return CMDERR_WQ_NOT_DISABLED;
	if (wq->size == 0)
		return CMDERR_WQ_SIZE;
	return wqcfg_check(idxd, wq);
}

enum command_error idxd_wq_enable(struct idxd *idxd, uint32_t index)
{
	enum command_error error;

	if (index >= idxd->config.num_wqs)
		return CMDERR_WQ_INDEX;
	pthread_mutex_lock(&idxd->lock);
	error = check_enable(idxd, &idxd->wqs[index]);
	if (error == CMDERR_NONE)
		idxd->wqs[index].state = WQ_ENABLED;
	pthread_mutex_unlock(&idxd->lock);
	return error;
}

void idxd_wq_set_limit(struct idxd *idxd, uint32_t index, uint32_t limit)
{
	if (index >= idxd->config.num_wqs)
		return;
	pthread_mutex_lock(&idxd->lock);
	idxd->wqs[index].limit = limit;
	pthread_mutex_unlock(&idxd->lock);
}

uint32_t idxd_num_wqs(const struct idxd *idxd)
{
	return idxd->config.num_wqs;
}

uint32_t idxd_wq_state(struct idxd *idxd, uint32_t index)
{
	uint32_t state;

	if (index >= idxd->config.num_wqs)
		return WQ_DISABLED;
	pthread_mutex_lock(&idxd->lock);
	state = idxd->wqs[index].state;
	pthread_mutex_unlock(&idxd->lock);
	return state;
}

/* ---- submission (9.3) ---- */

static void note(const struct idxd *idxd, const struct work *work, uint32_t wq, uint8_t kind, uint8_t reason)
{
	struct ledger_record record = {
		.cause = work->cause,
		.requester = work->requester,
		.pasid = WQCFG_MODE_PASID(idxd->wqs[wq].cfg[WQCFG_MODE]),
		.entry = UINT32_MAX,
		.wq = (uint16_t)wq,
		.kind = kind,
		.reason = reason,
		.opcode = work->desc[7],
	};
	uint32_t flags;

	memcpy(&flags, work->desc + 4, sizeof(flags));
	memcpy(&record.handle, work->desc + 36, sizeof(record.handle));
	memcpy(&record.detail, work->desc + 8, sizeof(record.detail));
	record.flags = (uint8_t)((flags & DESC_F_CRAV ? LEDGER_F_CRAV : 0) | (flags & DESC_F_RCI ? LEDGER_F_RCI : 0));
	ledger_write(idxd->ledger, &record);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Lock held. DROP_NONE: taken. */
static enum drop_reason enqueue(struct idxd *idxd, uint32_t index, struct work *work)
{
	struct wq *wq = &idxd->wqs[index];

	if (idxd->state != DEVICE_ENABLED || wq->state != WQ_ENABLED)
		return DROP_WQ_DISABLED;
	if (wq->count >= wq->size || (wq->limit && wq->count >= wq->limit))
		return DROP_WQ_FULL;
	work->cause = ++idxd->next_cause;
	work->accepted_ns = now_ns();
	wq->ring[(wq->head + wq->count) % wq->size] = *work;
	wq->count++;
	return DROP_NONE;
}

void idxd_submit(struct idxd *idxd, uint32_t index, enum portal portal, const uint8_t desc[64], uint32_t requester)
{
	struct work work = { .requester = requester, .portal = (uint8_t)portal };
	enum drop_reason reason;

	if (index >= idxd->config.num_wqs)
		return;
	memcpy(work.desc, desc, sizeof(work.desc));
	pthread_mutex_lock(&idxd->lock);
	reason = enqueue(idxd, index, &work);
	note(idxd, &work, index, reason == DROP_NONE ? LEDGER_ACCEPTED : LEDGER_DROPPED, (uint8_t)reason);
	if (reason == DROP_NONE)
		pthread_cond_signal(&idxd->work_ready);
	pthread_mutex_unlock(&idxd->lock);
	if (reason == DROP_WQ_FULL) {
		const uint64_t swerror[4] = { SWERROR_VALID | SWERROR_WQ_VALID | (uint64_t)SWERR_DWQ_FULL << 8 |
					      (uint64_t)index << 16 };

		registers_error(idxd, index, swerror);
	}
}

/* ---- arbitration ---- */

bool wq_take(struct idxd *idxd, struct work *work, uint32_t *index)
{
	const uint32_t num_wqs = idxd->config.num_wqs;

	for (uint32_t i = 0; i < num_wqs; i++) {
		const uint32_t candidate = (idxd->next_wq + i) % num_wqs;
		struct wq *wq = &idxd->wqs[candidate];

		if (wq->count == 0 || wq->busy)
			continue;
		*work = wq->ring[wq->head];
		wq->head = (wq->head + 1) % wq->size;
		wq->count--;
		wq->busy = true;
		wq->busy_cause = work->cause;
		*index = candidate;
		idxd->next_wq = (candidate + 1) % num_wqs;
		return true;
	}
	return false;
}

/* ---- drain, abort, disable, reset (3.10) ---- */

/* True: nothing up to `upto` is queued or in an engine's hands any more. */
static bool is_quiet(const struct wq *wq, uint64_t upto)
{
	if (wq->busy && wq->busy_cause <= upto)
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

void wq_finish(struct idxd *idxd, uint32_t index)
{
	struct wq *wq = &idxd->wqs[index];

	wq->busy = false;
	if (wq->count > 0)
		pthread_cond_signal(&idxd->work_ready);
	tell_ready(idxd, wq);
}

static void drop_queued(struct idxd *idxd, uint32_t index)
{
	struct wq *wq = &idxd->wqs[index];

	while (wq->count > 0) {
		note(idxd, &wq->ring[wq->head], index, LEDGER_ABORTED, 0);
		wq->head = (wq->head + 1) % wq->size;
		wq->count--;
	}
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
	waiter->upto = idxd->next_cause;
	if (waiter->disable && wq->state == WQ_ENABLED)
		wq->state = WQ_DRAINING;
	if (command != WQ_DRAIN && command != WQ_DISABLE)
		drop_queued(idxd, index);
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
