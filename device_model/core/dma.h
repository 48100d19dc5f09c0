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

enum { DMA_MAY_READ = 1, DMA_MAY_WRITE = 2 };

/* Memory that goes on in one piece. */
struct dma_range {
	uint64_t first, last; /* IOVAs, both inside */
	uint8_t *bytes;       /* of `first`. NULL: only to be moved by read and write: a file that may shrink, or reached by messages */
	unsigned rights;      /* DMA_MAY_*; 0: nothing */
};

struct dma_space;

struct dma_space_ops {
	/* The range that iova is in, with this right and maybe others. False: a fault at iova. It stays until the space is
	 * left, or read or write is called. */
	bool (*find)(struct dma_space *space, uint64_t iova, unsigned right, struct dma_range *range);
	/* For any memory. iova + len may wrap: a fault at the end of the address space. While they wait for an answer of the
	 * requester, memory may be taken away. */
	enum dma_result (*read)(struct dma_space *space, uint64_t iova, void *buf, size_t len, size_t *done);
	enum dma_result (*write)(struct dma_space *space, uint64_t iova, const void *buf, size_t len, size_t *done);
	/* For those who let it in: ends what `enter` began. */
	void (*leave)(struct dma_space *space);
};

/* Filled in by who lets it in, layer by layer. Belongs to one thread. */
struct dma_space {
	const struct dma_space_ops *ops;
	void *ctx;      /* of the ops */
	void *way;      /* of the IOMMU: how it was entered */
	unsigned phase; /* of the ops */
	uint64_t bytes_read, bytes_written; /* since it was entered; only for those who count */
};

#endif
