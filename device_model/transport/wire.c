/* wire.c - see wire.h. */
#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A header, and the payload of the commonest message, a write of 8 bytes to a region. */
enum { READ_AHEAD = sizeof(struct vfu_header) + sizeof(struct vfu_region_access) + 8 };

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
	vfu_fds_init(&wire->arrived);
	wire->arrived_end = 0;
}

bool vfu_wire_next(struct vfu_wire *wire)
{
	size_t size = wire->header.size;
	size_t ahead = wire->got - size; /* less than READ_AHEAD bytes, all of them in the payload */
	uint8_t bytes[READ_AHEAD];
	vfu_fds_close(&wire->fds);
	memcpy(bytes, wire->payload + (size - sizeof(wire->header)), ahead);
	size_t head = ahead < sizeof(wire->header) ? ahead : sizeof(wire->header);
	memcpy(&wire->header, bytes, head);
	memcpy(wire->payload, bytes + head, ahead - head);
	wire->got = ahead;
	wire->arrived_end -= wire->arrived.count ? size : 0;
	return ahead > 0;
}

void vfu_wire_close(struct vfu_wire *wire)
{
	vfu_fds_close(&wire->fds);
	vfu_fds_close(&wire->arrived);
}

uint32_t vfu_wire_payload_size(const struct vfu_wire *wire)
{
	return wire->header.size - (uint32_t)sizeof(struct vfu_header);
}

/* Receives up to byte number `end` of the message. > 0: bytes received; 0: would wait; or a negative errno. */
static ssize_t receive_some(struct vfu_wire *wire, size_t end, struct msghdr *message)
{
	size_t head = sizeof(wire->header);
	size_t from = wire->got < head ? head : wire->got;
	struct iovec iov[2] = {
		{.iov_base = (uint8_t *)&wire->header + (head - (from - wire->got)), .iov_len = from - wire->got},
		{.iov_base = wire->payload + (from - head), .iov_len = end - from},
	};
	message->msg_iov = wire->got < head ? iov : iov + 1;
	message->msg_iovlen = wire->got < head ? 2 : 1;
	ssize_t got;
	do {
		got = recvmsg(wire->socket, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
	return got == 0 ? -EPIPE : got;
}

/* The header, and with it what follows if it is short. Here descriptors may come; elsewhere the kernel drops them. */
static ssize_t receive_head(struct vfu_wire *wire)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(VFU_MAX_MSG_FDS * sizeof(int))];
	} control;
	struct msghdr message = {.msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
	bool waiting = wire->arrived.count > 0;
	ssize_t got = receive_some(wire, waiting ? sizeof(wire->header) : READ_AHEAD, &message);
	if (got <= 0)
		return got;
	unsigned before = wire->arrived.count;
	bool fits = collect_fds(&wire->arrived, &message);
	wire->got += (size_t)got;
	if (!fits || (message.msg_flags & MSG_CTRUNC) || (waiting && wire->arrived.count > before))
		return -EPROTO;
	if (wire->arrived.count > before)
		wire->arrived_end = wire->got;
	return got;
}

static ssize_t receive_rest(struct vfu_wire *wire)
{
	struct msghdr message = {.msg_control = NULL};
	ssize_t got = receive_some(wire, wire->header.size, &message);
	if (got <= 0)
		return got;
	wire->got += (size_t)got;
	return message.msg_flags & MSG_CTRUNC ? -EPROTO : got;
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

static void give_fds(struct vfu_wire *wire)
{
	if (wire->arrived.count == 0 || wire->arrived_end > wire->header.size)
		return;
	wire->fds = wire->arrived;
	vfu_fds_init(&wire->arrived); /* they are no longer there */
}

int vfu_wire_receive(struct vfu_wire *wire)
{
	ssize_t got = 1;
	while (wire->got < sizeof(wire->header) && got > 0)
		got = receive_head(wire);
	if (got <= 0)
		return (int)got;
	if (!header_is_sound(&wire->header))
		return -EPROTO;
	while (wire->got < wire->header.size && got > 0)
		got = receive_rest(wire);
	if (got <= 0)
		return (int)got;
	give_fds(wire);
	return 1;
}
