/* wire.c - see wire.h. */
#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void vfu_fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void vfu_fds_init(struct vfu_fds *fds)
{
	for (unsigned i = 0; i < VFU_MAX_MSG_FDS; i++)
		fds->fd[i] = -1;
	fds->count = 0;
}

int vfu_fds_take(struct vfu_fds *fds, unsigned index)
{
	if (index >= fds->count)
		return -1;
	int fd = fds->fd[index];
	fds->fd[index] = -1;
	return fd;
}

void vfu_fds_close(struct vfu_fds *fds)
{
	for (unsigned i = 0; i < fds->count; i++)
		vfu_fd_close(&fds->fd[i]);
	fds->count = 0;
}

static bool add_fd(struct vfu_fds *fds, int fd)
{
	if (fds->count < VFU_MAX_MSG_FDS) {
		fds->fd[fds->count++] = fd;
		return true;
	}
	close(fd);
	return false;
}

/* Takes ownership of every descriptor that the kernel has installed, before anything can go wrong. False: too many. */
static bool collect_fds(struct vfu_fds *fds, struct msghdr *message)
{
	bool fits = true;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len < CMSG_LEN(0))
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			fits &= add_fd(fds, fd);
		}
	}
	return fits;
}

void vfu_wire_init(struct vfu_wire *wire, int socket)
{
	wire->socket = socket;
	wire->got = 0;
	memset(&wire->header, 0, sizeof(wire->header));
	vfu_fds_init(&wire->fds);
}

void vfu_wire_next(struct vfu_wire *wire)
{
	vfu_fds_close(&wire->fds);
	wire->got = 0;
}

uint32_t vfu_wire_payload_size(const struct vfu_wire *wire)
{
	return wire->header.size - (uint32_t)sizeof(struct vfu_header);
}

/*
 * Bytes received (> 0), 0: would wait, or a negative errno. Room for descriptors is given with the header only; elsewhere
 * the kernel drops them and says MSG_CTRUNC.
 */
static ssize_t receive_some(struct vfu_wire *wire, void *to, size_t length)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(VFU_MAX_MSG_FDS * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = to, .iov_len = length};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	if (wire->got < sizeof(wire->header)) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
	}
	ssize_t got;
	do {
		got = recvmsg(wire->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
	bool fits = !message.msg_control || collect_fds(&wire->fds, &message);
	if (!fits || (message.msg_flags & MSG_CTRUNC))
		return -EPROTO;
	return got == 0 ? -EPIPE : got;
}

static bool header_is_sound(const struct vfu_header *header)
{
	uint32_t type = header->flags & VFU_TYPE_MASK;
	if (header->size < sizeof(*header) || header->size > sizeof(*header) + VFU_MAX_PAYLOAD)
		return false;
	if (header->flags & ~(uint32_t)VFU_KNOWN_FLAGS)
		return false;
	if (type == VFU_TYPE_COMMAND)
		return !(header->flags & VFU_ERROR);
	return type == VFU_TYPE_REPLY;
}

/* Receives up to byte number `end` of the message into `to`, which holds bytes from number `begin` on. */
static int receive_until(struct vfu_wire *wire, uint8_t *to, size_t begin, size_t end)
{
	while (wire->got < end) {
		ssize_t got = receive_some(wire, to + (wire->got - begin), end - wire->got);
		if (got <= 0)
			return (int)got;
		wire->got += (size_t)got;
	}
	return 1;
}

int vfu_wire_receive(struct vfu_wire *wire)
{
	size_t head = sizeof(wire->header);
	if (wire->got < head) {
		int done = receive_until(wire, (uint8_t *)&wire->header, 0, head);
		if (done <= 0)
			return done;
		if (!header_is_sound(&wire->header))
			return -EPROTO;
	}
	return receive_until(wire, wire->payload, head, wire->header.size);
}
