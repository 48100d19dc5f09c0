/* vm.c - struct vdev_vm over a connection: interrupts and DMA into the client's VM. Any thread. */
#include <errno.h>

#include "../vdev/vdev.h"
#include "connection.h"

static int send_message(void *ctx, uint64_t address, uint32_t data)
{
	struct vfu_connection *c = ctx;
	int result = vfu_outbox_interrupt(&c->outbox, address, data);
	if (result < 0)
		return result;
	if (result != VFU_INTERRUPT_JOINED)
		atomic_fetch_add_explicit(&c->counters->interrupts_sent, 1, memory_order_relaxed);
	if (result != VFU_INTERRUPT_PUT)
		atomic_fetch_add_explicit(&c->counters->interrupts_late, 1, memory_order_relaxed);
	return 0;
}

static int signal_vector(void *ctx, unsigned vector)
{
	struct vfu_connection *c = ctx;
	int result = vfu_irqs_signal(&c->irqs, vector);
	if (result == 0)
		atomic_fetch_add_explicit(&c->counters->interrupts_sent, 1, memory_order_relaxed);
	return result;
}

/* A part that is a mapped file: what could not be moved is a fault, for the file has been cut short. */
static enum dma_result move_in_file(struct vfu_connection *c, struct vfu_dma_piece *piece, uint8_t *data, bool write,
				    size_t *done)
{
	const struct vfu_dma_mapping *m = piece->mapping;
	uint64_t offset = m->offset + (piece->iova - m->first);
	size_t wanted = piece->length;
	size_t moved = write ? vfu_dma_file_write(m->file, offset, data, wanted)
			     : vfu_dma_file_read(m->file, offset, data, wanted);
	vfu_dma_table_release(&c->dma, piece);
	*done += moved;
	return moved == wanted ? DMA_OK : DMA_FAULT;
}

/*
 * A part that the client has to move. The range is held until the request is in the outbox, so that no request for it
 * follows the answer to its unmapping; not while waiting, for the data is the client's to guard.
 */
static enum dma_result move_by_message(struct vfu_connection *c, struct vfu_dma_piece *piece, uint8_t *data, bool write,
				       size_t *done, const struct timespec *deadline)
{
	struct vfu_request request;
	uint32_t length = piece->length < c->dma_chunk ? (uint32_t)piece->length : c->dma_chunk;
	uint16_t command = write ? VFU_DMA_WRITE : VFU_DMA_READ;
	int error = vfu_request_send(&c->requests, &request, command, piece->iova, data, length);
	vfu_dma_table_release(&c->dma, piece);
	if (error == -EAGAIN) {
		uint32_t size = (uint32_t)(sizeof(struct vfu_header) + sizeof(struct vfu_dma_access)) + length;
		return vfu_outbox_wait_room(&c->outbox, size, deadline) ? DMA_FAILED : DMA_OK; /* then once more */
	}
	if (error)
		return DMA_FAILED;
	error = vfu_request_wait(&c->requests, &request);
	if (error)
		return error == -EFAULT ? DMA_FAULT : DMA_FAILED;
	*done += length;
	return DMA_OK;
}

static enum dma_result move(struct vfu_connection *c, uint64_t iova, uint8_t *data, size_t length, bool write, size_t *done)
{
	enum dma_result result = DMA_OK;
	uint32_t rights = write ? VFU_DMA_MAP_WRITE : VFU_DMA_MAP_READ;
	struct timespec deadline = {0};
	*done = 0;
	while (*done < length && result == DMA_OK) {
		struct vfu_dma_piece piece;
		uint64_t at;
		if (__builtin_add_overflow(iova, (uint64_t)*done, &at))
			return DMA_FAULT; /* never wraps */
		if (!vfu_dma_table_hold(&c->dma, at, length - *done, rights, &piece))
			return DMA_FAULT;
		if (piece.mapping->file) {
			result = move_in_file(c, &piece, data + *done, write, done);
			continue;
		}
		if (deadline.tv_sec == 0)
			deadline = vfu_deadline(c->requests.timeout_ms); /* for room: one bound for all parts */
		result = move_by_message(c, &piece, data + *done, write, done, &deadline);
	}
	return result;
}

static enum dma_result dma_read(void *ctx, uint64_t iova, void *buf, size_t len, size_t *done)
{
	return move(ctx, iova, buf, len, false, done);
}

static enum dma_result dma_write(void *ctx, uint64_t iova, const void *buf, size_t len, size_t *done)
{
	return move(ctx, iova, (uint8_t *)(uintptr_t)buf, len, true, done); /* only read from: `write` says so */
}

void vfu_connection_vm(struct vfu_connection *c, struct vdev_vm *vm)
{
	*vm = (struct vdev_vm){
		.ctx = c,
		.message = send_message,
		.signal = signal_vector,
		.dma_read = dma_read,
		.dma_write = dma_write,
	};
}
