/* memory_rig.c - see memory_rig.h. */
#include "memory_rig.h"

#include "check.h"

void rig_bus_master(struct rig *rig, bool on)
{
	const uint16_t command = on ? 6 : 2;

	CHECK_EQUAL(vdev_region_write(rig->vdev, VDEV_REGION_CONFIG, 4, &command, sizeof(command)), 0);
}

void rig_up(struct rig *rig, bool sealed)
{
	const struct idxd_config device = { .num_wqs = 1, .total_wq_size = 16, .num_ims = 256, .max_xfer_log2 = 21,
					    .max_batch_log2 = 5, .num_groups = 1, .num_engines = 1 };
	const struct vdev_config config = { .id = 1, .num_vectors = 1, .wq_size = 16, .wq_mode = 1 };
	struct vdev_vm vm;
	int error;

	rig->platform = platform_create(&device, 64, false);
	CHECK(rig->platform);
	rig->vdev = vdev_create(rig->platform, &config, NULL, &error);
	CHECK(rig->vdev);
	CHECK_EQUAL(iommu_pasid_set(platform_iommu(rig->platform), RIG_PASID, vdev_target(rig->vdev)), 0);
	guest_memory_init(&rig->guest, (size_t)RIG_PAGES * RIG_PAGE, sealed);
	vm = guest_memory_vm(&rig->guest);
	CHECK_EQUAL(vdev_attach(rig->vdev, &vm), 0);
	rig_bus_master(rig, true);
	rig->scratch = malloc((size_t)MEMORY_VIEWS * MEMORY_CHUNK);
	CHECK(rig->scratch);
	memory_enter(&rig->memory, platform_idxd(rig->platform), true, RIG_PASID, rig->scratch);
}

void rig_down(struct rig *rig)
{
	memory_leave(&rig->memory);
	vdev_detach(rig->vdev);
	CHECK_EQUAL(iommu_pasid_clear(platform_iommu(rig->platform), RIG_PASID), 0);
	vdev_destroy(rig->vdev);
	guest_memory_destroy(&rig->guest);
	platform_destroy(rig->platform);
	free(rig->scratch);
}

void rig_map(struct rig *rig, unsigned from, unsigned count)
{
	guest_memory_map(&rig->guest, RIG_BASE + (uint64_t)from * RIG_PAGE, (uint64_t)count * RIG_PAGE,
			 (int64_t)from * RIG_PAGE, GUEST_RAM);
}
