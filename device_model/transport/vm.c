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

static uint64_t offset_in_file(const struct vfu_dma_piece *piece)
{
	return piece->mapping->offset + (piece->iova - piece->mapping->first);
}

/* A part that is a file: what could not be moved is a fault, for the file has been cut short. */
static enum dma_result move_in_file(const struct vfu_dma_piece *piece, uint8_t *data, bool write, size_t *done)
{
	const struct vfu_dma_file *file = piece->mapping->file;
	size_t moved = write ? vfu_dma_file_write(file, offset_in_file(piece), data, piece->length)
			     : vfu_dma_file_read(file, offset_in_file(piece), data, piece->length);
	*done += moved;
	return moved == piece->length ? DMA_OK : DMA_FAULT;
}

/*
 * A part that the client has to move. The visit lasts until the request is in the outbox, so that no request for a range
 * follows the answer to its unmapping; it is interrupted while waiting, for the data is the client's to guard, and the
 * connection's thread has to go on.
 */
static enum dma_result move_by_message(struct dma_space *space, const struct vfu_dma_piece *piece, uint8_t *data, bool write,
				       size_t *done, const struct timespec *deadline)
{
	struct vfu_connection *c = space->ctx;
	struct vfu_request request;
	uint32_t length = piece->length < c->dma_chunk ? (uint32_t)piece->length : c->dma_chunk;
	uint16_t command = write ? VFU_DMA_WRITE : VFU_DMA_READ;
	int error = vfu_request_send(&c->requests, &request, command, piece->iova, data, length);
	if (error && error != -EAGAIN)
		return DMA_FAILED;
	vfu_dma_table_leave(&c->dma, space->phase);
	if (error) {
		uint32_t size = (uint32_t)(sizeof(struct vfu_header) + sizeof(struct vfu_dma_access)) + length;
		error = vfu_outbox_wait_room(&c->outbox, size, deadline); /* then once more */
		length = 0;
	} else {
		error = vfu_request_wait(&c->requests, &request);
	}
	space->phase = vfu_dma_table_enter(&c->dma);
	if (error)
		return error == -EFAULT ? DMA_FAULT : DMA_FAILED;
	*done += length;
	return DMA_OK;
}

static enum dma_result move(struct dma_space *space, uint64_t iova, uint8_t *data, size_t length, bool write, size_t *done)
{
	struct vfu_connection *c = space->ctx;
	enum dma_result result = DMA_OK;
	uint32_t rights = write ? VFU_DMA_MAP_WRITE : VFU_DMA_MAP_READ;
	struct timespec deadline = {0};
	*done = 0;
	while (*done < length && result == DMA_OK) {
		struct vfu_dma_piece piece;
		uint64_t at;
		if (__builtin_add_overflow(iova, (uint64_t)*done, &at))
			return DMA_FAULT; /* never wraps */
		if (!vfu_dma_table_find(&c->dma, at, length - *done, rights, &piece))
			return DMA_FAULT;
		if (piece.mapping->file) {
			result = move_in_file(&piece, data + *done, write, done);
			continue;
		}
		if (deadline.tv_sec == 0)
			deadline = vfu_deadline(c->requests.timeout_ms); /* for room: one bound for all parts */
		result = move_by_message(space, &piece, data + *done, write, done, &deadline);
	}
	return result;
}

/* ---- struct dma_space_ops ---- */

static enum dma_result space_read(struct dma_space *space, uint64_t iova, void *buf, size_t len, size_t *done)
{
	return move(space, iova, buf, len, false, done);
}

static enum dma_result space_write(struct dma_space *space, uint64_t iova, const void *buf, size_t len, size_t *done)
{
	/* only read from: `write` says so */
	return move(space, iova, (uint8_t *)(uintptr_t)buf, len, true, done);
}

static bool space_find(struct dma_space *space, uint64_t iova, unsigned right, struct dma_range *range)
{
	_Static_assert((int)DMA_MAY_READ == VFU_DMA_MAP_READ && (int)DMA_MAY_WRITE == VFU_DMA_MAP_WRITE, "the same bits");
	struct vfu_connection *c = space->ctx;
	struct vfu_dma_piece piece;
	if (!vfu_dma_table_find(&c->dma, iova, UINT64_MAX, right, &piece))
		return false;
	range->first = vfu_dma_piece_begin(&piece);
	range->last = iova + (piece.length - 1);
	range->rights = piece.mapping->rights;
	const struct vfu_dma_file *file = piece.mapping->file;
	range->bytes = file && file->base ? file->base + offset_in_file(&piece) - (iova - range->first) : NULL;
	return true;
}

static void space_leave(struct dma_space *space)
{
	struct vfu_connection *c = space->ctx;
	vfu_dma_table_leave(&c->dma, space->phase);
}

static void dma_enter(void *ctx, struct dma_space *space)
{
	static const struct dma_space_ops ops = {
		.find = space_find,
		.read = space_read,
		.write = space_write,
		.leave = space_leave,
	};
	struct vfu_connection *c = ctx;
	space->ops = &ops;
	space->ctx = c;
	space->phase = vfu_dma_table_enter(&c->dma);
}

void vfu_connection_vm(struct vfu_connection *c, struct vdev_vm *vm)
{
	*vm = (struct vdev_vm){
		.ctx = c,
		.message = send_message,
		.signal = signal_vector,
		.dma_enter = dma_enter,
	};
}
