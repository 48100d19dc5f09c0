/*
 * server_main.c - a server in a process of its own: SOCKET message|eventfd VECTORS DMA_TIMEOUT_MS
 * It serves plain_vdev.c or real_vdev.c, whichever it is linked with.
 *
 * Says "ready" when it listens. Each line on stdin is a command, each answered by one line:
 *   stats                      the fields of struct vfu_server_stats, name=value
 *   gone COUNT TIMEOUT_MS      waits for that many disconnections: 0 or -ETIMEDOUT
 *   fds                        descriptors and mappings of this process
 * End of file stops the server; the exit status tells what the sanitizers think.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <signal.h>

#include "../../transport/server.h"
#include "plain_vdev.h"

static void print_stats(struct vfu_server *server)
{
	struct vfu_server_stats s;
	vfu_server_get_stats(server, &s);
	printf("connections=%" PRIu64 " disconnections=%" PRIu64 " messages=%" PRIu64 " protocol_errors=%" PRIu64
	       " interrupts_sent=%" PRIu64 " interrupts_late=%" PRIu64 " mappings=%" PRIu32 " attached=%" PRIu32
	       " mapped_bytes=%" PRIu64 "\n",
	       s.connections, s.disconnections, s.messages, s.protocol_errors, s.interrupts_sent, s.interrupts_late,
	       s.mappings, s.attached, s.mapped_bytes);
}

static unsigned count_fds(void)
{
	unsigned count = 0;
	DIR *dir = opendir("/proc/self/fd");
	if (!dir)
		abort();
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* Shared mappings of files: those of guest memory. */
static unsigned count_shared_mappings(void)
{
	unsigned count = 0;
	char line[1024];
	FILE *maps = fopen("/proc/self/maps", "r");
	if (!maps)
		abort();
	while (fgets(line, sizeof(line), maps))
		count += strstr(line, "memfd:") != NULL;
	fclose(maps);
	return count;
}

static void obey(struct vfu_server *server, const char *line)
{
	unsigned long long count;
	unsigned timeout;
	if (strncmp(line, "stats", 5) == 0)
		print_stats(server);
	else if (sscanf(line, "gone %llu %u", &count, &timeout) == 2)
		printf("%d\n", vfu_server_wait_disconnected(server, count, timeout));
	else if (strncmp(line, "fds", 3) == 0)
		printf("%u %u\n", count_fds(), count_shared_mappings());
	else
		printf("?\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char line[256];
	int error;
	if (argc != 5)
		return 2;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	void *support;
	struct vdev *vdev =
		served_vdev_create((unsigned)strtoul(argv[3], NULL, 0), strcmp(argv[2], "eventfd") == 0, &support);
	if (!vdev)
		return 3;
	struct vfu_server_options options = {
		.socket_path = argv[1],
		.dma_timeout_ms = (uint32_t)strtoul(argv[4], NULL, 0),
	};
	struct vfu_server *server = vfu_server_start(vdev, &options, &error);
	if (!server) {
		fprintf(stderr, "cannot serve on %s: %s\n", argv[1], strerror(-error));
		served_vdev_destroy(vdev, support);
		return 1;
	}
	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		obey(server, line);
	vfu_server_stop(server);
	served_vdev_destroy(vdev, support);
	return 0;
}
