/*
 * vmapped.c - portals that the guest has mapped: their pages are memory that it shares with us, and a thread looks for
 * descriptors in them. For guests whose processor cannot do a 64-byte store to a page that traps (docs/mapped-portal.md).
 *
 * A slot of 64 bytes holds a descriptor when its first 8 bytes are not 0; they are set to 0 when it has been taken. Whoever stores
 * piece by piece stores them last. What else is in a page is nobody's business but its guest's: a slot is copied once, and the
 * copy is treated like any store to a portal.
 *
 * A client that has gone may still have the pages; the next one gets others.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "vdev_internal.h"

enum {
	MAPPED_PAGES = GATHER_PAGES,      /* of each work queue: the MSI-X portals */
	MAPPED_BYTES = MAPPED_PAGES * PORTAL_PAGE,
	SLOT_WORDS = PORTAL_DESC / 8,
	SPINS = 64,                       /* looks one after the other, before it sleeps between them */
	SHORTEST_NS = 20 * 1000,
	LONGEST_NS = 1000 * 1000,
};

struct mapped_wq {
	bool accepting; /* looked at: it was enabled when the guest's last command ended */
	uint32_t next[MAPPED_PAGES]; /* the slot behind the one taken last */
};

struct vmapped {
	struct vdev *vdev;
	pthread_mutex_t lock; /* whoever has it sweeps, or changes what is swept */
	pthread_cond_t wake;
	pthread_t thread;
	bool stop, closed;
	int fd;         /* -1: there was no memory for pages */
	uint8_t *bytes; /* as large as BAR2 */
	size_t size;
	struct mapped_wq *wqs;
};

/* ---- pages; lock held ---- */

static void drop_pages(struct vmapped *mapped)
{
	if (mapped->fd < 0)
		return;
	munmap(mapped->bytes, mapped->size);
	close(mapped->fd);
	mapped->fd = -1;
	mapped->bytes = NULL;
}

/* Sealed: a client that made them smaller would take the ground from under us. */
static void make_pages(struct vmapped *mapped)
{
	const int fd = memfd_create("vdsa-portal", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *bytes;

	if (fd < 0)
		return;
	if (ftruncate(fd, (off_t)mapped->size) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		close(fd);
		return;
	}
	bytes = mmap(NULL, mapped->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (bytes == MAP_FAILED) {
		close(fd);
		return;
	}
	mapped->fd = fd;
	mapped->bytes = bytes;
}

static uint64_t *slot_at(const struct vmapped *mapped, uint32_t wq, uint32_t page, uint32_t slot)
{
	return (uint64_t *)(void *)(mapped->bytes + (size_t)wq * PORTAL_WQ_STRIDE + (size_t)page * PORTAL_PAGE) + slot * SLOT_WORDS;
}

/* What was stored while the queue was disabled is ignored (9.3). */
static void wipe(struct vmapped *mapped, uint32_t wq)
{
	for (uint32_t page = 0; page < MAPPED_PAGES; page++) {
		for (uint32_t slot = 0; slot < GATHER_SLOTS; slot++)
			__atomic_store_n(slot_at(mapped, wq, page, slot), 0, __ATOMIC_RELAXED);
		mapped->wqs[wq].next[page] = 0;
	}
}

/* ---- looking for descriptors; lock held ---- */

static bool is_full(const struct vmapped *mapped, uint32_t wq, uint32_t page, uint32_t slot)
{
	return __atomic_load_n(slot_at(mapped, wq, page, slot), __ATOMIC_ACQUIRE) != 0;
}

/* From `next` on, around the page. GATHER_SLOTS: none is full. */
static uint32_t first_full(const struct vmapped *mapped, uint32_t wq, uint32_t page)
{
	const uint32_t next = mapped->wqs[wq].next[page];

	for (uint32_t i = 0; i < GATHER_SLOTS; i++)
		if (is_full(mapped, wq, page, (next + i) % GATHER_SLOTS))
			return (next + i) % GATHER_SLOTS;
	return GATHER_SLOTS;
}

/* One that was empty when it was looked at may have been filled before the one that was found: so it is looked again, and
 * descriptors are taken in the order in which a guest stores them that goes around the page. */
static bool find(const struct vmapped *mapped, uint32_t wq, uint32_t page, uint32_t *slot)
{
	if (first_full(mapped, wq, page) == GATHER_SLOTS)
		return false;
	*slot = first_full(mapped, wq, page);
	return *slot != GATHER_SLOTS;
}

/* Once: the first word last, and what it is then is what counts. */
static void take(struct vmapped *mapped, uint32_t wq, uint32_t page, uint32_t slot)
{
	uint64_t *from = slot_at(mapped, wq, page, slot);
	uint64_t words[SLOT_WORDS];
	uint8_t desc[PORTAL_DESC];

	for (uint32_t i = 1; i < SLOT_WORDS; i++)
		words[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	words[0] = __atomic_exchange_n(from, 0, __ATOMIC_ACQ_REL);
	memcpy(desc, words, sizeof(desc));
	mapped->wqs[wq].next[page] = (slot + 1) % GATHER_SLOTS;
	vportal_submit(mapped->vdev, (uint64_t)wq * PORTAL_WQ_STRIDE + page * PORTAL_PAGE + slot * PORTAL_DESC, desc);
}

/* A guest that stores on and on is not waited for: at most a page's worth at a time. */
static bool sweep_page(struct vmapped *mapped, uint32_t wq, uint32_t page)
{
	uint32_t slot, taken = 0;

	while (taken < GATHER_SLOTS && find(mapped, wq, page, &slot)) {
		take(mapped, wq, page, slot);
		taken++;
	}
	return taken > 0;
}

static bool sweep(struct vmapped *mapped)
{
	bool found = false;

	if (mapped->fd < 0 || mapped->closed)
		return false;
	for (uint32_t wq = 0; wq < mapped->vdev->num_wqs; wq++)
		for (uint32_t page = 0; mapped->wqs[wq].accepting && page < MAPPED_PAGES; page++)
			found |= sweep_page(mapped, wq, page);
	return found;
}

static bool any_accepting(const struct vmapped *mapped)
{
	bool any = false;

	for (uint32_t wq = 0; wq < mapped->vdev->num_wqs; wq++)
		any |= mapped->wqs[wq].accepting;
	return any && !mapped->closed && mapped->fd >= 0;
}

/* The host, or a halt, disables queues without a command of the guest. */
static void forget_disabled(struct vmapped *mapped)
{
	const struct vdev *vdev = mapped->vdev;

	for (uint32_t wq = 0; wq < vdev->num_wqs; wq++)
		if (mapped->wqs[wq].accepting && !vdev->inside->accepting(vdev->it, wq))
			mapped->wqs[wq].accepting = false;
}

/* ---- the thread ---- */

/* Lock held, given up meanwhile. */
static void sleep_ns(struct vmapped *mapped, uint64_t ns)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	ns += (uint64_t)until.tv_nsec;
	until.tv_sec += (time_t)(ns / 1000000000u);
	until.tv_nsec = (long)(ns % 1000000000u);
	pthread_cond_timedwait(&mapped->wake, &mapped->lock, &until);
}

/* The lock is free between two looks, so that commands get in. */
static void rest(struct vmapped *mapped, uint32_t idle)
{
	uint64_t ns = SHORTEST_NS;

	if (idle < SPINS) {
		pthread_mutex_unlock(&mapped->lock);
		__builtin_ia32_pause();
		pthread_mutex_lock(&mapped->lock);
		return;
	}
	for (uint32_t i = SPINS; i < idle && ns < LONGEST_NS; i++)
		ns *= 2;
	if (ns >= LONGEST_NS)
		forget_disabled(mapped);
	sleep_ns(mapped, ns < LONGEST_NS ? ns : LONGEST_NS);
}

static void *look(void *arg)
{
	struct vmapped *mapped = arg;
	uint32_t idle = 0;

	pthread_mutex_lock(&mapped->lock);
	while (!mapped->stop) {
		if (!any_accepting(mapped)) {
			idle = 0;
			pthread_cond_wait(&mapped->wake, &mapped->lock);
		} else if (sweep(mapped)) {
			idle = 0;
		} else {
			rest(mapped, idle++);
		}
	}
	pthread_mutex_unlock(&mapped->lock);
	return NULL;
}

/* With all signals blocked: they are for the threads of the program that uses this library. */
static bool start(struct vmapped *mapped)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&mapped->thread, NULL, look, mapped);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error == 0;
}

/* ---- life ---- */

static bool init_locks(struct vmapped *mapped)
{
	pthread_condattr_t attr;
	bool ok;

	if (pthread_mutex_init(&mapped->lock, NULL) != 0)
		return false;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	ok = pthread_cond_init(&mapped->wake, &attr) == 0;
	pthread_condattr_destroy(&attr);
	if (!ok)
		pthread_mutex_destroy(&mapped->lock);
	return ok;
}

struct vmapped *vmapped_create(struct vdev *vdev)
{
	struct vmapped *mapped = calloc(1, sizeof(*mapped));

	if (!mapped)
		return NULL;
	mapped->vdev = vdev;
	mapped->size = vdev->shape.bar2_size;
	mapped->fd = -1;
	mapped->wqs = calloc(vdev->num_wqs, sizeof(*mapped->wqs));
	if (!mapped->wqs || !init_locks(mapped))
		goto fail;
	make_pages(mapped);
	if (mapped->fd >= 0 && start(mapped))
		return mapped;
	drop_pages(mapped);
	pthread_cond_destroy(&mapped->wake);
	pthread_mutex_destroy(&mapped->lock);
fail:
	free(mapped->wqs);
	free(mapped);
	return NULL;
}

void vmapped_destroy(struct vmapped *mapped)
{
	if (!mapped)
		return;
	pthread_mutex_lock(&mapped->lock);
	mapped->stop = true;
	pthread_cond_signal(&mapped->wake);
	pthread_mutex_unlock(&mapped->lock);
	pthread_join(mapped->thread, NULL);
	drop_pages(mapped);
	pthread_cond_destroy(&mapped->wake);
	pthread_mutex_destroy(&mapped->lock);
	free(mapped->wqs);
	free(mapped);
}

void vmapped_sweep(struct vmapped *mapped)
{
	if (!mapped)
		return;
	pthread_mutex_lock(&mapped->lock);
	sweep(mapped);
	pthread_mutex_unlock(&mapped->lock);
}

void vmapped_follow(struct vmapped *mapped)
{
	const struct vdev *vdev;

	if (!mapped)
		return;
	vdev = mapped->vdev;
	pthread_mutex_lock(&mapped->lock);
	for (uint32_t wq = 0; wq < vdev->num_wqs; wq++) {
		const bool accepting = vdev->inside->accepting(vdev->it, wq);

		if (accepting && !mapped->wqs[wq].accepting && mapped->fd >= 0)
			wipe(mapped, wq);
		mapped->wqs[wq].accepting = accepting;
	}
	pthread_cond_signal(&mapped->wake);
	pthread_mutex_unlock(&mapped->lock);
}

void vmapped_close(struct vmapped *mapped)
{
	if (!mapped)
		return;
	pthread_mutex_lock(&mapped->lock);
	mapped->closed = true;
	pthread_mutex_unlock(&mapped->lock);
}

void vmapped_renew(struct vmapped *mapped)
{
	if (!mapped)
		return;
	pthread_mutex_lock(&mapped->lock);
	drop_pages(mapped);
	make_pages(mapped);
	pthread_cond_signal(&mapped->wake);
	pthread_mutex_unlock(&mapped->lock);
}

int vmapped_fd(struct vmapped *mapped)
{
	int fd = -1;

	if (!mapped)
		return -1;
	pthread_mutex_lock(&mapped->lock);
	if (mapped->fd >= 0)
		fd = fcntl(mapped->fd, F_DUPFD_CLOEXEC, 0);
	pthread_mutex_unlock(&mapped->lock);
	return fd;
}
