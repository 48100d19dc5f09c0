/*
 * dma_file.h - a file that holds memory of a client, reached without any way for the client to stop this process.
 *
 * The owner of a file can cut it short at any time, and touching a mapping past its end is SIGBUS. So a file is mapped
 * only if it can never shrink: a memfd sealed with F_SEAL_SHRINK (QEMU's memory-backend-memfd is by default). Any other
 * file on tmpfs is reached by pread / pwrite, which report a short file instead: 0.5 to 1 us an access instead of some ns.
 * A handler for SIGBUS would be faster for those, but signal handlers belong to the whole process, and this is a library.
 * Files elsewhere are refused: whoever serves the filesystem (FUSE, NFS) could make an access wait for ever, and
 * hugetlbfs can run out of pages, which is SIGBUS again.
 *
 * A file is mapped once and whole, however many ranges of it a client maps: mappings of a process are a bounded resource
 * that all servers share.
 */
#ifndef VDSA_TRANSPORT_DMA_FILE_H
#define VDSA_TRANSPORT_DMA_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { VFU_MAX_DMA_FILES = 64 };
#define VFU_MAX_DMA_FILE_SIZE (UINT64_C(1) << 40)

struct vfu_dma_file {
	struct vfu_dma_file *next;
	dev_t dev;
	ino_t ino;
	bool writable;
	uint32_t maps; /* ranges that use it; changed by the connection's thread only */
	int fd;        /* -1 if mapped */
	uint8_t *base; /* NULL if not mapped */
	uint64_t size;
};

struct vfu_dma_files {
	struct vfu_dma_file *first;
	uint32_t count;
};

/*
 * The file behind *fd, for `end` bytes of it; one that is there already is used again. *fd is taken (and set to -1) on
 * success only. -EINVAL: not a regular file on tmpfs, or shorter than `end`; -EACCES: not open for this; -ENOSPC: too many
 * files; -EFBIG; or what mmap said.
 */
int vfu_dma_files_get(struct vfu_dma_files *files, int *fd, uint64_t end, bool write, struct vfu_dma_file **file);
/* Undoes one get. */
void vfu_dma_files_put(struct vfu_dma_files *files, struct vfu_dma_file *file);

/* Bytes moved: fewer than asked for if the file ended early. offset + length was checked against the file's size. */
size_t vfu_dma_file_read(const struct vfu_dma_file *file, uint64_t offset, void *buffer, size_t length);
size_t vfu_dma_file_write(const struct vfu_dma_file *file, uint64_t offset, const void *buffer, size_t length);

#endif
