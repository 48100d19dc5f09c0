/* command.c - the CMD register of the physical device (DSA specification 9.2.12, 9.2.13, 3.10). */
#include "idxd_internal.h"

static void finish(struct idxd *idxd, enum command_error error, uint16_t result)
{
	idxd->cmdstatus = (uint32_t)error | (uint32_t)result << 8;
	if (idxd->cmd_interrupt)
		idxd->intcause |= INTCAUSE_CMD;
}

/* Every queue that the command covers is quiet: what is left of it, then its end. Lock held; given up while the IMS is wiped. */
static void queues_quiet(struct idxd *idxd)
{
	if (idxd->cmd_code == CMD_DISABLE_DEVICE)
		idxd->state = DEVICE_DISABLED;
	if (idxd->cmd_code == CMD_RESET_DEVICE) {
		/* The IMS is not among the exceptions of Reset Device (9.2.12): wiped for every owner. */
		pthread_mutex_unlock(&idxd->lock);
		ims_reset(idxd->ims);
		pthread_mutex_lock(&idxd->lock);
		registers_reset(idxd);
	}
	finish(idxd, CMDERR_NONE, 0);
}

/* ---- device ---- */

static enum command_error check_device(const struct idxd *idxd)
{
	const struct group *group = &idxd->groups[0];
	uint32_t sum = 0;

	if (idxd->state != DEVICE_DISABLED)
		return CMDERR_DEV_NOT_DISABLED;
	for (uint32_t i = 0; i < idxd->config.num_wqs; i++) {
		const bool sized = idxd->wqs[i].cfg[WQCFG_SIZE] != 0;
		const bool grouped = group->wqs[i / 64] >> (i % 64) & 1;

		sum += idxd->wqs[i].cfg[WQCFG_SIZE];
		if (sized != grouped)
			return CMDERR_WQ_GROUP;
	}
	if (sum > idxd->config.total_wq_size)
		return CMDERR_WQ_SIZE_SUM;
	return (sum != 0) != (group->engines != 0) ? CMDERR_GROUP_CONFIG : CMDERR_NONE;
}

static enum command_error enable_device(struct idxd *idxd)
{
	const enum command_error error = check_device(idxd);

	if (error == CMDERR_NONE) {
		wq_lay_out(idxd);
		idxd->state = DEVICE_ENABLED;
	}
	return error;
}

/* ---- work queues: a bitmap in a block of 16 (commands 7 to 10) ---- */

static void wq_done(struct wq_waiter *waiter)
{
	struct idxd *idxd = waiter->ctx;

	pthread_mutex_lock(&idxd->lock);
	if (--idxd->cmd_outstanding == 0)
		queues_quiet(idxd);
	pthread_mutex_unlock(&idxd->lock);
}

static bool bitmap_has(uint32_t operand, uint32_t wq)
{
	return wq / 16 == (operand >> 16 & 0xFu) && (operand >> (wq % 16) & 1u);
}

static enum command_error check_bitmap(const struct idxd *idxd, uint32_t operand, bool need_enabled)
{
	for (uint32_t wq = (operand >> 16 & 0xFu) * 16, end = wq + 16; wq < end; wq++) {
		if (!bitmap_has(operand, wq))
			continue;
		if (wq >= idxd->config.num_wqs)
			return CMDERR_WQ_INDEX;
		if (need_enabled && idxd->wqs[wq].state != WQ_ENABLED)
			return CMDERR_WQ_NOT_ENABLED;
	}
	return CMDERR_NONE;
}

/*
 * Starts `command` on the queues for which `chosen` holds. One more outstanding than there are queues, taken back at the end,
 * keeps Active set until all have been started. The lock is given up between queues.
 */
static void start_queues(struct idxd *idxd, enum wq_command command, bool (*chosen)(uint32_t operand, uint32_t wq),
			 uint32_t operand)
{
	idxd->cmd_outstanding = 1;
	for (uint32_t i = 0; i < idxd->config.num_wqs; i++) {
		struct wq_waiter *waiter = &idxd->cmd_waiters[i];
		enum command_error error;

		if (!chosen(operand, i) || (idxd->wqs[i].state == WQ_DISABLED && command != WQ_RESET))
			continue;
		*waiter = (struct wq_waiter){ .done = wq_done, .ctx = idxd };
		idxd->cmd_outstanding++;
		pthread_mutex_unlock(&idxd->lock);
		error = idxd_wq_start(idxd, i, command, waiter);
		pthread_mutex_lock(&idxd->lock);
		if (error != CMDERR_NONE) /* disabled by its owner in the meantime: nothing to wait for */
			idxd->cmd_outstanding--;
	}
	if (--idxd->cmd_outstanding == 0)
		queues_quiet(idxd);
}

static bool every(uint32_t operand, uint32_t wq)
{
	(void)operand;
	(void)wq;
	return true;
}

static void command_queues(struct idxd *idxd, uint32_t code, uint32_t operand)
{
	static const enum wq_command commands[] = {
		[CMD_DISABLE_WQ] = WQ_DISABLE,
		[CMD_DRAIN_WQ] = WQ_DRAIN,
		[CMD_ABORT_WQ] = WQ_ABORT,
		[CMD_RESET_WQ] = WQ_RESET,
	};
	const enum command_error error = check_bitmap(idxd, operand, code != CMD_RESET_WQ);

	if (error != CMDERR_NONE)
		finish(idxd, error, 0);
	else
		start_queues(idxd, commands[code], bitmap_has, operand);
}

/* ---- interrupt handles ---- */

static void command_handle(struct idxd *idxd, uint32_t code, uint32_t operand)
{
	const uint32_t entry = operand & HANDLE_OPERAND_INDEX;
	bool known;

	if (operand & HANDLE_OPERAND_RESERVED) {
		finish(idxd, CMDERR_RESERVED, 0);
		return;
	}
	if (!(operand & HANDLE_OPERAND_IMS)) /* the device has no MSI-X table that completion interrupts could use */
		known = false;
	else if (code == CMD_REQUEST_INT_HANDLE)
		known = ims_request_handle(idxd->ims, entry);
	else
		known = ims_release_handle(idxd->ims, entry);
	finish(idxd, known ? CMDERR_NONE : CMDERR_HANDLE_INDEX,
	       known && code == CMD_REQUEST_INT_HANDLE ? (uint16_t)entry : 0);
}

static void command_enable_wq(struct idxd *idxd, uint32_t operand)
{
	enum command_error error;

	if (operand >> 8) {
		finish(idxd, CMDERR_RESERVED, 0);
		return;
	}
	pthread_mutex_unlock(&idxd->lock);
	error = idxd_wq_enable(idxd, operand);
	pthread_mutex_lock(&idxd->lock);
	finish(idxd, error, 0);
}

static void dispatch(struct idxd *idxd, uint32_t code, uint32_t operand)
{
	switch (code) {
	case CMD_ENABLE_DEVICE:
		finish(idxd, enable_device(idxd), 0);
		break;
	case CMD_DISABLE_DEVICE:
		if (idxd->state != DEVICE_ENABLED) {
			finish(idxd, CMDERR_DISABLE_DEV_NOT_ENABLED, 0);
			break;
		}
		idxd->state = DEVICE_DRAINING;
		start_queues(idxd, WQ_DISABLE, every, 0);
		break;
	case CMD_DRAIN_ALL:
		start_queues(idxd, WQ_DRAIN, every, 0);
		break;
	case CMD_ABORT_ALL:
		start_queues(idxd, WQ_ABORT, every, 0);
		break;
	case CMD_RESET_DEVICE:
		idxd->state = DEVICE_DRAINING;
		start_queues(idxd, WQ_RESET, every, 0);
		break;
	case CMD_ENABLE_WQ:
		command_enable_wq(idxd, operand);
		break;
	case CMD_DISABLE_WQ:
	case CMD_DRAIN_WQ:
	case CMD_ABORT_WQ:
	case CMD_RESET_WQ:
		command_queues(idxd, code, operand);
		break;
	case CMD_REQUEST_INT_HANDLE:
	case CMD_RELEASE_INT_HANDLE:
		command_handle(idxd, code, operand);
		break;
	default:
		finish(idxd, CMDERR_UNSUPPORTED, 0);
		break;
	}
}

void command_write(struct idxd *idxd, uint32_t cmd)
{
	if (idxd->cmdstatus & CMDSTATUS_ACTIVE) {
		const uint64_t swerror[4] = { SWERROR_VALID | (uint64_t)SWERR_CMD_ACTIVE << 8 };

		pthread_mutex_unlock(&idxd->lock);
		registers_error(idxd, UINT32_MAX, swerror);
		pthread_mutex_lock(&idxd->lock);
		return;
	}
	idxd->cmdstatus = CMDSTATUS_ACTIVE;
	idxd->cmd_code = CMD_CODE(cmd);
	idxd->cmd_interrupt = cmd & CMD_REQUEST_INTERRUPT;
	dispatch(idxd, CMD_CODE(cmd), CMD_OPERAND(cmd));
}
