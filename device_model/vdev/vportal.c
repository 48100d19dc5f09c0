/*
 * vportal.c - the guest's portals (DSA specification 9.3, 7.5.4). Each work queue has two MSI-X portal pages, which lead inside,
 * and two IMS pages, which are the dummy portal: no type has an IMS. A 64-byte store reaches us as eight 8-byte stores: they are
 * gathered for each 64-byte slot, ascending and aligned from offset 0, or dropped.
 */
#include <string.h>

#include "vdev_internal.h"

static void submit(struct vdev *vdev, uint64_t offset, const uint8_t desc[PORTAL_DESC])
{
	vdev->inside->submit(vdev->it, (uint32_t)(offset / PORTAL_WQ_STRIDE), desc);
}

void vportal_submit(struct vdev *vdev, uint64_t offset, const uint8_t desc[PORTAL_DESC])
{
	observe_descriptor(vdev, offset, desc);
	submit(vdev, offset, desc);
}

static void drop_partial(struct vdev *vdev, uint32_t wq, struct gather *gather)
{
	const struct ledger_record record = {
		.requester = vdev->id,
		.entry = UINT32_MAX,
		.wq = (uint16_t)(vdev->first_wq + wq),
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
	const uint32_t wq = (uint32_t)(offset / PORTAL_WQ_STRIDE), piece = (uint32_t)(offset % PORTAL_DESC / 8);

	if (piece != gather->next) {
		drop_partial(vdev, wq, gather);
		if (piece != 0)
			return;
	}
	memcpy(gather->bytes + (size_t)piece * 8, buf, 8);
	gather->next = piece + 1;
	if (gather->next == PORTAL_DESC / 8) {
		gather->next = 0;
		vportal_submit(vdev, offset - piece * 8, gather->bytes);
	}
}

/* NULL: no portal that takes descriptors is there, or it is closed. */
static struct gather *gather_at(struct vdev *vdev, uint64_t offset)
{
	const uint64_t wq = offset / PORTAL_WQ_STRIDE, page = offset / PORTAL_PAGE % PORTAL_PAGES;

	if (wq >= vdev->num_wqs || page >= GATHER_PAGES || !atomic_load(&vdev->portal_open))
		return NULL;
	return &vdev->gathers[(wq * GATHER_PAGES + page) * GATHER_SLOTS + offset % PORTAL_PAGE / PORTAL_DESC];
}

bool vportal_store(struct vdev *vdev, uint64_t offset, const uint8_t desc[PORTAL_DESC])
{
	struct gather *gather = gather_at(vdev, offset);

	if (!gather || offset % PORTAL_DESC != 0)
		return false;
	gather->next = 0;
	observe_store(vdev, offset, desc);
	submit(vdev, offset, desc);
	return true;
}

void vportal_write(struct vdev *vdev, uint64_t offset, const uint8_t *buf, uint32_t count)
{
	struct gather *gather = gather_at(vdev, offset);

	if (!gather)
		return;
	if (count == 8)
		gather_piece(vdev, gather, offset, buf);
	else
		drop_partial(vdev, (uint32_t)(offset / PORTAL_WQ_STRIDE), gather);
}

void vportal_reset(struct vdev *vdev)
{
	memset(vdev->gathers, 0, (size_t)vdev->num_wqs * GATHER_PAGES * GATHER_SLOTS * sizeof(*vdev->gathers));
}
