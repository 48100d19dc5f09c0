/*
 * request.h - DMA_READ and DMA_WRITE that this server asks of its client, for guest memory that came without a file.
 *
 * The thread that wants the data waits, for a bounded time; the connection's thread receives the replies. After a reply
 * that did not come in time nothing more is asked on this connection: what arrives later cannot be told apart for sure.
 * The engine that waits is shared by all virtual machines. So a client that always answers just in time is not borne with
 * either: beyond VFU_FAIR_REPLY_MS for each request, all its waits together may take no longer than one time-out.
 * The connection's thread itself cannot wait for what it would have to receive: its requests fail at once.
 */
#ifndef VDSA_TRANSPORT_REQUEST_H
#define VDSA_TRANSPORT_REQUEST_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "outbox.h"
#include "protocol.h"

enum { VFU_FAIR_REPLY_MS = 2 };

enum vfu_request_state { VFU_REQUEST_WAITS, VFU_REQUEST_TAKEN, VFU_REQUEST_DONE };

struct vfu_request {
	struct vfu_request *next;
	void *buffer; /* DMA_READ: where data goes */
	uint64_t address;
	uint32_t length;
	uint16_t id;
	uint16_t command;
	enum vfu_request_state state;
	int result;
};

struct vfu_requests {
	pthread_mutex_t lock;
	pthread_cond_t done;
	struct vfu_outbox *outbox;
	struct vfu_request *first;
	pthread_t receiver;      /* the connection's thread */
	atomic_uint *calls;      /* odd: the connection's thread is in the device, and receives nothing */
	uint32_t timeout_ms;
	int64_t patience_ns;     /* what is left for replies that take longer than is fair */
	uint16_t next_id;
	bool refused;            /* closed, or a reply was missed, or the patience is used up */
};

/* No thread may be inside, or come, at destroy. */
void vfu_requests_init(struct vfu_requests *requests, struct vfu_outbox *outbox, atomic_uint *calls, uint32_t timeout_ms);
void vfu_requests_destroy(struct vfu_requests *requests);
/* Ends what waits, and refuses what comes. */
void vfu_requests_close(struct vfu_requests *requests);

/*
 * Sends a request for at most VFU_DMA_CHUNK bytes. 0: now wait. -EAGAIN: no room in the outbox (nothing was sent), wait
 * for it and come back. -ENOTCONN, -EDEADLK: fails for good.
 */
int vfu_request_send(struct vfu_requests *requests, struct vfu_request *request, uint16_t command, uint64_t address,
		     void *buffer, uint32_t length);
/* 0: done. -EFAULT: the client refused. -ETIMEDOUT, -EPROTO, -ENOTCONN. The request is forgotten in every case. */
int vfu_request_wait(struct vfu_requests *requests, struct vfu_request *request);
/* For the connection's thread: a reply has come. False: nobody waits for it. */
bool vfu_requests_reply(struct vfu_requests *requests, const struct vfu_header *header, const uint8_t *payload);

/* Now + ms on CLOCK_MONOTONIC. */
struct timespec vfu_deadline(uint32_t ms);

#endif
