/* test_outbox.c - order and bounds of what is sent, with a client that reads when the test says so. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../transport/outbox.h"
#include "../../transport/request.h"
#include "check.h"

enum { BASE = 0x1000, REPLY_SIZE = 4128 };

struct rig {
	int client;
	int server;
	int wake;
	struct vfu_outbox box;
};

static struct rig *open_rig_of(int type)
{
	struct rig *rig = malloc(sizeof(*rig));
	int pair[2], size = 65536;
	CHECK(rig);
	CHECK_EQUAL(socketpair(AF_UNIX, type, 0, pair), 0);
	rig->client = pair[0];
	rig->server = pair[1];
	CHECK_EQUAL(setsockopt(rig->server, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	rig->wake = eventfd(0, EFD_NONBLOCK);
	CHECK_EQUAL(vfu_outbox_init(&rig->box, rig->server, rig->wake), 0);
	return rig;
}

static struct rig *open_rig(void)
{
	return open_rig_of(SOCK_STREAM);
}

static void close_rig(struct rig *rig)
{
	vfu_outbox_destroy(&rig->box);
	close(rig->client);
	close(rig->server);
	close(rig->wake);
	free(rig);
}

struct message {
	struct vfu_header header;
	uint8_t payload[VFU_MAX_PAYLOAD];
};

static void read_exactly(int fd, void *to, size_t size)
{
	for (size_t got = 0; got < size;) {
		ssize_t n = recv(fd, (uint8_t *)to + got, size - got, 0);
		CHECK(n > 0);
		got += (size_t)n;
	}
}

/* Plays the connection's thread as well: it sends on when there is room. */
static bool read_message(struct rig *rig, struct message *m)
{
	struct pollfd readable = {.fd = rig->client, .events = POLLIN};
	if (vfu_outbox_state(&rig->box) & VFU_OUTBOX_BLOCKED)
		vfu_outbox_flush(&rig->box);
	if (poll(&readable, 1, 0) == 0)
		return false;
	read_exactly(rig->client, &m->header, sizeof(m->header));
	CHECK(m->header.size >= sizeof(m->header) && m->header.size <= sizeof(*m));
	read_exactly(rig->client, m->payload, m->header.size - sizeof(m->header));
	return true;
}

static uint64_t address_of(const struct message *m)
{
	struct vfu_dma_access access;
	memcpy(&access, m->payload, sizeof(access));
	CHECK_EQUAL(access.count, 4);
	return access.address;
}

static void reply_of(uint8_t *bytes, uint32_t size, uint16_t id)
{
	struct vfu_header h = {.id = id, .command = VFU_REGION_READ, .size = size, .flags = VFU_TYPE_REPLY};
	memset(bytes, (int)id, size);
	memcpy(bytes, &h, sizeof(h));
}

static int put_request(struct rig *rig, uint32_t payload, uint16_t id)
{
	static uint8_t data[VFU_DMA_CHUNK];
	struct vfu_header h = {.id = id, .command = VFU_DMA_WRITE, .size = (uint32_t)sizeof(h) + payload};
	struct iovec parts[] = {{&h, sizeof(h)}, {data, payload}};
	return vfu_outbox_request(&rig->box, parts, 2);
}

/* Fires interrupts to distinct addresses until one is kept back. Returns how many were fired. */
static unsigned fill(struct rig *rig)
{
	unsigned fired = 0;
	for (int result = VFU_INTERRUPT_PUT; result == VFU_INTERRUPT_PUT; fired++) {
		result = vfu_outbox_interrupt(&rig->box, BASE + 4 * (uint64_t)fired, fired);
		CHECK(result >= 0);
	}
	return fired;
}

static void interrupt_is_a_dma_write_that_wants_no_reply(void)
{
	struct rig *rig = open_rig();
	static struct message m;
	uint32_t data;
	CHECK_EQUAL(vfu_outbox_interrupt(&rig->box, 0xfee01000, 0x41), VFU_INTERRUPT_PUT);
	CHECK(read_message(rig, &m));
	CHECK_EQUAL(m.header.command, VFU_DMA_WRITE);
	CHECK_EQUAL(m.header.flags, VFU_NO_REPLY);
	CHECK_EQUAL(m.header.size, 36);
	CHECK_EQUAL(address_of(&m), 0xfee01000);
	memcpy(&data, m.payload + 16, 4);
	CHECK_EQUAL(data, 0x41);
	close_rig(rig);
}

static void check_order_with_reply(uint32_t size)
{
	struct rig *rig = open_rig();
	static struct message m;
	uint8_t reply[REPLY_SIZE];
	unsigned fired = fill(rig);
	reply_of(reply, size, 77);
	CHECK_EQUAL(vfu_outbox_reply(&rig->box, reply, size, -1), 0);
	CHECK_EQUAL(vfu_outbox_interrupt(&rig->box, BASE - 4, 1), VFU_INTERRUPT_KEPT);
	for (unsigned i = 0; i < fired; i++) {
		CHECK(read_message(rig, &m));
		CHECK_EQUAL(m.header.command, VFU_DMA_WRITE);
		CHECK_EQUAL(address_of(&m), BASE + 4 * i);
	}
	CHECK(read_message(rig, &m));
	CHECK_EQUAL(m.header.id, 77);
	CHECK_EQUAL(m.header.size, size);
	CHECK(read_message(rig, &m));
	CHECK_EQUAL(address_of(&m), BASE - 4);
	CHECK(!read_message(rig, &m));
	close_rig(rig);
}

/* A small reply would fit where the last interrupt did not. */
static void everything_arrives_in_the_order_it_was_put_in(void)
{
	check_order_with_reply(REPLY_SIZE);
	check_order_with_reply(sizeof(struct vfu_header));
}

/* The kernel takes what fits into one of its buffers wholly or not at all; a header across two could be seen in halves. */
static void what_is_sent_at_once_is_whole_messages_and_not_too_many(void)
{
	struct rig *rig = open_rig_of(SOCK_SEQPACKET); /* keeps what was sent at once together */
	static uint8_t bytes[2 * VFU_OUTBOX_SIZE];
	unsigned put = 0, arrived = 0;
	ssize_t size;
	while (put_request(rig, put * 97 % 3000, (uint16_t)put) == 0)
		put++;
	while ((size = recv(rig->client, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
		CHECK(size <= 32 * 1024);
		for (ssize_t at = 0; at < size; arrived++) {
			struct vfu_header h;
			CHECK(size - at >= (ssize_t)sizeof(h));
			memcpy(&h, bytes + at, sizeof(h));
			CHECK_EQUAL(h.id, arrived);
			at += (ssize_t)h.size;
			CHECK(at <= size);
		}
		vfu_outbox_flush(&rig->box);
	}
	CHECK_EQUAL(arrived, put);
	CHECK(put > 50);
	close_rig(rig);
}

static void nothing_waits_for_a_client_that_does_not_read(void)
{
	struct rig *rig = open_rig();
	unsigned fired = fill(rig);
	unsigned kept = 1;
	while (vfu_outbox_interrupt(&rig->box, BASE + 4 * (uint64_t)(fired + kept), 0) == VFU_INTERRUPT_KEPT)
		kept++;
	CHECK_EQUAL(kept, VFU_OUTBOX_LATE);
	CHECK_EQUAL(vfu_outbox_interrupt(&rig->box, 1, 1), -ENOBUFS);
	CHECK_EQUAL(put_request(rig, 16, 1), -EAGAIN);
	CHECK(vfu_outbox_state(&rig->box) & VFU_OUTBOX_BLOCKED);
	close_rig(rig);
}

static void equal_interrupts_kept_back_are_sent_once(void)
{
	struct rig *rig = open_rig();
	static struct message m;
	unsigned fired = fill(rig), arrived = 0;
	uint64_t last = BASE + 4 * (uint64_t)(fired - 1);
	CHECK_EQUAL(vfu_outbox_interrupt(&rig->box, last, fired - 1), VFU_INTERRUPT_JOINED);
	CHECK_EQUAL(vfu_outbox_interrupt(&rig->box, last, fired), VFU_INTERRUPT_KEPT); /* other data: another interrupt */
	while (read_message(rig, &m))
		arrived++;
	CHECK_EQUAL(arrived, fired + 1);
	close_rig(rig);
}

static void held_reply_is_announced_until_it_has_left(void)
{
	struct rig *rig = open_rig();
	static struct message m;
	uint8_t reply[REPLY_SIZE];
	eventfd_t woken;
	(void)fill(rig);
	(void)eventfd_read(rig->wake, &woken);
	reply_of(reply, sizeof(reply), 5);
	CHECK_EQUAL(vfu_outbox_reply(&rig->box, reply, sizeof(reply), -1), 0);
	CHECK(vfu_outbox_state(&rig->box) & VFU_OUTBOX_HOLDS);
	while (read_message(rig, &m) && m.header.command != VFU_REGION_READ)
		;
	CHECK_EQUAL(m.header.id, 5);
	CHECK_EQUAL(vfu_outbox_state(&rig->box), 0);
	CHECK_EQUAL(eventfd_read(rig->wake, &woken), 0);
	close_rig(rig);
}

static void corked_box_lets_the_reply_go_first(void)
{
	struct rig *rig = open_rig();
	static struct message m;
	uint8_t reply[32];
	vfu_outbox_cork(&rig->box);
	CHECK_EQUAL(vfu_outbox_interrupt(&rig->box, BASE, 0), VFU_INTERRUPT_KEPT);
	CHECK_EQUAL(put_request(rig, 16, 1), -EAGAIN);
	CHECK(!read_message(rig, &m));
	reply_of(reply, sizeof(reply), 9);
	CHECK_EQUAL(vfu_outbox_reply(&rig->box, reply, sizeof(reply), -1), 0);
	CHECK(read_message(rig, &m));
	CHECK_EQUAL(m.header.id, 9);
	CHECK(read_message(rig, &m));
	CHECK_EQUAL(address_of(&m), BASE);
	close_rig(rig);
}

static void messages_wrap_around_the_ring_whole(void)
{
	struct rig *rig = open_rig();
	static struct message m;
	unsigned put = 0, got = 0;
	while (got < 300) {
		while (put < 300 && put_request(rig, (put * 7919) % VFU_DMA_CHUNK, (uint16_t)put) == 0)
			put++;
		CHECK(read_message(rig, &m));
		CHECK_EQUAL(m.header.id, got);
		CHECK_EQUAL(m.header.size, 16 + (got * 7919) % VFU_DMA_CHUNK);
		got++;
	}
	close_rig(rig);
}

static void oversized_messages_are_refused(void)
{
	struct rig *rig = open_rig();
	static uint8_t big[VFU_OUTBOX_SIZE];
	struct iovec part = {big, sizeof(big)};
	CHECK_EQUAL(vfu_outbox_request(&rig->box, &part, 1), -EMSGSIZE);
	CHECK_EQUAL(vfu_outbox_reply(&rig->box, big, VFU_MAX_REPLY + 1, -1), -EMSGSIZE);
	close_rig(rig);
}

static void closed_socket_makes_the_box_dead(void)
{
	struct rig *rig = open_rig();
	close(rig->client);
	CHECK_EQUAL(vfu_outbox_interrupt(&rig->box, BASE, 0), 0); /* it was put in; then the send failed */
	CHECK_EQUAL(vfu_outbox_state(&rig->box), VFU_OUTBOX_DEAD);
	CHECK_EQUAL(vfu_outbox_interrupt(&rig->box, BASE, 0), -ENOTCONN);
	CHECK_EQUAL(put_request(rig, 16, 1), -ENOTCONN);
	rig->client = dup(rig->server);
	close_rig(rig);
}

static void waiting_for_room_ends_at_its_deadline_or_when_closed(void)
{
	struct rig *rig = open_rig();
	(void)fill(rig);
	struct timespec soon = vfu_deadline(20);
	CHECK_EQUAL(vfu_outbox_wait_room(&rig->box, 64, &soon), -ETIMEDOUT);
	vfu_outbox_close(&rig->box);
	CHECK_EQUAL(vfu_outbox_wait_room(&rig->box, 64, &soon), -ENOTCONN);
	close_rig(rig);
}

int main(void)
{
	RUN(interrupt_is_a_dma_write_that_wants_no_reply);
	RUN(everything_arrives_in_the_order_it_was_put_in);
	RUN(what_is_sent_at_once_is_whole_messages_and_not_too_many);
	RUN(nothing_waits_for_a_client_that_does_not_read);
	RUN(equal_interrupts_kept_back_are_sent_once);
	RUN(held_reply_is_announced_until_it_has_left);
	RUN(corked_box_lets_the_reply_go_first);
	RUN(messages_wrap_around_the_ring_whole);
	RUN(oversized_messages_are_refused);
	RUN(closed_socket_makes_the_box_dead);
	RUN(waiting_for_room_ends_at_its_deadline_or_when_closed);
	return 0;
}
