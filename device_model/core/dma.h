/* dma.h - the result of a memory access on behalf of a requester. */
#ifndef VDSA_CORE_DMA_H
#define VDSA_CORE_DMA_H

enum dma_result {
	DMA_OK = 0,
	DMA_FAULT = 1,  /* an address in the range is not mapped, or not with this right. *done: bytes moved before it */
	DMA_FAILED = 2, /* the VM is gone or did not answer in time                                                  */
};

#endif
