/* pattern.h - 8 bytes repeated, to be compared with or copied from in long runs. */
#ifndef VDSA_CORE_PATTERN_H
#define VDSA_CORE_PATTERN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { PATTERN_SIZE = 8, PATTERN_RUN = 1024 };

struct pattern {
	uint8_t bytes[PATTERN_RUN + PATTERN_SIZE];
};

static inline void pattern_init(struct pattern *pattern, const uint8_t value[PATTERN_SIZE])
{
	for (size_t i = 0; i < sizeof(pattern->bytes); i += PATTERN_SIZE)
		memcpy(pattern->bytes + i, value, PATTERN_SIZE);
}

/* PATTERN_RUN bytes of it, from offset `at`. A multiple of 8 bytes further it is the same. */
static inline const uint8_t *pattern_at(const struct pattern *pattern, uint64_t at)
{
	return pattern->bytes + at % PATTERN_SIZE;
}

#endif
