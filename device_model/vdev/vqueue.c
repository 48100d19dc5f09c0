/* vqueue.c - the life of a virtual device over a work queue, and how the PCI function around it reaches it. */
#include "vqueue.h"

#include <errno.h>
#include <stdlib.h>

static void on_error(void *ctx, const struct error_report *report)
{
	vqregs_error(ctx, report);
}

/* The guest's MSI-X portals are backed by the limited portal of the physical queue that takes handles of the message store (7.5.4). */
static void submit(void *it, uint32_t wq, const uint8_t desc[PORTAL_DESC])
{
	struct vqueue *vq = it;
	struct idxd *idxd = platform_idxd(vq->platform);

	(void)wq; /* it has one */
	idxd_submit(idxd, vq->config.wq, store_portal(idxd_store(idxd)), desc, vq->config.id);
}

/* Lock held. A device that is being reset is on its way to Disabled, and only finishes that. */
static bool begin_halt(struct vqueue *vq)
{
	const bool reset_command = (vq->cmdstatus & CMDSTATUS_ACTIVE) && vq->cmd_code == CMD_RESET_DEVICE;

	if (vq->state == DEVICE_DISABLED || vq->state == DEVICE_HALTED || reset_command)
		return false;
	vq->state = DEVICE_HALTED;
	return true;
}

/*
 * Bus mastering was lost while the device was not Disabled (5.7). What is queued or running is dropped, a command in progress
 * ends with error 0x03; nothing but a reset helps. Its interrupt waits for bus mastering to come back.
 */
static void halt(struct vqueue *vq)
{
	const struct error_report report = { .swerror = { SWERROR_VALID | (uint64_t)SWERR_PCI_CONFIG << 8 } };
	bool halted;

	pthread_mutex_lock(&vq->lock);
	halted = begin_halt(vq);
	pthread_mutex_unlock(&vq->lock);
	if (!halted)
		return;
	idxd_wq_command(platform_idxd(vq->platform), vq->config.wq, WQ_STOP);
	vqregs_error(vq, &report);
	pthread_mutex_lock(&vq->lock);
	if (vq->genctrl & GENCTRL_HALT_INT)
		vqregs_raise(vq, INTCAUSE_HALT);
	pthread_mutex_unlock(&vq->lock);
}

static void function(void *it, bool msix_enabled, bool function_mask, bool bus_master)
{
	struct vqueue *vq = it;
	bool lost;

	pthread_mutex_lock(&vq->lock);
	lost = vq->bus_master && !bus_master;
	vq->bus_master = bus_master;
	pthread_mutex_unlock(&vq->lock);
	msix_set_bus_master(vq->msix, bus_master);
	msix_set_capability(vq->msix, msix_enabled, function_mask);
	if (lost)
		halt(vq);
}

static void reset(void *it)
{
	struct vqueue *vq = it;

	pthread_mutex_lock(&vq->lock);
	vq->resetting = true;
	pthread_mutex_unlock(&vq->lock);
	/* First the source of interrupts and DMA, then what they would have gone to. */
	idxd_wq_command(platform_idxd(vq->platform), vq->config.wq, WQ_STOP);
	vqcommand_retire_entries(vq);
	pthread_mutex_lock(&vq->lock);
	while (vq->cmdstatus & CMDSTATUS_ACTIVE) /* a command that WQ_STOP has just ended */
		pthread_cond_wait(&vq->changed, &vq->lock);
	for (uint32_t i = 1; i < vq->config.num_vectors; i++)
		vq->vectors[i].handle_live = false;
	vqregs_reset(vq);
	vq->resetting = false;
	pthread_mutex_unlock(&vq->lock);
	msix_reset(vq->msix);
}

/* Of an entry of the message store: Ignore of the vector has been looked at there. */
static void interrupt(void *it, unsigned vector, const struct witness *witness)
{
	struct vqueue *vq = it;

	msix_signal(vq->msix, vector, witness);
}

/* A message that has passed the virtual table. */
static void on_message(void *ctx, const struct interrupt_message *message)
{
	const struct vqueue *vq = ctx;
	const struct outgoing outgoing = {
		.vector = message->entry,
		.entry = vq->vectors[message->entry].entry,
		.address = message->address,
		.data = message->data,
		.witness = &message->witness,
	};

	vvm_send(vq->vdev, &outgoing);
}

static void free_parts(struct vqueue *vq)
{
	msix_destroy(vq->msix);
	free(vq->vectors);
	free(vq);
}

static void destroy(void *it)
{
	struct vqueue *vq = it;

	platform_set_wq_owner(vq->platform, vq->config.wq, NULL);
	pthread_cond_destroy(&vq->changed);
	pthread_mutex_destroy(&vq->lock);
	free_parts(vq);
}

static bool accepting(void *it, uint32_t wq)
{
	const struct vqueue *vq = it;

	(void)wq; /* this device has one */
	return idxd_wq_state(platform_idxd(vq->platform), vq->config.wq) == WQ_ENABLED;
}

static const struct inside vqueue_inside = {
	.destroy = destroy,
	.read = vqregs_read,
	.write = vqregs_write,
	.submit = submit,
	.function = function,
	.reset = reset,
	.interrupt = interrupt,
	.accepting = accepting,
};

/* ---- making one ---- */

static bool config_ok(struct platform *platform, const struct vdev_config *config, const struct vdev_vector *vectors)
{
	struct store *store = idxd_store(platform_idxd(platform));

	if (config->id == 0 || config->num_vectors < 1 || config->num_vectors > VDEV_MAX_VECTORS ||
	    config->wq >= idxd_num_wqs(platform_idxd(platform)))
		return false;
	for (uint32_t i = 0; i + 1 < config->num_vectors; i++)
		if (!store_has_entry(store, vectors[i].entry) || vectors[i].handle > 0xFFFF)
			return false;
	return true;
}

static void init_vectors(struct vqueue *vq, const struct vdev_vector *vectors)
{
	vq->vectors[0].entry = UINT32_MAX;
	for (uint32_t i = 1; i < vq->config.num_vectors; i++) {
		vq->vectors[i].entry = vectors[i - 1].entry;
		vq->vectors[i].handle = vectors[i - 1].handle;
	}
}

static struct msix *make_msix(struct vqueue *vq)
{
	const struct interrupt_sink sink = { .ctx = vq, .message = on_message };
	uint32_t entries[VDEV_MAX_VECTORS];
	const struct msix_config config = {
		.vectors = vq->config.num_vectors,
		.elsewhere = vq->config.vmm_owns_msix,
		.pended = LEDGER_VM_PENDED,
		.target = vq->config.id,
		.entries = entries,
	};

	for (uint32_t i = 0; i < vq->config.num_vectors; i++)
		entries[i] = vq->vectors[i].entry;
	return msix_create(&config, &sink, platform_ledger(vq->platform));
}

static struct vqueue *make(struct vdev *vdev, const struct vdev_config *config, const struct vdev_vector *vectors)
{
	struct vqueue *vq = calloc(1, sizeof(*vq));

	if (!vq)
		return NULL;
	vq->vdev = vdev;
	vq->platform = vdev->platform;
	vq->config = *config;
	vq->owner = (struct wq_owner){ .ctx = vq, .error = on_error };
	vq->vectors = calloc(config->num_vectors, sizeof(*vq->vectors));
	if (!vq->vectors)
		goto fail;
	init_vectors(vq, vectors);
	vq->msix = make_msix(vq);
	if (!vq->msix || pthread_mutex_init(&vq->lock, NULL) != 0)
		goto fail;
	if (pthread_cond_init(&vq->changed, NULL) != 0) {
		pthread_mutex_destroy(&vq->lock);
		goto fail;
	}
	vqregs_reset(vq);
	return vq;
fail:
	free_parts(vq);
	return NULL;
}

struct vdev *vdev_create(struct platform *platform, const struct vdev_config *config, const struct vdev_vector *vectors,
			 int *error)
{
	const struct shape shape = {
		.device_id = 0x0B25,
		.bar0_size = VQUEUE_BAR0_SIZE,
		.bar2_size = PORTAL_WQ_STRIDE,
		.num_vectors = config->num_vectors,
		.msix_table = VTABLE_MSIX,
		.msix_pba = VTABLE_PBA,
	};
	struct vdev *vdev;
	struct vqueue *vq;

	*error = -EINVAL;
	if (!config_ok(platform, config, vectors))
		return NULL;
	*error = -ENOMEM;
	vdev = vdev_make(platform, config->id, config->vmm_owns_msix, 1);
	if (!vdev)
		return NULL;
	vdev->first_wq = config->wq;
	vq = make(vdev, config, vectors);
	if (!vq)
		goto fail;
	platform_set_wq_owner(platform, config->wq, &vq->owner);
	*error = vdev_fill(vdev, &shape, &vqueue_inside, vq);
	if (*error == 0 && config->mapped_portal)
		*error = vdev_map_portals(vdev);
	if (*error == 0)
		return vdev;
	destroy(vq);
fail:
	vdev_free(vdev);
	return NULL;
}
