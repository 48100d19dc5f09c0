/*
 * dma.h - a requester's memory, as the device is given it.
 *
 * An address space is *entered*, for a short time: whoever takes something of it away (a map, the PASID, bus mastering, the
 * whole VM) waits until those who had entered before have left. So between enter and leave lies a bounded amount of copying,
 * and no waiting for anybody who may be taking it away. In return, what is found inside stays, and to find it costs little:
 * memory that is mapped in this process is reached in place, with no lock and no copy in between.
 */
#ifndef VDSA_CORE_DMA_H
#define VDSA_CORE_DMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dma_result {
	DMA_OK = 0,
	DMA_FAULT = 1,  /* an address in the range is not mapped, or not with this right. *done: bytes moved before it */
	DMA_FAILED = 2, /* the VM is gone or did not answer in time                                                  */
};

struct dma_piece {
	uint8_t *bytes; /* NULL: it can only be moved, by read and write: a file that may shrink, or memory reached by messages */
	size_t length;
};

struct dma_space;

struct dma_space_ops {
	/* What goes on in one piece from iova: at least 1 byte, at most len > 0. False: a fault at iova. The piece stays
	 * until the space is left. */
	bool (*find)(struct dma_space *space, uint64_t iova, size_t len, bool write, struct dma_piece *piece);
	/* For any memory. iova + len may wrap: a fault at the end of the address space. While they wait for an answer of the
	 * requester, memory may be taken away. */
	enum dma_result (*read)(struct dma_space *space, uint64_t iova, void *buf, size_t len, size_t *done);
	enum dma_result (*write)(struct dma_space *space, uint64_t iova, const void *buf, size_t len, size_t *done);
	/* For those who let it in: ends what `enter` began. */
	void (*leave)(struct dma_space *space);
};

/* For the ops: in which phase of the memory map it was entered, and where memory was found last. */
struct dma_visit {
	unsigned phase;
	const void *recent[2];
};

/* Filled in by who lets it in, layer by layer. Belongs to one thread. */
struct dma_space {
	const struct dma_space_ops *ops;
	void *ctx; /* of the ops */
	void *way; /* of the IOMMU: how it was entered */
	struct dma_visit visit;
};

#endif
