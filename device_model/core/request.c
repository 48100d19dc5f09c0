/* request.c - taking a descriptor apart, and the checks that do not depend on what it does (8.1, 5.4). */
#include "request.h"

bool wraps(uint64_t address, uint64_t size)
{
	return address + (size - 1) < address;
}
