/* dif.h - one block's data integrity field (DSA specification 8.3.17, appendix B): tags, guard, what is wrong with it. */
#ifndef VDSA_CORE_DIF_H
#define VDSA_CORE_DIF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats.h"

/* How the tags of one side go on. */
struct dif_tags {
	uint8_t flags; /* DIF_REF_FIXED, DIF_APP_INCREMENTS and the side's own */
	uint32_t reference;
	uint16_t application, mask;
};

struct dif_field {
	uint16_t guard, application;
	uint32_t reference;
};

/* The 8 bytes that a descriptor and a record have for each side: reference tag, mask and application tag. */
void dif_tags_get(struct dif_tags *tags, uint8_t flags, const uint8_t raw[8]);
void dif_tags_put(const struct dif_tags *tags, uint8_t raw[8]);
/*
 * Tags for the block `blocks` further on. The application tag counts on in full and is masked when it is used; what is put into
 * the record is not masked, so that a continuation counts on from it.
 */
struct dif_tags dif_tags_after(const struct dif_tags *tags, uint32_t blocks);
uint16_t dif_application(const struct dif_tags *tags);

struct dif_field dif_field_read(const uint8_t raw[DIF_SIZE]);
void dif_field_write(const struct dif_field *field, uint8_t raw[DIF_SIZE]);

size_t dif_block_size(uint8_t dif_flags);
/* The guard of a block. */
uint16_t dif_guard(uint8_t dif_flags, const uint8_t *block, size_t size);
/* DIF_ERROR_* of a field in the source whose block has this guard; 0: it is as it should be. */
uint8_t dif_errors(const struct dif_tags *expected, const struct dif_field *found, uint16_t guard);

#endif
