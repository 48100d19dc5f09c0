/*
 * plain_vdev.h - vdev.h over plain memory, for testing the transport alone.
 *
 * Config space: vendor, device, one BAR0 of 64 KiB, one BAR2 of 64 KiB, and a capability list with MSI-X at VDEV_MSIX_CAP.
 * BAR0 is memory, except the page at PLAIN_CONTROL: there an engine thread of its own is told what to do.
 * BAR2 is memory that the engine uses as its scratch buffer.
 */
#ifndef VDSA_TESTS_PLAIN_VDEV_H
#define VDSA_TESTS_PLAIN_VDEV_H

#include <stdbool.h>
#include <stdint.h>

struct vdev;

enum {
	PLAIN_BAR_SIZE = 0x10000,
	/* registers of 8 bytes in BAR0 */
	PLAIN_ADDRESS = 0xf000, /* message or DMA address                                                       */
	PLAIN_DATA = 0xf008,    /* message data, vector, or DMA length                                          */
	PLAIN_COUNT = 0xf010,   /* messages of the operation: the i-th goes to ADDRESS + 4 * (i % SPREAD)        */
	PLAIN_SPREAD = 0xf018,
	PLAIN_GO = 0xf020,      /* written: an operation is queued to the engine                                 */
	PLAIN_FINISHED = 0xf028, /* operations finished                                                          */
	PLAIN_RESULT = 0xf030,  /* of the last one: 0, -errno, or enum dma_result                                */
	PLAIN_MOVED = 0xf038,   /* bytes moved by the last DMA                                                   */
	PLAIN_FAILURES = 0xf040, /* messages or signals that returned an error                                   */
	PLAIN_RESETS = 0xf048,
	PLAIN_STALL = 0xf050,   /* written: this access takes so many ms (a device that waits inside an access)   */
};

enum plain_operation {
	PLAIN_MESSAGE = 1,
	PLAIN_SIGNAL = 2,
	PLAIN_DMA_READ = 3,  /* into BAR2 */
	PLAIN_DMA_WRITE = 4, /* from BAR2 */
	PLAIN_INLINE = 0x100, /* or'ed: done by the thread that wrote GO, not by the engine */
};

/* A device for a server program: this one, or (real_vdev.c) the real one. *support: what it stands on. NULL: it failed. */
struct vdev *served_vdev_create(unsigned vectors, bool vmm_owns_msix, void **support);
void served_vdev_destroy(struct vdev *vdev, void *support);

struct vdev *plain_vdev_create(unsigned vectors, bool vmm_owns_msix);
void plain_vdev_destroy(struct vdev *vdev);

#endif
