#include "dif.h"

#include <string.h>

#include "isal.h"
#include "request.h"

void dif_tags_get(struct dif_tags *tags, uint8_t flags, const uint8_t raw[8])
{
	*tags = (struct dif_tags){
		.flags = flags,
		.reference = (uint32_t)field(raw, 0, 4),
		.mask = (uint16_t)field(raw, 4, 2),
		.application = (uint16_t)field(raw, 6, 2),
	};
}

void dif_tags_put(const struct dif_tags *tags, uint8_t raw[8])
{
	set_field(raw, 0, 4, tags->reference);
	set_field(raw, 4, 2, tags->mask);
	set_field(raw, 6, 2, tags->application);
}

struct dif_tags dif_tags_after(const struct dif_tags *tags, uint32_t blocks)
{
	struct dif_tags after = *tags;

	if (!(tags->flags & DIF_REF_FIXED))
		after.reference += blocks;
	if (tags->flags & DIF_APP_INCREMENTS)
		after.application = (uint16_t)(after.application + blocks);
	return after;
}

uint16_t dif_application(const struct dif_tags *tags)
{
	return (uint16_t)(tags->application & ~tags->mask);
}

struct dif_field dif_field_read(const uint8_t raw[DIF_SIZE])
{
	uint64_t value;

	memcpy(&value, raw, sizeof(value));
	value = __builtin_bswap64(value);
	return (struct dif_field){
		.guard = (uint16_t)(value >> 48),
		.application = (uint16_t)(value >> 32),
		.reference = (uint32_t)value,
	};
}

void dif_field_write(const struct dif_field *field, uint8_t raw[DIF_SIZE])
{
	const uint64_t value = (uint64_t)field->guard << 48 | (uint64_t)field->application << 32 | field->reference;
	const uint64_t stored = __builtin_bswap64(value);

	memcpy(raw, &stored, sizeof(stored));
}

size_t dif_block_size(uint8_t dif_flags)
{
	static const size_t sizes[] = { 512, 520, 4096, DIF_MAX_BLOCK };

	return sizes[dif_flags & DIF_BLOCK_SIZE];
}

uint16_t dif_guard(uint8_t dif_flags, const uint8_t *block, size_t size)
{
	const uint16_t guard = crc16_t10dif(dif_flags & DIF_INVERT_SEED ? 0xFFFF : 0, block, size);

	return dif_flags & DIF_INVERT_RESULT ? (uint16_t)~guard : guard;
}

/* 8.3.17.4. The text for 0x04 there repeats that of the application tag; what it names is the reference tag. */
uint8_t dif_errors(const struct dif_tags *expected, const struct dif_field *found, uint16_t guard)
{
	const uint8_t flags = expected->flags;
	const bool app_f = found->application == 0xFFFF;
	const bool tags_f = app_f && found->reference == 0xFFFFFFFF;
	const bool all_f = tags_f && found->guard == 0xFFFF;
	uint8_t errors = 0;

	if ((flags & DIF_SOURCE_ALL_F) && (flags & DIF_SOURCE_ALL_F_ERROR) && all_f)
		return DIF_ERROR_ALL_F;
	if (((flags & DIF_SOURCE_ALL_F) && all_f) || ((flags & DIF_SOURCE_APP_F) && app_f) ||
	    ((flags & DIF_SOURCE_TAGS_F) && tags_f))
		return 0;
	if (!(flags & DIF_SOURCE_NO_GUARD) && found->guard != guard)
		errors |= DIF_ERROR_GUARD;
	if (expected->mask != 0xFFFF && found->application != dif_application(expected))
		errors |= DIF_ERROR_APP;
	if (!(flags & DIF_SOURCE_NO_REF) && found->reference != expected->reference)
		errors |= DIF_ERROR_REF;
	return errors;
}
