/* vvm.c - the VM behind the connection: who is attached, and the way of interrupts into it. */
#include <errno.h>

#include "vdev_internal.h"

int vdev_attach(struct vdev *vdev, const struct vdev_vm *vm)
{
	int result = -EBUSY;

	vportal_reset(vdev); /* pieces of a client that has gone are never joined to those of this one */
	pthread_mutex_lock(&vdev->lock);
	if (!vdev->attached)
		vmemory_update(vdev); /* another thread may still be waiting for those inside the VM before */
	if (!vdev->attached) {
		vdev->vm = *vm;
		vdev->attached = true;
		vmemory_update(vdev);
		result = 0;
	}
	pthread_mutex_unlock(&vdev->lock);
	if (result == 0)
		observe_event(vdev, TRACE_ATTACHED);
	return result;
}

void vdev_detach(struct vdev *vdev)
{
	bool was_attached;

	pthread_mutex_lock(&vdev->lock);
	was_attached = vdev->attached;
	vdev->attached = false;
	vmemory_update(vdev);
	while (vdev->senders > 0)
		pthread_cond_wait(&vdev->changed, &vdev->lock);
	pthread_mutex_unlock(&vdev->lock);
	vmapped_renew(vdev->mapped);
	if (was_attached)
		observe_event(vdev, TRACE_DETACHED);
}

/* ---- interrupts ---- */

void vvm_note(struct vdev *vdev, uint8_t kind, const struct outgoing *message, uint64_t detail, uint8_t more_flags)
{
	const struct witness *witness = message->witness;
	const struct ledger_record record = {
		.cause = witness->cause,
		.detail = detail,
		.requester = witness->requester,
		.target = vdev->id,
		.pasid = witness->pasid,
		.entry = message->entry,
		.handle = witness->handle,
		.vector = (uint16_t)message->vector,
		.wq = witness->wq,
		.kind = kind,
		.opcode = witness->opcode,
		.flags = (uint8_t)(witness->flags | (vdev->vmm_owns_msix ? LEDGER_F_EVENTFD : 0) | more_flags),
	};

	ledger_write(platform_ledger(vdev->platform), &record);
}

static int call_vm(const struct vdev *vdev, const struct vdev_vm *vm, const struct outgoing *message)
{
	return vdev->vmm_owns_msix ? vm->signal(vm->ctx, message->vector) :
				     vm->message(vm->ctx, message->address, message->data);
}

void vvm_send(struct vdev *vdev, const struct outgoing *message)
{
	struct vdev_vm vm;
	int result;

	pthread_mutex_lock(&vdev->lock);
	if (!vdev->attached) {
		vdev->stats.interrupts_lost++;
		pthread_mutex_unlock(&vdev->lock);
		vvm_note(vdev, LEDGER_LOST, message, message->address, 0);
		return;
	}
	vm = vdev->vm;
	vdev->senders++;
	pthread_mutex_unlock(&vdev->lock);
	/* Noted before it leaves: a guest that has seen an interrupt is never ahead of the ledger. */
	vvm_note(vdev, LEDGER_INJECTED, message, message->address, 0);
	result = call_vm(vdev, &vm, message);
	if (result != 0)
		vvm_note(vdev, LEDGER_LOST, message, message->address, LEDGER_F_RETRACTS);
	pthread_mutex_lock(&vdev->lock);
	vdev->stats.interrupts += result == 0;
	vdev->stats.interrupts_lost += result != 0;
	if (--vdev->senders == 0)
		pthread_cond_broadcast(&vdev->changed);
	pthread_mutex_unlock(&vdev->lock);
}
