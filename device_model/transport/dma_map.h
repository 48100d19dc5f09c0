/*
 * dma_map.h - the ranges of guest memory that a client has mapped, and access to them while they come and go.
 *
 * Ranges are added and removed by the connection's thread; any thread visits. What a visit finds stays until it ends; it
 * holds no lock meanwhile. A removal takes the ranges out of the table first and returns when all visits that had begun
 * before have ended: those that begin later, in another phase, cannot keep it waiting.
 */
#ifndef VDSA_TRANSPORT_DMA_MAP_H
#define VDSA_TRANSPORT_DMA_MAP_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../core/gate.h"
#include "dma_file.h"
#include "protocol.h"

/*
 * What data can be read from and written to. A range without a file is memory only if no range of this client ever had
 * one: in a VM whose RAM is shared, it is a BAR of some device or a ROM, and a completion record written there would
 * be an access to that device.
 * Writes to these addresses are interrupts (Intel SDM vol. 3, 11.11): never a target of data.
 */
#define VFU_MSI_FIRST UINT64_C(0xfee00000)
#define VFU_MSI_LAST UINT64_C(0xfeefffff)

struct vfu_dma_mapping {
	uint64_t first, last; /* IOVAs, both inside */
	uint64_t offset;      /* of `first` in the file */
	uint32_t rights;      /* VFU_DMA_MAP_READ, VFU_DMA_MAP_WRITE */
	struct vfu_dma_file *file;    /* NULL: reached by messages */
	struct vfu_dma_mapping *next; /* while being removed */
};

struct vfu_dma_table {
	pthread_mutex_t lock;
	pthread_cond_t ended;        /* the last visit of a phase that is over */
	struct gate phases[2];       /* one is open: that of the visits that begin now */
	_Atomic unsigned phase;      /* which */
	struct vfu_dma_mapping **sorted;
	uint32_t count, capacity;
	uint64_t bytes;
	bool has_files; /* a range with a file was added once */
	struct vfu_dma_files files;
};

/* A part of one range. */
struct vfu_dma_piece {
	const struct vfu_dma_mapping *mapping;
	uint64_t iova, length;
};

void vfu_dma_table_init(struct vfu_dma_table *table);
/* Removes every range and waits for visits. */
void vfu_dma_table_destroy(struct vfu_dma_table *table);

/* Checks a DMA_MAP without regard to the table. 0 or -EINVAL. */
int vfu_dma_map_check(const struct vfu_dma_map *map);
/* `map` was checked. *fd: the file, or -1 for memory reached by messages; taken on success. -EEXIST: overlaps another
 * range; -ENOSPC: too many; -ENOMEM; or an error of vfu_dma_files_get. On error nothing has changed. */
int vfu_dma_table_add(struct vfu_dma_table *table, const struct vfu_dma_map *map, int *fd);
/* Removes the ranges that lie in first..last; when it returns, no visit has any of them. Not from within a visit. -EINVAL:
 * one lies there partly; nothing was removed. *bytes: removed. */
int vfu_dma_table_remove(struct vfu_dma_table *table, uint64_t first, uint64_t last, uint64_t *bytes);

/* A visit begins, and must end with this phase. Short: a removal waits for its end. */
unsigned vfu_dma_table_enter(struct vfu_dma_table *table);
void vfu_dma_table_leave(struct vfu_dma_table *table, unsigned phase);
/* In a visit: what begins at iova and goes on for at most `length` > 0 bytes in one range with these rights. False: a fault. */
bool vfu_dma_table_find(struct vfu_dma_table *table, uint64_t iova, uint64_t length, uint32_t rights,
			struct vfu_dma_piece *piece);
/* The first IOVA that goes on up to the piece, in its range. */
uint64_t vfu_dma_piece_begin(const struct vfu_dma_piece *piece);

/* Number of ranges and their bytes. */
void vfu_dma_table_totals(struct vfu_dma_table *table, uint32_t *count, uint64_t *bytes);

#endif
