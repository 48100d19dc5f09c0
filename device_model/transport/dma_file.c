/* dma_file.c - see dma_file.h. */
#define _GNU_SOURCE
#include "dma_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "wire.h"

static int file_is_usable(int fd, const struct stat *st, uint64_t end)
{
	struct statfs fs;
	if (fstatfs(fd, &fs) < 0)
		return -errno;
	if (!S_ISREG(st->st_mode) || fs.f_type != TMPFS_MAGIC)
		return -EINVAL;
	if (st->st_size < 0 || (uint64_t)st->st_size < end)
		return -EINVAL;
	return (uint64_t)st->st_size > VFU_MAX_DMA_FILE_SIZE ? -EFBIG : 0;
}

/* Whether fd can be written; -errno if it cannot even be read. */
static int file_writable(int fd, unsigned seals)
{
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return -errno;
	int mode = flags & O_ACCMODE;
	if (mode == O_WRONLY || (flags & O_PATH))
		return -EACCES;
	return mode == O_RDWR && !(seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE));
}

static int map_file(struct vfu_dma_file *file, int fd, unsigned seals)
{
	if (!(seals & F_SEAL_SHRINK)) {
		file->fd = fd;
		return 0;
	}
	int protection = PROT_READ | (file->writable ? PROT_WRITE : 0);
	void *base = mmap(NULL, file->size, protection, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	(void)madvise(base, file->size, MADV_DONTDUMP); /* a guest's memory has no place in a core file of the host */
	file->base = base;
	close(fd);
	return 0;
}

static struct vfu_dma_file *find(const struct vfu_dma_files *files, const struct stat *st, uint64_t end, bool write)
{
	for (struct vfu_dma_file *f = files->first; f; f = f->next)
		if (f->dev == st->st_dev && f->ino == st->st_ino && f->size >= end && (f->writable || !write))
			return f;
	return NULL;
}

static int open_file(int *fd, const struct stat *st, bool write, struct vfu_dma_file **out)
{
	int got = fcntl(*fd, F_GET_SEALS);
	unsigned seals = got < 0 ? 0 : (unsigned)got;
	int writable = file_writable(*fd, seals);
	if (writable < 0)
		return writable;
	if (write && !writable)
		return -EACCES;
	struct vfu_dma_file *file = calloc(1, sizeof(*file));
	if (!file)
		return -ENOMEM;
	file->dev = st->st_dev;
	file->ino = st->st_ino;
	file->size = (uint64_t)st->st_size;
	file->writable = writable;
	file->fd = -1;
	int error = map_file(file, *fd, seals);
	if (error) {
		free(file);
		return error;
	}
	*fd = -1;
	*out = file;
	return 0;
}

int vfu_dma_files_get(struct vfu_dma_files *files, int *fd, uint64_t end, bool write, struct vfu_dma_file **file)
{
	struct stat st;
	if (fstat(*fd, &st) < 0)
		return -errno;
	int error = file_is_usable(*fd, &st, end);
	if (error)
		return error;
	struct vfu_dma_file *known = find(files, &st, end, write);
	if (known) {
		vfu_fd_close(fd);
	} else {
		if (files->count >= VFU_MAX_DMA_FILES)
			return -ENOSPC;
		error = open_file(fd, &st, write, &known);
		if (error)
			return error;
		known->next = files->first;
		files->first = known;
		files->count++;
	}
	known->maps++;
	*file = known;
	return 0;
}

void vfu_dma_files_put(struct vfu_dma_files *files, struct vfu_dma_file *file)
{
	if (--file->maps)
		return;
	struct vfu_dma_file **link = &files->first;
	while (*link != file)
		link = &(*link)->next;
	*link = file->next;
	files->count--;
	if (file->base)
		munmap(file->base, file->size);
	vfu_fd_close(&file->fd);
	free(file);
}

size_t vfu_dma_file_read(const struct vfu_dma_file *file, uint64_t offset, void *buffer, size_t length)
{
	if (file->base) {
		memcpy(buffer, file->base + offset, length);
		return length;
	}
	size_t done = 0;
	while (done < length) {
		ssize_t n = pread(file->fd, (uint8_t *)buffer + done, length - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return done;
}

/* pwrite would make a file longer that has been cut short: look first. The owner can only hurt itself by racing. */
static bool file_reaches(const struct vfu_dma_file *file, uint64_t end)
{
	struct stat st;
	return fstat(file->fd, &st) == 0 && st.st_size >= 0 && (uint64_t)st.st_size >= end;
}

size_t vfu_dma_file_write(const struct vfu_dma_file *file, uint64_t offset, const void *buffer, size_t length)
{
	if (file->base) {
		memcpy(file->base + offset, buffer, length);
		return length;
	}
	if (!file_reaches(file, offset + length))
		return 0;
	size_t done = 0;
	while (done < length) {
		ssize_t n = pwrite(file->fd, (const uint8_t *)buffer + done, length - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return done;
}
