/*
 * vmsix.c - the virtual MSI-X table and its pending bits (PCI Express base specification 6.1.4, 7.7.2): the last gate before
 * the VM. A vector that is masked, or a function that may not send, keeps the interrupt pending; exactly one message leaves
 * when that ends.
 */
#include "vdev_internal.h"

static bool may_send(const struct vdev *vdev, const struct vvector *vector)
{
	if (vdev->config.vmm_owns_msix) /* the VMM has the table, and masks by itself */
		return true;
	return vdev->msix_enabled && !vdev->msix_function_mask && vdev->bus_master && !(vector->ctrl & MSIX_VCTRL_MASK);
}

static void note(struct vdev *vdev, uint8_t kind, unsigned index, const struct witness *witness, uint64_t detail,
		 uint8_t more_flags)
{
	const struct ledger_record record = {
		.cause = witness->cause,
		.detail = detail,
		.requester = witness->requester,
		.target = vdev->config.id,
		.pasid = witness->pasid,
		.entry = vdev->vectors[index].entry,
		.handle = witness->handle,
		.vector = (uint16_t)index,
		.wq = witness->wq,
		.kind = kind,
		.opcode = witness->opcode,
		.flags = (uint8_t)(witness->flags | (vdev->config.vmm_owns_msix ? LEDGER_F_EVENTFD : 0) | more_flags),
	};

	ledger_write(platform_ledger(vdev->platform), &record);
}

static int call_vm(const struct vdev *vdev, const struct vdev_vm *vm, unsigned index, uint64_t address, uint32_t data)
{
	return vdev->config.vmm_owns_msix ? vm->signal(vm->ctx, index) : vm->message(vm->ctx, address, data);
}

/* Lock held; given up while the VM has it. The address and data are one snapshot of the entry. */
static void send_unlocking(struct vdev *vdev, unsigned index, const struct witness *witness)
{
	struct vvector *vector = &vdev->vectors[index];
	const struct vdev_vm vm = vdev->vm;
	const uint64_t address = vector->address;
	const uint32_t data = vector->data;
	int result;

	if (!vdev->attached) {
		vdev->stats.interrupts_lost++;
		note(vdev, LEDGER_LOST, index, witness, address, 0);
		return;
	}
	/* Noted before it leaves: a guest that has seen an interrupt is never ahead of the ledger. */
	note(vdev, LEDGER_INJECTED, index, witness, address, 0);
	vector->sending++;
	vdev->inside++;
	pthread_mutex_unlock(&vdev->lock);
	result = call_vm(vdev, &vm, index, address, data);
	pthread_mutex_lock(&vdev->lock);
	vector->sending--;
	vdev->inside--;
	pthread_cond_broadcast(&vdev->changed);
	if (result == 0) {
		vdev->stats.interrupts++;
	} else {
		vdev->stats.interrupts_lost++;
		note(vdev, LEDGER_LOST, index, witness, address, LEDGER_F_RETRACTS);
	}
}

void vmsix_interrupt(struct vdev *vdev, unsigned index, const struct witness *witness)
{
	struct vvector *vector;

	if (index >= vdev->config.num_vectors)
		return;
	vector = &vdev->vectors[index];
	pthread_mutex_lock(&vdev->lock);
	if (may_send(vdev, vector)) {
		send_unlocking(vdev, index, witness);
	} else {
		vector->pending = true;
		vector->pending_witness = *witness;
		note(vdev, LEDGER_VM_PENDED, index, witness, 0, 0);
	}
	pthread_mutex_unlock(&vdev->lock);
}

static void flush_one(struct vdev *vdev, unsigned index)
{
	struct vvector *vector = &vdev->vectors[index];

	if (vector->pending && may_send(vdev, vector)) {
		const struct witness witness = vector->pending_witness;

		vector->pending = false;
		send_unlocking(vdev, index, &witness);
	}
}

void vmsix_flush(struct vdev *vdev)
{
	for (unsigned i = 0; i < vdev->config.num_vectors; i++)
		flush_one(vdev, i);
}

static void wait_sent(struct vdev *vdev, const struct vvector *vector)
{
	while (vector->sending > 0)
		pthread_cond_wait(&vdev->changed, &vdev->lock);
}

void vmsix_quiesce(struct vdev *vdev)
{
	for (unsigned i = 0; i < vdev->config.num_vectors; i++)
		wait_sent(vdev, &vdev->vectors[i]);
}

void vmsix_reset(struct vdev *vdev)
{
	for (unsigned i = 0; i < vdev->config.num_vectors; i++) {
		struct vvector *vector = &vdev->vectors[i];

		vector->address = 0;
		vector->data = 0;
		vector->ctrl = MSIX_VCTRL_MASK;
		vector->pending = false;
		vector->perm = 0;
	}
}

/* ---- the table and the PBA as registers; lock held ---- */

uint64_t vmsix_read(struct vdev *vdev, uint64_t offset)
{
	const struct vvector *vector = &vdev->vectors[offset / MSIX_STRIDE];

	if (offset % MSIX_STRIDE == 0)
		return vector->address;
	return vector->data | (uint64_t)vector->ctrl << 32;
}

void vmsix_write_dword(struct vdev *vdev, uint64_t offset, uint32_t value)
{
	const unsigned index = (unsigned)(offset / MSIX_STRIDE);
	struct vvector *vector = &vdev->vectors[index];

	switch (offset % MSIX_STRIDE) {
	case MSIX_ADDR_LO:
		vector->address = (vector->address & ~0xFFFFFFFFull) | (value & ~3u);
		break;
	case MSIX_ADDR_HI:
		vector->address = (vector->address & 0xFFFFFFFFull) | (uint64_t)value << 32;
		break;
	case MSIX_DATA:
		vector->data = value;
		break;
	default:
		vector->ctrl = value & MSIX_VCTRL_MASK;
		if (vector->ctrl)
			wait_sent(vdev, vector);
		else
			flush_one(vdev, index);
		break;
	}
}

/* Composed of the virtual pending bits and the Pending bits of the IMS entries (7.5.4). */
uint64_t vmsix_read_pba(struct vdev *vdev, unsigned word)
{
	uint64_t bits = 0;

	for (unsigned i = 0; i < 64 && word * 64 + i < vdev->config.num_vectors; i++) {
		const struct vvector *vector = &vdev->vectors[word * 64 + i];
		const bool pending = vector->pending || ims_pending(idxd_ims(platform_idxd(vdev->platform)), vector->entry);

		bits |= (uint64_t)pending << i;
	}
	return bits;
}
