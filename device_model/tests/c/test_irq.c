/* test_irq.c - eventfds for vectors. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../../transport/irq.h"
#include "check.h"

enum { VECTORS = 9 };

static struct vfu_irq_set set_of(uint32_t flags, uint32_t start, uint32_t count)
{
	return (struct vfu_irq_set){
		.argsz = sizeof(struct vfu_irq_set),
		.flags = flags | VFU_IRQ_ACTION_TRIGGER,
		.index = VFU_IRQ_MSIX,
		.start = start,
		.count = count,
	};
}

static int check(struct vfu_irq_set set, uint32_t data_size, unsigned nfds)
{
	return vfu_irq_set_check(&set, data_size, nfds, VECTORS);
}

static void requests_inside_the_vectors_are_taken(void)
{
	CHECK_EQUAL(check(set_of(VFU_IRQ_DATA_EVENTFD, 0, VECTORS), 0, VECTORS), 0);
	CHECK_EQUAL(check(set_of(VFU_IRQ_DATA_EVENTFD, VECTORS - 1, 1), 0, 1), 0);
	CHECK_EQUAL(check(set_of(VFU_IRQ_DATA_EVENTFD, 0, 1), 0, 0), 0);
	CHECK_EQUAL(check(set_of(VFU_IRQ_DATA_NONE, 0, 0), 0, 0), 0);
	CHECK_EQUAL(check(set_of(VFU_IRQ_DATA_BOOL, 3, 4), 4, 0), 0);
}

static void requests_outside_the_vectors_are_refused(void)
{
	CHECK_EQUAL(check(set_of(VFU_IRQ_DATA_EVENTFD, VECTORS, 1), 0, 1), -EINVAL);
	CHECK_EQUAL(check(set_of(VFU_IRQ_DATA_EVENTFD, 0, VECTORS + 1), 0, VECTORS + 1), -EINVAL);
	CHECK_EQUAL(check(set_of(VFU_IRQ_DATA_EVENTFD, UINT32_MAX, 2), 0, 2), -EINVAL);
	CHECK_EQUAL(check(set_of(VFU_IRQ_DATA_NONE, 1, UINT32_MAX), 0, 0), -EINVAL);
	CHECK_EQUAL(check(set_of(VFU_IRQ_DATA_NONE, 1, 0), 0, 0), -EINVAL);
}

static void requests_that_contradict_themselves_are_refused(void)
{
	struct vfu_irq_set set;
	CHECK_EQUAL(check(set_of(0, 0, 1), 0, 0), -EINVAL);
	CHECK_EQUAL(check(set_of(VFU_IRQ_DATA_NONE | VFU_IRQ_DATA_EVENTFD, 0, 1), 0, 1), -EINVAL);
	CHECK_EQUAL(check(set_of(VFU_IRQ_DATA_EVENTFD, 0, 2), 0, 1), -EINVAL);
	CHECK_EQUAL(check(set_of(VFU_IRQ_DATA_EVENTFD, 0, 1), 0, 2), -EINVAL);
	CHECK_EQUAL(check(set_of(VFU_IRQ_DATA_EVENTFD, 0, 0), 0, 0), -EINVAL);
	CHECK_EQUAL(check(set_of(VFU_IRQ_DATA_NONE, 0, 1), 0, 1), -EINVAL);
	CHECK_EQUAL(check(set_of(VFU_IRQ_DATA_NONE, 0, 1), 1, 0), -EINVAL);
	CHECK_EQUAL(check(set_of(VFU_IRQ_DATA_BOOL, 0, 2), 1, 0), -EINVAL);
	set = set_of(VFU_IRQ_DATA_NONE, 0, 1);
	set.flags |= 8;
	CHECK_EQUAL(check(set, 0, 0), -EINVAL);
	set = set_of(VFU_IRQ_DATA_NONE, 0, 1);
	set.argsz--;
	CHECK_EQUAL(check(set, 0, 0), -EINVAL);
	set = set_of(VFU_IRQ_DATA_NONE, 0, 1);
	set.index = VFU_NUM_IRQS;
	CHECK_EQUAL(check(set, 0, 0), -EINVAL);
	set.index = 0; /* an interrupt that this device does not have */
	CHECK_EQUAL(check(set, 0, 0), -EINVAL);
}

static void give(struct vfu_fds *fds, const int *from, unsigned count)
{
	vfu_fds_init(fds);
	for (unsigned i = 0; i < count; i++)
		fds->fd[fds->count++] = dup(from[i]);
}

static uint64_t count_of(int fd)
{
	eventfd_t value = 0;
	return eventfd_read(fd, &value) == 0 ? value : 0;
}

static void signal_reaches_its_vector_only(void)
{
	struct vfu_irqs irqs;
	struct vfu_fds fds;
	int events[3];
	for (unsigned i = 0; i < 3; i++)
		events[i] = eventfd(0, EFD_NONBLOCK);
	CHECK_EQUAL(vfu_irqs_init(&irqs, VECTORS), 0);
	give(&fds, events, 3);
	struct vfu_irq_set set = set_of(VFU_IRQ_DATA_EVENTFD, 4, 3);
	CHECK_EQUAL(vfu_irqs_register(&irqs, &set, &fds), 0);
	vfu_fds_close(&fds);
	CHECK_EQUAL(vfu_irqs_signal(&irqs, 5), 0);
	CHECK_EQUAL(vfu_irqs_signal(&irqs, 3), -ENOENT);
	CHECK_EQUAL(vfu_irqs_signal(&irqs, VECTORS), -ENOENT);
	CHECK_EQUAL(vfu_irqs_signal(&irqs, UINT32_MAX), -ENOENT);
	CHECK_EQUAL(count_of(events[0]), 0);
	CHECK_EQUAL(count_of(events[1]), 1);
	CHECK_EQUAL(count_of(events[2]), 0);
	vfu_irqs_clear(&irqs, 5, 1);
	CHECK_EQUAL(vfu_irqs_signal(&irqs, 5), -ENOENT);
	CHECK_EQUAL(vfu_irqs_signal(&irqs, 6), 0);
	vfu_irqs_destroy(&irqs);
	for (unsigned i = 0; i < 3; i++)
		close(events[i]);
}

static void registration_with_one_bad_fd_changes_nothing(void)
{
	struct vfu_irqs irqs;
	struct vfu_fds fds;
	int event = eventfd(0, EFD_NONBLOCK), other = eventfd(0, EFD_NONBLOCK), ends[2];
	CHECK_EQUAL(pipe(ends), 0);
	CHECK_EQUAL(vfu_irqs_init(&irqs, VECTORS), 0);
	struct vfu_irq_set set = set_of(VFU_IRQ_DATA_EVENTFD, 0, 1);
	give(&fds, &event, 1);
	CHECK_EQUAL(vfu_irqs_register(&irqs, &set, &fds), 0);
	int bad[] = {other, ends[1]};
	give(&fds, bad, 2);
	set.count = 2;
	CHECK_EQUAL(vfu_irqs_register(&irqs, &set, &fds), -EINVAL);
	CHECK_EQUAL(fds.count, 2); /* still the caller's */
	vfu_fds_close(&fds);
	CHECK_EQUAL(vfu_irqs_signal(&irqs, 0), 0);
	CHECK_EQUAL(count_of(event), 1);
	CHECK_EQUAL(count_of(other), 0);
	vfu_irqs_destroy(&irqs);
	close(event);
	close(other);
	close(ends[0]);
	close(ends[1]);
}

static void full_blocking_eventfd_does_not_stop_the_signaller(void)
{
	struct vfu_irqs irqs;
	struct vfu_fds fds;
	int event = eventfd(0, 0);
	CHECK_EQUAL(eventfd_write(event, UINT64_MAX - 1), 0);
	CHECK_EQUAL(vfu_irqs_init(&irqs, VECTORS), 0);
	give(&fds, &event, 1);
	struct vfu_irq_set set = set_of(VFU_IRQ_DATA_EVENTFD, 0, 1);
	CHECK_EQUAL(vfu_irqs_register(&irqs, &set, &fds), 0);
	CHECK_EQUAL(vfu_irqs_signal(&irqs, 0), -EAGAIN);
	CHECK_EQUAL(fcntl(event, F_SETFL, 0), 0); /* made blocking again behind our back */
	CHECK_EQUAL(vfu_irqs_signal(&irqs, 0), -EAGAIN);
	vfu_irqs_destroy(&irqs);
	close(event);
}

int main(void)
{
	RUN(requests_inside_the_vectors_are_taken);
	RUN(requests_outside_the_vectors_are_refused);
	RUN(requests_that_contradict_themselves_are_refused);
	RUN(signal_reaches_its_vector_only);
	RUN(registration_with_one_bad_fd_changes_nothing);
	RUN(full_blocking_eventfd_does_not_stop_the_signaller);
	return 0;
}
