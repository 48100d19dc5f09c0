/*
 * regs.h - offsets and fields of BAR0, by the names of the DSA specification (rev 3.0), chapter 9.
 */
#ifndef VDSA_CORE_REGS_H
#define VDSA_CORE_REGS_H

#include <stdint.h>

/* ---- BAR0, fixed part (9.2.1 - 9.2.20) ---- */
enum {
	REG_VERSION = 0x00,
	REG_GENCAP = 0x10,
	REG_WQCAP = 0x20,
	REG_GRPCAP = 0x30,
	REG_ENGCAP = 0x38,
	REG_OPCAP = 0x40, /* 32 bytes */
	REG_OFFSETS = 0x60, /* 16 bytes */
	REG_GENCFG = 0x80,
	REG_GENCTRL = 0x88,
	REG_GENSTS = 0x90,
	REG_INTCAUSE = 0x98,
	REG_CMD = 0xA0,
	REG_CMDSTATUS = 0xA8,
	REG_CMDCAP = 0xB0,
	REG_SWERROR = 0xC0, /* 32 bytes */
	REG_EVLCFG = 0xE0, /* 16 bytes */
	REG_EVLSTATUS = 0xF0,
	REG_IAACAP = 0x180, /* IAA of version 2 and later */
	REG_FIXED_END = 0x200,
	REG_DUMMY_PORTAL = 0xF000, /* 9.2.26: writes ignored, reads all ones */
};

enum { VERSION_1_0 = 0x100, VERSION_2_0 = 0x200 };

#define GENCAP_OVERLAP_COPY (1ull << 1)
#define GENCAP_CACHE_CONTROL (1ull << 2)
#define GENCAP_CMDCAP (1ull << 4)
#define GENCAP_EVENT_LOG (1ull << 13) /* entries of 64 bytes */
#define GENCAP_MAX_XFER_SHIFT 16
#define GENCAP_MAX_BATCH_SHIFT 21
#define GENCAP_IMS_SHIFT 25 /* 6 bits, units of 256 entries */
#define GENCAP_CONFIG (1ull << 31)
#define GENCAP_EVENT_LOG_OVERFLOW (1ull << 32) /* a full event log drops */

#define WQCAP_CFG_SIZE_SHIFT 24 /* WQCFG has 2^(N + 5) bytes */
#define WQCAP_DEDICATED (1ull << 49)
#define WQCAP_PRIORITY (1ull << 51)
#define WQCAP_OCCUPANCY (1ull << 52)
#define WQCAP_OPCFG (1ull << 54)

/* GENCFG (9.2.8) */
enum { GENCFG_USER_INTERRUPTS = 1u << 12, GENCFG_EVENT_LOG = 1u << 13 };

/* GENCTRL (9.2.9), GENSTS (9.2.10), INTCAUSE (9.2.11) */
enum { GENCTRL_SOFTERR_INT = 1u << 0, GENCTRL_HALT_INT = 1u << 1, GENCTRL_EVENT_LOG_INT = 1u << 2, GENCTRL_MASK = 0x7 };
enum { RESET_TYPE_SHIFT = 2, RESET_BY_COMMAND = 0, RESET_BY_FLR = 1 }; /* in GENSTS */
enum { DEVICE_DISABLED = 0, DEVICE_ENABLED = 1, DEVICE_DRAINING = 2, DEVICE_HALTED = 3 };
enum { INTCAUSE_SWERR = 1u << 0, INTCAUSE_CMD = 1u << 1, INTCAUSE_HALT = 1u << 4, INTCAUSE_EVENT_LOG = 1u << 5 };

/* CMD and CMDSTATUS (9.2.12, 9.2.13) */
#define CMD_OPERAND(cmd) ((cmd) & 0xFFFFFu)
#define CMD_CODE(cmd) (((cmd) >> 20) & 0x1Fu)
#define CMD_RESERVED 0x7E000000u
#define CMD_REQUEST_INTERRUPT (1u << 31)
#define CMDSTATUS_ACTIVE (1u << 31)

enum command {
	CMD_ENABLE_DEVICE = 1,
	CMD_DISABLE_DEVICE = 2,
	CMD_DRAIN_ALL = 3,
	CMD_ABORT_ALL = 4,
	CMD_RESET_DEVICE = 5,
	CMD_ENABLE_WQ = 6,
	CMD_DISABLE_WQ = 7,
	CMD_DRAIN_WQ = 8,
	CMD_ABORT_WQ = 9,
	CMD_RESET_WQ = 10,
	CMD_DRAIN_PASID = 11,
	CMD_ABORT_PASID = 12,
	CMD_REQUEST_INT_HANDLE = 13,
	CMD_RELEASE_INT_HANDLE = 14,
};

enum { HANDLE_OPERAND_INDEX = 0xFFFF, HANDLE_OPERAND_IMS = 1u << 16, HANDLE_OPERAND_RESERVED = 0xE0000 };

/* Error codes of commands (9.2.13, table 5-8) */
enum command_error {
	CMDERR_NONE = 0x00,
	CMDERR_UNSUPPORTED = 0x01,
	CMDERR_WQ_INDEX = 0x02,
	CMDERR_HARDWARE = 0x03,
	CMDERR_RESERVED = 0x04,
	CMDERR_HALTED = 0x05,
	CMDERR_DEV_NOT_DISABLED = 0x10,
	CMDERR_BUS_MASTER = 0x12,
	CMDERR_WQ_SIZE_SUM = 0x14,
	CMDERR_GROUP_CONFIG = 0x15,
	CMDERR_WQ_GROUP = 0x16,
	CMDERR_ENGINE_GROUP = 0x17,
	CMDERR_EVENT_LOG = 0x19,
	CMDERR_PASID = 0x1B,
	CMDERR_DEV_NOT_ENABLED = 0x20,
	CMDERR_WQ_NOT_DISABLED = 0x21,
	CMDERR_WQ_SIZE = 0x22,
	CMDERR_WQ_PRIORITY = 0x23,
	CMDERR_WQ_MODE = 0x24,
	CMDERR_WQ_BOF = 0x25,
	CMDERR_WQ_PASID = 0x26,
	CMDERR_WQ_BATCH = 0x27,
	CMDERR_WQ_XFER = 0x28,
	CMDERR_WQ_PRIV = 0x2A,
	CMDERR_WQ_OPCFG = 0x2D,
	CMDERR_DISABLE_DEV_NOT_ENABLED = 0x31,
	CMDERR_WQ_NOT_ENABLED = 0x32,
	CMDERR_HANDLE_INDEX = 0x41,
	CMDERR_HANDLE_NONE = 0x42,
};

/* SWERROR qword 0 (9.2.16) */
#define SWERROR_VALID (1ull << 0)
#define SWERROR_OVERFLOW (1ull << 1)
#define SWERROR_DESC_VALID (1ull << 2)
#define SWERROR_WQ_VALID (1ull << 3)
#define SWERROR_BATCH_MEMBER (1ull << 4)
#define SWERROR_WRITE (1ull << 5) /* of a page fault */
#define SWERROR_INFO_VALID (1ull << 7)
enum { SWERR_PCI_CONFIG = 0x51, SWERR_CMD_ACTIVE = 0x52, SWERR_DWQ_FULL = 0x53, SWERR_EVENT_LOG = 0x54 };

/* ---- tables ---- */

/* MSI-X permissions (9.2.22): 8 bytes an entry, 4 of them used */
enum { MSIXPERM_STRIDE = 8, MSIXPERM_IGNORE = 1u << 2, MSIXPERM_PASID_EN = 1u << 3, MSIXPERM_WRITABLE = 0xFFFFF00Cu };
#define MSIXPERM_PASID(perm) ((perm) >> 12)
/* GRPCFG (9.2.23) */
enum { GRPCFG_STRIDE = 64, GRPCFG_WQ_WORDS = 4, GRPCFG_ENGINES = 32, GRPCFG_FLAGS = 40 };
enum { GRPFLAGS_WRITABLE = 0x3F }; /* TC-A and TC-B; no read buffer controls, no limits (GRPCAP) */

/* WQCFG (9.2.24): 32 bytes, or 64 with OPCFG */
enum { WQCFG_STRIDE = 32, WQCFG_WIDE_STRIDE = 64, WQCFG_DWORDS = 16 };
enum { WQCFG_SIZE = 0, WQCFG_THRESHOLD = 1, WQCFG_MODE = 2, WQCFG_LIMITS = 3, WQCFG_STATE = 6, WQCFG_OPCFG = 8 };
#define WQCFG_MODE_DEDICATED (1u << 0)
#define WQCFG_MODE_BOF (1u << 1)
#define WQCFG_MODE_WRITABLE 0x3FFFFFF1u /* block on fault, ATS Disable and PRS Disable have no capability here */
#define WQCFG_MODE_PRIORITY_FIELD 0xF0u
#define WQCFG_MODE_PRIORITY(dword) (((dword) >> 4) & 0xFu)
#define WQCFG_MODE_PASID(dword) (((dword) >> 8) & 0xFFFFFu)
#define WQCFG_MODE_PASID_EN (1u << 28)
#define WQCFG_MODE_PRIV (1u << 29)
#define WQCFG_LIMITS_XFER(dword) ((dword) & 0x1Fu)
#define WQCFG_LIMITS_BATCH(dword) (((dword) >> 5) & 0xFu)
#define WQCFG_STATE_MODE_SUPPORT (1u << 29)
#define WQCFG_STATE_SHIFT 30
enum { WQ_DISABLED = 0, WQ_ENABLED = 1, WQ_DRAINING = 2 };

/* IMS entry (9.2.28), 16 bytes */
enum { IMS_STRIDE = 16, IMS_ADDR_LO = 0, IMS_ADDR_HI = 4, IMS_DATA = 8, IMS_CTRL = 12 };
enum { IMS_CTRL_MASK = 1u << 0, IMS_CTRL_PENDING = 1u << 1, IMS_CTRL_IGNORE = 1u << 2, IMS_CTRL_PASID_EN = 1u << 3 };
#define IMS_CTRL_PASID(ctrl) ((ctrl) >> 12)
#define IMS_CTRL_WRITABLE 0xFFFFF00Du
#define MSI_ADDRESS_BASE 0xFEE00000u
#define MSI_ADDRESS_MASK 0xFFF00000u

/* The message store of organisation `table`: VM_IDs of work queues, VM objects, the pool of entries */
enum { TABLE_OBJECTS = 0x10000, TABLE_ENTRIES = 0x20000, TABLE_VMS = 4096, TABLE_OBJECT_STRIDE = 16, TABLE_MAX_COUNT = 2048 };
enum { TABLE_OBJECT_FIRST = 0, TABLE_OBJECT_COUNT = 4, TABLE_OBJECT_CTRL = 8, TABLE_OBJECT_VALID = 1u << 0 };
#define TABLE_WQ_VALID (1u << 31)
#define TABLE_WQ_VM 0xFFFu
#define TABLE_WQ_WRITABLE (TABLE_WQ_VALID | TABLE_WQ_VM)

/* The message store of organisation `queue`: a context of each work queue; directory and pages of entries in host memory */
enum { QUEUE_CONTEXT_STRIDE = 16, QUEUE_DIRECTORY = 0, QUEUE_CTRL = 8, QUEUE_SYNC = 12, QUEUE_VALID = 1u << 0 };
enum { QUEUE_PAGE = 0x1000, QUEUE_PAGE_ENTRIES = 256 };
#define QUEUE_POINTER_VALID 1ull
#define QUEUE_CTRL_REQUESTED (1u << 4) /* in an entry, beside the fields of an IMS entry */

/* MSI-X table entry (PCI Express base specification, 7.7.2) */
enum { MSIX_STRIDE = 16, MSIX_ADDR_LO = 0, MSIX_ADDR_HI = 4, MSIX_DATA = 8, MSIX_VCTRL = 12, MSIX_VCTRL_MASK = 1u };

#endif
