/* real_vdev.c - the real virtual device for the test server: one work queue, its IMS entries, nothing bound to them. */
#include <stdlib.h>

#include "../../platform/platform.h"
#include "../../vdev/vdev.h"
#include "plain_vdev.h"

struct vdev *served_vdev_create(unsigned vectors, bool vmm_owns_msix, void **support)
{
	struct idxd_config device = {
		.num_wqs = 8, .total_wq_size = 128, .num_ims = 2048, .max_xfer_log2 = 21, .max_batch_log2 = 8, .num_groups = 1, .num_engines = 1,
	};
	struct vdev_vector ims[VDEV_MAX_VECTORS];
	struct vdev_config config = {
		.id = 1, .num_vectors = vectors, .vmm_owns_msix = vmm_owns_msix, .wq_size = 16, .wq_mode = 1,
	};
	struct platform *platform = platform_create(&device, 1024, true);
	int error;
	if (!platform)
		return NULL;
	for (uint32_t i = 0; i + 1 < vectors; i++)
		ims[i] = (struct vdev_vector){.entry = i, .handle = i};
	struct vdev *vdev = vdev_create(platform, &config, ims, &error);
	if (!vdev)
		platform_destroy(platform);
	*support = platform;
	return vdev;
}

void served_vdev_destroy(struct vdev *vdev, void *support)
{
	vdev_destroy(vdev);
	platform_destroy(support);
}
