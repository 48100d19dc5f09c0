/*
 * server.h - serves one vdev to a vfio-user client (QEMU's vfio-user-pci) on a UNIX socket.
 *
 * One thread a server: it listens, takes one client at a time, and serves it until it disconnects; then all mappings and
 * fds of that client are gone, and the next client may come. Nothing a client sends can stop the process, touch another
 * server, or make a thread wait for ever.
 *
 * For the device that is served (struct vdev_vm):
 * - dma_enter gives memory in place where a client's file can never shrink (dma_file.h); an UNMAP is answered when those who
 *   had entered before have left. Other memory is moved by read and write.
 * - Guest memory that came without a file is reached by messages, if no range of that client has a file at all (else it
 *   is not memory but another device's BAR: a fault). The thread that serves the client receives the answers: called
 *   on that thread, such DMA is DMA_FAILED at once; and if the device waits inside a region access or a reset
 *   for such DMA of another thread, that fails after dma_timeout_ms / 4.
 */
#ifndef VDSA_TRANSPORT_SERVER_H
#define VDSA_TRANSPORT_SERVER_H

#include <stdint.h>

struct vdev;
struct vfu_server;

struct vfu_server_stats {
	uint64_t connections;      /* clients accepted so far                          */
	uint64_t disconnections;   /* ... that have gone, all their resources freed    */
	uint64_t messages;         /* messages handled                                 */
	uint64_t protocol_errors;  /* messages refused, or connections ended for them  */
	uint64_t interrupts_sent;  /* messages and eventfds sent into the VM           */
	uint64_t interrupts_late;  /* kept back first (socket full); or joined an equal one that was: not sent twice */
	uint32_t mappings;         /* DMA ranges mapped now                            */
	uint32_t attached;         /* 1: a client has finished VERSION                 */
	uint64_t mapped_bytes;
};

struct vfu_server_options {
	const char *socket_path;      /* made with mode 0600; must not exist; length <= 107 bytes                    */
	uint32_t dma_timeout_ms;      /* bound on a DMA_READ / DMA_WRITE answered by the client; 0: 1000             */
};

/*
 * Starts serving. NULL with *error set to a negative errno (-ENAMETOOLONG, -EADDRINUSE, -EMFILE ...): nothing is left behind.
 * The vdev must outlive the server.
 */
struct vfu_server *vfu_server_start(struct vdev *vdev, const struct vfu_server_options *options, int *error);
/* Ends the client's connection, joins the thread, removes the socket, frees everything. May take up to dma_timeout_ms. */
void vfu_server_stop(struct vfu_server *server);
void vfu_server_get_stats(struct vfu_server *server, struct vfu_server_stats *stats);
/* Waits until `disconnections` >= count. 0, or -ETIMEDOUT. */
int vfu_server_wait_disconnected(struct vfu_server *server, uint64_t count, uint32_t timeout_ms);
/* An eventfd (owned by the server, do not close) that becomes readable at each accept and at each disconnection. */
int vfu_server_event_fd(struct vfu_server *server);

#endif
