/*
 * vcommand.c - the guest's CMD register (DSA specification 9.2.12, 9.2.13, 7.5). Commands are checked here and forwarded to
 * the one physical work queue of this device; nothing a guest writes names another one.
 */
#include "vdev_internal.h"

static void finish(struct vdev *vdev, enum command_error error, uint16_t result)
{
	vdev->cmdstatus = (uint32_t)error | (uint32_t)result << 8;
	if (vdev->cmd_interrupt)
		vregs_raise(vdev, INTCAUSE_CMD);
}

void vcommand_retire_entries(struct vdev *vdev)
{
	struct ims *ims = idxd_ims(platform_idxd(vdev->platform));

	for (unsigned i = 1; i < vdev->config.num_vectors; i++) {
		const uint32_t entry = vdev->vectors[i].entry;

		ims_release_handle(ims, entry);
		ims_set_ignore(ims, entry, false);
		ims_wait_sent(ims, entry);
	}
}

/* The physical queue is quiet: what is left of the command. */
static void queue_quiet(struct vdev *vdev)
{
	if (vdev->cmd_code == CMD_DISABLE_DEVICE || vdev->cmd_code == CMD_RESET_DEVICE)
		vdev->state = DEVICE_DISABLED;
	if (vdev->cmd_code == CMD_RESET_DEVICE) {
		vdev->gencfg = 0;
		vdev->genctrl = 0;
		for (unsigned i = 0; i < vdev->config.num_vectors; i++) {
			vdev->vectors[i].handle_live = false;
			vdev->vectors[i].perm = 0;
			vdev->vectors[i].pending = false;
		}
	}
	if (vdev->cmd_code == CMD_RESET_DEVICE || vdev->cmd_code == CMD_RESET_WQ) {
		vdev->wq_threshold = 0;
		vdev->wq_mode = vdev->config.wq_mode;
	}
	finish(vdev, CMDERR_NONE, 0);
}

static void on_queue_quiet(struct wq_waiter *waiter)
{
	struct vdev *vdev = waiter->ctx;

	if (vdev->cmd_code == CMD_RESET_DEVICE) /* stays as it is while the command is active */
		vcommand_retire_entries(vdev);
	pthread_mutex_lock(&vdev->lock);
	queue_quiet(vdev);
	pthread_cond_broadcast(&vdev->changed);
	pthread_mutex_unlock(&vdev->lock);
}

/* need_enabled: the command names a queue that must be enabled; else a queue that is not has nothing to wait for. */
static void forward(struct vdev *vdev, enum wq_command command, bool need_enabled)
{
	enum command_error error;

	vdev->cmd_waiter = (struct wq_waiter){ .done = on_queue_quiet, .ctx = vdev };
	pthread_mutex_unlock(&vdev->lock);
	error = idxd_wq_start(platform_idxd(vdev->platform), vdev->config.wq, command, &vdev->cmd_waiter);
	pthread_mutex_lock(&vdev->lock);
	if (error == CMDERR_NONE)
		return;
	if (need_enabled)
		finish(vdev, error, 0);
	else
		queue_quiet(vdev);
}

static void enable_device(struct vdev *vdev)
{
	if (vdev->state != DEVICE_DISABLED) {
		finish(vdev, CMDERR_DEV_NOT_DISABLED, 0);
	} else if (!vdev->bus_master) {
		finish(vdev, CMDERR_BUS_MASTER, 0);
	} else {
		vdev->state = DEVICE_ENABLED;
		finish(vdev, CMDERR_NONE, 0);
	}
}

static enum command_error check_enable_wq(const struct vdev *vdev, uint32_t operand)
{
	if (operand >> 8)
		return CMDERR_RESERVED;
	if (operand != 0)
		return CMDERR_WQ_INDEX;
	if (vdev->state != DEVICE_ENABLED)
		return CMDERR_DEV_NOT_ENABLED;
	return vdev->wq_mode & WQCFG_MODE_PASID_EN ? CMDERR_WQ_PASID : CMDERR_NONE;
}

static void enable_wq(struct vdev *vdev, uint32_t operand)
{
	enum command_error error = check_enable_wq(vdev, operand);

	if (error == CMDERR_NONE) {
		pthread_mutex_unlock(&vdev->lock);
		error = idxd_wq_enable(platform_idxd(vdev->platform), vdev->config.wq);
		pthread_mutex_lock(&vdev->lock);
	}
	finish(vdev, error, 0);
}

static void command_wq(struct vdev *vdev, uint32_t code, uint32_t operand)
{
	static const enum wq_command commands[] = {
		[CMD_DISABLE_WQ] = WQ_DISABLE,
		[CMD_DRAIN_WQ] = WQ_DRAIN,
		[CMD_ABORT_WQ] = WQ_ABORT,
		[CMD_RESET_WQ] = WQ_STOP,
	};

	if (operand & ~1u) /* queues that this device does not have */
		finish(vdev, CMDERR_WQ_INDEX, 0);
	else if (operand == 0)
		finish(vdev, CMDERR_NONE, 0);
	else
		forward(vdev, commands[code], code != CMD_RESET_WQ);
}

/* ---- interrupt handles (3.7) ---- */

static void request_handle(struct vdev *vdev, uint32_t operand)
{
	const uint32_t index = operand & HANDLE_OPERAND_INDEX;

	if (operand & HANDLE_OPERAND_RESERVED) {
		finish(vdev, CMDERR_RESERVED, 0);
	} else if ((operand & HANDLE_OPERAND_IMS) || index == 0 || index >= vdev->config.num_vectors) {
		finish(vdev, CMDERR_HANDLE_INDEX, 0); /* no virtual IMS; vector 0 takes no completion interrupts */
	} else {
		ims_request_handle(idxd_ims(platform_idxd(vdev->platform)), vdev->vectors[index].entry);
		vdev->vectors[index].handle_live = true;
		finish(vdev, CMDERR_NONE, (uint16_t)vdev->vectors[index].handle);
	}
}

/* The specification names the table index in the operand; Linux names the handle. A live handle is taken first. */
static unsigned vector_to_release(const struct vdev *vdev, uint32_t operand)
{
	for (unsigned i = 1; i < vdev->config.num_vectors; i++)
		if (vdev->vectors[i].handle_live && vdev->vectors[i].handle == operand)
			return i;
	return operand < vdev->config.num_vectors && vdev->vectors[operand].handle_live ? operand : 0;
}

static void release_handle(struct vdev *vdev, uint32_t operand)
{
	const unsigned index = operand & ~(uint32_t)HANDLE_OPERAND_INDEX ? 0 : vector_to_release(vdev, operand);

	if (index == 0) {
		finish(vdev, CMDERR_HANDLE_INDEX, 0);
		return;
	}
	ims_release_handle(idxd_ims(platform_idxd(vdev->platform)), vdev->vectors[index].entry);
	vdev->vectors[index].handle_live = false;
	finish(vdev, CMDERR_NONE, 0);
}

/* ---- dispatch ---- */

static void dispatch(struct vdev *vdev, uint32_t code, uint32_t operand)
{
	switch (code) {
	case CMD_ENABLE_DEVICE:
		enable_device(vdev);
		break;
	case CMD_DISABLE_DEVICE:
		if (vdev->state != DEVICE_ENABLED) {
			finish(vdev, CMDERR_DISABLE_DEV_NOT_ENABLED, 0);
			break;
		}
		vdev->state = DEVICE_DRAINING;
		forward(vdev, WQ_DISABLE, false);
		break;
	case CMD_DRAIN_ALL:
		forward(vdev, WQ_DRAIN, false);
		break;
	case CMD_ABORT_ALL:
		forward(vdev, WQ_ABORT, false);
		break;
	case CMD_RESET_DEVICE:
		vdev->state = DEVICE_DRAINING;
		forward(vdev, WQ_STOP, false);
		break;
	case CMD_ENABLE_WQ:
		enable_wq(vdev, operand);
		break;
	case CMD_DISABLE_WQ:
	case CMD_DRAIN_WQ:
	case CMD_ABORT_WQ:
	case CMD_RESET_WQ:
		command_wq(vdev, code, operand);
		break;
	case CMD_REQUEST_INT_HANDLE:
		request_handle(vdev, operand);
		break;
	case CMD_RELEASE_INT_HANDLE:
		release_handle(vdev, operand);
		break;
	default:
		finish(vdev, CMDERR_UNSUPPORTED, 0);
		break;
	}
}

void vcommand_write(struct vdev *vdev, uint32_t cmd)
{
	const uint32_t code = CMD_CODE(cmd);

	if (vdev->cmdstatus & CMDSTATUS_ACTIVE) {
		const uint64_t swerror[4] = { SWERROR_VALID | (uint64_t)SWERR_CMD_ACTIVE << 8 };

		pthread_mutex_unlock(&vdev->lock);
		vregs_error(vdev, swerror);
		pthread_mutex_lock(&vdev->lock);
		return;
	}
	vdev->cmdstatus = CMDSTATUS_ACTIVE;
	vdev->cmd_code = code;
	vdev->cmd_interrupt = cmd & CMD_REQUEST_INTERRUPT;
	if (vdev->config.cmdcap >> code & 1)
		dispatch(vdev, code, CMD_OPERAND(cmd));
	else
		finish(vdev, CMDERR_UNSUPPORTED, 0);
}
