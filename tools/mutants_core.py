# ruff: noqa: E501 - excerpts of sources, as long as they are there
"""Defects of the hardware: handles, IMS entries, members of batches, the end of work, IOMMU and DMA."""

from __future__ import annotations

from mutants_defect import CORE, PLATFORM, VDEV, Defect, Edit, one

# ---- the check of a handle ----

_ASKED = "(request->flags & DESC_F_RCI) && !is_late(turn) &&"


def _unchecked(name: str, checked_if: str, whose: str) -> Defect:
    """The check is made only of descriptors for which `checked_if` holds."""
    return one(
        f"unchecked-{name}", CORE + "execute.c", _ASKED, f"{_ASKED} ({checked_if}) &&",
        f"the handle is not checked of {whose}", "victims get interrupts, or attempts are not refused",
    )  # fmt: skip


_ITS_PASID = ".pasid = IMS_CTRL_PASID(entry->ctrl),"


def _compared(name: str, condition: str, breaks: str) -> Defect:
    return one(
        name, CORE + "store_array.c", _ITS_PASID, f".pasid = {condition} ? ~witness->pasid : witness->pasid,", breaks,
        "interrupts cross, or attempts are not refused",
    )  # fmt: skip


HANDLES = (
    _unchecked("members", "!request->in_batch", "members of a batch"),
    _unchecked("batches", "request->opcode != OP_BATCH", "a Batch that asks for an interrupt itself"),
    _unchecked("no-record", "request->flags & DESC_F_CRAV", "descriptors without a record"),
    _unchecked("members-no-record", "!request->in_batch || (request->flags & DESC_F_CRAV)", "members without a record"),
    _unchecked("record-not-requested", "request->flags & DESC_F_RCR || !(request->flags & DESC_F_CRAV)",
               "descriptors with the address of a record that they do not request"),
    _unchecked("fenced", "!(request->flags & DESC_F_FENCE)", "descriptors with a fence"),
    _unchecked("members-fenced", "!(request->in_batch && request->flags & DESC_F_FENCE)", "members with a fence"),
    _unchecked("block-on-fault", "!(request->flags & DESC_F_BOF)", "descriptors that block on faults"),
    _unchecked("record-class", "!(request->flags & DESC_F_CR_TC)", "descriptors with a traffic class for the record"),
    _unchecked("cache-control", "!(request->flags & DESC_F_CACHE)", "descriptors with cache control"),
    _unchecked("reserved-flag", "!(request->flags & 1u << 23)", "descriptors with the highest reserved flag"),
    _unchecked("two-flags", "~request->flags & (DESC_F_CACHE | DESC_F_BOF)", "descriptors with two certain flags"),
    _unchecked("drains", "request->opcode != OP_DRAIN", "Drain"),
    _unchecked("moves", "request->opcode != OP_MEMMOVE", "Memory Move"),
    _unchecked("other-operations", "request->opcode <= OP_MEMMOVE || request->opcode >= OP_CACHE_FLUSH",
               "operations from Fill to DIF Update"),
    _unchecked("unknown-operations", "request->opcode < 0x80", "operations that do not exist, from 0x80"),
    _unchecked("reserved-fields", "!request->raw[40]", "descriptors with a reserved byte set"),
    _unchecked("first-member", "!request->in_batch || request->index != 0", "the first member of a batch"),
    _unchecked("later-members", "!request->in_batch || request->index < BATCH_PART / 2", "members behind the 16th"),
    _unchecked("sized", "request->size == 0", "descriptors with a transfer size"),
    _unchecked("pasid-in-descriptor", "field(request->raw, 0, 3) == 0", "descriptors that name a PASID"),
    _unchecked("privileged", "!(request->raw[3] & 0x80)", "descriptors with the privileged bit"),
    _unchecked("invalid", "validate(request, &(struct outcome){ 0 }) == STATUS_NONE",
               "descriptors that end in another error, which interrupts"),
    Defect(
        "unchecked-unlimited-portal",
        (
            Edit(VDEV + "vportal.c", "vdev->inside->submit(vdev->it, (uint32_t)(offset / PORTAL_WQ_STRIDE), desc);",
                 "vdev->inside->submit(vdev->it, (uint32_t)(offset / PORTAL_WQ_STRIDE) | (offset / PORTAL_PAGE % PORTAL_PAGES ? 0 : 0x100), desc);"),
            Edit(VDEV + "vqueue.c", "(void)wq; /* it has one */", ""),
            Edit(VDEV + "vqueue.c", "store_portal(idxd_store(idxd)), desc",
                 "wq & 0x100 ? PORTAL_MSIX : PORTAL_IMS, desc"),
            Edit(CORE + "interrupt.c", "	turn_leave(turn);\n	witness = witness_of(turn, request);\n	if (!has_table(turn))",
                 "	if (!has_table(turn))\n		return true;\n	turn_leave(turn);\n	witness = witness_of(turn, request);\n	if (!has_table(turn))"),
            Edit(CORE + "interrupt.c", "	if (by_ims(turn))\n		store_raise", "	if (idxd->store)\n		store_raise"),
        ),
        "the handle is not checked of what comes by the unlimited portal", "victims get interrupts",
    ),
    one("check-remembered", CORE + "interrupt.c", "	if (!wants_interrupt(request))\n		return true;\n",
         "	static uint32_t granted = UINT32_MAX;\n\n	if (!wants_interrupt(request) || request->handle == granted)\n		return true;\n"
         "	granted = request->handle;\n",
         "a handle that was checked is not checked again at once, whoever names it", "victims get interrupts"),
    one("check-late", CORE + "execute.c", "return FAULT(turn->idxd->planted, FAULT_CHECK_AFTER_EXECUTION);",
         "return turn != NULL;", "the check is made after the operation", "a refused move has written"),
    one("check-result-ignored", CORE + "completion.c", " && outcome->status != STATUS_HANDLE)", ")",
         "a refused descriptor interrupts all the same", "victims get interrupts"),
    one("handle-8-bits", CORE + "execute.c", "(uint16_t)field(raw, 36, 2)", "(uint16_t)field(raw, 36, 1)",
         "the upper byte of a handle is not looked at", "handles out of range are taken"),
    one("handle-15-bits", CORE + "execute.c", "(uint16_t)field(raw, 36, 2)", "(uint16_t)(field(raw, 36, 2) & 0x7FFF)",
         "the top bit of a handle is not looked at", "handles out of range are taken"),
    one("handle-state-ignored", CORE + "store_array.c", ".requested = entry->requested,",
         ".requested = entry->requested || entry->address,",
         "handles that were released or never given are taken", "released handles are not refused"),
    one("pasid-enable-one-way", CORE + "owner.h", "owner->pasid_enable != pasid_enable &&", "owner->pasid_enable && !pasid_enable &&",
         "an entry without PASID Enable is everybody's", "disarmed entries are not refused"),
    one("pasid-enable-other-way", CORE + "owner.h", "owner->pasid_enable != pasid_enable &&", "!owner->pasid_enable && pasid_enable &&",
         "a queue without PASID passes at any entry, if its PASID field fits",
         "a guest's queue always has a PASID: by the test of the core",
         ("device_model/tests/test_core_handles.py",)),
    _compared("pasid-not-compared", "IMS_CTRL_PASID(entry->ctrl) == UINT32_MAX", "the PASID is not compared"),
    _compared("pasid-4-bits", "((IMS_CTRL_PASID(entry->ctrl) ^ witness->pasid) & 0xF)", "4 bits of it are compared"),
    _compared("pasid-12-bits", "((IMS_CTRL_PASID(entry->ctrl) ^ witness->pasid) & 0xFFF)", "12 bits of it are compared"),
    _compared("pasid-lowest-bit", "IMS_CTRL_PASID(entry->ctrl) >> 1 != witness->pasid >> 1", "but for its lowest bit"),
    _compared("pasid-less", "IMS_CTRL_PASID(entry->ctrl) > witness->pasid", "a higher PASID passes at lower ones' entries"),
    _compared("pasid-of-masked-entries", "IMS_CTRL_PASID(entry->ctrl) != witness->pasid && !(entry->ctrl & IMS_CTRL_MASK)",
              "the PASID is not compared at masked entries"),
    _compared("pasid-of-ignored-entries", "IMS_CTRL_PASID(entry->ctrl) != witness->pasid && !(entry->ctrl & IMS_CTRL_IGNORE)",
              "the PASID is not compared at entries that ignore interrupts"),
    _compared("pasid-of-pending-entries", "IMS_CTRL_PASID(entry->ctrl) != witness->pasid && !(entry->ctrl & IMS_CTRL_PENDING)",
              "the PASID is not compared at entries with an interrupt pending"),
    one("pending-on-refusal", CORE + "store_array.c",
         "	if (refusal != REFUSAL_NONE && *entry != UINT32_MAX && FAULT(slots->planted, FAULT_PENDING_ON_REFUSAL))",
         "	if (refusal != REFUSAL_NONE && *entry != UINT32_MAX && (slots->slot[*entry].ctrl & IMS_CTRL_MASK))",
         "a refused interrupt sets Pending of a masked victim", "a victim finds a pending bit, or an interrupt"),
    one("echo-of-refusal", CORE + "store_array.c", "	pthread_mutex_unlock(&slots->lock);\n	return refusal;",
         "	pthread_mutex_unlock(&slots->lock);\n	if (refusal == REFUSAL_PASID) {\n"
         "		const struct interrupt_message message = { .address = slots->slot[*entry].address, "
         ".entry = *entry, .witness = *witness };\n\n		slots->sink.message(slots->sink.ctx, &message);\n	}\n	return refusal;",
         "a refused interrupt is sent without a record of the IMS", "victims get interrupts"),
    one("terms-of-descriptor", CORE + "engine.c", "		.pasid = WQCFG_MODE_PASID(mode),",
         "		.pasid = field(turn->work->desc, 0, 3) & 0xFFFFF ? (uint32_t)field(turn->work->desc, 0, 3) & 0xFFFFF"
         " : WQCFG_MODE_PASID(mode),",
         "a descriptor runs with the PASID that it names", "a forged PASID opens the victim's entry"),
    one("terms-of-member", CORE + "batch.c", "	request->in_batch = true;",
         "	if (field(request->raw, 0, 3) & 0xFFFFF)\n		((struct wq_terms *)(uintptr_t)request->terms)->pasid = field(request->raw, 0, 3)"
         " & 0xFFFFF;\n	request->in_batch = true;",
         "a member of a batch runs with the PASID that it names", "a forged PASID in a batch opens the victim's entry"),
)  # fmt: skip

# ---- interrupts of the hardware: IMS entries ----

IMS = (
    one("ims-mask-ignored", CORE + "slots.c", "(slot->ctrl & IMS_CTRL_MASK) && !FAULT(slots->planted, FAULT_MASK_IGNORED)",
         "(slot->ctrl & IMS_CTRL_MASK) && !slot->address", "a masked entry sends", "an interrupt while masked"),
    one("ims-mask-loses", CORE + "slots.c", "		slots_remember_pending(slots, index, witness);\n		note(slots, &(struct store_note){ .kind = LEDGER_PENDED",
         "		note(slots, &(struct store_note){ .kind = LEDGER_PENDED", "what is masked is lost", "no interrupt at unmask"),
    one("ims-pending-kept", CORE + "slots.c", "		slot->ctrl &= ~(uint32_t)IMS_CTRL_PENDING;\n		send_unlocking",
         "		send_unlocking", "what was pending is sent at every write", "an interrupt too many"),
    one("ims-ignore-ignored", CORE + "slots.c", "if (slot->ctrl & IMS_CTRL_IGNORE) {", "if (slot->ctrl & 1u << 31 && slot->requested) {",
         "Ignore has no effect", "an interrupt at a vector that ignores them"),
    one("ims-ignore-pends", CORE + "slots.c", "		note(slots, &(struct store_note){ .kind = LEDGER_IGNORED",
         "		slots_remember_pending(slots, index, witness);\n		note(slots, &(struct store_note){ .kind = LEDGER_IGNORED",
         "what is ignored becomes pending", "a pending bit, or an interrupt later"),
    one("ims-mask-does-not-wait", CORE + "slots.c", "	if (slot->ctrl & IMS_CTRL_MASK) {\n		slots_settle(slots, index, 1);",
         "	if (slot->ctrl & IMS_CTRL_MASK) {\n		(void)slots_settle;",
         "a message of an entry may still be on its way when its masking returns",
         "a race of nanoseconds: by the test of the core with a message held up",
         ("device_model/tests/test_store_c_units.py",)),
    one("ims-raise-neighbour", CORE + "store_array.c", "	slots_raise(slots, index, witness);",
         "	slots_raise(slots, index ^ 2, witness);",
         "the entry checked is not the entry raised", "interrupts arrive elsewhere"),
    one("ims-release-keeps-pending", CORE + "slots.c",
         "	if (!requested)\n		slot->ctrl &= ~(uint32_t)IMS_CTRL_PENDING;\n", "",
         "Pending outlives its owner", "the next owner inherits an interrupt"),
    one("ims-release-does-nothing", CORE + "slots.c", "	slot->requested = requested;",
         "	slot->requested |= requested;", "a handle once given is never taken back", "released handles are taken"),
    one("ims-request-open-to-all", CORE + "slots.c", "	slot->requested = requested;",
         "	slot->requested = requested;\n	if (requested)\n		slot->ctrl &= ~(uint32_t)IMS_CTRL_PASID_EN;",
         "a request wipes the entry's owner", "interrupts are refused to their owner"),
)  # fmt: skip

# ---- members of a batch on the short way: no interrupt is theirs, so no guest's counts show it ----

_PLAIN = ("device_model/tests/test_core_plain_moves.py",)
_LOOKED_AT = "const uint32_t looked_at = DESC_F_FENCE | DESC_F_CRAV | DESC_F_RCR | DESC_F_RCI;"

SHORT_WAY = (
    one("short-way-interrupt", CORE + "plain.h", _LOOKED_AT, _LOOKED_AT.replace(" | DESC_F_RCI", ""),
         "moves that ask for an interrupt go the way that has none", "the interrupt does not come, a forged handle is not refused", _PLAIN),
    one("short-way-fence", CORE + "plain.h", _LOOKED_AT, _LOOKED_AT.replace("DESC_F_FENCE | ", ""),
         "a fence among plain moves fences nothing", "the member behind a failure is carried out", _PLAIN),
    one("short-way-handle", CORE + "plain.h", "size = field(raw, 32, 8); /* above it", "size = field(raw, 32, 4); /* above it",
         "a handle without an interrupt is let pass", "it is to be refused as reserved", _PLAIN),
    one("short-way-reserved", CORE + "plain.h", "field(raw, 40, 8) | field(raw, 48, 8) | field(raw, 56, 8)", "field(raw, 40, 8) | field(raw, 48, 8)",
         "reserved bytes are let pass", "it is to be refused", _PLAIN),
    one("short-way-record", CORE + "plain.h", "	       field(raw, 8, 8) % CR_ALIGN == 0;", "	       true;",
         "a misaligned record is written", "it is to be discarded", _PLAIN),
    one("short-way-size", CORE + "plain.h", "return field(raw, 4, 4) == form && size - 1 < max_size &&", "return max_size && field(raw, 4, 4) == form && size - 1 < MEMORY_LEASE &&",
         "members copy more than the limit of their queue", "they are to be refused", ("device_model/tests/test_core_configurable.py",)),
    one("short-way-read-only", CORE + "plain.h", "plain_place(ranges, record, CR_SIZE, DMA_MAY_WRITE)", "plain_place(ranges, record, CR_SIZE, DMA_MAY_READ)",
         "a record is written to memory that is only to be read", "a crash, or a fault that does not come", _PLAIN),
    one("short-way-cause", CORE + "plain.h", "plain_note(turn, cause + done,", "plain_note(turn, cause,",
         "members have one cause", "the ledger", _PLAIN),
    one("short-way-turn", CORE + "plain.h", "bytes < most_bytes &&", "bytes < most_bytes + TURN_BYTES &&",
         "a batch holds other queues up", "turns are longer", _PLAIN),
    Defect("short-way-abort", (
        Edit(CORE + "plain.h", "		if (atomic_load_explicit(&turn->wq->abandon, memory_order_acquire))\n			break;\n", ""),
        Edit(CORE + "plain.h", "*abandoned = atomic_load_explicit(&turn->wq->abandon, memory_order_acquire);", "*abandoned = false;"),
    ), "an abort waits for the rest of a turn", "all members are carried out", ("device_model/tests/test_core_engines.py",)),
)  # fmt: skip

# ---- turns of several descriptors ----

_TURNS = ("device_model/tests/test_core_engines.py::test_turn_of_several_descriptors_does_what_turns_of_one_would_have_done", "device_model/tests/test_core_turns.py")

TURNS = (
    one("turn-not-alone", CORE + "wq.c", "!wq->waiters && arbiter_begin_several(idxd, index)", "!wq->waiters",
        "a queue has turns of several descriptors while others wait", "the order", _TURNS),
    one("turn-never-alone", CORE + "wq.c", "const bool alone = most > 1 && !wq->waiters", "const bool alone = most > TURN_DESCRIPTORS && !wq->waiters",
        "each descriptor is a turn", "turns are shorter", _TURNS),
    one("turn-awaited", CORE + "wq.c", "most > 1 && !wq->waiters && arbiter", "most > 1 && arbiter",
        "a command waits for descriptors that came after it", "it ends later", _TURNS),
    one("turn-not-counted", CORE + "quiet.c", "for (uint32_t i = 1; i < tried; i++)", "for (uint32_t i = tried; i < tried; i++)",
        "a turn of several descriptors counts as one", "the order of those that come next", _TURNS),
    one("turn-dropped-uncounted", CORE + "quiet.c", "for (uint32_t i = 1; i < tried; i++)", "for (uint32_t i = 1; i < ended && tried; i++)",
        "a descriptor that an abort drops is no turn", "the order of those that come next", _TURNS),
    one("turn-not-stopped", CORE + "engine.c", "	arbiter_call_all(idxd);\n", "",
        "engines that are to stop carry out all descriptors of a turn", "what is held goes on", _TURNS),
    one("turn-round", CORE + "arbiter.c", "	if (arbiter->spent[index / 64] >> (index % 64) & 1)\n		begin_round(arbiter);\n", "",
        "a queue that is alone begins no round", "the order of those that come next", _TURNS),
    one("turn-not-called", CORE + "engine.c", "	return turn->tried == 0 || !arbiter_is_called(turn->idxd, turn->index);", "	return true;",
        "a queue that gets work waits for all descriptors of the turn in progress", "its turn comes later", _TURNS),
    one("turn-always-called", CORE + "arbiter.c", "	atomic_store_explicit(&arbiter->called, false, memory_order_relaxed);\n", "",
        "each turn ends with its first descriptor", "turns are shorter", _TURNS),
    one("turn-bytes", CORE + "wq.c", "		if (bytes > TURN_BYTES)\n			return;\n", "",
        "a turn has any number of bytes", "turns are longer", _TURNS),
    one("turn-batch", CORE + "wq.c", "one->desc[7] != OP_BATCH && next->desc[7] != OP_BATCH && one->requester", "one->requester",
        "a batch is one of several in a turn", "it does not end with its turn", _TURNS),
    one("turn-requesters", CORE + "wq.c", " && one->requester == next->requester;", ";",
        "descriptors of several requesters are noted together", "the ledger says who did what another did", _TURNS),
    one("turn-aborted", CORE + "engine.c", "	if (atomic_load_explicit(&turn->wq->abandon, memory_order_acquire))\n		return false;\n", "",
        "an abort leaves the rest of a turn to be carried out", "moves that were dropped move", _TURNS),
    one("turn-dropped-unnoted", CORE + "quiet.c", "for (uint32_t i = 0; i < wq->num_begun; i++)", "for (uint32_t i = 0; i < wq->num_begun && i == 0; i++)",
        "of several descriptors that an abort drops, one is noted", "the ledger", _TURNS),
    one("turn-undone-again", CORE + "quiet.c", "memmove(wq->begun, wq->begun + ended,", "memmove(wq->begun, wq->begun,",
        "what a turn left undone is forgotten, and what it has done is done again", "records", _TURNS),
    one("turn-dropped-pasid", CORE + "wq.c", "		.pasid = work->pasid,\n", "		.pasid = WQCFG_MODE_PASID(idxd->wqs[wq].cfg[WQCFG_MODE]),\n",
        "what a reset drops is noted without its PASID", "the ledger", _TURNS),
    one("turn-not-waited", CORE + "quiet.c", "wq->num_begun > 0 && wq->begun[0].cause <= upto", "wq->num_begun > 1 && wq->begun[1].cause <= upto",
        "commands end while the first of what is begun runs", "a record or interrupt comes after the end", (*_TURNS, "device_model/tests/test_core_engines.py")),
    one("error-before-its-note", CORE + "completion.c", "	turn_note(turn, request, LEDGER_COMPLETED, status);\n	if (status == STATUS_CR_FAULT)",
        "	if (status == STATUS_SUCCESS)\n		turn_note(turn, request, LEDGER_COMPLETED, status);\n	if (status == STATUS_CR_FAULT)",
        "descriptors that fail have no end in the ledger", "the ledger", _TURNS),
    one("view-outlives-lease", CORE + "memory.c", "	if (memory->lease > 0 || memory->open > 0)\n", "	if (memory->lease > 0)\n",
        "memory is left while a view into it is open", "it is unmapped under the copy", ("device_model/tests/test_memory_c_units.py",)),
)  # fmt: skip

# ---- the end of work ----

_QUIET = ("device_model/tests/test_core_burn_down.py",)

ENDINGS = (
    one("drain-not-waited", CORE + "quiet.c", "	if (wq->num_begun > 0 && wq->begun[0].cause <= upto)\n		return false;\n	return wq->count == 0 || wq->ring[wq->head].cause > upto;",
         "	return wq != NULL || upto != 0;", "commands end while descriptors are queued or run", "a record or interrupt comes after the end", ("guest_tests/tests/test_agent_cases_device.py::test_nothing_is_written_or_signalled_after_what_drops", "device_model/tests/test_core_commands.py",)),
    one("running-not-waited", CORE + "quiet.c", "	if (wq->num_begun > 0 && wq->begun[0].cause <= upto)\n		return false;\n", "",
         "commands end while a descriptor runs", "by all threads at once: a guest hits it by chance", ("device_model/tests/test_core_engines.py", "device_model/tests/test_core_under_sanitizers.py::test_promises_hold_while_all_threads_work")),
    one("abort-drops-nothing", CORE + "quiet.c", "	if (command != WQ_DRAIN && command != WQ_DISABLE)\n		drop_all(idxd, index);", "	(void)drop_all;",
         "an abort carries out what is queued", "what was to be dropped interrupts", ("device_model/tests/test_core_commands.py",)),
    one("reset-wq-keeps-configuration", CORE + "quiet.c", "		wqcfg_reset(idxd, index);\n", "",
         "a queue keeps its PASID for the next owner", "the host does not take it back"),
)  # fmt: skip

# ---- the way through the platform: IOMMU, DMA ----

PLATFORM_DEFECTS = (
    one("remap-index-short", PLATFORM + "iommu.c", "return (uint32_t)(address >> 5 & 0x7FFF)", "return (uint32_t)(address >> 5 & 0x3)",
         "messages of entries beyond the fourth use others' remapping entries", "interrupts cross"),
    one("remap-keeps-target", PLATFORM + "iommu.c", "	binding->target = target;\n", "	if (target || !binding->vector)\n		binding->target = target;\n",
         "a cleared entry still has its target", "not given back; or a crash", ),
    one("remap-keeps-vector", PLATFORM + "iommu.c", "	binding->vector = vector;\n", "	if (!binding->vector)\n		binding->vector = vector;\n",
         "a remapping entry used again leads to its old vector", "interrupts arrive elsewhere"),
    one("remap-not-waited", PLATFORM + "iommu.c", "	gate_shut(&binding->gate, &iommu->lock, &iommu->left);", "	(void)iommu;\n	(void)gate_try_shut(&binding->gate);",
         "a remapping or PASID entry is cleared while it is being used",
         "a race of nanoseconds: by the tests that hold a message or a copy up",
         ("device_model/tests/test_core_under_sanitizers.py::test_promises_hold_while_all_threads_work", "device_model/tests/test_memory_c_units.py")),
    one("remap-any-format", PLATFORM + "iommu.c", "!(message->address & REMAPPABLE_FORMAT) || !gate_enter", "!gate_enter",
         "messages in compatibility format are remapped", "only the host writes addresses: by the test of the core",
         ("device_model/tests/test_core_interrupts.py::test_message_not_in_remappable_format_is_blocked",)),
    one("pasid-table-short", PLATFORM + "iommu.c", "atomic_load_explicit(&iommu->pasid_pages[pasid / PASID_PAGE], memory_order_acquire)",
         "atomic_load_explicit(&iommu->pasid_pages[pasid / PASID_PAGE / 2], memory_order_acquire)",
         "another PASID's address space is entered, or none", "DMA faults, or writes into another VM"),
    Defect("pasid-table-aliases", (
        Edit(PLATFORM + "iommu.c", "&iommu->pasid_pages[pasid / PASID_PAGE];", "&iommu->pasid_pages[pasid / PASID_PAGE * 0];"),
        Edit(PLATFORM + "iommu.c", "&iommu->pasid_pages[pasid / PASID_PAGE], memory_order_acquire)", "&iommu->pasid_pages[0], memory_order_acquire)"),
    ), "PASIDs that agree in their low bits share an address space", "DMA of one VM goes into another"),
    one("pasid-not-cleared", PLATFORM + "iommu.c", "	return iommu_pasid_set(iommu, pasid, NULL);", "	return pasid < IOMMU_MAX_PASID && iommu ? 0 : -EINVAL;",
         "the address space of a VM that has gone can be entered", "a table entry is not given back"),
    one("dma-pasid-of-descriptor", CORE + "turn.h", "turn->terms.pasid_enable, turn->terms.pasid, turn->scratch);",
         "turn->terms.pasid_enable, field(turn->work->desc, 0, 3) & 0xFFFFF ? (uint32_t)field(turn->work->desc, 0, 3) & 0xFFFFF"
         " : turn->terms.pasid, turn->scratch);",
         "DMA goes to the address space of the PASID that a descriptor names", "a record does not come"),
    one("record-to-another-space", CORE + "completion.c", "	if (request->terms->iaa)\n		return write_iaa_record(turn,",
         "	if (outcome->status == STATUS_HANDLE) {\n		turn_leave(turn);\n		turn->terms.pasid ^= 1;\n	}\n"
         "	if (request->terms->iaa)\n		return write_iaa_record(turn,",
         "the record of a refused descriptor goes into another VM", "it does not come"),
)  # fmt: skip
