/*
 * connection.h - one client of a server, from accept to disconnection; everything here belongs to the connection's thread,
 * except what vm.c uses (outbox, dma, requests, irqs: each has its own rules).
 */
#ifndef VDSA_TRANSPORT_CONNECTION_H
#define VDSA_TRANSPORT_CONNECTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "dma_map.h"
#include "irq.h"
#include "outbox.h"
#include "protocol.h"
#include "request.h"
#include "wire.h"

struct vdev;
struct vdev_vm;

/* Written by the connection's thread and by engines, read by anybody. See struct vfu_server_stats. */
struct vfu_counters {
	atomic_uint_fast64_t connections;
	atomic_uint_fast64_t disconnections;
	atomic_uint_fast64_t messages;
	atomic_uint_fast64_t protocol_errors;
	atomic_uint_fast64_t interrupts_sent;
	atomic_uint_fast64_t interrupts_late;
	atomic_uint_fast64_t mapped_bytes;
	atomic_uint mappings;
	atomic_uint attached;
};

struct vfu_reply {
	struct vfu_header header;
	_Alignas(8) uint8_t payload[VFU_MAX_REPLY - sizeof(struct vfu_header)];
};

struct vfu_connection {
	struct vdev *vdev;
	struct vfu_counters *counters;
	const atomic_bool *stop;
	int socket; /* owned */
	int wake;   /* borrowed */
	bool negotiated;  /* VERSION was answered: the device is attached */
	bool ended;
	bool hides_msix;  /* until the client has read the whole config space */
	bool eventfds;    /* MSI-X belongs to the client */
	uint32_t dma_chunk;
	atomic_uint calls; /* odd: this thread is inside the device */
	struct vfu_wire wire;
	struct vfu_outbox outbox;
	struct vfu_dma_table dma;
	struct vfu_requests requests;
	struct vfu_irqs irqs;
	uint32_t reply_size; /* of the payload */
	int reply_fd;        /* goes with the reply; -1: none. Owned until it is given to the outbox */
	struct vfu_reply reply;
};

/*
 * Serves the client on `socket` (taken in every case) until it goes or *stop; then nothing of it is left. `wake` is an
 * eventfd that is written to make the thread look. 0 or -ENOMEM: the client was sent away.
 */
int vfu_connection_run(struct vdev *vdev, int socket, int wake, const atomic_bool *stop, struct vfu_counters *counters,
		       uint32_t dma_timeout_ms);

/* A call into the device by the connection's thread begins or ends. */
void vfu_connection_device_call(struct vfu_connection *connection);

/* dispatch.c: answers the complete message in `wire`. True: it was one that gets no answer. */
bool vfu_dispatch(struct vfu_connection *connection);

/* vm.c: the way into this client's VM. */
void vfu_connection_vm(struct vfu_connection *connection, struct vdev_vm *vm);

#endif
