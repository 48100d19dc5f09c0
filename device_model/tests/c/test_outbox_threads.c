/* test_outbox_threads.c - many threads put into one outbox while the client reads; meant for the thread sanitizer. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../transport/outbox.h"
#include "../../transport/request.h"
#include "check.h"

enum { THREADS = 4, EACH = 20000, REPLIES = 2000, REPLY_SIZE = 600 };

struct rig {
	int client, server, wake;
	struct vfu_outbox box;
	atomic_uint sent;     /* interrupts taken by the box */
	atomic_uint finished; /* threads */
	unsigned next_data[THREADS], arrived, replies, requests;
};

struct worker {
	struct rig *rig;
	unsigned number;
};

/* The address tells the thread, the data is its sequence: no two are equal, so none may coalesce. */
static void *fire(void *argument)
{
	const struct worker *w = argument;
	for (unsigned i = 0; i < EACH;) {
		int result = vfu_outbox_interrupt(&w->rig->box, w->number, i);
		CHECK(result >= 0 || result == -ENOBUFS);
		CHECK(result != VFU_INTERRUPT_JOINED);
		i += result >= 0;
	}
	atomic_fetch_add(&w->rig->finished, 1);
	return NULL;
}

static void *request(void *argument)
{
	struct rig *rig = argument;
	static uint8_t data[5000];
	for (uint16_t i = 0; i < 500;) {
		struct vfu_header h = {.id = i, .command = VFU_DMA_READ, .size = sizeof(h) + sizeof(data)};
		struct iovec parts[] = {{&h, sizeof(h)}, {data, sizeof(data)}};
		struct timespec deadline = vfu_deadline(60000);
		int result = vfu_outbox_request(&rig->box, parts, 2);
		CHECK(result == 0 || result == -EAGAIN);
		if (result)
			CHECK_EQUAL(vfu_outbox_wait_room(&rig->box, h.size, &deadline), 0);
		else
			i++;
	}
	atomic_fetch_add(&rig->finished, 1);
	return NULL;
}

/* What the connection's thread does: replies, and goes on sending when there is room. */
static void *serve(void *argument)
{
	struct rig *rig = argument;
	uint8_t reply[REPLY_SIZE] = {0};
	unsigned replies = 0;
	while (replies < REPLIES || atomic_load(&rig->finished) < THREADS + 1 || vfu_outbox_state(&rig->box)) {
		unsigned state = vfu_outbox_state(&rig->box);
		struct pollfd fds[] = {{.fd = rig->wake, .events = POLLIN}, {.fd = rig->server, .events = POLLOUT}};
		eventfd_t ignored;
		(void)poll(fds, state & VFU_OUTBOX_BLOCKED ? 2 : 1, state ? 1000 : 0);
		(void)eventfd_read(rig->wake, &ignored);
		if ((state & VFU_OUTBOX_BLOCKED) && fds[1].revents)
			vfu_outbox_flush(&rig->box);
		if (!(state & VFU_OUTBOX_HOLDS) && replies < REPLIES) {
			struct vfu_header h = {
				.id = (uint16_t)replies++, .command = VFU_REGION_READ, .size = sizeof(reply), .flags = VFU_TYPE_REPLY,
			};
			memcpy(reply, &h, sizeof(h));
			CHECK_EQUAL(vfu_outbox_reply(&rig->box, reply, sizeof(reply), -1), 0);
		}
	}
	shutdown(rig->server, SHUT_WR);
	return NULL;
}

static bool read_exactly(int fd, void *to, size_t size)
{
	for (size_t got = 0; got < size;) {
		ssize_t n = recv(fd, (uint8_t *)to + got, size - got, 0);
		CHECK(n > 0 || (n == 0 && got == 0));
		if (n == 0)
			return false;
		got += (size_t)n;
	}
	return true;
}

/* As QEMU does: a header that does not come in one piece is the end. */
static bool read_header(int fd, struct vfu_header *header)
{
	ssize_t n = recv(fd, header, sizeof(*header), 0);
	CHECK(n == 0 || n == (ssize_t)sizeof(*header));
	return n != 0;
}

static void check_message(struct rig *rig, const struct vfu_header *h, const uint8_t *payload)
{
	struct vfu_dma_access access;
	uint32_t data;
	switch (h->command) {
	case VFU_REGION_READ:
		CHECK_EQUAL(h->id, rig->replies++);
		break;
	case VFU_DMA_READ:
		CHECK_EQUAL(h->id, rig->requests++);
		break;
	default:
		CHECK_EQUAL(h->command, VFU_DMA_WRITE);
		memcpy(&access, payload, sizeof(access));
		memcpy(&data, payload + sizeof(access), sizeof(data));
		CHECK(access.address < THREADS);
		CHECK_EQUAL(data, rig->next_data[access.address]++);
		rig->arrived++;
	}
}

static void nothing_is_lost_torn_or_reordered(void)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct worker workers[THREADS];
	pthread_t threads[THREADS + 2];
	static uint8_t payload[VFU_MAX_PAYLOAD];
	struct vfu_header h;
	int pair[2];
	CHECK(rig);
	CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	rig->client = pair[0];
	rig->server = pair[1];
	rig->wake = eventfd(0, EFD_NONBLOCK);
	CHECK_EQUAL(vfu_outbox_init(&rig->box, rig->server, rig->wake), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){rig, i};
		CHECK_EQUAL(pthread_create(&threads[i], NULL, fire, &workers[i]), 0);
	}
	CHECK_EQUAL(pthread_create(&threads[THREADS], NULL, request, rig), 0);
	CHECK_EQUAL(pthread_create(&threads[THREADS + 1], NULL, serve, rig), 0);
	while (read_header(rig->client, &h)) {
		CHECK(read_exactly(rig->client, payload, h.size - sizeof(h)));
		check_message(rig, &h, payload);
	}
	for (unsigned i = 0; i < THREADS + 2; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQUAL(rig->arrived, THREADS * EACH);
	CHECK_EQUAL(rig->replies, REPLIES);
	CHECK_EQUAL(rig->requests, 500);
	vfu_outbox_destroy(&rig->box);
	close(rig->client);
	close(rig->server);
	close(rig->wake);
	free(rig);
}

int main(void)
{
	RUN(nothing_is_lost_torn_or_reordered);
	return 0;
}
