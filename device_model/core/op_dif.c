/*
 * op_dif.c - DIF Check, Insert, Strip and Update (DSA specification 8.3.14 - 8.3.17, appendix B).
 *
 * All four go block by block. Bytes completed are those of whole blocks (B.4), of a fault as of a DIF error; the record's tags are
 * always those of the block after them. A transfer size that is no multiple of what a block takes ("should be") is 0x13.
 */
#include <string.h>

#include "dif.h"
#include "operation.h"

enum { DIF_SOURCE_FLAGS = 40, DIF_DEST_FLAGS = 41, DIF_FLAGS = 42, DIF_TAGS_1 = 48, DIF_TAGS_2 = 56 };
/* Where in the record's last 16 bytes. */
enum { DIF_RECORD_1 = 0, DIF_RECORD_2 = 8 };

/* One operation on its way. */
struct dif {
	struct memory *memory;
	const struct request *request;
	struct outcome *outcome;
	bool check, insert, copy;   /* the source has fields; the destination gets fields; there is a destination */
	uint8_t flags;
	size_t block, in, out;      /* bytes of a block, and of it in source and destination; out 0: no destination */
	uint32_t blocks, done;
	struct dif_tags source, dest;
	uint8_t bounce_in[DIF_MAX_BLOCK + DIF_SIZE], bounce_out[DIF_MAX_BLOCK + DIF_SIZE];
};

static bool checks(uint8_t opcode)
{
	return opcode != OP_DIF_INSERT;
}

static bool inserts(uint8_t opcode)
{
	return opcode == OP_DIF_INSERT || opcode == OP_DIF_UPDATE;
}

static bool copies(uint8_t opcode)
{
	return opcode != OP_DIF_CHECK;
}

static size_t in_size(const struct request *request)
{
	return dif_block_size(request->raw[DIF_FLAGS]) + (checks(request->opcode) ? DIF_SIZE : 0);
}

static uint64_t out_total(const struct request *request)
{
	const size_t block = dif_block_size(request->raw[DIF_FLAGS]) + (inserts(request->opcode) ? DIF_SIZE : 0);

	return (uint64_t)(request->size / in_size(request)) * block;
}

/* ---- what is refused ---- */

static bool common_reserved_ok(const struct request *request)
{
	return is_zero(request->raw, 38, 39) && is_zero(request->raw, 43, 47) && !(request->raw[DIF_FLAGS] & DIF_RESERVED);
}

static bool strip_reserved_ok(const struct request *request)
{
	return common_reserved_ok(request) && request->raw[DIF_DEST_FLAGS] == 0 && is_zero(request->raw, 56, 63);
}

static bool check_reserved_ok(const struct request *request)
{
	return strip_reserved_ok(request) && is_zero(request->raw, 24, 31);
}

static bool update_reserved_ok(const struct request *request)
{
	return common_reserved_ok(request) && !(request->raw[DIF_DEST_FLAGS] & DIF_DEST_RESERVED);
}

static bool insert_reserved_ok(const struct request *request)
{
	return update_reserved_ok(request) && request->raw[DIF_SOURCE_FLAGS] == 0 && is_zero(request->raw, 48, 55);
}

static uint8_t dif_check(const struct request *request)
{
	if (request->size % in_size(request) != 0)
		return STATUS_XFER_SIZE;
	if (copies(request->opcode) && ranges_overlap(request->src, request->size, request->dst, out_total(request)))
		return STATUS_OVERLAP;
	return STATUS_NONE;
}

/* ---- blocks ---- */

/* The field that a block gets. found: the source's, NULL if it has none, as of Insert, which ignores the flags to pass it on. */
static struct dif_field new_field(const struct dif_tags *dest, uint16_t guard, const struct dif_field *found)
{
	struct dif_field made = { .guard = guard, .application = dif_application(dest), .reference = dest->reference };

	if (found && (dest->flags & DIF_DEST_PASS_GUARD))
		made.guard = found->guard;
	if (found && (dest->flags & DIF_DEST_PASS_APP))
		made.application = found->application;
	if (found && (dest->flags & DIF_DEST_PASS_REF))
		made.reference = found->reference;
	return made;
}

/* False: an error in the field of a block, which ends the operation. found: the field, if there is one to check. */
static bool check_block(struct dif *dif, uint32_t index, const uint8_t *in, uint16_t guard, struct dif_field *found)
{
	const struct dif_tags expected = dif_tags_after(&dif->source, index);
	uint8_t errors;

	if (!dif->check)
		return true;
	*found = dif_field_read(in + dif->block);
	errors = dif_errors(&expected, found, guard);
	if (!errors)
		return true;
	dif->outcome->status = STATUS_DIF;
	dif->outcome->result = errors;
	return false;
}

/* One block. False: an error in its field; it has not been done, and nothing of it is in the destination. */
static bool do_block(struct dif *dif, uint32_t index, const uint8_t *in, uint8_t *out)
{
	const struct dif_tags dest = dif_tags_after(&dif->dest, index);
	const uint16_t guard = dif_guard(dif->flags, in, dif->block);
	struct dif_field found, made;

	if (!check_block(dif, index, in, guard, &found))
		return false;
	if (dif->copy)
		memmove(out, in, dif->block);
	if (dif->insert) {
		made = new_field(&dest, guard, dif->check ? &found : NULL);
		dif_field_write(&made, out + dif->block);
	}
	return true;
}

/* Blocks from dif->done on; `out` may be NULL. Those without an error. */
static uint32_t do_blocks(struct dif *dif, const uint8_t *in, uint8_t *out, uint32_t blocks)
{
	uint32_t n = 0;

	while (n < blocks && do_block(dif, dif->done + n, in + n * dif->in, out ? out + n * dif->out : NULL))
		n++;
	return n;
}

/* ---- pieces of memory: whole blocks in a view, or one block that lies in several pieces, by way of a buffer of our own ---- */

struct dif_source {
	struct view view;
	const uint8_t *bytes;
	uint32_t blocks;
};

static bool source_open(struct dif *dif, struct dif_source *source)
{
	const uint64_t at = dif->request->src + (uint64_t)dif->done * dif->in;
	size_t done = 0;

	if (memory_view(dif->memory, 0, at, (dif->blocks - dif->done) * dif->in, &source->view) != DMA_OK) {
		operation_fault(dif->outcome, STATUS_READ_ERROR, at, 0);
		return false;
	}
	source->bytes = source->view.bytes;
	source->blocks = (uint32_t)(source->view.length / dif->in);
	if (source->blocks > 0)
		return true;
	memory_close(dif->memory, &source->view);
	source->bytes = dif->bounce_in;
	source->blocks = 1;
	if (memory_read(dif->memory, at, dif->bounce_in, dif->in, &done) == DMA_OK)
		return true;
	operation_fault(dif->outcome, STATUS_READ_ERROR, at + done, 0);
	return false;
}

static void source_close(struct dif *dif, struct dif_source *source)
{
	if (source->bytes != dif->bounce_in)
		memory_close(dif->memory, &source->view);
}

/* Blocks that have reached the destination, and a fault at the first byte that has not: before any error in a field behind it. */
static uint32_t written(struct dif *dif, uint64_t at, size_t wanted, size_t done, enum dma_result result)
{
	if (result != DMA_OK) {
		operation_fault(dif->outcome, STATUS_WRITE_ERROR, at + done, 0);
		dif->outcome->result = 0;
	}
	return (uint32_t)((result == DMA_OK ? wanted : done) / dif->out);
}

/* Opens the destination for at most the blocks of the source, does them, writes them. Blocks done. Ends the source. */
static uint32_t dif_part_copied(struct dif *dif, struct dif_source *source)
{
	const uint64_t at = dif->request->dst + (uint64_t)dif->done * dif->out;
	struct view target;
	uint32_t blocks;
	size_t size, done = 0;
	enum dma_result result = memory_target(dif->memory, 1, at, source->blocks * dif->out, &target);

	if (result != DMA_OK) { /* a block is checked before its place in the destination is looked for */
		struct dif_field found;
		const uint16_t guard = dif_guard(dif->flags, source->bytes, dif->block);
		const bool good = check_block(dif, dif->done, source->bytes, guard, &found);

		source_close(dif, source);
		return good ? written(dif, at, 0, 0, result) : 0;
	}
	blocks = (uint32_t)(target.length / dif->out);
	if (blocks > 0) {
		size = do_blocks(dif, source->bytes, target.bytes, blocks) * dif->out;
		source_close(dif, source);
		result = memory_commit(dif->memory, &target, size, &done);
		return written(dif, at, size, done, result);
	}
	(void)memory_commit(dif->memory, &target, 0, &done);
	size = do_blocks(dif, source->bytes, dif->bounce_out, 1) * dif->out;
	source_close(dif, source);
	result = size > 0 ? memory_write(dif->memory, at, dif->bounce_out, size, &done) : DMA_OK;
	return written(dif, at, size, done, result);
}

static uint32_t dif_part(struct dif *dif)
{
	struct dif_source source;
	uint32_t blocks;

	if (!source_open(dif, &source))
		return 0;
	if (dif->copy)
		return dif_part_copied(dif, &source);
	blocks = do_blocks(dif, source.bytes, NULL, source.blocks);
	source_close(dif, &source);
	return blocks;
}

/* ---- the operation ---- */

static void dif_start(struct dif *dif)
{
	const uint8_t *raw = dif->request->raw;
	const uint8_t opcode = dif->request->opcode;

	dif->check = checks(opcode);
	dif->insert = inserts(opcode);
	dif->copy = copies(opcode);
	dif->flags = raw[DIF_FLAGS];
	dif->block = dif_block_size(dif->flags);
	dif->in = in_size(dif->request);
	dif->out = dif->copy ? dif->block + (dif->insert ? DIF_SIZE : 0) : 0;
	dif->blocks = (uint32_t)(dif->request->size / dif->in);
	dif->done = 0;
	dif_tags_get(&dif->source, raw[DIF_SOURCE_FLAGS], raw + DIF_TAGS_1);
	dif_tags_get(&dif->dest, raw[DIF_DEST_FLAGS], raw + DIF_TAGS_2);
}

static void dif_end(const struct dif *dif)
{
	struct outcome *outcome = dif->outcome;
	const struct dif_tags source = dif_tags_after(&dif->source, dif->done);
	const struct dif_tags dest = dif_tags_after(&dif->dest, dif->done);

	if (dif->check)
		dif_tags_put(&source, outcome->tail + DIF_RECORD_1);
	if (dif->insert)
		dif_tags_put(&dest, outcome->tail + DIF_RECORD_2);
	outcome->bytes_completed = dif->done < dif->blocks ? (uint32_t)(dif->done * dif->in) : 0;
}

static void dif_run(struct memory *memory, const struct request *request, struct outcome *outcome)
{
	struct dif dif;

	dif.memory = memory;
	dif.request = request;
	dif.outcome = outcome;
	dif_start(&dif);
	outcome->status = STATUS_SUCCESS;
	if (operation_reads(outcome, request->src, request->size) &&
	    operation_writes(outcome, request->dst, dif.copy ? out_total(request) : 0))
		while (dif.done < dif.blocks && outcome->status == STATUS_SUCCESS)
			dif.done += dif_part(&dif);
	dif_end(&dif);
}

const struct operation operation_dif_check = {
	.opcode = OP_DIF_CHECK,
	.name = "DIF Check",
	.flags = DESC_F_TC_1,
	.required = DESC_F_CRAV | DESC_F_RCR,
	.has_size = true,
	.reserved_ok = check_reserved_ok,
	.check = dif_check,
	.run = dif_run,
};

const struct operation operation_dif_insert = {
	.opcode = OP_DIF_INSERT,
	.name = "DIF Insert",
	.flags = DESC_F_WRITES | DESC_F_TC_1 | DESC_F_TC_2,
	.has_size = true,
	.reserved_ok = insert_reserved_ok,
	.check = dif_check,
	.run = dif_run,
};

const struct operation operation_dif_strip = {
	.opcode = OP_DIF_STRIP,
	.name = "DIF Strip",
	.flags = DESC_F_WRITES | DESC_F_TC_1 | DESC_F_TC_2,
	.has_size = true,
	.reserved_ok = strip_reserved_ok,
	.check = dif_check,
	.run = dif_run,
};

const struct operation operation_dif_update = {
	.opcode = OP_DIF_UPDATE,
	.name = "DIF Update",
	.flags = DESC_F_WRITES | DESC_F_TC_1 | DESC_F_TC_2,
	.has_size = true,
	.reserved_ok = update_reserved_ok,
	.check = dif_check,
	.run = dif_run,
};
