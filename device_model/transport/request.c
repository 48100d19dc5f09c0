/* request.c - see request.h. */
#define _GNU_SOURCE
#include "request.h"

#include <errno.h>
#include <string.h>

enum {
	MAX_ID = 0x7fff, /* interrupts use the ids above: an error reply to one of those must match nothing here */
	SLICES = 4,      /* looks at the connection's thread during one wait */
};

#define NS_PER_MS INT64_C(1000000)

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 * NS_PER_MS + t.tv_nsec;
}

struct timespec vfu_deadline(uint32_t ms)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	return t;
}

void vfu_requests_init(struct vfu_requests *requests, struct vfu_outbox *outbox, atomic_uint *calls, uint32_t timeout_ms)
{
	pthread_condattr_t attr;
	memset(requests, 0, sizeof(*requests));
	requests->outbox = outbox;
	requests->calls = calls;
	requests->timeout_ms = timeout_ms;
	requests->patience_ns = timeout_ms * NS_PER_MS;
	requests->receiver = pthread_self();
	pthread_mutex_init(&requests->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&requests->done, &attr);
	pthread_condattr_destroy(&attr);
}

void vfu_requests_destroy(struct vfu_requests *requests)
{
	pthread_cond_destroy(&requests->done);
	pthread_mutex_destroy(&requests->lock);
}

/* With the lock held. */
static void refuse_all(struct vfu_requests *requests)
{
	requests->refused = true;
	pthread_cond_broadcast(&requests->done);
}

void vfu_requests_close(struct vfu_requests *requests)
{
	pthread_mutex_lock(&requests->lock);
	refuse_all(requests);
	pthread_mutex_unlock(&requests->lock);
}

static struct vfu_request **find(struct vfu_requests *requests, uint16_t id)
{
	struct vfu_request **link = &requests->first;
	while (*link && (*link)->id != id)
		link = &(*link)->next;
	return link;
}

static void forget(struct vfu_requests *requests, const struct vfu_request *request)
{
	struct vfu_request **link = &requests->first;
	while (*link && *link != request)
		link = &(*link)->next;
	if (*link)
		*link = request->next;
}

/* The reply may come before the sender returns: the request is in the list first. */
static int enter(struct vfu_requests *requests, struct vfu_request *request)
{
	pthread_mutex_lock(&requests->lock);
	bool refused = requests->refused;
	if (!refused) {
		do {
			requests->next_id = (uint16_t)(requests->next_id % MAX_ID + 1);
		} while (*find(requests, requests->next_id));
		request->id = requests->next_id;
		request->next = requests->first;
		requests->first = request;
	}
	pthread_mutex_unlock(&requests->lock);
	return refused ? -ENOTCONN : 0;
}

static int put_out(struct vfu_requests *requests, const struct vfu_request *request)
{
	uint32_t data = request->command == VFU_DMA_WRITE ? request->length : 0;
	struct vfu_dma_access access = {.address = request->address, .count = request->length};
	struct vfu_header header = {
		.id = request->id,
		.command = request->command,
		.size = (uint32_t)(sizeof(header) + sizeof(access) + data),
		.flags = VFU_TYPE_COMMAND,
	};
	struct iovec parts[] = {
		{.iov_base = &header, .iov_len = sizeof(header)},
		{.iov_base = &access, .iov_len = sizeof(access)},
		{.iov_base = request->buffer, .iov_len = data},
	};
	return vfu_outbox_request(requests->outbox, parts, 3);
}

int vfu_request_send(struct vfu_requests *requests, struct vfu_request *request, uint16_t command, uint64_t address,
		     void *buffer, uint32_t length)
{
	if (pthread_equal(pthread_self(), requests->receiver))
		return -EDEADLK;
	*request = (struct vfu_request){.buffer = buffer, .address = address, .length = length, .command = command};
	int error = enter(requests, request);
	if (error)
		return error;
	error = put_out(requests, request);
	if (error) {
		pthread_mutex_lock(&requests->lock);
		forget(requests, request);
		/* Taken by an unasked reply that guessed the id: its copy ends before this buffer may go. */
		while (request->state == VFU_REQUEST_TAKEN)
			pthread_cond_wait(&requests->done, &requests->lock);
		pthread_mutex_unlock(&requests->lock);
	}
	return error;
}

/*
 * With the lock held. Waits in slices: if the connection's thread has been inside the device for a whole slice, it may well
 * be waiting for this very operation to end (a reset waits for the engine). Then the operation has to fail, but no reply
 * was missed and the connection stays good.
 */
static int wait_done(struct vfu_requests *requests, const struct vfu_request *request)
{
	for (unsigned slice = 0; slice < SLICES; slice++) {
		struct timespec deadline = vfu_deadline(requests->timeout_ms / SLICES + 1);
		unsigned calls = atomic_load(requests->calls);
		int error = 0;
		while (request->state != VFU_REQUEST_DONE && error == 0) {
			if (requests->refused && request->state == VFU_REQUEST_WAITS)
				return -ENOTCONN;
			error = pthread_cond_timedwait(&requests->done, &requests->lock, &deadline);
		}
		if (request->state == VFU_REQUEST_DONE)
			return request->result;
		if (calls % 2 && calls == atomic_load(requests->calls))
			return -EDEADLK;
	}
	refuse_all(requests);
	return -ETIMEDOUT;
}

/* With the lock held. A wait has ended: what it took beyond a fair time is used up, what it took less is earned back. */
static void use_patience(struct vfu_requests *requests, int64_t waited_ns)
{
	const int64_t most = requests->timeout_ms * NS_PER_MS;
	requests->patience_ns += VFU_FAIR_REPLY_MS * NS_PER_MS - waited_ns;
	if (requests->patience_ns > most)
		requests->patience_ns = most;
	if (requests->patience_ns < 0)
		refuse_all(requests);
}

int vfu_request_wait(struct vfu_requests *requests, struct vfu_request *request)
{
	int64_t begin = now_ns();
	pthread_mutex_lock(&requests->lock);
	int result = wait_done(requests, request);
	use_patience(requests, now_ns() - begin);
	while (request->state == VFU_REQUEST_TAKEN) /* a copy of at most a chunk */
		pthread_cond_wait(&requests->done, &requests->lock);
	if (request->state == VFU_REQUEST_DONE)
		result = request->result;
	forget(requests, request);
	pthread_mutex_unlock(&requests->lock);
	return result;
}

/* What a reply means for the request with this id; nothing was copied yet. */
static int judge(const struct vfu_request *request, const struct vfu_header *header, const struct vfu_dma_access *access)
{
	uint32_t size = header->size;
	if (header->flags & VFU_ERROR)
		return -EFAULT;
	if (request->command == VFU_DMA_WRITE)
		return size == sizeof(*header) || size == sizeof(*header) + sizeof(*access) ? 0 : -EPROTO;
	if (size != sizeof(*header) + sizeof(*access) + request->length)
		return -EPROTO;
	return access->address == request->address && access->count == request->length ? 0 : -EPROTO;
}

bool vfu_requests_reply(struct vfu_requests *requests, const struct vfu_header *header, const uint8_t *payload)
{
	struct vfu_dma_access access = {0};
	if (header->size >= sizeof(*header) + sizeof(access))
		memcpy(&access, payload, sizeof(access));
	pthread_mutex_lock(&requests->lock);
	struct vfu_request *request = *find(requests, header->id);
	if (request && request->command == header->command) {
		forget(requests, request);
		request->state = VFU_REQUEST_TAKEN; /* its owner stays until it is DONE */
	} else {
		request = NULL;
	}
	pthread_mutex_unlock(&requests->lock);
	if (!request)
		return false;

	int result = judge(request, header, &access);
	if (result == 0 && request->command == VFU_DMA_READ)
		memcpy(request->buffer, payload + sizeof(access), request->length);

	pthread_mutex_lock(&requests->lock);
	request->result = result;
	request->state = VFU_REQUEST_DONE;
	pthread_cond_broadcast(&requests->done);
	pthread_mutex_unlock(&requests->lock);
	return true;
}
