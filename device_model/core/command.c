/* command.c - the CMD register of the physical device (DSA specification 9.2.12, 9.2.13, 3.15, 5.8.3). */
#include "idxd_internal.h"

/* Lock held; given up while the interrupt is sent: the status first, then what tells of it. */
static void finish(struct idxd *idxd, enum command_error error, uint16_t result)
{
	const bool interrupt = idxd->cmd_interrupt;

	idxd->cmdstatus = (uint32_t)error | (uint32_t)result << 8;
	pthread_cond_broadcast(&idxd->settled);
	if (interrupt)
		registers_raise(idxd, INTCAUSE_CMD);
}

/* Every queue that the command covers is quiet: what is left of it, then its end. Lock held; given up while the IMS is wiped. */
static void queues_quiet(struct idxd *idxd)
{
	enum command_error error = CMDERR_NONE;

	if (idxd->cmd_code == CMD_RESET_DEVICE) {
		/* The IMS is not among the exceptions of Reset Device (3.15): wiped for every owner. */
		pthread_mutex_unlock(&idxd->lock);
		function_wipe_interrupts(idxd);
		pthread_mutex_lock(&idxd->lock);
		registers_reset(idxd);
		if (idxd->resetting) /* by an FLR, too, which is not at its end */
			idxd->state = DEVICE_DRAINING;
	} else if (idxd->state == DEVICE_HALTED) { /* in the meantime: what it waited for has been dropped */
		error = CMDERR_HARDWARE;
	} else if (idxd->cmd_code == CMD_DISABLE_DEVICE) {
		idxd->state = DEVICE_DISABLED;
	}
	finish(idxd, error, 0);
}

/* ---- work queues ---- */

static void wq_done(struct wq_waiter *waiter)
{
	struct idxd *idxd = waiter->ctx;

	pthread_mutex_lock(&idxd->lock);
	if (--idxd->cmd_outstanding == 0)
		queues_quiet(idxd);
	pthread_mutex_unlock(&idxd->lock);
}

typedef bool choose_wq(const struct idxd *idxd, uint32_t operand, uint32_t wq);

/*
 * Starts `command` on the queues for which `chosen` holds. One more outstanding than there are queues, taken back at the end,
 * keeps Active set until all have been started. The lock is given up between queues.
 */
static void start_queues(struct idxd *idxd, enum wq_command command, choose_wq *chosen, uint32_t operand)
{
	idxd->cmd_outstanding = 1;
	for (uint32_t i = 0; i < idxd->config.num_wqs; i++) {
		struct wq_waiter *waiter = &idxd->cmd_waiters[i];
		enum command_error error;

		if (!chosen(idxd, operand, i) || (idxd->wqs[i].state == WQ_DISABLED && command != WQ_RESET))
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

static bool every(const struct idxd *idxd, uint32_t operand, uint32_t wq)
{
	(void)idxd;
	(void)operand;
	(void)wq;
	return true;
}

/* Queues are dedicated: all descriptors of one run with the PASID of its WQCFG. */
static bool has_pasid(const struct idxd *idxd, uint32_t pasid, uint32_t wq)
{
	return wq_has_pasid(&idxd->wqs[wq], pasid);
}

/* Operand: a bitmap in a block of 16 (commands 7 to 10). */
static bool bitmap_has(const struct idxd *idxd, uint32_t operand, uint32_t wq)
{
	(void)idxd;
	return wq / 16 == (operand >> 16 & 0xFu) && (operand >> (wq % 16) & 1u);
}

static enum command_error check_bitmap(const struct idxd *idxd, uint32_t operand, bool need_enabled)
{
	const uint32_t first = (operand >> 16 & 0xFu) * 16;

	for (uint32_t wq = first; wq < first + 16; wq++)
		if (bitmap_has(idxd, operand, wq) && wq >= idxd->config.num_wqs)
			return CMDERR_WQ_INDEX;
	for (uint32_t wq = first; wq < first + 16; wq++)
		if (need_enabled && bitmap_has(idxd, operand, wq) && idxd->wqs[wq].state != WQ_ENABLED)
			return CMDERR_WQ_NOT_ENABLED;
	return CMDERR_NONE;
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

static void enable_wq(struct idxd *idxd, uint32_t operand)
{
	enum command_error error;

	pthread_mutex_unlock(&idxd->lock);
	error = idxd_wq_enable(idxd, operand);
	pthread_mutex_lock(&idxd->lock);
	finish(idxd, error, 0);
}

/* ---- the device ---- */

static void enable_device(struct idxd *idxd)
{
	const enum command_error error = check_device(idxd);

	if (error == CMDERR_NONE) {
		wq_lay_out(idxd);
		event_log_enable(&idxd->event_log, idxd->gencfg);
		idxd->state = DEVICE_ENABLED;
	}
	finish(idxd, error, 0);
}

static void disable_device(struct idxd *idxd)
{
	if (idxd->state != DEVICE_ENABLED) {
		finish(idxd, CMDERR_DISABLE_DEV_NOT_ENABLED, 0);
		return;
	}
	idxd->state = DEVICE_DRAINING;
	start_queues(idxd, WQ_DISABLE, every, 0);
}

static void reset_device(struct idxd *idxd)
{
	idxd->state = DEVICE_DRAINING;
	start_queues(idxd, WQ_RESET, every, 0);
}

/* ---- interrupt handles: the index of the entry ---- */

static bool request_handle(struct idxd *idxd, bool in_ims, uint32_t entry)
{
	if (in_ims)
		return store_takes_commands(idxd->store) && store_request_handle(idxd->store, entry);
	return idxd->msix && msix_request_handle(idxd->msix, entry);
}

static bool release_handle(struct idxd *idxd, bool in_ims, uint32_t entry)
{
	if (in_ims)
		return store_takes_commands(idxd->store) && store_release_handle(idxd->store, entry);
	return idxd->msix && msix_release_handle(idxd->msix, entry);
}

static void command_handle(struct idxd *idxd, uint32_t code, uint32_t operand)
{
	const uint32_t entry = operand & HANDLE_OPERAND_INDEX;
	const bool in_ims = operand & HANDLE_OPERAND_IMS;

	if (code == CMD_RELEASE_INT_HANDLE)
		finish(idxd, release_handle(idxd, in_ims, entry) ? CMDERR_NONE : CMDERR_HANDLE_INDEX, 0);
	else if (request_handle(idxd, in_ims, entry))
		finish(idxd, CMDERR_NONE, (uint16_t)entry);
	else
		finish(idxd, CMDERR_HANDLE_INDEX, 0);
}

/* ---- any command ---- */

/* Bits of the operand that each command does not have. */
static uint32_t reserved_bits(uint32_t code)
{
	switch (code) {
	case CMD_ENABLE_DEVICE:
	case CMD_DISABLE_DEVICE:
	case CMD_DRAIN_ALL:
	case CMD_ABORT_ALL:
	case CMD_RESET_DEVICE:
		return 0xFFFFF;
	case CMD_ENABLE_WQ:
		return 0xFFF00;
	case CMD_REQUEST_INT_HANDLE:
	case CMD_RELEASE_INT_HANDLE:
		return HANDLE_OPERAND_RESERVED;
	default:
		return 0;
	}
}

/* What any command can fail with, in the order of the codes but for a device that is halted: nothing else counts then. */
static enum command_error check_command(const struct idxd *idxd, uint32_t cmd)
{
	const uint32_t code = CMD_CODE(cmd);

	if (!capabilities_command(idxd, code))
		return CMDERR_UNSUPPORTED;
	if (idxd->state == DEVICE_HALTED && code != CMD_RESET_DEVICE)
		return CMDERR_HALTED;
	return cmd & (CMD_RESERVED | reserved_bits(code)) ? CMDERR_RESERVED : CMDERR_NONE;
}

static void dispatch(struct idxd *idxd, uint32_t code, uint32_t operand)
{
	switch (code) {
	case CMD_ENABLE_DEVICE:
		enable_device(idxd);
		break;
	case CMD_DISABLE_DEVICE:
		disable_device(idxd);
		break;
	case CMD_DRAIN_ALL:
		start_queues(idxd, WQ_DRAIN, every, 0);
		break;
	case CMD_ABORT_ALL:
		start_queues(idxd, WQ_ABORT, every, 0);
		break;
	case CMD_RESET_DEVICE:
		reset_device(idxd);
		break;
	case CMD_ENABLE_WQ:
		enable_wq(idxd, operand);
		break;
	case CMD_DISABLE_WQ:
	case CMD_DRAIN_WQ:
	case CMD_ABORT_WQ:
	case CMD_RESET_WQ:
		command_queues(idxd, code, operand);
		break;
	case CMD_DRAIN_PASID:
		start_queues(idxd, WQ_DRAIN, has_pasid, operand);
		break;
	case CMD_ABORT_PASID:
		start_queues(idxd, WQ_ABORT, has_pasid, operand);
		break;
	default:
		command_handle(idxd, code, operand);
		break;
	}
}

static void refuse_while_active(struct idxd *idxd)
{
	const struct error_report report = { .swerror = { SWERROR_VALID | (uint64_t)SWERR_CMD_ACTIVE << 8 } };

	pthread_mutex_unlock(&idxd->lock);
	registers_error(idxd, UINT32_MAX, &report);
	pthread_mutex_lock(&idxd->lock);
}

void command_write(struct idxd *idxd, uint32_t cmd)
{
	enum command_error error;

	if (idxd->resetting) /* nobody would see its end */
		return;
	if (idxd->cmdstatus & CMDSTATUS_ACTIVE) {
		refuse_while_active(idxd);
		return;
	}
	idxd->cmdstatus = CMDSTATUS_ACTIVE;
	idxd->cmd_code = CMD_CODE(cmd);
	idxd->cmd_interrupt = cmd & CMD_REQUEST_INTERRUPT;
	error = check_command(idxd, cmd);
	if (error == CMDERR_NONE)
		dispatch(idxd, CMD_CODE(cmd), CMD_OPERAND(cmd));
	else
		finish(idxd, error, 0);
}
