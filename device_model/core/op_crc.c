/*
 * op_crc.c - CRC Generation and Copy with CRC Generation (DSA specification 8.3.12, 8.3.13, appendix A): CRC-32C. 64-bit CRCs are not
 * offered (GENCAP bit 11).
 *
 * Appendix A, after RFC 3720, pads the data with zeros to a multiple of 4 bytes. That is not done: a result would then be no seed for
 * what follows, as 8.3.12 has it, and the libraries whose results are compared with the device's do not do it either; who
 * needs the padding transfers it.
 */
#include <string.h>

#include "isal.h"
#include "operation.h"

enum { CRC_SEED = 40, CRC_SEED_ADDRESS = 48, CRC_SIZE = 4 };
enum { CRC_FLAGS = CRC_F_READ_SEED | CRC_F_BYPASS_CRC_REFLECTION | CRC_F_BYPASS_DATA_REFLECTION };

/* ---- the CRC ---- */

static uint32_t reverse_bits(uint32_t value)
{
	value = (value >> 1 & 0x55555555u) | (value & 0x55555555u) << 1;
	value = (value >> 2 & 0x33333333u) | (value & 0x33333333u) << 2;
	value = (value >> 4 & 0x0F0F0F0Fu) | (value & 0x0F0F0F0Fu) << 4;
	return __builtin_bswap32(value);
}

/* Between the fields of descriptor and record, and the remainder with the coefficient of x^31 in bit 0. */
static uint32_t to_remainder(uint32_t value, uint32_t flags)
{
	return flags & CRC_F_BYPASS_CRC_REFLECTION ? reverse_bits(value) : ~value;
}

/* Each byte with its bits the other way round, eight at a time. */
static void reflect_bytes(uint8_t *to, const uint8_t *from, size_t length)
{
	size_t i;

	for (i = 0; i < length; i += 8) {
		const size_t part = length - i < 8 ? length - i : 8;
		uint64_t word = 0;

		memcpy(&word, from + i, part);
		word = (word >> 1 & 0x5555555555555555u) | (word & 0x5555555555555555u) << 1;
		word = (word >> 2 & 0x3333333333333333u) | (word & 0x3333333333333333u) << 2;
		word = (word >> 4 & 0x0F0F0F0F0F0F0F0Fu) | (word & 0x0F0F0F0F0F0F0F0Fu) << 4;
		memcpy(to + i, &word, part);
	}
}

/* The library takes bit 0 of each byte first; that bit 7 comes first is made of it by turning the bytes round. */
static uint32_t crc_update(uint32_t remainder, const uint8_t *bytes, size_t length, uint32_t flags)
{
	enum { REFLECTED = 4096, WHOLE = 1 << 30 };
	uint8_t reflected[REFLECTED];

	while (length > 0) {
		const bool reflect = flags & CRC_F_BYPASS_DATA_REFLECTION;
		const size_t most = reflect ? REFLECTED : WHOLE;
		const size_t part = length < most ? length : most;

		if (reflect)
			reflect_bytes(reflected, bytes, part);
		remainder = isal_crc32c(remainder, reflect ? reflected : bytes, part);
		bytes += part;
		length -= part;
	}
	return remainder;
}

/* ---- what is refused ---- */

/* TC selector 3 is about the seed's address (8.1.3). */
static uint32_t crc_wrong_flags(uint32_t flags)
{
	return flags & CRC_F_READ_SEED ? 0 : flags & DESC_F_TC_3;
}

static bool copy_crc_reserved_ok(const struct request *request)
{
	const bool read_seed = request->flags & CRC_F_READ_SEED;
	const unsigned unused = read_seed ? CRC_SEED : CRC_SEED_ADDRESS;

	return is_zero(request->raw, 38, 39) && is_zero(request->raw, 44, 47) && is_zero(request->raw, 56, 63) &&
	       is_zero(request->raw, unused, unused + (read_seed ? 3 : 7));
}

static bool crc_reserved_ok(const struct request *request)
{
	return is_zero(request->raw, 24, 31) && copy_crc_reserved_ok(request);
}

static uint8_t crc_check(const struct request *request)
{
	if ((request->flags & CRC_F_READ_SEED) && field(request->raw, CRC_SEED_ADDRESS, 8) % CRC_SIZE != 0)
		return STATUS_ALIGNMENT;
	return STATUS_NONE;
}

static uint8_t copy_crc_check(const struct request *request)
{
	const uint8_t status = crc_check(request);

	if (status == STATUS_NONE && ranges_overlap(request->src, request->size, request->dst, request->size))
		return STATUS_OVERLAP;
	return status;
}

/* ---- execution ---- */

/* False: a fault, with no byte done. */
static bool get_seed(struct memory *memory, const struct request *request, uint32_t *seed, struct outcome *outcome)
{
	const uint64_t address = field(request->raw, CRC_SEED_ADDRESS, 8);
	uint8_t bytes[CRC_SIZE];
	size_t done = 0;

	if (!(request->flags & CRC_F_READ_SEED)) {
		*seed = (uint32_t)field(request->raw, CRC_SEED, CRC_SIZE);
		return true;
	}
	if (memory_read(memory, address, bytes, sizeof(bytes), &done) != DMA_OK) {
		operation_fault(outcome, STATUS_READ_ERROR, address + done, 0);
		return false;
	}
	*seed = (uint32_t)field(bytes, 0, CRC_SIZE);
	return true;
}

/* Writes a part of the source to the destination. Bytes written; less than all: a fault, noted in the outcome. */
static size_t copy_part(struct memory *memory, const struct request *request, uint32_t at, const struct view *source,
			struct outcome *outcome)
{
	struct view target;
	size_t part = 0, done = 0;
	enum dma_result result = memory_target(memory, 1, request->dst + at, source->length, &target);

	if (result == DMA_OK) {
		part = target.length;
		memmove(target.bytes, source->bytes, part);
		result = memory_commit(memory, &target, part, &done);
	}
	if (result != DMA_OK)
		operation_fault(outcome, STATUS_WRITE_ERROR, request->dst + at + done, 0);
	return done;
}

/* The CRC value is that of the bytes completed: after a fault, the seed for the rest (8.3.12). */
static void crc_stream(struct memory *memory, const struct request *request, bool copy, struct outcome *outcome)
{
	uint32_t seed, remainder, at = 0;

	if (!get_seed(memory, request, &seed, outcome))
		return;
	remainder = to_remainder(seed, request->flags);
	while (at < request->size && outcome->status == STATUS_SUCCESS) {
		struct view source;
		size_t done;

		if (memory_view(memory, 0, request->src + at, request->size - at, &source) != DMA_OK) {
			operation_fault(outcome, STATUS_READ_ERROR, request->src + at, 0);
			break;
		}
		done = copy ? copy_part(memory, request, at, &source, outcome) : source.length;
		remainder = crc_update(remainder, source.bytes, done, request->flags);
		memory_close(memory, &source);
		at += (uint32_t)done;
	}
	outcome->bytes_completed = at < request->size ? at : 0;
	/* reverse_bits and ~ are their own inverses */
	set_field(outcome->tail, 0, CRC_SIZE, to_remainder(remainder, request->flags));
}

static void crc_run(struct memory *memory, const struct request *request, struct outcome *outcome)
{
	outcome->status = STATUS_SUCCESS;
	if (operation_reads(outcome, request->src, request->size))
		crc_stream(memory, request, false, outcome);
}

static void copy_crc_run(struct memory *memory, const struct request *request, struct outcome *outcome)
{
	outcome->status = STATUS_SUCCESS;
	if (operation_reads(outcome, request->src, request->size) && operation_writes(outcome, request->dst, request->size))
		crc_stream(memory, request, true, outcome);
}

const struct operation operation_crc = {
	.opcode = OP_CRC,
	.name = "CRC Generation",
	.flags = DESC_F_TC_1 | DESC_F_TC_3 | CRC_FLAGS,
	.required = DESC_F_CRAV | DESC_F_RCR,
	.has_size = true,
	.wrong_flags = crc_wrong_flags,
	.reserved_ok = crc_reserved_ok,
	.check = crc_check,
	.run = crc_run,
};

const struct operation operation_copy_crc = {
	.opcode = OP_COPY_CRC,
	.name = "Copy with CRC Generation",
	.flags = DESC_F_WRITES | DESC_F_TC_1 | DESC_F_TC_2 | DESC_F_TC_3 | CRC_FLAGS,
	.required = DESC_F_CRAV | DESC_F_RCR,
	.has_size = true,
	.wrong_flags = crc_wrong_flags,
	.reserved_ok = copy_crc_reserved_ok,
	.check = copy_crc_check,
	.run = copy_crc_run,
};
