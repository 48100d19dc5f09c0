/*
 * test_server_threads.c - whole servers, each with an engine that fires, while clients come, misbehave and go, and while the
 * server is stopped at any moment; meant for the thread sanitizer.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../transport/protocol.h"
#include "../../transport/server.h"
#include "../../vdev/vdev.h"
#include "check.h"
#include "plain_vdev.h"

static char socket_path[108];

static int connect_client(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	memcpy(address.sun_path, socket_path, sizeof(socket_path));
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(fd >= 0);
	CHECK_EQUAL(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void send_command(int fd, uint16_t command, uint32_t flags, const void *payload, uint32_t size)
{
	uint8_t bytes[256];
	struct vfu_header h = {.id = 1, .command = command, .size = (uint32_t)sizeof(h) + size, .flags = flags};
	memcpy(bytes, &h, sizeof(h));
	if (size)
		memcpy(bytes + sizeof(h), payload, size);
	CHECK_EQUAL(send(fd, bytes, h.size, MSG_NOSIGNAL), (ssize_t)h.size);
}

static void read_exactly(int fd, void *to, size_t size)
{
	for (size_t got = 0; got < size;) {
		ssize_t n = recv(fd, (uint8_t *)to + got, size - got, 0);
		CHECK(n > 0);
		got += (size_t)n;
	}
}

/* Skips what the server asks or tells meanwhile. */
static void await_reply(int fd, uint16_t command)
{
	static uint8_t payload[VFU_MAX_PAYLOAD];
	struct vfu_header h;
	do {
		read_exactly(fd, &h, sizeof(h));
		read_exactly(fd, payload, h.size - sizeof(h));
	} while (!(h.flags & VFU_TYPE_REPLY));
	CHECK_EQUAL(h.command, command);
	CHECK(!(h.flags & VFU_ERROR));
}

static int negotiate(void)
{
	struct vfu_version version = {0, 0};
	int fd = connect_client();
	send_command(fd, VFU_VERSION, 0, &version, sizeof(version));
	await_reply(fd, VFU_VERSION);
	return fd;
}

static void post(int fd, uint64_t reg, uint64_t value)
{
	struct {
		struct vfu_region_access access;
		uint64_t value;
	} write = {{.offset = reg, .region = VDEV_REGION_BAR0, .count = 8}, value};
	send_command(fd, VFU_REGION_WRITE, VFU_NO_REPLY, &write, sizeof(write));
}

static void start_flood(int fd)
{
	post(fd, PLAIN_ADDRESS, 0xfee01000);
	post(fd, PLAIN_COUNT, 20000);
	post(fd, PLAIN_SPREAD, 4096);
	post(fd, PLAIN_GO, PLAIN_MESSAGE);
}

static void map_by_messages(int fd)
{
	struct vfu_dma_map map = {.argsz = sizeof(map), .flags = 3, .size = UINT64_C(1) << 30};
	send_command(fd, VFU_DMA_MAP, 0, &map, sizeof(map));
	await_reply(fd, VFU_DMA_MAP);
}

static struct vfu_server *start(struct vdev *vdev, uint32_t dma_timeout_ms)
{
	struct vfu_server_options options = {.socket_path = socket_path, .dma_timeout_ms = dma_timeout_ms};
	int error;
	struct vfu_server *server = vfu_server_start(vdev, &options, &error);
	CHECK(server);
	CHECK_EQUAL(error, 0);
	return server;
}

static unsigned count_fds(void)
{
	unsigned count = 0;
	DIR *dir = opendir("/proc/self/fd");
	CHECK(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* ---- clients in every state, while the server stops ---- */

static int idle(void)
{
	return connect_client();
}

static int half_a_header(void)
{
	int fd = connect_client();
	CHECK_EQUAL(send(fd, "\1\0\1\0\20", 5, MSG_NOSIGNAL), 5);
	return fd;
}

static int half_a_payload(void)
{
	struct vfu_header h = {.command = VFU_REGION_WRITE, .size = 1000};
	int fd = negotiate();
	CHECK_EQUAL(send(fd, &h, sizeof(h), MSG_NOSIGNAL), (ssize_t)sizeof(h));
	return fd;
}

static int does_not_read_interrupts(void)
{
	int fd = negotiate();
	start_flood(fd);
	return fd;
}

static int does_not_read_replies(void)
{
	struct vfu_region_access access = {.region = VDEV_REGION_CONFIG, .count = 4096};
	struct pollfd writable;
	int fd = negotiate();
	struct vfu_header h = {.command = VFU_REGION_READ, .size = sizeof(h) + sizeof(access)};
	uint8_t bytes[sizeof(h) + sizeof(access)];
	memcpy(bytes, &h, sizeof(h));
	memcpy(bytes + sizeof(h), &access, sizeof(access));
	do {
		(void)send(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
		writable = (struct pollfd){.fd = fd, .events = POLLOUT};
	} while (poll(&writable, 1, 100) == 1);
	return fd;
}

static int does_not_answer_dma(void)
{
	struct vfu_header h;
	int fd = negotiate();
	map_by_messages(fd);
	post(fd, PLAIN_ADDRESS, 0x1000);
	post(fd, PLAIN_DATA, 4096);
	post(fd, PLAIN_GO, PLAIN_DMA_READ);
	read_exactly(fd, &h, sizeof(h));
	CHECK_EQUAL(h.command, VFU_DMA_READ);
	return fd;
}

static int device_waits_in_an_access(void)
{
	int fd = negotiate();
	post(fd, PLAIN_STALL, 30);
	return fd;
}

static void server_stops_whatever_its_client_does(void)
{
	static int (*const states[])(void) = {
		idle, half_a_header, half_a_payload, does_not_read_interrupts, does_not_read_replies, does_not_answer_dma,
		device_waits_in_an_access,
	};
	struct vdev *vdev = plain_vdev_create(9, false);
	unsigned fds = count_fds();
	struct stat st;
	for (unsigned i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		struct vfu_server *server = start(vdev, 60000); /* whoever waited for DMA would be noticed */
		int client = states[i]();
		int second = connect_client(); /* in the backlog */
		vfu_server_stop(server);
		close(client);
		close(second);
		CHECK_EQUAL(count_fds(), fds);
		CHECK_EQUAL(stat(socket_path, &st), -1);
	}
	plain_vdev_destroy(vdev);
}

static void clients_that_come_and_go_under_a_flood_leave_nothing(void)
{
	struct vdev *vdev = plain_vdev_create(9, false);
	unsigned fds = count_fds();
	struct vfu_server *server = start(vdev, 50);
	struct vfu_server_stats stats;
	for (unsigned i = 0; i < 60; i++) {
		int fd = negotiate();
		map_by_messages(fd);
		start_flood(fd);
		post(fd, PLAIN_ADDRESS, 0x1000);
		post(fd, PLAIN_DATA, 64);
		post(fd, PLAIN_GO, PLAIN_DMA_READ); /* never answered */
		send_command(fd, VFU_DEVICE_RESET, 0, NULL, 0);
		if (i % 3 == 0)
			await_reply(fd, VFU_DEVICE_RESET);
		close(fd);
		CHECK_EQUAL(vfu_server_wait_disconnected(server, i + 1, 30000), 0);
	}
	vfu_server_get_stats(server, &stats);
	CHECK_EQUAL(stats.connections, 60);
	CHECK_EQUAL(stats.attached, 0);
	CHECK_EQUAL(stats.mappings, 0);
	vfu_server_stop(server);
	CHECK_EQUAL(count_fds(), fds);
	plain_vdev_destroy(vdev);
}

static void start_that_fails_leaves_nothing(void)
{
	struct vdev *vdev = plain_vdev_create(9, false);
	struct vfu_server *server = start(vdev, 0);
	unsigned fds = count_fds();
	char longest[200];
	memset(longest, 'x', sizeof(longest));
	longest[108] = '\0';
	struct vfu_server_options options = {.socket_path = socket_path};
	int error = 0;
	CHECK(!vfu_server_start(vdev, &options, &error));
	CHECK_EQUAL(error, -EADDRINUSE);
	options.socket_path = longest;
	CHECK(!vfu_server_start(vdev, &options, &error));
	CHECK_EQUAL(error, -ENAMETOOLONG);
	options.socket_path = "";
	CHECK(!vfu_server_start(vdev, &options, &error));
	CHECK_EQUAL(error, -EINVAL);
	options.socket_path = "/nowhere/at/all";
	CHECK(!vfu_server_start(vdev, &options, &error));
	CHECK_EQUAL(error, -ENOENT);
	CHECK_EQUAL(count_fds(), fds);
	int client = negotiate(); /* the first one is as it was */
	close(client);
	vfu_server_stop(server);
	plain_vdev_destroy(vdev);
}

int main(int argc, char **argv)
{
	CHECK(argc == 2 && strlen(argv[1]) < sizeof(socket_path));
	memcpy(socket_path, argv[1], strlen(argv[1]) + 1);
	RUN(start_that_fails_leaves_nothing);
	RUN(server_stops_whatever_its_client_does);
	RUN(clients_that_come_and_go_under_a_flood_leave_nothing);
	return 0;
}
