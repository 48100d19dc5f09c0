/*
 * protocol.h - messages of the vfio-user protocol as they are on the wire (little endian), and the bounds that this server
 * keeps. Source: "vfio-user Protocol Specification" of QEMU, docs/interop/vfio-user.rst.
 */
#ifndef VDSA_TRANSPORT_PROTOCOL_H
#define VDSA_TRANSPORT_PROTOCOL_H

#include <stdint.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "messages are used as they lie in memory");

enum vfu_command {
	VFU_VERSION = 1,
	VFU_DMA_MAP = 2,
	VFU_DMA_UNMAP = 3,
	VFU_DEVICE_GET_INFO = 4,
	VFU_DEVICE_GET_REGION_INFO = 5,
	VFU_DEVICE_GET_REGION_IO_FDS = 6,
	VFU_DEVICE_GET_IRQ_INFO = 7,
	VFU_DEVICE_SET_IRQS = 8,
	VFU_REGION_READ = 9,
	VFU_REGION_WRITE = 10,
	VFU_DMA_READ = 11,
	VFU_DMA_WRITE = 12,
	VFU_DEVICE_RESET = 13,
	VFU_NUM_COMMANDS = 14, /* those above are in the dispatch table; later ones are refused */
};

/* vfu_header.flags */
enum {
	VFU_TYPE_MASK = 0xf,
	VFU_TYPE_COMMAND = 0,
	VFU_TYPE_REPLY = 1,
	VFU_NO_REPLY = 0x10,
	VFU_ERROR = 0x20,
	VFU_KNOWN_FLAGS = 0x3f,
};

struct vfu_header {
	uint16_t id;
	uint16_t command;
	uint32_t size; /* of the whole message, this header included */
	uint32_t flags;
	uint32_t error; /* a positive errno if VFU_ERROR is set */
};

struct vfu_version {
	uint16_t major;
	uint16_t minor;
	/* JSON with a trailing NUL */
};

enum { VFU_DMA_MAP_READ = 1, VFU_DMA_MAP_WRITE = 2 };

struct vfu_dma_map {
	uint32_t argsz;
	uint32_t flags;
	uint64_t offset; /* in the file that came with the message */
	uint64_t iova;
	uint64_t size;
};

enum { VFU_DMA_UNMAP_ALL = 2 };

struct vfu_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
	uint64_t iova;
	uint64_t size;
};

enum { VFU_DEVICE_RESETS = 1, VFU_DEVICE_PCI = 2 };

struct vfu_device_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t num_regions;
	uint32_t num_irqs;
};

enum { VFU_REGION_READABLE = 1, VFU_REGION_WRITABLE = 2, VFU_REGION_MMAP = 4, VFU_REGION_CAPS = 8 };

struct vfu_region_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t cap_offset;
	uint64_t size;
	uint64_t offset;
};

/* A capability of a region, behind its information: the parts that can be mapped. */
enum { VFU_CAP_SPARSE_MMAP = 1 };

struct vfu_sparse_mmap {
	uint16_t id;
	uint16_t version;
	uint32_t next;
	uint32_t count;
	uint32_t reserved;
	/* count times struct vfu_mmap_area */
};

struct vfu_mmap_area {
	uint64_t offset; /* in the region */
	uint64_t size;
};

/* Interrupt indices are VFIO's: INTx, MSI, MSI-X, ERR, REQ. */
enum { VFU_IRQ_MSIX = 2, VFU_NUM_IRQS = 5 };
enum { VFU_IRQ_EVENTFD = 1 };

struct vfu_irq_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
};

/* vfu_irq_set.flags: one kind of data and one action */
enum {
	VFU_IRQ_DATA_NONE = 1,
	VFU_IRQ_DATA_BOOL = 2,
	VFU_IRQ_DATA_EVENTFD = 4,
	VFU_IRQ_DATA_MASK = 7,
	VFU_IRQ_ACTION_TRIGGER = 0x20,
};

struct vfu_irq_set {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t start;
	uint32_t count;
	/* DATA_BOOL: count bytes */
};

struct vfu_region_access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
	/* data */
};

struct vfu_dma_access {
	uint64_t address;
	uint64_t count;
	/* data */
};

_Static_assert(sizeof(struct vfu_header) == 16, "header");
_Static_assert(sizeof(struct vfu_version) == 4, "VERSION");
_Static_assert(sizeof(struct vfu_dma_map) == 32, "DMA_MAP");
_Static_assert(sizeof(struct vfu_dma_unmap) == 24, "DMA_UNMAP");
_Static_assert(sizeof(struct vfu_device_info) == 16, "DEVICE_GET_INFO");
_Static_assert(sizeof(struct vfu_region_info) == 32, "DEVICE_GET_REGION_INFO");
_Static_assert(sizeof(struct vfu_sparse_mmap) == 16, "sparse mmap capability");
_Static_assert(sizeof(struct vfu_mmap_area) == 16, "area of a sparse mmap capability");
_Static_assert(sizeof(struct vfu_irq_info) == 16, "DEVICE_GET_IRQ_INFO");
_Static_assert(sizeof(struct vfu_irq_set) == 20, "DEVICE_SET_IRQS");
_Static_assert(sizeof(struct vfu_region_access) == 16, "REGION_READ, REGION_WRITE");
_Static_assert(sizeof(struct vfu_dma_access) == 16, "DMA_READ, DMA_WRITE");

enum {
	VFU_PAGE_SIZE = 4096,
	VFU_MAX_MSG_FDS = 16,           /* announced; more of them in one message end the connection        */
	VFU_MAX_DMA_MAPS = 65535,       /* announced                                                        */
	VFU_MAX_DATA_XFER = 65536,      /* announced; bytes of data in one message                          */
	VFU_MAX_PAYLOAD = VFU_MAX_DATA_XFER + 32, /* what may follow a header                               */
	VFU_MAX_REGION_READ = 4096,     /* the whole config space                                           */
	VFU_MAX_REGION_WRITE = 4096,
	VFU_MAX_REPLY = 16 + 48 + VFU_MAX_REGION_READ, /* also of a region with an area for each of 255 work queues */
	/* A DMA_READ or DMA_WRITE of this server. QEMU answers one with a single send that does not wait, and loses what
	 * the socket buffer cannot take: stay far below. */
	VFU_DMA_CHUNK = 32768,
};

#endif
