/*
 * trace.h - what guests do, access by access, as a ring of fixed-size records for a reader who may come too late: writers never wait,
 * and the reader is told how many records were overwritten.
 */
#ifndef VDSA_VDEV_TRACE_H
#define VDSA_VDEV_TRACE_H

#include <stddef.h>
#include <stdint.h>

enum { TRACE_DATA = 64 };

enum trace_kind {
	TRACE_READ = 1,
	TRACE_WRITE = 2,      /* written down before its effects, so that they come after it   */
	TRACE_DESCRIPTOR = 3, /* a whole descriptor; offset: of the portal in BAR2             */
	TRACE_REFUSED = 4,    /* an access that its region does not take; nothing was done     */
	TRACE_RESET = 5,      /* function-level reset, or VFIO_USER_DEVICE_RESET               */
	TRACE_ATTACHED = 6,   /* a VM has come                                                 */
	TRACE_DETACHED = 7,
};

/* 96 bytes, natural alignment. */
struct trace_record {
	uint64_t seq;     /* 0, 1, 2 ...                                  */
	uint64_t time_ns; /* CLOCK_MONOTONIC, never smaller than before   */
	uint64_t offset;  /* in the region                                */
	uint32_t mdev;
	uint16_t size;    /* of the access, of which the first TRACE_DATA bytes are in data */
	uint8_t kind;     /* enum trace_kind                              */
	uint8_t region;   /* VFIO's number                                */
	uint8_t data[TRACE_DATA];
};

struct trace;

/* capacity: number of records, a power of two. NULL: out of memory or bad capacity. */
struct trace *trace_create(size_t capacity);
/* No virtual device may have it. */
void trace_destroy(struct trace *trace);
/* Appends a copy of *record with seq, time_ns and data filled in; data NULL: none. Thread-safe. */
void trace_write(struct trace *trace, const struct trace_record *record, const void *data, size_t len);
/* Takes up to max records in order. *lost is increased by the number overwritten before they could be read. */
size_t trace_read(struct trace *trace, struct trace_record *records, size_t max, uint64_t *lost);

#endif
