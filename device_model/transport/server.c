/* server.c - see server.h. */
#define _GNU_SOURCE
#include "server.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "connection.h"

enum {
	BACKLOG = 4,
	STACK_SIZE = 256 * 1024, /* address space, not memory: what is not touched costs nothing */
	DEFAULT_DMA_TIMEOUT_MS = 1000,
	ACCEPT_RETRY_MS = 100,
};

struct vfu_server {
	struct vdev *vdev;
	uint32_t dma_timeout_ms;
	int listener;
	int wake;  /* makes the thread look */
	int event; /* tells the owner of clients that come and go */
	bool bound;
	struct sockaddr_un address;
	struct stat socket_file;
	atomic_bool stop;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t disconnected;
	struct vfu_counters counters;
};

/* ---- the thread ---- */

/* A client's socket, or -1: look again. */
static int accept_client(struct vfu_server *s)
{
	struct pollfd fds[2] = {
		{.fd = s->listener, .events = POLLIN},
		{.fd = s->wake, .events = POLLIN},
	};
	if (poll(fds, 2, -1) < 0)
		return -1;
	if (fds[1].revents) {
		eventfd_t ignored;
		(void)eventfd_read(s->wake, &ignored);
	}
	if (!fds[0].revents)
		return -1;
	int client = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (client < 0 && errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
		(void)poll(&fds[1], 1, ACCEPT_RETRY_MS); /* out of descriptors: no busy loop over it */
	return client;
}

static void count_disconnection(struct vfu_server *s)
{
	pthread_mutex_lock(&s->lock);
	atomic_fetch_add(&s->counters.disconnections, 1);
	pthread_cond_broadcast(&s->disconnected);
	pthread_mutex_unlock(&s->lock);
	(void)eventfd_write(s->event, 1);
}

static void *serve_clients(void *argument)
{
	struct vfu_server *s = argument;
	while (!atomic_load(&s->stop)) {
		int client = accept_client(s);
		if (client < 0)
			continue;
		atomic_fetch_add(&s->counters.connections, 1);
		(void)eventfd_write(s->event, 1);
		(void)vfu_connection_run(s->vdev, client, s->wake, &s->stop, &s->counters, s->dma_timeout_ms);
		count_disconnection(s);
	}
	return NULL;
}

/* ---- start and stop ---- */

static void destroy(struct vfu_server *s)
{
	struct stat now;
	/* only if it is still ours: somebody may have put another one there */
	if (s->bound && lstat(s->address.sun_path, &now) == 0 && now.st_dev == s->socket_file.st_dev &&
	    now.st_ino == s->socket_file.st_ino)
		(void)unlink(s->address.sun_path);
	vfu_fd_close(&s->listener);
	vfu_fd_close(&s->wake);
	vfu_fd_close(&s->event);
	pthread_cond_destroy(&s->disconnected);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static int set_address(struct vfu_server *s, const char *path)
{
	if (!path || path[0] == '\0')
		return -EINVAL;
	size_t length = strlen(path);
	if (length >= sizeof(s->address.sun_path))
		return -ENAMETOOLONG;
	s->address.sun_family = AF_UNIX;
	memcpy(s->address.sun_path, path, length + 1);
	return 0;
}

/* The mode is set before the name exists, so that there is no moment in which others could connect. */
static int open_socket(struct vfu_server *s)
{
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->listener < 0 || fchmod(s->listener, 0600) < 0)
		return -errno;
	if (bind(s->listener, (const struct sockaddr *)&s->address, sizeof(s->address)) < 0)
		return -errno;
	if (lstat(s->address.sun_path, &s->socket_file) < 0)
		return -errno;
	s->bound = true;
	return listen(s->listener, BACKLOG) < 0 ? -errno : 0;
}

static int open_events(struct vfu_server *s)
{
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake < 0)
		return -errno;
	s->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return s->event < 0 ? -errno : 0;
}

/* Signals are for the program's own threads. */
static int start_thread(struct vfu_server *s)
{
	pthread_attr_t attr;
	sigset_t all, before;
	int error = pthread_attr_init(&attr);
	if (error)
		return -error;
	(void)pthread_attr_setstacksize(&attr, STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&s->thread, &attr, serve_clients, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -error;
}

static struct vfu_server *create(struct vdev *vdev, const struct vfu_server_options *options)
{
	pthread_condattr_t attr;
	struct vfu_server *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->vdev = vdev;
	s->dma_timeout_ms = options->dma_timeout_ms ? options->dma_timeout_ms : DEFAULT_DMA_TIMEOUT_MS;
	s->listener = s->wake = s->event = -1;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->disconnected, &attr);
	pthread_condattr_destroy(&attr);
	return s;
}

struct vfu_server *vfu_server_start(struct vdev *vdev, const struct vfu_server_options *options, int *error)
{
	struct vfu_server *s = create(vdev, options);
	if (!s) {
		*error = -ENOMEM;
		return NULL;
	}
	*error = set_address(s, options->socket_path);
	if (!*error)
		*error = open_events(s);
	if (!*error)
		*error = open_socket(s);
	if (!*error)
		*error = start_thread(s);
	if (*error) {
		destroy(s);
		return NULL;
	}
	return s;
}

void vfu_server_stop(struct vfu_server *s)
{
	if (!s)
		return;
	atomic_store(&s->stop, true);
	(void)eventfd_write(s->wake, 1);
	pthread_join(s->thread, NULL);
	destroy(s);
}

/* ---- what the owner can ask ---- */

void vfu_server_get_stats(struct vfu_server *s, struct vfu_server_stats *stats)
{
	struct vfu_counters *c = &s->counters;
	*stats = (struct vfu_server_stats){
		.connections = atomic_load(&c->connections),
		.disconnections = atomic_load(&c->disconnections),
		.messages = atomic_load(&c->messages),
		.protocol_errors = atomic_load(&c->protocol_errors),
		.interrupts_sent = atomic_load(&c->interrupts_sent),
		.interrupts_late = atomic_load(&c->interrupts_late),
		.mappings = atomic_load(&c->mappings),
		.attached = atomic_load(&c->attached),
		.mapped_bytes = atomic_load(&c->mapped_bytes),
	};
}

int vfu_server_wait_disconnected(struct vfu_server *s, uint64_t count, uint32_t timeout_ms)
{
	struct timespec deadline = vfu_deadline(timeout_ms);
	int error = 0;
	pthread_mutex_lock(&s->lock);
	while (atomic_load(&s->counters.disconnections) < count && error == 0)
		error = pthread_cond_timedwait(&s->disconnected, &s->lock, &deadline);
	bool reached = atomic_load(&s->counters.disconnections) >= count;
	pthread_mutex_unlock(&s->lock);
	return reached ? 0 : -ETIMEDOUT;
}

int vfu_server_event_fd(struct vfu_server *s)
{
	return s->event;
}
