/* wq.c - work queues: what is taken into them, what is begun (DSA specification 3.2, 9.2.24, 9.3). */
#include <string.h>
#include <time.h>

#include "idxd_internal.h"

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
	arbiter_lay_out(idxd);
}

static enum command_error check_enable(const struct idxd *idxd, const struct wq *wq)
{
	if (idxd->state != DEVICE_ENABLED)
		return CMDERR_DEV_NOT_ENABLED;
	if (wq->state != WQ_DISABLED || wq->num_begun > 0 || wq->waiters)
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

void wq_note(const struct idxd *idxd, const struct work *work, uint32_t wq, uint8_t kind, uint8_t reason)
{
	struct ledger_record record = {
		.time_ns = kind == LEDGER_ACCEPTED ? work->accepted_ns : 0,
		.cause = work->cause,
		.requester = work->requester,
		.pasid = work->pasid,
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

/* A place in the ring, at most one time around. */
static uint32_t wrap(const struct wq *wq, uint32_t place)
{
	return place < wq->size ? place : place - wq->size;
}

/* Lock held. DROP_NONE: taken. */
static enum drop_reason enqueue(struct idxd *idxd, uint32_t index, struct work *work)
{
	struct wq *wq = &idxd->wqs[index];

	if (idxd->state != DEVICE_ENABLED || wq->state != WQ_ENABLED)
		return DROP_WQ_DISABLED;
	if (work->portal == PORTAL_IMS && !idxd->store) /* no such portal (9.3) */
		return DROP_WQ_DISABLED;
	if (wq->count >= wq->size || (wq->limit && wq->count >= wq->limit))
		return DROP_WQ_FULL;
	work->cause = atomic_fetch_add(&idxd->last_cause, 1) + 1;
	work->accepted_ns = now_ns();
	wq->ring[wrap(wq, wq->head + wq->count)] = *work;
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
	work.pasid = WQCFG_MODE_PASID(idxd->wqs[index].cfg[WQCFG_MODE]);
	reason = enqueue(idxd, index, &work);
	wq_note(idxd, &work, index, reason == DROP_NONE ? LEDGER_ACCEPTED : LEDGER_DROPPED, (uint8_t)reason);
	if (reason == DROP_NONE)
		arbiter_update(idxd, index);
	pthread_mutex_unlock(&idxd->lock);
	if (reason == DROP_WQ_FULL) {
		const struct error_report report = { .swerror = { SWERROR_VALID | SWERROR_WQ_VALID | (uint64_t)SWERR_DWQ_FULL << 8 |
								  (uint64_t)index << 16 } };

		registers_error(idxd, index, &report);
	}
}

/* ---- the engines' side ---- */

static void begin_next(struct wq *wq)
{
	wq->begun[wq->num_begun++] = wq->ring[wq->head];
	wq->head = wrap(wq, wq->head + 1);
	wq->count--;
}

/* A Batch has turns of its own, and what is noted together is of one requester. */
static bool go_together(const struct work *one, const struct work *next)
{
	return one->desc[7] != OP_BATCH && next->desc[7] != OP_BATCH && one->requester == next->requester;
}

static uint64_t transfer_size(const struct work *work)
{
	return field(work->desc, 32, 4);
}

static void begin_more(struct wq *wq, uint32_t most)
{
	uint64_t bytes = transfer_size(&wq->begun[0]);

	while (wq->num_begun < most && wq->count > 0 && go_together(&wq->begun[0], &wq->ring[wq->head])) {
		bytes += transfer_size(&wq->ring[wq->head]);
		if (bytes > TURN_BYTES)
			return;
		begin_next(wq);
	}
}

uint32_t wq_take(struct idxd *idxd, uint32_t index, uint32_t most)
{
	struct wq *wq = &idxd->wqs[index];
	/* Then the next turns are this queue's, too, and nobody waits for its end before the last of them: they are made one. */
	const bool alone = most > 1 && !wq->waiters && arbiter_begin_several(idxd, index);

	wq->busy = true;
	if (wq->num_begun == 0) {
		wq->batch.count = 0;
		begin_next(wq);
		if (alone)
			begin_more(wq, most);
	}
	return alone ? wq->num_begun : 1;
}

bool wq_has_pasid(const struct wq *wq, uint32_t pasid)
{
	const uint32_t mode = wq->cfg[WQCFG_MODE];

	return (mode & WQCFG_MODE_PASID_EN) && WQCFG_MODE_PASID(mode) == pasid;
}
