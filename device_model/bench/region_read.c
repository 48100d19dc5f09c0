/*
 * region_read.c - what a REGION_READ costs, against the floor: the same number of bytes there and back between two
 * processes on an AF_UNIX socket, with a peer that does nothing else.
 *
 *   region_read SOCKET [SAMPLES]
 *
 * SOCKET is that of a server in another process of the same user. The peer for the floor is forked here. Samples of both
 * are taken in turn, in blocks, so that whatever else the machine does meets both. Waking a process on another CPU can cost
 * several times as much as on the same one, and the scheduler's choice differs from run to run: so the peers (all
 * threads of the server's process, for the time being) are pinned, once to this program's CPU and once to another.
 * Prints one line of JSON, times in microseconds; "ratio" is the larger of the p50 ratios:
 *   {"samples": n, "one_cpu": {"read_p50_us": ., "read_p99_us": ., "floor_p50_us": ., "floor_p99_us": ., "ratio_p50": .,
 *    "ratio_p99": .}, "two_cpus": {...} or null, "ratio": .}
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../transport/protocol.h"

enum { READ_SIZE = 8, BLOCK = 50, WARM_UP = 1000, DEFAULT_SAMPLES = 20000, MAX_SAMPLES = 10000000 };

struct request {
	struct vfu_header header;
	struct vfu_region_access access;
};

struct reply {
	struct vfu_header header;
	struct vfu_region_access access;
	uint8_t data[READ_SIZE];
};

static void die(const char *what)
{
	fprintf(stderr, "region_read: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void send_all(int fd, const void *data, size_t size)
{
	if (send(fd, data, size, MSG_NOSIGNAL) != (ssize_t)size)
		die("send");
}

static bool receive_all(int fd, void *data, size_t size)
{
	for (size_t got = 0; got < size;) {
		ssize_t n = recv(fd, (uint8_t *)data + got, size - got, 0);
		if (n < 0)
			die("recv");
		if (n == 0)
			return false;
		got += (size_t)n;
	}
	return true;
}

/* The other end of the floor: sizes of a request and a reply, nothing else. */
static void echo(int fd)
{
	struct request request;
	struct reply reply = {0};
	while (receive_all(fd, &request, sizeof(request)))
		send_all(fd, &reply, sizeof(reply));
}

static pid_t start_echo(int *fd)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		die("socketpair");
	pid_t child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		echo(pair[1]);
		_exit(0);
	}
	close(pair[1]);
	*fd = pair[0];
	return child;
}

static int connect_server(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		die(path);
	}
	memcpy(address.sun_path, path, strlen(path));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		die(path);
	return fd;
}

static void negotiate(int fd)
{
	struct {
		struct vfu_header header;
		struct vfu_version version;
	} message = {.header = {.command = VFU_VERSION, .size = sizeof(message)}};
	send_all(fd, &message, sizeof(message));
	if (!receive_all(fd, &message, sizeof(message)) || message.header.flags != VFU_TYPE_REPLY) {
		errno = EPROTO;
		die("VERSION");
	}
}

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t round_trip(int fd)
{
	struct request request = {
		.header = {.id = 1, .command = VFU_REGION_READ, .size = sizeof(request)},
		.access = {.offset = 0, .region = 0, .count = READ_SIZE},
	};
	struct reply reply;
	uint64_t begin = now_ns();
	send_all(fd, &request, sizeof(request));
	if (!receive_all(fd, &reply, sizeof(reply))) {
		errno = ECONNRESET;
		die("the peer has gone");
	}
	return now_ns() - begin;
}

static void check_read(int fd)
{
	struct request request = {
		.header = {.id = 7, .command = VFU_REGION_READ, .size = sizeof(request)},
		.access = {.offset = 0, .region = 0, .count = READ_SIZE},
	};
	struct reply reply;
	send_all(fd, &request, sizeof(request));
	if (!receive_all(fd, &reply, sizeof(reply)) || reply.header.size != sizeof(reply) || reply.header.id != 7) {
		errno = EPROTO;
		die("REGION_READ");
	}
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static double percentile_us(const uint64_t *sorted, size_t count, unsigned percent)
{
	return (double)sorted[(count - 1) * percent / 100] / 1000;
}

static void sample(int server, int floor_fd, uint64_t *reads, uint64_t *floors, size_t samples)
{
	for (unsigned i = 0; i < WARM_UP; i++) {
		(void)round_trip(server);
		(void)round_trip(floor_fd);
	}
	for (size_t done = 0; done < samples; done += BLOCK) {
		for (size_t i = done; i < done + BLOCK; i++)
			reads[i] = round_trip(server);
		for (size_t i = done; i < done + BLOCK; i++)
			floors[i] = round_trip(floor_fd);
	}
}

/* ---- where the processes run ---- */

struct cpus {
	int ours, other; /* other: -1 if there is none */
};

static void pin(pid_t thread, int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(thread, sizeof(set), &set) < 0)
		die("sched_setaffinity");
}

static struct cpus choose_cpus(const cpu_set_t *allowed)
{
	struct cpus cpus = {-1, -1};
	for (int i = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET(i, allowed))
			continue;
		if (cpus.ours < 0)
			cpus.ours = i;
		else if (cpus.other < 0)
			cpus.other = i;
	}
	return cpus;
}

static pid_t server_process(int fd)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
		die("SO_PEERCRED");
	return peer.pid;
}

/* Every thread of a process to one CPU, or (cpu -1) back to all those that this program was given. */
static void pin_process(pid_t process, int cpu, const cpu_set_t *allowed)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)process);
	DIR *dir = opendir(path);
	if (!dir)
		die(path);
	for (struct dirent *entry; (entry = readdir(dir));) {
		pid_t thread = (pid_t)strtol(entry->d_name, NULL, 10);
		if (thread <= 0)
			continue;
		if (cpu >= 0)
			pin(thread, cpu);
		else
			(void)sched_setaffinity(thread, sizeof(*allowed), allowed);
	}
	closedir(dir);
}

/* ---- results ---- */

/* Prints one placement's figures and returns the ratio of the medians. */
static double report(const char *name, uint64_t *reads, uint64_t *floors, size_t samples)
{
	qsort(reads, samples, sizeof(*reads), compare);
	qsort(floors, samples, sizeof(*floors), compare);
	double read50 = percentile_us(reads, samples, 50), read99 = percentile_us(reads, samples, 99);
	double floor50 = percentile_us(floors, samples, 50), floor99 = percentile_us(floors, samples, 99);
	printf("\"%s\": {\"read_p50_us\": %.2f, \"read_p99_us\": %.2f, \"floor_p50_us\": %.2f, "
	       "\"floor_p99_us\": %.2f, \"ratio_p50\": %.3f, \"ratio_p99\": %.3f}, ",
	       name, read50, read99, floor50, floor99, read50 / floor50, read99 / floor99);
	return read50 / floor50;
}

static void measure(int server, int floor_fd, pid_t child, size_t samples)
{
	uint64_t *reads = calloc(samples, sizeof(*reads)), *floors = calloc(samples, sizeof(*floors));
	cpu_set_t allowed;
	if (!reads || !floors || sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		die("memory");
	struct cpus cpus = choose_cpus(&allowed);
	pid_t process = server_process(server);
	double ratio[2] = {0, 0};
	printf("{\"samples\": %zu, ", samples);
	pin(0, cpus.ours);
	for (int two = 0; two < 2; two++) {
		int cpu = two ? cpus.other : cpus.ours;
		if (cpu < 0) {
			printf("\"two_cpus\": null, ");
			break;
		}
		pin(child, cpu);
		pin_process(process, cpu, &allowed);
		sample(server, floor_fd, reads, floors, samples);
		ratio[two] = report(two ? "two_cpus" : "one_cpu", reads, floors, samples);
	}
	pin_process(process, -1, &allowed);
	printf("\"ratio\": %.3f}\n", ratio[0] > ratio[1] ? ratio[0] : ratio[1]);
	free(reads);
	free(floors);
}

int main(int argc, char **argv)
{
	unsigned long samples = argc > 2 ? strtoul(argv[2], NULL, 10) : DEFAULT_SAMPLES;
	int floor_fd;
	if (argc < 2 || argc > 3 || samples == 0 || samples > MAX_SAMPLES) {
		fprintf(stderr, "usage: region_read SOCKET [SAMPLES]\n");
		return 2;
	}
	samples = (samples + BLOCK - 1) / BLOCK * BLOCK;
	pid_t child = start_echo(&floor_fd);
	int server = connect_server(argv[1]);
	negotiate(server);
	check_read(server);
	measure(server, floor_fd, child, samples);
	close(server);
	close(floor_fd);
	waitpid(child, NULL, 0);
	return 0;
}
