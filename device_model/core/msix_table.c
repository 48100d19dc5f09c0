/* msix_table.c - an MSI-X table, its pending bits and permissions as registers, and its interrupt handles. */
#include "msix_internal.h"

static bool access_ok(const struct msix *msix, uint64_t offset, unsigned size)
{
	return (size == 4 || size == 8) && offset % size == 0 && offset < (uint64_t)msix->config.vectors * MSIX_STRIDE;
}

static uint32_t read_dword(const struct msix *msix, uint64_t offset)
{
	const struct msix_vector *vector = &msix->vectors[offset / MSIX_STRIDE];

	switch (offset % MSIX_STRIDE) {
	case MSIX_ADDR_LO:
		return (uint32_t)vector->address;
	case MSIX_ADDR_HI:
		return (uint32_t)(vector->address >> 32);
	case MSIX_DATA:
		return vector->data;
	default:
		return vector->ctrl;
	}
}

uint64_t msix_read(struct msix *msix, uint64_t offset, unsigned size)
{
	uint64_t value;

	if (!access_ok(msix, offset, size))
		return 0;
	pthread_mutex_lock(&msix->lock);
	value = read_dword(msix, offset);
	if (size == 8)
		value |= (uint64_t)read_dword(msix, offset + 4) << 32;
	pthread_mutex_unlock(&msix->lock);
	return value;
}

static void write_dword(struct msix *msix, uint64_t offset, uint32_t value)
{
	const uint32_t index = (uint32_t)(offset / MSIX_STRIDE);
	struct msix_vector *vector = &msix->vectors[index];

	switch (offset % MSIX_STRIDE) {
	case MSIX_ADDR_LO:
		vector->address = (vector->address & ~0xFFFFFFFFull) | (value & ~3u);
		break;
	case MSIX_ADDR_HI:
		vector->address = (vector->address & 0xFFFFFFFFull) | (uint64_t)value << 32;
		break;
	case MSIX_DATA:
		vector->data = value;
		break;
	default:
		vector->ctrl = value & MSIX_VCTRL_MASK;
		if (vector->ctrl)
			msix_wait_sent(msix, vector);
		else
			msix_flush_vector(msix, index);
		break;
	}
}

void msix_write(struct msix *msix, uint64_t offset, unsigned size, uint64_t value)
{
	if (!access_ok(msix, offset, size))
		return;
	pthread_mutex_lock(&msix->lock);
	write_dword(msix, offset, (uint32_t)value);
	if (size == 8)
		write_dword(msix, offset + 4, (uint32_t)(value >> 32));
	pthread_mutex_unlock(&msix->lock);
}

uint64_t msix_read_pba(struct msix *msix, uint32_t word)
{
	uint64_t bits = 0;

	pthread_mutex_lock(&msix->lock);
	for (uint64_t i = (uint64_t)word * 64, bit = 0; bit < 64 && i < msix->config.vectors; i++, bit++)
		bits |= (uint64_t)msix->vectors[i].pending << bit;
	pthread_mutex_unlock(&msix->lock);
	return bits;
}

uint32_t msix_read_perm(struct msix *msix, uint32_t vector)
{
	uint32_t value;

	if (vector >= msix->config.vectors)
		return 0;
	pthread_mutex_lock(&msix->lock);
	value = msix->vectors[vector].perm;
	pthread_mutex_unlock(&msix->lock);
	return value;
}

void msix_write_perm(struct msix *msix, uint32_t vector, uint32_t value)
{
	if (vector >= msix->config.vectors)
		return;
	pthread_mutex_lock(&msix->lock);
	msix->vectors[vector].perm = value & MSIXPERM_WRITABLE;
	pthread_mutex_unlock(&msix->lock);
}

void msix_set_ignore(struct msix *msix, uint32_t vector, bool ignore)
{
	if (vector >= msix->config.vectors)
		return;
	pthread_mutex_lock(&msix->lock);
	msix->vectors[vector].perm &= ~(uint32_t)MSIXPERM_IGNORE;
	if (ignore)
		msix->vectors[vector].perm |= MSIXPERM_IGNORE;
	pthread_mutex_unlock(&msix->lock);
}

void msix_wait(struct msix *msix, uint32_t vector)
{
	if (vector >= msix->config.vectors)
		return;
	pthread_mutex_lock(&msix->lock);
	msix_wait_sent(msix, &msix->vectors[vector]);
	pthread_mutex_unlock(&msix->lock);
}

/* ---- handles ---- */

static bool set_requested(struct msix *msix, uint32_t vector, bool requested)
{
	if (vector >= msix->config.vectors)
		return false;
	pthread_mutex_lock(&msix->lock);
	msix->vectors[vector].requested = requested;
	if (!requested) /* a next owner must not inherit it */
		msix->vectors[vector].pending = false;
	pthread_mutex_unlock(&msix->lock);
	return true;
}

bool msix_request_handle(struct msix *msix, uint32_t vector)
{
	return set_requested(msix, vector, true);
}

bool msix_release_handle(struct msix *msix, uint32_t vector)
{
	return set_requested(msix, vector, false);
}
