# ruff: noqa: E501 - excerpts of sources, as long as they are there
"""The defects that tools/mutants.py plants: each an exact substitution, what it breaks, and how that should be noticed.

A substitution must fit its file exactly once. Those with `tests` show in nothing that a guest sees, or only by chance: the tests
named must find them. All others must be noticed by the isolation suite.
"""

from __future__ import annotations

from dataclasses import dataclass

CORE, VDEV, PLATFORM = "device_model/core/", "device_model/vdev/", "device_model/platform/"
_MODEL = ("device_model/tests/test_model_machines.py",)


@dataclass(frozen=True, slots=True)
class Edit:
    """One substitution in a file, named from the root of the tree."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Defect:
    """A defect: one or more substitutions. tests: pytest's arguments, if it is not the suite that finds it."""

    name: str
    edits: tuple[Edit, ...]
    breaks: str
    noticed: str
    tests: tuple[str, ...] = ()
    mdev_type: str = "dsa-1dwq-v1"
    store: str = "array"
    domain: str = "device"


def _one(name: str, file: str, old: str, new: str, breaks: str, noticed: str, tests: tuple[str, ...] = ()) -> Defect:
    return Defect(name, (Edit(file, old, new),), breaks, noticed, tests)


# ---- the check of a handle ----

_ASKED = "(request->flags & DESC_F_RCI) && !is_late(turn) &&"


def _unchecked(name: str, checked_if: str, whose: str) -> Defect:
    """The check is made only of descriptors for which `checked_if` holds."""
    return _one(
        f"unchecked-{name}", CORE + "execute.c", _ASKED, f"{_ASKED} ({checked_if}) &&",
        f"the handle is not checked of {whose}", "victims get interrupts, or attempts are not refused",
    )  # fmt: skip


_ITS_PASID = ".pasid = IMS_CTRL_PASID(entry->ctrl),"


def _compared(name: str, condition: str, breaks: str) -> Defect:
    return _one(
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
            Edit(VDEV + "vportal.c", "vdev->inside->submit(vdev->it, wq, desc);",
                 "vdev->inside->submit(vdev->it, wq | (offset / PORTAL_PAGE % PORTAL_PAGES ? 0 : 0x100), desc);"),
            Edit(VDEV + "vqueue.c", "(void)wq; /* it has one */", ""),
            Edit(VDEV + "vqueue.c", "store_portal(idxd_store(idxd)), desc",
                 "wq & 0x100 ? PORTAL_MSIX : PORTAL_IMS, desc"),
            Edit(CORE + "interrupt.c", "	turn_leave(turn);\n	witness = witness_of(turn, request);\n	if (!has_table(turn))",
                 "	if (!has_table(turn))\n		return true;\n	turn_leave(turn);\n	witness = witness_of(turn, request);\n	if (!has_table(turn))"),
            Edit(CORE + "interrupt.c", "	if (by_ims(turn))\n		store_raise", "	if (idxd->store)\n		store_raise"),
        ),
        "the handle is not checked of what comes by the unlimited portal", "victims get interrupts",
    ),
    _one("check-remembered", CORE + "interrupt.c", "	if (!wants_interrupt(request))\n		return true;\n",
         "	static uint32_t granted = UINT32_MAX;\n\n	if (!wants_interrupt(request) || request->handle == granted)\n		return true;\n"
         "	granted = request->handle;\n",
         "a handle that was checked is not checked again at once, whoever names it", "victims get interrupts"),
    _one("check-late", CORE + "execute.c", "return FAULT(turn->idxd->planted, FAULT_CHECK_AFTER_EXECUTION);",
         "return turn != NULL;", "the check is made after the operation", "a refused move has written"),
    _one("check-result-ignored", CORE + "completion.c", " && outcome->status != STATUS_HANDLE)", ")",
         "a refused descriptor interrupts all the same", "victims get interrupts"),
    _one("handle-8-bits", CORE + "execute.c", "(uint16_t)field(raw, 36, 2)", "(uint16_t)field(raw, 36, 1)",
         "the upper byte of a handle is not looked at", "handles out of range are taken"),
    _one("handle-15-bits", CORE + "execute.c", "(uint16_t)field(raw, 36, 2)", "(uint16_t)(field(raw, 36, 2) & 0x7FFF)",
         "the top bit of a handle is not looked at", "handles out of range are taken"),
    _one("handle-state-ignored", CORE + "store_array.c", ".requested = entry->requested,",
         ".requested = entry->requested || entry->address,",
         "handles that were released or never given are taken", "released handles are not refused"),
    _one("pasid-enable-one-way", CORE + "owner.h", "owner->pasid_enable != pasid_enable &&", "owner->pasid_enable && !pasid_enable &&",
         "an entry without PASID Enable is everybody's", "disarmed entries are not refused"),
    _one("pasid-enable-other-way", CORE + "owner.h", "owner->pasid_enable != pasid_enable &&", "!owner->pasid_enable && pasid_enable &&",
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
    _one("pending-on-refusal", CORE + "store_array.c",
         "	if (refusal != REFUSAL_NONE && *entry != UINT32_MAX && FAULT(slots->planted, FAULT_PENDING_ON_REFUSAL))",
         "	if (refusal != REFUSAL_NONE && *entry != UINT32_MAX && (slots->slot[*entry].ctrl & IMS_CTRL_MASK))",
         "a refused interrupt sets Pending of a masked victim", "a victim finds a pending bit, or an interrupt"),
    _one("echo-of-refusal", CORE + "store_array.c", "	pthread_mutex_unlock(&slots->lock);\n	return refusal;",
         "	pthread_mutex_unlock(&slots->lock);\n	if (refusal == REFUSAL_PASID) {\n"
         "		const struct interrupt_message message = { .address = slots->slot[*entry].address, "
         ".entry = *entry, .witness = *witness };\n\n		slots->sink.message(slots->sink.ctx, &message);\n	}\n	return refusal;",
         "a refused interrupt is sent without a record of the IMS", "victims get interrupts"),
    _one("terms-of-descriptor", CORE + "engine.c", "		.pasid = WQCFG_MODE_PASID(mode),",
         "		.pasid = field(turn.wq->current.desc, 0, 3) & 0xFFFFF ? (uint32_t)field(turn.wq->current.desc, 0, 3) & 0xFFFFF"
         " : WQCFG_MODE_PASID(mode),",
         "a descriptor runs with the PASID that it names", "a forged PASID opens the victim's entry"),
    _one("terms-of-member", CORE + "batch.c", "	request->in_batch = true;",
         "	if (field(request->raw, 0, 3) & 0xFFFFF)\n		((struct wq_terms *)(uintptr_t)request->terms)->pasid = field(request->raw, 0, 3)"
         " & 0xFFFFF;\n	request->in_batch = true;",
         "a member of a batch runs with the PASID that it names", "a forged PASID in a batch opens the victim's entry"),
)  # fmt: skip

# ---- interrupts of the hardware: IMS entries ----

IMS = (
    _one("ims-mask-ignored", CORE + "slots.c", "(slot->ctrl & IMS_CTRL_MASK) && !FAULT(slots->planted, FAULT_MASK_IGNORED)",
         "(slot->ctrl & IMS_CTRL_MASK) && !slot->address", "a masked entry sends", "an interrupt while masked"),
    _one("ims-mask-loses", CORE + "slots.c", "		slots_remember_pending(slots, index, witness);\n		note(slots, &(struct store_note){ .kind = LEDGER_PENDED",
         "		note(slots, &(struct store_note){ .kind = LEDGER_PENDED", "what is masked is lost", "no interrupt at unmask"),
    _one("ims-pending-kept", CORE + "slots.c", "		slot->ctrl &= ~(uint32_t)IMS_CTRL_PENDING;\n		send_unlocking",
         "		send_unlocking", "what was pending is sent at every write", "an interrupt too many"),
    _one("ims-ignore-ignored", CORE + "slots.c", "if (slot->ctrl & IMS_CTRL_IGNORE) {", "if (slot->ctrl & 1u << 31 && slot->requested) {",
         "Ignore has no effect", "an interrupt at a vector that ignores them"),
    _one("ims-ignore-pends", CORE + "slots.c", "		note(slots, &(struct store_note){ .kind = LEDGER_IGNORED",
         "		slots_remember_pending(slots, index, witness);\n		note(slots, &(struct store_note){ .kind = LEDGER_IGNORED",
         "what is ignored becomes pending", "a pending bit, or an interrupt later"),
    _one("ims-mask-does-not-wait", CORE + "slots.c", "	if (slot->ctrl & IMS_CTRL_MASK) {\n		slots_settle(slots, index, 1);",
         "	if (slot->ctrl & IMS_CTRL_MASK) {\n		(void)slots_settle;",
         "a message of an entry may still be on its way when its masking returns",
         "a race of nanoseconds: by the test of the core with a message held up",
         ("device_model/tests/test_store_c_units.py",)),
    _one("ims-raise-neighbour", CORE + "store_array.c", "	slots_raise(slots, index, witness);",
         "	slots_raise(slots, index ^ 2, witness);",
         "the entry checked is not the entry raised", "interrupts arrive elsewhere"),
    _one("ims-release-keeps-pending", CORE + "slots.c",
         "	if (!requested)\n		slot->ctrl &= ~(uint32_t)IMS_CTRL_PENDING;\n", "",
         "Pending outlives its owner", "the next owner inherits an interrupt"),
    _one("ims-release-does-nothing", CORE + "slots.c", "	slot->requested = requested;",
         "	slot->requested |= requested;", "a handle once given is never taken back", "released handles are taken"),
    _one("ims-request-open-to-all", CORE + "slots.c", "	slot->requested = requested;",
         "	slot->requested = requested;\n	if (requested)\n		slot->ctrl &= ~(uint32_t)IMS_CTRL_PASID_EN;",
         "a request wipes the entry's owner", "interrupts are refused to their owner"),
)  # fmt: skip

# ---- the virtual device: handles, resets, MSI-X ----

_QUEUE = "idxd_wq_command(platform_idxd(vq->platform), vq->config.wq, WQ_STOP);\n	vqcommand_retire_entries(vq);"

VIRTUAL = (
    _one("release-foreign-handle", VDEV + "vqcommand.c", "	if (index == 0)\n		return CMDERR_HANDLE_INDEX;",
         "	if (index == 0) {\n		store_release_handle(idxd_store(platform_idxd(vq->platform)), operand & HANDLE_OPERAND_INDEX);\n"
         "		return CMDERR_HANDLE_INDEX;\n	}",
         "Release Interrupt Handle takes handles of others", "the victim's own interrupts are refused"),
    _one("request-foreign-handle", VDEV + "vqcommand.c", "		finish(vq, CMDERR_HANDLE_INDEX, 0); /* no virtual IMS",
         "		store_request_handle(idxd_store(platform_idxd(vq->platform)), index);\n		finish(vq, CMDERR_NONE, (uint16_t)index); /* no virtual IMS",
         "Request Interrupt Handle makes entries of others usable", "the command succeeds"),
    _one("request-revives-silently", VDEV + "vqcommand.c", "		finish(vq, CMDERR_HANDLE_INDEX, 0); /* no virtual IMS",
         "		store_request_handle(idxd_store(platform_idxd(vq->platform)), index);\n		finish(vq, CMDERR_HANDLE_INDEX, 0); /* no virtual IMS",
         "a refused Request Interrupt Handle revives a handle that its owner has released", "a released handle is taken"),
    _one("release-keeps-handle", VDEV + "vqcommand.c", "	store_release_handle(idxd_store(platform_idxd(vq->platform)), vq->vectors[index].entry);\n", "",
         "a handle that was released goes on working", "it is not refused"),
    _one("commands-reach-other-queues", VDEV + "vqcommand.c", "	if (operand & ~1u) /* queues",
         "	if (operand & ~1u)\n		idxd_wq_command(platform_idxd(vq->platform), (uint32_t)__builtin_ctz(operand), WQ_STOP);\n	if (operand & ~1u) /* queues",
         "a guest stops the queues of others", "their owners' interrupts do not arrive"),
    _one("reset-keeps-handles", VDEV + "vqcommand.c", "		vqcommand_retire_entries(vq);\n		msix_reset_permissions(vq->msix);",
         "		msix_reset_permissions(vq->msix);", "handles survive Reset Device", "they are not refused"),
    _one("reset-leaves-queue-enabled", VDEV + "vqcommand.c", "		vq->state = DEVICE_DRAINING;\n		forward(vq, WQ_STOP);",
         "		vq->state = DEVICE_DRAINING;\n		forward(vq, WQ_ABORT);", "the queue runs on after Reset Device", "what is stored after it is executed"),
    Defect("flr-keeps-all", (
        Edit(VDEV + "vqueue.c", "	/* First the source of interrupts and DMA, then what they would have gone to. */\n	" + _QUEUE, "	(void)0;"),
    ), "the queue runs on after a function-level reset, its handles work", "what is stored after it is executed"),
    _one("flr-keeps-table", VDEV + "vqueue.c", "	msix_reset(vq->msix);\n}", "}", "the MSI-X table survives a function-level reset",
         "the guest reads it", ("device_model/tests/test_core_types.py::test_flr_gives_power_on_values",)),
    _one("vmask-ignored", CORE + "msix.c", "(!(vector->ctrl & MSIX_VCTRL_MASK) || FAULT(msix->planted, FAULT_MASK_IGNORED))",
         "(!(vector->ctrl & MSIX_VCTRL_MASK) || vector != NULL)", "the guest's mask has no effect", "an interrupt while masked"),
    _one("vmask-function-ignored", CORE + "msix.c", "msix->enabled && !msix->function_mask && msix->bus_master",
         "msix->enabled && msix->bus_master", "the function mask has no effect", "an interrupt while masked"),
    _one("msix-enable-ignored", CORE + "msix.c", "msix->enabled && !msix->function_mask && msix->bus_master",
         "!msix->function_mask && msix->bus_master", "MSI-X Enable has no effect", "an interrupt while MSI-X is off", ("guest_tests/tests/test_agent_cases_device.py::test_interrupts_while_msix_is_off_are_one_when_it_is_on",)),
    _one("bus-master-ignored", CORE + "msix.c", "msix->enabled && !msix->function_mask && msix->bus_master",
         "msix->enabled && !msix->function_mask", "messages without Bus Master Enable", "an interrupt while it is off", ("device_model/tests/test_core_interrupts.py::test_without_bus_mastering_a_pending_interrupt_waits",)),
    _one("vmask-loses", CORE + "msix.c", "		remember_pending(vector, witness);\n		note(msix, msix->config.pended",
         "		note(msix, msix->config.pended", "what is masked is lost", "no interrupt at unmask"),
    _one("function-mask-loses", CORE + "msix.c", "	vector->pending = true;", "	vector->pending = vector->ctrl & MSIX_VCTRL_MASK;",
         "what the function mask holds back is lost", "no interrupt when it is lifted"),
    _one("vpending-kept", CORE + "msix.c", "		vector->pending = false;\n		send_unlocking", "		send_unlocking",
         "what was pending is sent again", "an interrupt too many"),
    _one("pba-empty", CORE + "msix_table.c", "(uint64_t)msix->vectors[i].pending << bit", "(uint64_t)(msix->vectors[i].pending && msix->config.handles) << bit",
         "the PBA shows nothing", "a guest looks for its pending bit"),
    _one("pba-without-ims", VDEV + "vqregs.c", "vq->vectors[word * 64 + i].entry) << i;", "vq->vectors[word * 64 + i].entry + 0x10000u) << i;",
         "the PBA does not show what is pending in the IMS", "a guest looks for its pending bit"),
    _one("vmask-does-not-wait", CORE + "msix_table.c", "			msix_wait_sent(msix, index);", "			(void)msix_wait_sent;",
         "a message may still be on its way when its masking returns",
         "a race of nanoseconds: by the test of the core with a message held up",
         ("device_model/tests/test_chip_c_units.py::test_no_message_is_lost_doubled_torn_or_sent_while_masked",)),
    _one("message-kept", CORE + "msix_table.c", "		vector->data = value;", "		if (!vector->data)\n			vector->data = value;",
         "a rewritten entry sends its old message", "the interrupt arrives at another vector", ("guest_tests/tests/test_agent_cases_device.py::test_rewritten_msix_entry_leads_to_another_vector_of_the_same_guest",)),
    _one("sent-twice", VDEV + "vvm.c", "	result = call_vm(vdev, &vm, message);", "	result = call_vm(vdev, &vm, message) | call_vm(vdev, &vm, message);",
         "each message is sent twice", "the ledger and the counters differ"),
    _one("sent-unrecorded", VDEV + "vvm.c", "	vvm_note(vdev, LEDGER_INJECTED, message, message->address, 0);", "	if (message->vector % 2)\n		vvm_note(vdev, LEDGER_INJECTED, message, message->address, 0);",
         "the ledger does not tell of some messages", "the guest counts more than the ledger explains"),
    _one("vector-shifted", VDEV + "vqueue.c", "		.address = message->address,\n		.data = message->data,",
         "		.address = message->address,\n		.data = message->data ^ 1,", "messages go to another vector", "interrupts arrive elsewhere"),
    _one("disabled-queue-accepts", CORE + "wq.c", "if (idxd->state != DEVICE_ENABLED || wq->state != WQ_ENABLED)", "if (idxd->state != DEVICE_ENABLED || wq->size == 0)",
         "a disabled queue takes descriptors", "what is stored is executed"),
    _one("interrupt-before-record", CORE + "completion.c", "	status = record_or_report(turn, request, outcome);\n	turn_note(turn, request, LEDGER_COMPLETED, status);",
         "	if ((request->flags & DESC_F_RCI) && outcome->status != STATUS_HANDLE)\n		interrupt_raise(turn, request);\n"
         "	status = record_or_report(turn, request, outcome);\n	turn_note(turn, request, LEDGER_COMPLETED, status);\n	return status;",
         "the interrupt comes before the record", "the guest finds no record in its handler"),
    _one("interrupt-after-record-fault", CORE + "completion.c", "	report_error(turn, request, status, request->cr_address, 0, status == STATUS_CR_FAULT ? &lost : NULL);\n	return status;",
         "	report_error(turn, request, status, request->cr_address, 0, status == STATUS_CR_FAULT ? &lost : NULL);\n	if (status == STATUS_CR_FAULT && request->flags & DESC_F_RCI)\n		interrupt_raise(turn, request);\n	return status;",
         "a descriptor whose record cannot be written interrupts", "an interrupt that is not due"),
    _one("interrupt-of-misaligned-record", CORE + "completion.c", "	report_error(turn, request, status, request->cr_address, 0, status == STATUS_CR_FAULT ? &lost : NULL);\n	return status;",
         "	report_error(turn, request, status, request->cr_address, 0, status == STATUS_CR_FAULT ? &lost : NULL);\n	if (status == STATUS_CR_ALIGN && request->flags & DESC_F_RCI)\n		interrupt_raise(turn, request);\n	return status;",
         "a descriptor whose record is misaligned interrupts, unchecked", "victims get interrupts"),
    _one("swerror-to-neighbour", CORE + "completion.c", "	registers_error(turn->idxd, turn->index, &report);",
         "	registers_error(turn->idxd, turn->index, &report);\n	registers_error(turn->idxd, (turn->index + 1) % turn->idxd->config.num_wqs, &report);",
         "another VM is told of a guest's errors", "its vector 0 has an interrupt that is not due"),
    _one("swerror-shows-pasid", VDEV + "vqregs.c", "0xFFull << 16 | 0xFFFFFull << 40);", "0xFFull << 16);",
         "a guest reads the PASID of the host", "it looks into SWERROR"),
    _one("fence-ignored", CORE + "batch.c", "	if ((raw[4] & DESC_F_FENCE) && batch->failed)", "	if ((raw[4] & DESC_F_FENCE) && batch->failed && batch->count == 1)",
         "a fence behind a refused member does not end the batch", "the member behind it interrupts"),
)  # fmt: skip

# ---- members of a batch on the short way: no interrupt is theirs, so no guest's counts show it ----

_PLAIN = ("device_model/tests/test_core_plain_moves.py",)
_LOOKED_AT = "const uint32_t looked_at = DESC_F_FENCE | DESC_F_CRAV | DESC_F_RCR | DESC_F_RCI;"

SHORT_WAY = (
    _one("short-way-interrupt", CORE + "plain.h", _LOOKED_AT, _LOOKED_AT.replace(" | DESC_F_RCI", ""),
         "moves that ask for an interrupt go the way that has none", "the interrupt does not come, a forged handle is not refused", _PLAIN),
    _one("short-way-fence", CORE + "plain.h", _LOOKED_AT, _LOOKED_AT.replace("DESC_F_FENCE | ", ""),
         "a fence among plain moves fences nothing", "the member behind a failure is carried out", _PLAIN),
    _one("short-way-handle", CORE + "plain.h", "size = field(raw, 32, 8); /* above it", "size = field(raw, 32, 4); /* above it",
         "a handle without an interrupt is let pass", "it is to be refused as reserved", _PLAIN),
    _one("short-way-reserved", CORE + "plain.h", "field(raw, 40, 8) | field(raw, 48, 8) | field(raw, 56, 8)", "field(raw, 40, 8) | field(raw, 48, 8)",
         "reserved bytes are let pass", "it is to be refused", _PLAIN),
    _one("short-way-record", CORE + "plain.h", "	       field(raw, 8, 8) % CR_ALIGN == 0;", "	       true;",
         "a misaligned record is written", "it is to be discarded", _PLAIN),
    _one("short-way-size", CORE + "plain.h", "return field(raw, 4, 4) == form && size - 1 < max_size &&", "return max_size && field(raw, 4, 4) == form && size - 1 < MEMORY_LEASE &&",
         "members copy more than the limit of their queue", "they are to be refused", ("device_model/tests/test_core_configurable.py",)),
    _one("short-way-read-only", CORE + "plain.h", "plain_place(ranges, record, CR_SIZE, DMA_MAY_WRITE)", "plain_place(ranges, record, CR_SIZE, DMA_MAY_READ)",
         "a record is written to memory that is only to be read", "a crash, or a fault that does not come", _PLAIN),
    _one("short-way-cause", CORE + "plain.h", "plain_note(turn, cause + done,", "plain_note(turn, cause,",
         "members have one cause", "the ledger", _PLAIN),
    _one("short-way-turn", CORE + "plain.h", "bytes < most_bytes &&", "bytes < most_bytes + TURN_BYTES &&",
         "a batch holds other queues up", "turns are longer", _PLAIN),
    Defect("short-way-abort", (
        Edit(CORE + "plain.h", "		if (atomic_load_explicit(&turn->wq->abandon, memory_order_acquire))\n			break;\n", ""),
        Edit(CORE + "plain.h", "*abandoned = atomic_load_explicit(&turn->wq->abandon, memory_order_acquire);", "*abandoned = false;"),
    ), "an abort waits for the rest of a turn", "all members are carried out", ("device_model/tests/test_core_engines.py",)),
)  # fmt: skip

# ---- the end of work ----

_QUIET = ("device_model/tests/test_core_burn_down.py",)

ENDINGS = (
    _one("drain-not-waited", CORE + "quiet.c", "	if (wq->begun && wq->current.cause <= upto)\n		return false;\n	return wq->count == 0 || wq->ring[wq->head].cause > upto;",
         "	return wq != NULL || upto != 0;", "commands end while descriptors are queued or run", "a record or interrupt comes after the end", ("guest_tests/tests/test_agent_cases_device.py::test_nothing_is_written_or_signalled_after_what_drops", "device_model/tests/test_core_commands.py",)),
    _one("running-not-waited", CORE + "quiet.c", "	if (wq->begun && wq->current.cause <= upto)\n		return false;\n", "",
         "commands end while a descriptor runs", "by all threads at once: a guest hits it by chance", ("device_model/tests/test_core_engines.py", "device_model/tests/test_core_under_sanitizers.py::test_promises_hold_while_all_threads_work")),
    _one("abort-drops-nothing", CORE + "quiet.c", "	if (command != WQ_DRAIN && command != WQ_DISABLE)\n		drop_all(idxd, index);", "	(void)drop_all;",
         "an abort carries out what is queued", "what was to be dropped interrupts", ("device_model/tests/test_core_commands.py",)),
    _one("reset-wq-keeps-configuration", CORE + "quiet.c", "		wqcfg_reset(idxd, index);\n", "",
         "a queue keeps its PASID for the next owner", "the host does not take it back"),
)  # fmt: skip

# ---- the way through the platform: IOMMU, DMA ----

PLATFORM_DEFECTS = (
    _one("remap-index-short", PLATFORM + "iommu.c", "return (uint32_t)(address >> 5 & 0x7FFF)", "return (uint32_t)(address >> 5 & 0x3)",
         "messages of entries beyond the fourth use others' remapping entries", "interrupts cross"),
    _one("remap-keeps-target", PLATFORM + "iommu.c", "	binding->target = target;\n", "	if (target || !binding->vector)\n		binding->target = target;\n",
         "a cleared entry still has its target", "not given back; or a crash", ),
    _one("remap-keeps-vector", PLATFORM + "iommu.c", "	binding->vector = vector;\n", "	if (!binding->vector)\n		binding->vector = vector;\n",
         "a remapping entry used again leads to its old vector", "interrupts arrive elsewhere"),
    _one("remap-not-waited", PLATFORM + "iommu.c", "	gate_shut(&binding->gate, &iommu->lock, &iommu->left);", "	(void)iommu;\n	(void)gate_try_shut(&binding->gate);",
         "a remapping or PASID entry is cleared while it is being used",
         "a race of nanoseconds: by the tests that hold a message or a copy up",
         ("device_model/tests/test_core_under_sanitizers.py::test_promises_hold_while_all_threads_work", "device_model/tests/test_memory_c_units.py")),
    _one("remap-any-format", PLATFORM + "iommu.c", "!(message->address & REMAPPABLE_FORMAT) || !gate_enter", "!gate_enter",
         "messages in compatibility format are remapped", "only the host writes addresses: by the test of the core",
         ("device_model/tests/test_core_interrupts.py::test_message_not_in_remappable_format_is_blocked",)),
    _one("pasid-table-short", PLATFORM + "iommu.c", "atomic_load_explicit(&iommu->pasid_pages[pasid / PASID_PAGE], memory_order_acquire)",
         "atomic_load_explicit(&iommu->pasid_pages[pasid / PASID_PAGE / 2], memory_order_acquire)",
         "another PASID's address space is entered, or none", "DMA faults, or writes into another VM"),
    Defect("pasid-table-aliases", (
        Edit(PLATFORM + "iommu.c", "&iommu->pasid_pages[pasid / PASID_PAGE];", "&iommu->pasid_pages[pasid / PASID_PAGE * 0];"),
        Edit(PLATFORM + "iommu.c", "&iommu->pasid_pages[pasid / PASID_PAGE], memory_order_acquire)", "&iommu->pasid_pages[0], memory_order_acquire)"),
    ), "PASIDs that agree in their low bits share an address space", "DMA of one VM goes into another"),
    _one("pasid-not-cleared", PLATFORM + "iommu.c", "	return iommu_pasid_set(iommu, pasid, NULL);", "	return pasid < IOMMU_MAX_PASID && iommu ? 0 : -EINVAL;",
         "the address space of a VM that has gone can be entered", "a table entry is not given back"),
    _one("dma-pasid-of-descriptor", CORE + "turn.h", "turn->terms.pasid_enable, turn->terms.pasid, turn->scratch);",
         "turn->terms.pasid_enable, field(turn->wq->current.desc, 0, 3) & 0xFFFFF ? (uint32_t)field(turn->wq->current.desc, 0, 3) & 0xFFFFF"
         " : turn->terms.pasid, turn->scratch);",
         "DMA goes to the address space of the PASID that a descriptor names", "a record does not come"),
    _one("record-to-another-space", CORE + "completion.c", "	if (request->terms->iaa)\n		return write_iaa_record(turn,",
         "	if (outcome->status == STATUS_HANDLE) {\n		turn_leave(turn);\n		turn->terms.pasid ^= 1;\n	}\n"
         "	if (request->terms->iaa)\n		return write_iaa_record(turn,",
         "the record of a refused descriptor goes into another VM", "it does not come"),
)  # fmt: skip

# ---- message stores of the hardware other than the array: what no guest does by itself, the tests of the core do ----

_HANDLES = "device_model/tests/test_store_handles.py"
_PLACES = "device_model/tests/test_store_places.py"
_REGISTERS = "device_model/tests/test_store_registers.py"
_C_UNITS = "device_model/tests/test_store_c_units.py"


def _in(file: str, name: str, old: str, new: str, breaks: str, noticed: str, tests: str) -> Defect:
    return _one(name, CORE + file + ".c", old, new, breaks, noticed, (tests,))


_AGAIN = "	if (vanished.reason == REFUSAL_NONE)\n"
_NO_AGAIN = "	if (vanished.entry != UINT32_MAX)\n"

CORE_STORES = (
    _in("store_table", "table-bound-off-by-one", "if (handle >= object->count &&", "if (handle > object->count &&",
        "the entry behind a machine's table is its own too", "it is not refused", _PLACES),
    _in("store_table", "table-pool-bound-off-by-one", "object->count <= table->pool.slots.count - object->first;",
        "object->count <= table->pool.slots.count - object->first + 1;", "a table reaches behind the pool", "it becomes Valid", _REGISTERS),
    _in("store_table", "table-object-valid-ignored", " && valid(table, object->valid) ? object", " ? object",
        "a VM object that is not Valid leads to its table", "handles survive it", _PLACES),
    _in("store_table", "table-queue-valid-ignored", "return valid(table, vm & TABLE_WQ_VALID) && valid(", "return valid(",
        "a work queue without VM_ID is machine 0's, or its former one's", "handles are not refused", _PLACES),
    _in("store_table", "table-vm-id-cut", "&table->objects[vm & TABLE_WQ_VM];", "&table->objects[vm & 7];",
        "VM_IDs that agree in three bits share a table", "interrupts are refused to their owner", _PLACES),
    _in("store_table", "table-place-not-locked", "else if (reg == TABLE_OBJECT_COUNT && !object->valid)", "else if (reg == TABLE_OBJECT_COUNT)",
        "a table that is in use can grow over its neighbour", "it does", _REGISTERS),
    _in("store_table", "table-not-emptied", "	slots_reset(&table->pool.slots, object->first, object->count);\n	slots_settle",
        "	slots_settle", "a table begins with what its last owner left in it", "handles of before are good", _HANDLES),
    _in("store_table", "table-entries-always-open", "	return table->tables[(offset - TABLE_ENTRIES) / IMS_STRIDE] > 0;",
        "	return table->tables != NULL && offset > 0;", "entries of nobody can be written", "they are", _REGISTERS),
    _in("store_table", "table-handle-state-ignored", "!table->pool.slots.slot[*entry].requested &&",
        "!table->pool.slots.slot[*entry].requested && !table->pool.slots.slot[*entry].address &&", "handles that were released are taken", "they are", _HANDLES),
    _in("store_table", "table-valid-does-not-wait", "	slots_settle(&table->pool.slots, object->first, object->count);\n}", "}",
        "a message may be on its way out of a table that is no more", "by the test with a message held up", _C_UNITS),
    _in("store_table", "table-queue-does-not-wait", "		flights_wait_wq(&table->pool.slots.flights, &table->pool.slots.lock, (uint16_t)wq);", "		(void)flights_wait_wq;",
        "a message may be on its way out of a table that its queue does not lead to any more", "by the test with a message held up", _C_UNITS),
    _in("store_table", "table-not-looked-at-again", _AGAIN, _NO_AGAIN, "a handle that was released between check and end sends", "by the test of both", _C_UNITS),
    _in("store_table", "table-reset-keeps-queues", "		table->wq_vm[i] = 0;\n", "		(void)table;\n", "queues keep their machine through a reset",
        "registers are not as after a reset", _REGISTERS),
    _in("store_queue", "queue-pasid-not-compared", ".pasid = IMS_CTRL_PASID(fetched->ctrl),", ".pasid = witness->pasid,",
        "a page that has another owner by now is open to its last one", "it is not refused", _PLACES),
    _in("store_queue", "queue-pasid-enable-one-way", ".pasid_enable = fetched->ctrl & IMS_CTRL_PASID_EN,", ".pasid_enable = pasid_enable && (fetched->ctrl & IMS_CTRL_PASID_EN),",
        "an entry with a PASID is open to queues without one of the same bits", "it is not refused", _HANDLES),
    _in("store_queue", "queue-requested-ignored", ".requested = fetched->ctrl & QUEUE_CTRL_REQUESTED,", ".requested = fetched->ctrl,",
        "handles that were released are taken", "they are", _HANDLES),
    _in("store_queue", "queue-context-valid-ignored", "!context || !context->valid ||", "!context ||",
        "a queue leads to a directory that was taken from it", "handles survive it", _PLACES),
    _in("store_queue", "queue-pointer-valid-ignored", " || !(*page & QUEUE_POINTER_VALID))", ")",
        "a pointer that is none is followed", "handles are not refused", _PLACES),
    _in("store_queue", "queue-first-page-only", "handle / QUEUE_PAGE_ENTRIES * sizeof(*page)", "handle / QUEUE_PAGE_ENTRIES / 256 * sizeof(*page)",
        "handles that agree in 8 bits are one", "they are not refused", _HANDLES),
    _in("store_queue", "queue-directory-not-locked", "	if (!context->valid)\n		context->directory", "	if (context)\n		context->directory",
        "a directory that is in use can be changed in two halves", "it is", _REGISTERS),
    _in("store_queue", "queue-not-fetched-again", _AGAIN, _NO_AGAIN, "an entry that is another's by the end sends", "by the test of check and end", _C_UNITS),
    _in("store_queue", "queue-any-address", "	return fetched->address >> 32 == 0 && ((uint32_t)fetched->address", "	return fetched || ((uint32_t)fetched->address",
        "messages leave to where no local APIC is", "they do", _PLACES),
    _in("store_queue", "queue-pends-not", "		update(queue, entry, 0, IMS_CTRL_PENDING);\n		note.kind", "		note.kind", "what is masked is lost",
        "no interrupt at unmask", _HANDLES),
    _in("store_queue", "sync-does-not-wait", "		flights_wait_wq(&queue->flights, &queue->lock, (uint16_t)wq);\n	else if", "		(void)flights_wait_wq;\n	else if",
        "a message may be on its way when SYNC of what forbids it returns", "by the test with a message held up", _C_UNITS),
    _in("store_queue", "sync-keeps-pending", "		update(queue, entry, IMS_CTRL_PENDING, 0);\n	if (!requested", "		(void)update;\n	if (!requested",
        "what was pending is sent at every SYNC", "an interrupt too many", _PLACES),
    _in("store_queue", "sync-of-released-sends", "	requested = fetched.ctrl & QUEUE_CTRL_REQUESTED;", "	requested = true;",
        "an entry that nobody owns sends what its last owner left pending", "it does", _PLACES),
    _in("store_queue", "queue-valid-does-not-wait", "	if (!valid)\n		flights_wait_wq", "	if (wq > queue->num_wqs)\n		flights_wait_wq",
        "a message may be on its way out of a queue's storage when it has been taken away", "by the test with a message held up", _C_UNITS),
    _in("store_queue", "queue-reset-keeps-contexts", "		queue->contexts[i] = (struct context){ 0 };", "		queue->contexts[i].directory |= 0;",
        "queues lead to their storage through a reset", "handles survive it", _HANDLES),
    _in("msix", "side-table-not-compared", ".pasid = MSIXPERM_PASID(vector->perm),", ".pasid = witness->pasid,",
        "a vector is everybody's that has a PASID", "it is not refused", _HANDLES),
    _in("msix", "side-table-enable-ignored", ".pasid_enable = vector->perm & MSIXPERM_PASID_EN,\n		.pasid = MSIXPERM_PASID(vector->perm),",
        ".pasid_enable = pasid_enable || (vector->perm & MSIXPERM_PASID_EN),\n		.pasid = vector->perm & MSIXPERM_PASID_EN ? MSIXPERM_PASID(vector->perm) : witness->pasid,",
        "a vector without an owner is everybody's", "it is not refused", _HANDLES),
    _in("msix_table", "side-table-cut", "perm = value & MSIXPERM_WRITABLE;", "perm = value & MSIXPERM_WRITABLE & 0xFFFFFFF;",
        "4 bits of a PASID are lost", "a PASID that differs there is not refused", _HANDLES),
    _in("store_msix", "vector-0-for-guests", "return entry >= 1 && entry <", "return entry <", "the device's own vector can be a guest's", "it has an entry", _REGISTERS),
    _in("interrupt", "portal-without-a-table", "return by_ims(turn) ? store && store_portal(store) == PORTAL_IMS :", "return by_ims(turn) ? store != NULL :",
        "a descriptor of the portal that the store does not take ends the device", "it does", _REGISTERS),
    _in("flights", "waits-for-later-ones", "		if (flight->number <= upto && flight->wq == wq)", "		if (upto > 0 && flight->wq == wq)",
        "who waits for a message waits for as long as others send", "the wait does not end", _C_UNITS),
    _in("flights", "entries-off-by-one", "flight->entry - first < count)", "flight->entry - first + 1 < count)",
        "the last entry is not waited for", "by the test with a message held up", _C_UNITS),
    _one("memory-not-zeroed", PLATFORM + "host_memory.c", "	uint8_t *bytes = calloc(1, PAGE);", "	uint8_t *bytes = malloc(PAGE);",
         "a page shows what its last owner had in it", "by its test", (_C_UNITS,)),
    _one("memory-freed-still-there", PLATFORM + "host_memory.c", "number > memory->count || !memory->pages[number - 1].bytes)", "number > memory->count)",
         "a page that was freed is reached", "a crash", (_PLACES,)),
)  # fmt: skip

# ---- portals that the guest has mapped: seen by our own client, which may store what it likes ----

_MAPPED = ("device_model/tests/test_protocol_mapped_portal.py",)


def _mapped(name: str, old: str, new: str, breaks: str, noticed: str, file: str = "vmapped.c") -> Defect:
    return _one(f"mapped-{name}", VDEV + file, old, new, breaks, noticed, _MAPPED)


MAPPED = (
    _mapped("not-wiped", "			wipe(mapped, wq);", "			(void)wipe;", "what was stored while the queue was disabled is taken", "it runs"),
    _mapped("any-order", "	const uint32_t next = mapped->wqs[wq].next[page];", "	const uint32_t next = mapped->wqs[wq].next[page] & 0;",
            "descriptors overtake each other at the end of a page", "they are out of order"),
    _mapped("same-pages", "	drop_pages(mapped);\n	make_pages(mapped);\n	pthread_cond_signal", "	pthread_cond_signal",
            "a client that has gone writes to the next one's portal", "it is taken"),
    _mapped("not-closed", "	mapped->closed = true;", "	mapped->closed = false;", "a device that is being taken away takes descriptors", "it does"),
    _mapped("not-sealed", "F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL", "F_SEAL_SEAL", "a client takes the pages away from under the device",
            "it can"),
    _mapped("command-does-not-sweep", "	if (command)\n		vmapped_sweep(vdev->mapped);", "	if (offset > vdev->shape.bar0_size)\n		vmapped_sweep(vdev->mapped);",
            "Drain and Abort do not cover what was stored before", "it runs afterwards", "vdev.c"),
)  # fmt: skip

# ---- the host's software ----

HOST = (
    _one("host-entry-not-wiped", "host_ctl/interrupts/domain.py", "            self.store.clear(place.entry)\n", "",
         "freed entries keep message and owner", "dirty entries after the run"),
    _one("host-entry-twice", "host_ctl/interrupts/pool.py", "            number, self._fresh = self._fresh, self._fresh + 1\n            if number not in self.used:",
         "            number, self._fresh = self._fresh, self._fresh + (len(self.used) % 3 != 1)\n            if number in self.numbers:",
         "an entry is given to two mdevs", "interrupts cross"),
    _one("host-handle-stays", "host_ctl/interrupts/array.py", "        self.chip.command(Command.RELEASE_INT_HANDLE, entry | _IMS_HANDLE)\n        self.write(entry, ADDRESS",
         "        self.write(entry, ADDRESS",
         "the handle of a freed entry is live for its next owner before he has asked", "the virtual device has released it already: by the host's test",
         ("host_ctl/tests/test_interrupts_entries.py",)),
    _one("host-owner-not-written", "host_ctl/interrupts/array.py", "self.control & IGNORE | owner_id << 12 | PASID_ENABLE | mask", "self.control & IGNORE | mask",
         "entries belong to nobody", "interrupts are refused to their owner"),
    _one("host-disarm-keeps-owner", "host_ctl/interrupts/array.py", "        self.store.write(self.entry, CONTROL, MASK)  #", "        self.mask()  #",
         "what is being taken away still passes the check", "a disarmed entry is not refused"),
    _one("host-pasid-twice", "host_ctl/ids.py", "        self._used.add(number)\n        self._advance()", "        self._used.add(number)\n        if len(self._used) != 2:\n            self._advance()\n        else:\n            self._used.discard(number)",
         "two mdevs have one PASID", "interrupts cross, or DMA"),
    _one("host-pasid-reused", "host_ctl/ids.py", "        while self._next in self._used:", "        self._next = self._first\n        while self._next in self._used:",
         "the PASID of a VM that has gone is the next one's", "nothing is left that it could match: by the host's test", ("host_ctl/tests/test_pasid.py",)),
    _one("host-pasid-cut", "host_ctl/physical.py", "pasid << 8 | 1 << 28", "(pasid & 0xFFF) << 8 | 1 << 28", "a queue runs with a part of its PASID", "DMA and interrupts fail"),
    _one("host-wq-twice", "host_ctl/physical.py", "        return self._free_wqs.pop()", "        return self._free_wqs.pop() if len(self._free_wqs) != 3 else self._free_wqs[-1]",
         "two mdevs have one work queue", "the second cannot be set up"),
    Defect("host-wq-not-reset", (
        Edit("host_ctl/mdev.py", "        undo.callback(parts.chip.reset_wq, self.wq)\n", ""),
        Edit("host_ctl/physical.py", "        if mode or state:", "        if mode and state > 3:"),
    ), "the next owner of a queue gets it as it was", "a queue that is not Disabled cannot be enabled; or the order of commands"),
    _one("host-pasid-entry-stays", "host_ctl/mdev.py", "        undo.callback(parts.chip.device.pasid_clear, self.pasid)\n", "",
         "the address space of an mdev that has gone can be entered", "a table entry is not given back"),
    _one("host-remap-elsewhere", "host_ctl/remapping.py", "self._device.remap_set(entry.index, vdev, vector)", "self._device.remap_set(entry.index, vdev, vector ^ 3 if vector in (1, 2) else vector)",
         "vectors of an mdev are exchanged", "interrupts arrive elsewhere"),
    _one("host-remap-not-cleared", "host_ctl/remapping.py", "        self._device.remap_clear(entry.index)\n", "", "a remapping entry leads to a VM that has gone", "it is not given back"),
    _one("host-foreign-handles", "host_ctl/interrupts/entries.py", "return Place(entry, entry, space)", "return Place(entry, entry ^ 2, space)", "guests are told the handles of others", "interrupts are refused to their owner"),
)  # fmt: skip

# ---- other types ----

TYPES = (
    _one("cfg-size-not-applied", VDEV + "vqcfg.c", "	idxd_wq_set_limit(idxd, vq->config.wq, cfg->wq[WQCFG_SIZE]);\n", "", "the size that a guest configures bounds nothing",
         "by the test of the type", ("device_model/tests/test_core_configurable.py",)),
    _one("own-handle-state-ignored", CORE + "msix.c", ".requested = vector->requested || !msix->config.handles,", ".requested = vector->requested || !msix->config.handles || !vector->perm,",
         "a device of its own takes handles that were never given", "by the test of the chip", ("device_model/tests/test_core_chip_work.py", "device_model/tests/test_core_handles.py")),
    Defect("own-vector-shifted", (Edit(VDEV + "vowned.c", "		.vector = message->entry,", "		.vector = message->entry ^ 1,"),),
           "the ledger of a device of its own names another vector", "it differs from the guest's counters", mdev_type="dsa-pf-v1"),
    Defect("own-vmask-ignored", (Edit(CORE + "msix.c", "	return function_may_send(msix) && (!(vector->ctrl", "	return function_may_send(msix) && (vector || !(vector->ctrl"),),
           "masks of a device of its own have no effect", "an interrupt while masked", mdev_type="dsa-pf-v1"),
)  # fmt: skip

# ---- the host's software, other stores and domains ----


def _of(store: str, name: str, old: str, new: str, breaks: str, noticed: str, tests: tuple[str, ...] = (), domain: str = "device") -> Defect:
    """In the host's part of one organisation."""
    edit = Edit(f"host_ctl/interrupts/{store}.py", old, new)
    return Defect(f"{store}-{name}", (edit,), breaks, noticed, tests, store=store, domain=domain)


STORES = (
    _of("array", "parts-overlap", "Pool(range(part * self.part,", "Pool(range(part * self.part // 2,", "parts of two VMs overlap", "interrupts cross", domain="vm"),
    _of("table", "bound-too-large", "self._write(base + _COUNT, count)", "self._write(base + _COUNT, count + 1)",
        "a VM's table has an entry of the next one", "a handle behind the table is taken"),
    _of("table", "tables-overlap", "table, table * self.part, Pool", "table, table * self.part // 2, Pool", "two VMs have one table", "interrupts cross"),
    _of("table", "wrong-vm-id", "self._owner_id_of(owner) | _QUEUE_VALID", "max(1, self._owner_id_of(owner) - 1) | _QUEUE_VALID",
        "a work queue has the VM_ID of another VM", "interrupts cross"),
    _of("table", "not-cut", "        self._write(self._object(space.owner) + _OBJECT_CONTROL, 0)\n", "", "a VM object outlives its VM", "it is not given back", domain="vm"),
    _of("table", "disarm-keeps-handle", "        self.release_handle()\n", "", "what is being taken away still passes the check", "a disarmed entry is not refused"),
    _of("queue", "wrong-owner", "owner = self.store._owner_id_of(self.owner) << 12", "owner = (self.store._owner_id_of(self.owner) ^ 1) << 12",
        "entries are another's", "interrupts are refused to their owner"),
    _of("queue", "not-told", "        self._sync(place.space.wq, place.handle)\n", "", "the device is not told that an entry has been unmasked", "what was pending does not come"),
    _of("queue", "page-kept", "        self._free_page(space.pages[number].address)\n", "", "pages are not freed", "they are not given back"),
    _of("queue", "not-cut", "_CONTEXT + _CONTEXT_CONTROL, 0)", "_CONTEXT + _SYNC, 0)", "a work queue leads to memory that has been freed",
        "the next owner's storage is refused", domain="vm"),
    _of("queue", "clears-late", "        self.update(entry, _OWNER, MASK)\n        self.update(entry, REQUESTED", "        self.update(entry, REQUESTED",
        "a freed entry keeps its owner", "by the host's test: its page is freed with it", ("host_ctl/tests/test_interrupts_machine.py", "host_ctl/tests/test_interrupts_entries.py")),
    _of("msix", "owner-not-written", "ignore | self.store._owner_id_of(self.owner) << 12 | PASID_ENABLE", "ignore", "vectors belong to nobody", "interrupts are refused to their owner"),
    _of("msix", "owner-kept", "        self.write_permission(entry, 0)\n", "", "the side table keeps the owner of a freed vector",
        "disarming has taken it away already: by the host's test", ("host_ctl/tests/test_interrupts_entries.py",)),
    _of("msix", "vector-0-given", "range(1, self.chip.num_msix)", "range(self.chip.num_msix)", "the device's own vector is given to a VM",
        "by the host's test", ("host_ctl/tests/test_interrupts_entries.py",)),
)  # fmt: skip

DEFECTS: tuple[Defect, ...] = (*HANDLES, *IMS, *VIRTUAL, *SHORT_WAY, *ENDINGS, *PLATFORM_DEFECTS, *CORE_STORES, *MAPPED, *HOST, *STORES, *TYPES)
