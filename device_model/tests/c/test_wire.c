/* test_wire.c - receiving messages and their descriptors. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../transport/wire.h"
#include "check.h"

struct rig {
	int ours;
	struct vfu_wire wire;
	int fds_before;
};

/* The lowest free descriptor: equal before and after if nothing was leaked. */
static int lowest_free_fd(void)
{
	int fd = dup(0);
	CHECK(fd >= 0);
	close(fd);
	return fd;
}

static struct rig *open_rig(void)
{
	struct rig *rig = malloc(sizeof(*rig));
	int pair[2];
	CHECK(rig);
	rig->fds_before = lowest_free_fd();
	CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	rig->ours = pair[0];
	vfu_wire_init(&rig->wire, pair[1]);
	return rig;
}

static void close_rig(struct rig *rig)
{
	vfu_wire_close(&rig->wire);
	close(rig->ours);
	close(rig->wire.socket);
	CHECK_EQUAL(lowest_free_fd(), rig->fds_before);
	free(rig);
}

static void send_with_fds(int socket, const void *data, size_t size, unsigned nfds)
{
	char control[CMSG_SPACE(32 * sizeof(int))] = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	if (nfds) {
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memset(CMSG_DATA(c), 0, nfds * sizeof(int)); /* descriptor 0, many times */
	}
	CHECK_EQUAL(sendmsg(socket, &message, 0), (ssize_t)size);
}

static struct vfu_header header(uint32_t size, uint32_t flags)
{
	return (struct vfu_header){.id = 3, .command = VFU_DEVICE_RESET, .size = size, .flags = flags};
}

static void message_is_complete_only_with_its_last_byte(void)
{
	struct rig *rig = open_rig();
	uint8_t bytes[24] = {0};
	struct vfu_header h = header(sizeof(bytes), 0);
	memcpy(bytes, &h, sizeof(h));
	bytes[23] = 0x5a;
	for (unsigned i = 0; i < sizeof(bytes); i++) {
		CHECK_EQUAL(vfu_wire_receive(&rig->wire), 0);
		send_with_fds(rig->ours, bytes + i, 1, 0);
	}
	CHECK_EQUAL(vfu_wire_receive(&rig->wire), 1);
	CHECK_EQUAL(vfu_wire_payload_size(&rig->wire), 8);
	CHECK_EQUAL(rig->wire.payload[7], 0x5a);
	close_rig(rig);
}

static void fds_stay_with_their_message(void)
{
	struct rig *rig = open_rig();
	struct vfu_header h = header(16, 0);
	send_with_fds(rig->ours, &h, sizeof(h), 0);
	send_with_fds(rig->ours, &h, sizeof(h), 2);
	send_with_fds(rig->ours, &h, sizeof(h), 0);
	for (unsigned i = 0; i < 3; i++) {
		CHECK_EQUAL(vfu_wire_receive(&rig->wire), 1);
		CHECK_EQUAL(rig->wire.fds.count, i == 1 ? 2 : 0);
		vfu_wire_next(&rig->wire);
	}
	close_rig(rig);
}

static void taken_fd_is_the_callers_and_the_rest_is_closed(void)
{
	struct rig *rig = open_rig();
	struct vfu_header h = header(16, 0);
	send_with_fds(rig->ours, &h, sizeof(h), 16);
	CHECK_EQUAL(vfu_wire_receive(&rig->wire), 1);
	CHECK_EQUAL(rig->wire.fds.count, 16);
	int fd = vfu_fds_take(&rig->wire.fds, 5);
	CHECK(fd > 2);
	CHECK_EQUAL(vfu_fds_take(&rig->wire.fds, 5), -1);
	CHECK_EQUAL(vfu_fds_take(&rig->wire.fds, 16), -1);
	vfu_wire_next(&rig->wire);
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	vfu_fd_close(&fd);
	CHECK_EQUAL(fd, -1);
	close_rig(rig);
}

static void more_fds_than_announced_end_the_stream_and_leak_nothing(void)
{
	struct rig *rig = open_rig();
	struct vfu_header h = header(16, 0);
	send_with_fds(rig->ours, &h, sizeof(h), 17);
	CHECK_EQUAL(vfu_wire_receive(&rig->wire), -EPROTO);
	close_rig(rig);
}

/* The message in two parts, the second with descriptors. */
static int receive_split(struct rig *rig, size_t split, bool pause, unsigned first_fds, unsigned then_fds)
{
	uint8_t bytes[24] = {0};
	struct vfu_header h = header(sizeof(bytes), 0);
	memcpy(bytes, &h, sizeof(h));
	send_with_fds(rig->ours, bytes, split, first_fds);
	if (pause)
		CHECK_EQUAL(vfu_wire_receive(&rig->wire), 0);
	send_with_fds(rig->ours, bytes + split, sizeof(bytes) - split, then_fds);
	return vfu_wire_receive(&rig->wire);
}

static void fds_may_come_with_any_byte_of_the_header_but_once(void)
{
	for (size_t split = 1; split < 16; split++) {
		struct rig *rig = open_rig();
		CHECK_EQUAL(receive_split(rig, split, true, 0, 2), 1);
		CHECK_EQUAL(rig->wire.fds.count, 2);
		close_rig(rig);
		rig = open_rig();
		CHECK_EQUAL(receive_split(rig, split, true, 1, 1), -EPROTO);
		close_rig(rig);
	}
}

static void fds_with_later_bytes_of_a_payload_end_the_stream_and_leak_nothing(void)
{
	for (size_t split = 16; split < 24; split += 7) {
		struct rig *rig = open_rig();
		CHECK_EQUAL(receive_split(rig, split, true, 0, 1), -EPROTO);
		close_rig(rig);
	}
}

/* Messages of many sizes, each sent by its own call, all there before the first is received. */
static void fds_stay_with_their_message_whatever_is_received_with_it(void)
{
	static const uint32_t sizes[] = {16, 16, 20, 32, 16, 48, 36, 36, 36, 16, 17, 40, 40, 41, 48, 48, 16, 32, 36, 48};
	enum { COUNT = sizeof(sizes) / sizeof(sizes[0]) };
	for (uint32_t which = 0; which < 1u << 12; which++) {
		struct rig *rig = open_rig();
		uint8_t bytes[64] = {0};
		for (unsigned i = 0; i < COUNT; i++) {
			struct vfu_header h = header(sizes[i], 0);
			h.id = (uint16_t)i;
			memcpy(bytes, &h, sizeof(h));
			bytes[sizes[i] - 1] = sizes[i] > 16 ? (uint8_t)i : 0;
			send_with_fds(rig->ours, bytes, sizes[i], which >> (i % 12) & 1 ? i % 3 + 1 : 0);
			bytes[sizes[i] - 1] = 0;
		}
		for (unsigned i = 0; i < COUNT; i++) {
			CHECK_EQUAL(vfu_wire_receive(&rig->wire), 1);
			CHECK_EQUAL(rig->wire.header.id, i);
			CHECK_EQUAL(rig->wire.fds.count, which >> (i % 12) & 1 ? i % 3 + 1 : 0);
			if (sizes[i] > 16)
				CHECK_EQUAL(rig->wire.payload[sizes[i] - 17], i);
			(void)vfu_wire_next(&rig->wire);
		}
		CHECK_EQUAL(vfu_wire_receive(&rig->wire), 0);
		close_rig(rig);
	}
}

static void unsound_headers_end_the_stream(void)
{
	static const struct {
		uint32_t size, flags;
	} bad[] = {
		{0, 0}, {15, 0}, {16 + VFU_MAX_PAYLOAD + 1, 0}, {UINT32_MAX, 0}, {16, 2}, {16, 0xf}, {16, VFU_ERROR},
		{16, 0x40}, {16, 0x80000000},
	};
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct rig *rig = open_rig();
		struct vfu_header h = header(bad[i].size, bad[i].flags);
		send_with_fds(rig->ours, &h, sizeof(h), 1);
		CHECK_EQUAL(vfu_wire_receive(&rig->wire), -EPROTO);
		close_rig(rig);
	}
}

static void largest_message_fits(void)
{
	struct rig *rig = open_rig();
	static uint8_t bytes[sizeof(struct vfu_header) + VFU_MAX_PAYLOAD];
	struct vfu_header h = header(sizeof(bytes), VFU_TYPE_REPLY);
	memcpy(bytes, &h, sizeof(h));
	bytes[sizeof(bytes) - 1] = 1;
	send_with_fds(rig->ours, bytes, sizeof(bytes), 0);
	CHECK_EQUAL(vfu_wire_receive(&rig->wire), 1);
	CHECK_EQUAL(rig->wire.payload[VFU_MAX_PAYLOAD - 1], 1);
	close_rig(rig);
}

static void end_of_stream_is_told_anywhere_in_a_message(void)
{
	struct vfu_header h = header(24, 0);
	for (size_t sent = 0; sent < sizeof(h); sent += 8) {
		struct rig *rig = open_rig();
		if (sent)
			send_with_fds(rig->ours, &h, sent, 1);
		shutdown(rig->ours, SHUT_WR);
		CHECK_EQUAL(vfu_wire_receive(&rig->wire), -EPIPE);
		close_rig(rig);
	}
}

int main(void)
{
	RUN(message_is_complete_only_with_its_last_byte);
	RUN(fds_stay_with_their_message);
	RUN(taken_fd_is_the_callers_and_the_rest_is_closed);
	RUN(more_fds_than_announced_end_the_stream_and_leak_nothing);
	RUN(fds_may_come_with_any_byte_of_the_header_but_once);
	RUN(fds_with_later_bytes_of_a_payload_end_the_stream_and_leak_nothing);
	RUN(fds_stay_with_their_message_whatever_is_received_with_it);
	RUN(unsound_headers_end_the_stream);
	RUN(largest_message_fits);
	RUN(end_of_stream_is_told_anywhere_in_a_message);
	return 0;
}
