/* stress_guest.c - what a guest does to its device. */
#define _GNU_SOURCE
#include <sched.h>
#include <string.h>

#include "check.h"
#include "stress_world.h"

void write_bar0(struct guest *guest, uint64_t offset, uint32_t count, uint64_t value)
{
	CHECK_EQUAL(vdev_region_write(guest->vdev, VDEV_REGION_BAR0, offset, &value, count), 0);
}

static uint64_t read_bar0(struct guest *guest, uint64_t offset)
{
	uint64_t value = 0;

	CHECK_EQUAL(vdev_region_read(guest->vdev, VDEV_REGION_BAR0, offset, &value, 8), 0);
	return value;
}

static void write_config(struct guest *guest, uint64_t offset, uint16_t value)
{
	CHECK_EQUAL(vdev_region_write(guest->vdev, VDEV_REGION_CONFIG, offset, &value, 2), 0);
}

static void command(struct guest *guest, uint32_t code, uint32_t operand)
{
	write_bar0(guest, BAR0_CMD, 4, code << 20 | operand);
}

void set_up(struct guest *guest)
{
	struct vm *vm = guest->vm;

	for (unsigned v = 0; v <= VECTORS; v++) {
		write_bar0(guest, TABLE_MSIX + 16 * v, 8, 0xFEE00000u | (vm->id & 0xFF) << 12);
		write_bar0(guest, TABLE_MSIX + 16 * v + 8, 4, (vm->id & 0xFFFF) << 8 | v);
	}
	atomic_store(&vm->reset, false);
	atomic_store(&vm->silent[GUEST_MASKS], false);
	write_config(guest, 4, 6);
	write_config(guest, 0x82, 1 << 15);
	for (unsigned v = 0; v <= VECTORS; v++)
		write_bar0(guest, TABLE_MSIX + 16 * v + 12, 4, 0);
	command(guest, CMD_ENABLE_DEVICE, 0);
	command(guest, CMD_ENABLE_WQ, 0);
	for (unsigned v = 1; v <= VECTORS; v++)
		command(guest, CMD_REQUEST_INT_HANDLE, v);
}

void lay_list(struct guest *guest)
{
	for (unsigned i = 0; i < MEMBERS; i++) {
		const uint32_t word = (DESC_F_CRAV | DESC_F_RCR | DESC_F_RCI) | (uint32_t)OP_MEMMOVE << 24, size = 64;
		const uint64_t record = RAM + 0x3000 + 32 * i, source = RAM, destination = RAM + 0x2000 + 64 * i;
		const unsigned owner = i == MEMBERS - 1 ? (guest->index + 1) % GUESTS : guest->index;
		const uint16_t handle = (uint16_t)entry(owner, 1 + i % VECTORS);
		uint8_t *desc = guest->vm->memory + LIST + 64 * i;

		memcpy(desc + 4, &word, 4);
		memcpy(desc + 8, &record, 8);
		memcpy(desc + 16, &source, 8);
		memcpy(desc + 24, &destination, 8);
		memcpy(desc + 32, &size, 4);
		memcpy(desc + 36, &handle, 2);
	}
}

/* As a driver does: the first word last. A slot that has not been taken yet is written over. */
static void store_mapped(struct guest *guest, const uint8_t desc[64], uint32_t slot)
{
	uint64_t words[8], *to = (uint64_t *)(void *)(guest->pages + PORTAL + (slot & 0x3F) * 64);

	memcpy(words, desc, sizeof(words));
	for (unsigned i = 1; i < 8; i++)
		__atomic_store_n(&to[i], words[i], __ATOMIC_RELAXED);
	__atomic_store_n(to, words[0], __ATOMIC_RELEASE);
}

static void store(struct guest *guest, const uint8_t desc[64], uint32_t slot)
{
	if (guest->pages) {
		store_mapped(guest, desc, slot);
		return;
	}
	CHECK_EQUAL(vdev_region_write(guest->vdev, VDEV_REGION_BAR2, PORTAL + (slot & 0x3F) * 64, desc, 64), 0);
}

/* The list that is in each VM's memory. */
static void submit_batch(struct guest *guest, uint32_t random)
{
	const uint32_t word = (DESC_F_CRAV | DESC_F_RCR) | (uint32_t)OP_BATCH << 24, count = 2 + random % (MEMBERS - 1);
	const uint64_t record = RAM + 0x3FE0, list = RAM + LIST;
	uint8_t desc[64] = { 0 };

	memcpy(desc + 4, &word, 4);
	memcpy(desc + 8, &record, 8);
	memcpy(desc + 16, &list, 8);
	memcpy(desc + 32, &count, 4);
	store(guest, desc, random >> 4);
}

/* A Memory Move with a record and an interrupt by any handle, mostly its own; or a batch. */
void submit(struct guest *guest)
{
	const uint32_t random = next(&guest->random);
	const uint32_t own = entry(guest->index, 1 + random % VECTORS);
	const bool batch = (random >> 12 & 7) == 0;
	uint8_t desc[64] = { 0 };
	const uint32_t word = (DESC_F_CRAV | DESC_F_RCR | DESC_F_RCI) | (uint32_t)OP_MEMMOVE << 24;
	const uint64_t record = RAM + 0x3000 + 32 * (random >> 8 & 0x7F);
	const uint64_t source = RAM, destination = RAM + (random >> 4 & 0xFF);
	const uint32_t size = 512;
	const uint16_t handle = (uint16_t)(random >> 28 == 0 ? random >> 16 & 0x3FF : own);

	if (batch) {
		submit_batch(guest, random);
		return;
	}
	memcpy(desc + 4, &word, 4);
	memcpy(desc + 8, &record, 8);
	memcpy(desc + 16, &source, 8);
	memcpy(desc + 24, &destination, 8);
	memcpy(desc + 32, &size, 4);
	memcpy(desc + 36, &handle, 2);
	store(guest, desc, random >> 4);
}

static void toggle_mask(struct guest *guest)
{
	const uint64_t offset = TABLE_MSIX + 16 * GUEST_MASKS + 12;

	write_bar0(guest, offset, 4, 1);
	atomic_store(&guest->vm->silent[GUEST_MASKS], true);
	submit(guest);
	atomic_store(&guest->vm->silent[GUEST_MASKS], false);
	write_bar0(guest, offset, 4, 0);
}

static void reset(struct guest *guest)
{
	vdev_reset(guest->vdev);
	atomic_store(&guest->vm->reset, true);
	submit(guest); /* goes nowhere */
	set_up(guest);
}

/* Active may last: the guest goes on, as one that polls would find out. */
static void reset_command(struct guest *guest)
{
	command(guest, CMD_RESET_DEVICE, next(&guest->random) & 1 ? 1u << 11 : 0);
	for (unsigned i = 0; i < 1000 && (read_bar0(guest, 0xA8) & CMDSTATUS_ACTIVE); i++)
		sched_yield();
	command(guest, CMD_ENABLE_DEVICE, 0);
	command(guest, CMD_ENABLE_WQ, 0);
	for (unsigned v = 1; v <= VECTORS; v++)
		command(guest, CMD_REQUEST_INT_HANDLE, v);
}

static void any_command(struct guest *guest)
{
	static const uint32_t codes[] = { CMD_DRAIN_WQ, CMD_ABORT_WQ, CMD_DRAIN_ALL, CMD_DISABLE_WQ, CMD_RESET_WQ, CMD_DISABLE_DEVICE };
	const uint32_t random = next(&guest->random);

	write_bar0(guest, 0x88, 4, 1);
	write_bar0(guest, BAR0_CMD, 4, 1u << 31 | codes[random % 6] << 20 | (random % 6 == 2 || random % 6 == 5 ? 0 : 1));
	write_bar0(guest, 0xC0, 4, 3);
	command(guest, CMD_ENABLE_DEVICE, 0);
	command(guest, CMD_ENABLE_WQ, 0);
}

static void handles(struct guest *guest)
{
	const unsigned vector = 1 + next(&guest->random) % VECTORS;

	command(guest, CMD_RELEASE_INT_HANDLE, vector);
	submit(guest);
	command(guest, CMD_REQUEST_INT_HANDLE, vector);
	write_bar0(guest, TABLE_PERM + 8 * vector, 4, next(&guest->random) & 4);
	write_bar0(guest, TABLE_PERM + 8 * vector, 4, 0);
	(void)read_bar0(guest, 0x3000);
}

static void act(struct guest *guest)
{
	switch (next(&guest->random) % 32) {
	case 0:
		reset(guest);
		break;
	case 1:
		reset_command(guest);
		break;
	case 2:
		detach(guest);
		attach(guest);
		break;
	case 3:
	case 4:
		any_command(guest);
		break;
	case 5:
	case 6:
		handles(guest);
		break;
	case 7:
	case 8:
	case 9:
		toggle_mask(guest);
		break;
	default:
		submit(guest);
		break;
	}
}

void *guest_main(void *arg)
{
	struct guest *guest = arg;

	for (unsigned i = 0; i < guest->world->rounds; i++) {
		pthread_mutex_lock(&guest->life);
		act(guest);
		pthread_mutex_unlock(&guest->life);
	}
	return NULL;
}
