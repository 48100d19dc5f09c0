/* formats.h - portals, descriptors, completion records and status codes (DSA specification rev 3.0: 9.3, 8.1 - 8.3, 5.7). */
#ifndef VDSA_CORE_FORMATS_H
#define VDSA_CORE_FORMATS_H

#include <stdint.h>

/* ---- portals (9.3): one page each, four pages a work queue ---- */
enum { PORTAL_PAGE = 0x1000, PORTAL_WQ_STRIDE = 0x4000, PORTAL_DESC = 64 };
enum portal { PORTAL_MSIX = 0, PORTAL_IMS = 1 };

/* ---- descriptor (8.1) ---- */
enum opcode {
	OP_NOOP = 0x00,
	OP_BATCH = 0x01,
	OP_DRAIN = 0x02,
	OP_MEMMOVE = 0x03,
	OP_FILL = 0x04,
	OP_COMPARE = 0x05,
	OP_COMPARE_PATTERN = 0x06,
	OP_CREATE_DELTA = 0x07,
	OP_APPLY_DELTA = 0x08,
	OP_DUALCAST = 0x09,
	OP_CRC = 0x10,
	OP_COPY_CRC = 0x11,
	OP_DIF_CHECK = 0x12,
	OP_DIF_INSERT = 0x13,
	OP_DIF_STRIP = 0x14,
	OP_DIF_UPDATE = 0x15,
	OP_CACHE_FLUSH = 0x20,
};
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

/* Flags that only some operations take (table 5-3); 23:16 differ by operation. */
enum {
	DESC_F_CHECK_RESULT = 1u << 7,
	DESC_F_TC_1 = 1u << 9,
	DESC_F_TC_2 = 1u << 10,
	DESC_F_TC_3 = 1u << 11,
	DESC_F_STRICT = 1u << 13,
	/* Of what writes to memory. The other cache control flags need features that GENCAP does not offer (8.1.3.1). */
	DESC_F_WRITES = DESC_F_CACHE | DESC_F_STRICT,

	CRC_F_READ_SEED = 1u << 16,
	CRC_F_BYPASS_CRC_REFLECTION = 1u << 17,
	CRC_F_BYPASS_DATA_REFLECTION = 1u << 18,
};

/* ---- completion record (8.2) ---- */
enum { CR_SIZE = 32, CR_ALIGN = 32, IAA_CR_SIZE = 64, IAA_CR_ALIGN = 64 };

enum status {
	STATUS_NONE = 0x00,
	STATUS_SUCCESS = 0x01,
	STATUS_FALSE_PREDICATE = 0x02, /* a success */
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

/* How single operations end (table 5-6). */
enum {
	STATUS_DELTA_ORDER = 0x07,
	STATUS_DELTA_OFFSET = 0x08,
	STATUS_DIF = 0x09,
	STATUS_FIELD = 0x15,
	STATUS_OVERLAP = 0x16,
	STATUS_DUALCAST = 0x17,
	STATUS_ALIGNMENT = 0x1C,
};

/* ---- delta record (8.3.8): 2 bytes of offset in units of 8 bytes, 8 bytes of data ---- */
enum { DELTA_WORD = 8, DELTA_SIZE = 10, DELTA_RECORD_MIN = 80, DELTA_MAX_TRANSFER = 0x80000 };

/* ---- data integrity field (8.3.17, appendix B): big-endian guard, application and reference tag ---- */
enum { DIF_SIZE = 8, DIF_MAX_BLOCK = 4104 };
enum { DIF_BLOCK_SIZE = 3, DIF_INVERT_SEED = 1 << 2, DIF_INVERT_RESULT = 1 << 3, DIF_RESERVED = 0xF0 };
enum {
	DIF_SOURCE_ALL_F_ERROR = 1 << 0,
	DIF_SOURCE_ALL_F = 1 << 1,
	DIF_SOURCE_APP_F = 1 << 2,
	DIF_SOURCE_TAGS_F = 1 << 3,
	DIF_SOURCE_NO_GUARD = 1 << 5,
	DIF_SOURCE_NO_REF = 1 << 6,
	DIF_DEST_RESERVED = 7,
	DIF_DEST_PASS_APP = 1 << 3,
	DIF_DEST_PASS_GUARD = 1 << 5,
	DIF_DEST_PASS_REF = 1 << 6,
	DIF_APP_INCREMENTS = 1 << 4, /* both, as is: */
	DIF_REF_FIXED = 1 << 7,
};
enum { DIF_ERROR_GUARD = 1, DIF_ERROR_APP = 2, DIF_ERROR_REF = 4, DIF_ERROR_ALL_F = 8 };

#endif
