/*
 * vportal.c - the guest's portals (DSA specification 9.3, 7.5.4). Its two MSI-X portal pages are backed by the limited IMS
 * portal of the physical work queue; its IMS pages by the dummy portal. A 64-byte store reaches us as eight 8-byte stores:
 * they are gathered for each 64-byte slot, ascending and aligned from offset 0, or dropped.
 */
#include <string.h>

#include "vdev_internal.h"

static void submit(struct vdev *vdev, uint64_t offset, const uint8_t desc[PORTAL_DESC])
{
	observe_descriptor(vdev, offset, desc);
	pthread_mutex_lock(&vdev->lock);
	vdev->stats.descriptors++;
	pthread_mutex_unlock(&vdev->lock);
	idxd_submit(platform_idxd(vdev->platform), vdev->config.wq, PORTAL_IMS, desc, vdev->config.id);
}

static void drop_partial(struct vdev *vdev, struct gather *gather)
{
	const struct ledger_record record = {
		.requester = vdev->config.id,
		.entry = UINT32_MAX,
		.wq = (uint16_t)vdev->config.wq,
		.kind = LEDGER_DROPPED,
		.reason = DROP_PARTIAL,
	};

	gather->next = 0;
	pthread_mutex_lock(&vdev->lock);
	vdev->stats.partial_stores++;
	pthread_mutex_unlock(&vdev->lock);
	ledger_write(platform_ledger(vdev->platform), &record);
}

static void gather_piece(struct vdev *vdev, struct gather *gather, uint64_t offset, const uint8_t *buf)
{
	const uint32_t piece = (uint32_t)(offset % PORTAL_DESC / 8);

	if (piece != gather->next) {
		drop_partial(vdev, gather);
		if (piece != 0)
			return;
	}
	memcpy(gather->bytes + (size_t)piece * 8, buf, 8);
	gather->next = piece + 1;
	if (gather->next == PORTAL_DESC / 8) {
		gather->next = 0;
		submit(vdev, offset - piece * 8, gather->bytes);
	}
}

void vportal_write(struct vdev *vdev, uint64_t offset, const uint8_t *buf, uint32_t count)
{
	const uint64_t page = offset / PORTAL_PAGE;
	struct gather *gather;

	if (page >= GATHER_PAGES || !atomic_load(&vdev->portal_open))
		return;
	gather = &vdev->gathers[page][offset % PORTAL_PAGE / PORTAL_DESC];
	if (count == PORTAL_DESC) {
		gather->next = 0;
		submit(vdev, offset, buf);
	} else if (count == 8) {
		gather_piece(vdev, gather, offset, buf);
	} else {
		drop_partial(vdev, gather);
	}
}

void vportal_reset(struct vdev *vdev)
{
	memset(vdev->gathers, 0, sizeof(vdev->gathers));
}
