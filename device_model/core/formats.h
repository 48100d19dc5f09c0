/* formats.h - portals, descriptors, completion records and status codes (DSA specification rev 3.0: 9.3, 8.1 - 8.3, 5.7). */
#ifndef VDSA_CORE_FORMATS_H
#define VDSA_CORE_FORMATS_H

#include <stdint.h>

/* ---- portals (9.3): one page each, four pages a work queue ---- */
enum { PORTAL_PAGE = 0x1000, PORTAL_WQ_STRIDE = 0x4000, PORTAL_DESC = 64 };
enum portal { PORTAL_MSIX = 0, PORTAL_IMS = 1 };

/* ---- descriptor (8.1) ---- */
enum opcode { OP_NOOP = 0x00, OP_BATCH = 0x01, OP_DRAIN = 0x02, OP_MEMMOVE = 0x03 };
enum {
	DESC_F_FENCE = 1u << 0,
	DESC_F_BOF = 1u << 1,
	DESC_F_CRAV = 1u << 2,
	DESC_F_RCR = 1u << 3,
	DESC_F_RCI = 1u << 4,
	DESC_F_CACHE = 1u << 8,
	DESC_F_CR_TC = 1u << 12,
	DESC_F_ALL = DESC_F_CRAV | DESC_F_RCR | DESC_F_RCI | DESC_F_CR_TC, /* what every operation takes */
};

enum {
	BATCH_F_LIST_TC = 1u << 9,
	DRAIN_F_NO_READBACK = 1u << 18 | 1u << 19, /* suppress the implicit readbacks of TC-A and TC-B */
};

/* ---- completion record (8.2) ---- */
enum { CR_SIZE = 32, CR_ALIGN = 32, IAA_CR_SIZE = 64, IAA_CR_ALIGN = 64 };

enum status {
	STATUS_NONE = 0x00,
	STATUS_SUCCESS = 0x01,
	STATUS_FALSE_PREDICATE = 0x02,
	STATUS_BATCH_FAILURES = 0x05,
	STATUS_LIST_FAULT = 0x06,
	STATUS_OPCODE = 0x10,
	STATUS_FLAGS = 0x11,
	STATUS_RESERVED = 0x12,
	STATUS_XFER_SIZE = 0x13,
	STATUS_COUNT = 0x14,
	STATUS_LIST_ALIGN = 0x18,
	STATUS_HANDLE = 0x19,
	STATUS_CR_FAULT = 0x1A,
	STATUS_CR_ALIGN = 0x1B,
	STATUS_READ_ERROR = 0x20,
	STATUS_WRITE_ERROR = 0x21,
};

#endif
