/*
 * vowned.c - the inside of a virtual device that is a device of its own: a whole struct idxd with MSI-X table, queues and engines,
 * whose ports lead straight into its VM. It shares nothing with other devices but the ledger, so it needs no interrupt
 * remapping and no PASID: its DMA is the VM's memory, its messages are the VM's.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "vdev_internal.h"

enum { DEVICE_ID_DSA = 0x0B25, DEVICE_ID_IAA = 0x0CFE, MAX_ENGINES = 16 };

struct vowned;

struct engine {
	struct vowned *owned;
	uint32_t number;
	pthread_t thread;
};

struct vowned {
	struct vdev *vdev; /* the function around it */
	struct idxd *idxd;
	uint32_t num_vectors, num_engines;
	uint32_t running; /* engines that have a thread */
	struct engine engines[MAX_ENGINES];
};

/* ---- ports ---- */

static void on_message(void *ctx, const struct interrupt_message *message)
{
	const struct vowned *owned = ctx;
	const struct outgoing outgoing = {
		.vector = message->entry,
		.entry = UINT32_MAX,
		.address = message->address,
		.data = message->data,
		.witness = &message->witness,
	};

	vvm_send(owned->vdev, &outgoing);
}

/* No PASID reaches a VM: a queue that could be given one would be refused by Enable WQ, for the device has no such capability. */
static bool on_dma_enter(void *ctx, bool pasid_enable, uint32_t pasid, struct dma_space *space)
{
	const struct vowned *owned = ctx;

	(void)pasid;
	return !pasid_enable && vmemory_enter(owned->vdev, space);
}

static void on_dma_leave(void *ctx, struct dma_space *space)
{
	const struct vowned *owned = ctx;

	vmemory_leave(owned->vdev, space);
}

/* The device's own SWERROR has it already; there is nobody else to tell. */
static void on_error(void *ctx, uint32_t wq, const struct error_report *report)
{
	const struct vowned *owned = ctx;

	(void)wq;
	(void)report;
	observe_error(owned->vdev);
}

/* ---- engines ---- */

static void *engine_main(void *arg)
{
	const struct engine *engine = arg;

	idxd_engine_run(engine->owned->idxd, engine->number);
	return NULL;
}

/* With all signals blocked: they are for the threads of the program that uses this library. */
static bool start_engines(struct vowned *owned, uint32_t count)
{
	sigset_t all, before;
	int error = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (uint32_t i = 0; i < count && error == 0; i++) {
		struct engine *engine = &owned->engines[i];

		*engine = (struct engine){ .owned = owned, .number = i };
		error = pthread_create(&engine->thread, NULL, engine_main, engine);
		owned->running += error == 0;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error == 0;
}

static void destroy(void *it)
{
	struct vowned *owned = it;

	if (owned->idxd)
		idxd_stop_engines(owned->idxd);
	for (uint32_t i = 0; i < owned->running; i++)
		pthread_join(owned->engines[i].thread, NULL);
	idxd_destroy(owned->idxd);
	free(owned);
}

static bool step(void *it)
{
	struct vowned *owned = it;
	bool worked = false;

	for (uint32_t i = 0; owned->running == 0 && i < owned->num_engines && !worked; i++)
		worked = idxd_engine_step(owned->idxd, i);
	return worked;
}

/* ---- accesses ---- */

static uint64_t read_bar0(void *it, uint64_t offset, unsigned size)
{
	struct vowned *owned = it;

	return idxd_bar0_read(owned->idxd, offset, size);
}

static void write_bar0(void *it, uint64_t offset, unsigned size, uint64_t value)
{
	struct vowned *owned = it;

	idxd_bar0_write(owned->idxd, offset, size, value);
}

static void submit(void *it, uint32_t wq, const uint8_t desc[PORTAL_DESC])
{
	struct vowned *owned = it;

	idxd_submit(owned->idxd, wq, PORTAL_MSIX, desc, owned->vdev->id);
}

/* A table that is the VMM's is open here: masks are looked at there. */
static void open_table(struct vowned *owned)
{
	const uint64_t table = idxd_msix_table_offset(owned->idxd);

	for (uint64_t i = 0; i < owned->num_vectors; i++)
		idxd_bar0_write(owned->idxd, table + i * MSIX_STRIDE + MSIX_VCTRL, 4, 0);
}

static void function(void *it, bool msix_enabled, bool function_mask, bool bus_master)
{
	struct vowned *owned = it;
	const bool elsewhere = owned->vdev->vmm_owns_msix;

	idxd_set_bus_master(owned->idxd, bus_master);
	idxd_set_msix(owned->idxd, msix_enabled || elsewhere, function_mask && !elsewhere);
}

static void reset(void *it)
{
	struct vowned *owned = it;

	idxd_flr(owned->idxd);
	if (owned->vdev->vmm_owns_msix)
		open_table(owned);
}

static bool accepting(void *it, uint32_t wq)
{
	const struct vowned *owned = it;

	return idxd_wq_state(owned->idxd, wq) == WQ_ENABLED;
}

static const struct inside vowned_inside = {
	.destroy = destroy,
	.read = read_bar0,
	.write = write_bar0,
	.submit = submit,
	.function = function,
	.reset = reset,
	.accepting = accepting,
	.step = step,
};

/* ---- making one ---- */

static struct vowned *make(struct vdev *vdev, const struct vdev_own_config *config)
{
	struct vowned *owned = calloc(1, sizeof(*owned));
	const struct idxd_ports ports = {
		.ctx = owned,
		.message = on_message,
		.dma_enter = on_dma_enter,
		.dma_leave = on_dma_leave,
		.error = on_error,
	};

	if (!owned)
		return NULL;
	owned->vdev = vdev;
	owned->num_vectors = config->device.num_msix;
	owned->num_engines = config->device.num_engines;
	owned->idxd = idxd_create(&config->device, &ports, platform_ledger(vdev->platform));
	if (!owned->idxd) {
		free(owned);
		return NULL;
	}
	/* The ledger's numbers of descriptors: no two devices' are the same. */
	idxd_number_from(owned->idxd, (uint64_t)vdev->id << 32);
	if (vdev->vmm_owns_msix)
		open_table(owned);
	return owned;
}

static bool config_ok(const struct vdev_own_config *config)
{
	return config->id != 0 && config->device.num_ims == 0 && config->device.organisation == STORE_ARRAY && config->device.num_msix >= 1 &&
	       config->device.num_msix <= VDEV_MAX_VECTORS && config->device.num_engines <= MAX_ENGINES &&
	       config->device.num_wqs >= 1 && config->device.num_wqs <= 255;
}

static struct shape shape_of(const struct vowned *owned, const struct idxd_config *device)
{
	struct shape shape = {
		.device_id = device->kind == IDXD_IAA ? DEVICE_ID_IAA : DEVICE_ID_DSA,
		.bar0_size = idxd_bar0_size(owned->idxd),
		.bar2_size = PORTAL_WQ_STRIDE,
		.num_vectors = device->num_msix,
		.msix_table = (uint32_t)idxd_msix_table_offset(owned->idxd),
		.msix_pba = (uint32_t)idxd_msix_pba_offset(owned->idxd),
	};

	while (shape.bar2_size < (uint64_t)device->num_wqs * PORTAL_WQ_STRIDE)
		shape.bar2_size *= 2;
	return shape;
}

struct vdev *vdev_create_own(struct platform *platform, const struct vdev_own_config *config, int *error)
{
	struct vdev *vdev;
	struct vowned *owned;
	struct shape shape;

	*error = -EINVAL;
	if (!config_ok(config))
		return NULL;
	*error = -ENOMEM;
	vdev = vdev_make(platform, config->id, config->vmm_owns_msix, config->device.num_wqs);
	if (!vdev)
		return NULL;
	owned = make(vdev, config); /* also of sizes that a device cannot have */
	if (!owned)
		goto fail;
	shape = shape_of(owned, &config->device);
	*error = vdev_fill(vdev, &shape, &vowned_inside, owned);
	if (*error == 0 && config->mapped_portal)
		*error = vdev_map_portals(vdev);
	if (*error == 0 && config->run_engines && !start_engines(owned, config->device.num_engines))
		*error = -ENOMEM;
	if (*error == 0)
		return vdev;
	vmapped_destroy(vdev->mapped);
	destroy(owned);
fail:
	vdev_free(vdev);
	return NULL;
}
