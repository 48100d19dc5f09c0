/* request.c - taking a descriptor apart, and the checks that do not depend on what it does (8.1, 5.4). */
#include "request.h"

#include <string.h>

uint64_t field(const uint8_t *raw, unsigned offset, unsigned size)
{
	uint64_t value = 0;

	memcpy(&value, raw + offset, size);
	return value;
}

void set_field(uint8_t *raw, unsigned offset, unsigned size, uint64_t value)
{
	memcpy(raw + offset, &value, size);
}

bool is_zero(const uint8_t *raw, unsigned from, unsigned to)
{
	for (unsigned i = from; i <= to; i++)
		if (raw[i] != 0)
			return false;
	return true;
}

bool wraps(uint64_t address, uint64_t size)
{
	return address + (size - 1) < address;
}
