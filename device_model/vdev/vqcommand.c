/*
 * vqcommand.c - the guest's CMD register (DSA specification 9.2.12, 9.2.13, 7.5). Commands are checked here and forwarded to
 * the one physical work queue of this device; nothing a guest writes names another one.
 */
#include "vqueue.h"

static void finish(struct vqueue *vq, enum command_error error, uint16_t result)
{
	vq->cmdstatus = (uint32_t)error | (uint32_t)result << 8;
	if (vq->cmd_interrupt)
		vqregs_raise(vq, INTCAUSE_CMD);
}

void vqcommand_retire_entries(struct vqueue *vq)
{
	struct store *store = idxd_store(platform_idxd(vq->platform));

	for (unsigned i = 1; i < vq->config.num_vectors; i++) {
		const uint32_t entry = vq->vectors[i].entry;

		store_release_handle(store, entry);
		store_set_ignore(store, entry, false);
		store_wait_sent(store, entry);
	}
}

/* The physical queue is quiet: what is left of the command. */
static void queue_quiet(struct vqueue *vq)
{
	if (vq->state == DEVICE_HALTED) { /* in the meantime: what it waited for has been dropped */
		finish(vq, CMDERR_HARDWARE, 0);
		return;
	}
	if (vq->cmd_code == CMD_DISABLE_DEVICE || vq->cmd_code == CMD_RESET_DEVICE)
		vq->state = DEVICE_DISABLED;
	if (vq->cmd_code == CMD_RESET_DEVICE) {
		/* All but CMDSTATUS, SWERROR and the MSI-X table (9.2.12). */
		vq->gencfg = 0;
		vq->genctrl = 0;
		vq->intcause = 0;
		event_log_reset(&vq->event_log);
		vqcfg_reset(vq);
		for (unsigned i = 0; i < vq->config.num_vectors; i++)
			vq->vectors[i].handle_live = false;
	}
	if (vq->cmd_code == CMD_RESET_WQ)
		vqcfg_reset_wq(vq);
	finish(vq, CMDERR_NONE, 0);
}

static void on_queue_quiet(struct wq_waiter *waiter)
{
	struct vqueue *vq = waiter->ctx;

	if (vq->cmd_code == CMD_RESET_DEVICE) { /* stays as it is while the command is active */
		vqcommand_retire_entries(vq);
		msix_reset_permissions(vq->msix);
	}
	pthread_mutex_lock(&vq->lock);
	queue_quiet(vq);
	pthread_cond_broadcast(&vq->changed);
	pthread_mutex_unlock(&vq->lock);
}

/* A queue that is disabled has nothing to wait for. */
static void forward(struct vqueue *vq, enum wq_command command)
{
	enum command_error error;

	vq->cmd_waiter = (struct wq_waiter){ .done = on_queue_quiet, .ctx = vq };
	pthread_mutex_unlock(&vq->lock);
	error = idxd_wq_start(platform_idxd(vq->platform), vq->config.wq, command, &vq->cmd_waiter);
	pthread_mutex_lock(&vq->lock);
	if (error != CMDERR_NONE)
		queue_quiet(vq);
}

static enum command_error enable_device(struct vqueue *vq)
{
	enum command_error error;

	if (vq->state != DEVICE_DISABLED)
		return CMDERR_DEV_NOT_DISABLED;
	if (!vq->bus_master)
		return CMDERR_BUS_MASTER;
	error = vqcfg_check_device(vq);
	if (error == CMDERR_NONE)
		error = event_log_check(&vq->event_log, vq->gencfg);
	if (error != CMDERR_NONE)
		return error;
	event_log_enable(&vq->event_log, vq->gencfg);
	vq->state = DEVICE_ENABLED;
	return CMDERR_NONE;
}

static enum command_error check_enable_wq(const struct vqueue *vq, uint32_t operand)
{
	if (operand >> 8)
		return CMDERR_RESERVED;
	if (operand != 0)
		return CMDERR_WQ_INDEX;
	if (vq->state != DEVICE_ENABLED)
		return CMDERR_DEV_NOT_ENABLED;
	if (idxd_wq_state(platform_idxd(vq->platform), vq->config.wq) != WQ_DISABLED)
		return CMDERR_WQ_NOT_DISABLED;
	return vqcfg_check_wq(vq);
}

/* Nobody else enables or disables this queue, and the guest's commands come one by one. */
static enum command_error enable_wq(struct vqueue *vq, uint32_t operand)
{
	const struct vqueue_cfg cfg = vq->cfg;
	enum command_error error = check_enable_wq(vq, operand);

	if (error != CMDERR_NONE)
		return error;
	pthread_mutex_unlock(&vq->lock);
	vqcfg_apply(vq, &cfg);
	error = idxd_wq_enable(platform_idxd(vq->platform), vq->config.wq);
	pthread_mutex_lock(&vq->lock);
	return error;
}

static bool wq_is_enabled(const struct vqueue *vq)
{
	return idxd_wq_state(platform_idxd(vq->platform), vq->config.wq) == WQ_ENABLED;
}

/* Only the host, or a command that has ended here, changes the queue's state between this check and the command. */
static void command_wq(struct vqueue *vq, uint32_t code, uint32_t operand)
{
	static const enum wq_command commands[] = {
		[CMD_DISABLE_WQ] = WQ_DISABLE,
		[CMD_DRAIN_WQ] = WQ_DRAIN,
		[CMD_ABORT_WQ] = WQ_ABORT,
		[CMD_RESET_WQ] = WQ_STOP,
	};

	if (operand & ~1u) /* queues that this device does not have */
		finish(vq, CMDERR_WQ_INDEX, 0);
	else if (operand == 0)
		finish(vq, CMDERR_NONE, 0);
	else if (code != CMD_RESET_WQ && !wq_is_enabled(vq))
		finish(vq, CMDERR_WQ_NOT_ENABLED, 0);
	else
		forward(vq, commands[code]);
}

/* ---- interrupt handles (3.7) ---- */

static void request_handle(struct vqueue *vq, uint32_t operand)
{
	const uint32_t index = operand & HANDLE_OPERAND_INDEX;

	if (operand & HANDLE_OPERAND_RESERVED) {
		finish(vq, CMDERR_RESERVED, 0);
	} else if ((operand & HANDLE_OPERAND_IMS) || index == 0 || index >= vq->config.num_vectors) {
		finish(vq, CMDERR_HANDLE_INDEX, 0); /* no virtual IMS; vector 0 takes no completion interrupts */
	} else {
		store_request_handle(idxd_store(platform_idxd(vq->platform)), vq->vectors[index].entry);
		vq->vectors[index].handle_live = true;
		finish(vq, CMDERR_NONE, (uint16_t)vq->vectors[index].handle);
	}
}

/*
 * The specification names the table index in the operand (9.2.12); Linux names the handle. A number that is an index of the table
 * means that index, even if it is another vector's handle too; only one that is none is looked for among the handles. With the
 * one IMS-backed vector that Linux needs, both readings mean the same. 0: none of the guest's.
 */
static unsigned vector_to_release(const struct vqueue *vq, uint32_t operand)
{
	if (operand > 0 && operand < vq->config.num_vectors)
		return vq->vectors[operand].handle_live ? operand : 0;
	for (unsigned i = 1; i < vq->config.num_vectors; i++)
		if (vq->vectors[i].handle_live && vq->vectors[i].handle == operand)
			return i;
	return 0;
}

static enum command_error release_handle(struct vqueue *vq, uint32_t operand)
{
	const unsigned index = operand & HANDLE_OPERAND_IMS ? 0 : vector_to_release(vq, operand & HANDLE_OPERAND_INDEX);

	if (operand & HANDLE_OPERAND_RESERVED)
		return CMDERR_RESERVED;
	if (index == 0)
		return CMDERR_HANDLE_INDEX;
	store_release_handle(idxd_store(platform_idxd(vq->platform)), vq->vectors[index].entry);
	vq->vectors[index].handle_live = false;
	return CMDERR_NONE;
}

/* ---- dispatch ---- */

static void dispatch(struct vqueue *vq, uint32_t code, uint32_t operand)
{
	switch (code) {
	case CMD_ENABLE_DEVICE:
		finish(vq, enable_device(vq), 0);
		break;
	case CMD_DISABLE_DEVICE:
		if (vq->state != DEVICE_ENABLED) {
			finish(vq, CMDERR_DISABLE_DEV_NOT_ENABLED, 0);
			break;
		}
		vq->state = DEVICE_DRAINING;
		forward(vq, WQ_DISABLE);
		break;
	case CMD_DRAIN_ALL:
		forward(vq, WQ_DRAIN);
		break;
	case CMD_ABORT_ALL:
		forward(vq, WQ_ABORT);
		break;
	case CMD_RESET_DEVICE:
		vq->state = DEVICE_DRAINING;
		forward(vq, WQ_STOP);
		break;
	case CMD_ENABLE_WQ:
		finish(vq, enable_wq(vq, operand), 0);
		break;
	case CMD_DISABLE_WQ:
	case CMD_DRAIN_WQ:
	case CMD_ABORT_WQ:
	case CMD_RESET_WQ:
		command_wq(vq, code, operand);
		break;
	case CMD_REQUEST_INT_HANDLE:
		request_handle(vq, operand);
		break;
	case CMD_RELEASE_INT_HANDLE:
		finish(vq, release_handle(vq, operand), 0);
		break;
	default:
		finish(vq, CMDERR_UNSUPPORTED, 0);
		break;
	}
}

void vqcommand_write(struct vqueue *vq, uint32_t cmd)
{
	const uint32_t code = CMD_CODE(cmd);

	if (vq->cmdstatus & CMDSTATUS_ACTIVE) {
		const struct error_report report = { .swerror = { SWERROR_VALID | (uint64_t)SWERR_CMD_ACTIVE << 8 } };

		pthread_mutex_unlock(&vq->lock);
		vqregs_error(vq, &report);
		pthread_mutex_lock(&vq->lock);
		return;
	}
	vq->cmdstatus = CMDSTATUS_ACTIVE;
	vq->cmd_code = code;
	vq->cmd_interrupt = cmd & CMD_REQUEST_INTERRUPT;
	if (!(vq->config.cmdcap >> code & 1))
		finish(vq, CMDERR_UNSUPPORTED, 0);
	else if (vq->state == DEVICE_HALTED && code != CMD_RESET_DEVICE)
		finish(vq, CMDERR_HALTED, 0);
	else if ((cmd & CMD_RESERVED) || (code <= CMD_RESET_DEVICE && CMD_OPERAND(cmd) != 0))
		finish(vq, CMDERR_RESERVED, 0);
	else
		dispatch(vq, code, CMD_OPERAND(cmd));
}
