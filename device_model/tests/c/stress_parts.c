/* stress_parts.c - what the host gives to a guest and takes back: work queue, PASID, entries, remapping, the virtual device. */
#include "check.h"
#include "stress_world.h"

uint32_t entry(unsigned index, unsigned vector)
{
	return index * VECTORS + vector - 1;
}

static void entry_write(struct world *world, uint32_t index, unsigned reg, uint32_t value)
{
	idxd_bar0_write(world->idxd, HOST_IMS + (uint64_t)index * 16 + reg, 4, value);
}

void ims_open(struct world *world, unsigned index, unsigned vector, bool masked)
{
	entry_write(world, entry(index, vector), 12, (uint32_t)(PASID_BASE + index) << 12 | 8 | masked);
}

void compose(struct guest *guest)
{
	struct world *world = guest->world;
	const struct vdev_config config = {
		.id = atomic_fetch_add(&world->ids, 1) + 1,
		.wq = guest->index,
		.num_vectors = VECTORS + 1,
		.cmdcap = 0x67FE,
		.wq_size = 16,
		.wq_mode = 1,
		.wq_limits = 21 | 5 << 5,
		.mapped_portal = guest->index % 2,
	};
	struct vdev_vector vectors[VECTORS];
	int error;

	for (unsigned i = 0; i < VECTORS; i++)
		vectors[i] = (struct vdev_vector){ .entry = entry(guest->index, i + 1), .handle = entry(guest->index, i + 1) };
	guest->vm = calloc(1, sizeof(*guest->vm));
	CHECK(guest->vm);
	guest->vm->id = config.id;
	lay_list(guest);
	guest->vdev = vdev_create(world->platform, &config, vectors, &error);
	CHECK(guest->vdev);
	CHECK_EQUAL(iommu_pasid_set(world->iommu, PASID_BASE + guest->index, vdev_target(guest->vdev)), 0);
	for (unsigned v = 1; v <= VECTORS; v++) {
		const uint32_t index = entry(guest->index, v);

		CHECK_EQUAL(iommu_remap_set(world->iommu, index, vdev_target(guest->vdev), v), 0);
		entry_write(world, index, 0, 0xFEE00010u | index << 5);
		ims_open(world, guest->index, v, false);
	}
	idxd_bar0_write(world->idxd, HOST_WQCFG + 32 * guest->index + 8, 4, 1 | 1 << 4 | (uint32_t)(PASID_BASE + guest->index) << 8 | 1u << 28);
	idxd_bar0_write(world->idxd, HOST_WQCFG + 32 * guest->index + 12, 4, 21 | 5 << 5);
	attach(guest);
}

void take_away(struct guest *guest)
{
	struct world *world = guest->world;

	vdev_close_portal(guest->vdev);
	if (guest->attached)
		detach(guest);
	CHECK_EQUAL(idxd_wq_command(world->idxd, guest->index, WQ_RESET), CMDERR_NONE);
	for (unsigned v = 1; v <= VECTORS; v++) {
		entry_write(world, entry(guest->index, v), 12, 1);
		iommu_remap_clear(world->iommu, entry(guest->index, v));
	}
	iommu_pasid_clear(world->iommu, PASID_BASE + guest->index);
	vdev_destroy(guest->vdev);
	for (unsigned v = 1; v <= VECTORS; v++)
		CHECK(store_release_handle(idxd_store(world->idxd), entry(guest->index, v)));
	atomic_fetch_add(&world->received, atomic_load(&guest->vm->messages));
	CHECK_EQUAL(atomic_load(&guest->vm->inside), 0);
	free(guest->vm);
}
