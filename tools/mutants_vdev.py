# ruff: noqa: E501 - excerpts of sources, as long as they are there
"""Defects of the virtual device: handles, resets, MSI-X, and portals that its guest has mapped."""

from __future__ import annotations

from mutants_defect import CORE, VDEV, Defect, Edit, one

# ---- the virtual device: handles, resets, MSI-X ----

_QUEUE = "idxd_wq_command(platform_idxd(vq->platform), vq->config.wq, WQ_STOP);\n	vqcommand_retire_entries(vq);"

VIRTUAL = (
    one("release-foreign-handle", VDEV + "vqcommand.c", "	if (index == 0)\n		return CMDERR_HANDLE_INDEX;",
         "	if (index == 0) {\n		store_release_handle(idxd_store(platform_idxd(vq->platform)), operand & HANDLE_OPERAND_INDEX);\n"
         "		return CMDERR_HANDLE_INDEX;\n	}",
         "Release Interrupt Handle takes handles of others", "the victim's own interrupts are refused"),
    one("request-foreign-handle", VDEV + "vqcommand.c", "		finish(vq, CMDERR_HANDLE_INDEX, 0); /* no virtual IMS",
         "		store_request_handle(idxd_store(platform_idxd(vq->platform)), index);\n		finish(vq, CMDERR_NONE, (uint16_t)index); /* no virtual IMS",
         "Request Interrupt Handle makes entries of others usable", "the command succeeds"),
    one("request-revives-silently", VDEV + "vqcommand.c", "		finish(vq, CMDERR_HANDLE_INDEX, 0); /* no virtual IMS",
         "		store_request_handle(idxd_store(platform_idxd(vq->platform)), index);\n		finish(vq, CMDERR_HANDLE_INDEX, 0); /* no virtual IMS",
         "a refused Request Interrupt Handle revives a handle that its owner has released", "a released handle is taken"),
    one("release-keeps-handle", VDEV + "vqcommand.c", "	store_release_handle(idxd_store(platform_idxd(vq->platform)), vq->vectors[index].entry);\n", "",
         "a handle that was released goes on working", "it is not refused"),
    one("commands-reach-other-queues", VDEV + "vqcommand.c", "	if (operand & ~1u) /* queues",
         "	if (operand & ~1u)\n		idxd_wq_command(platform_idxd(vq->platform), (uint32_t)__builtin_ctz(operand), WQ_STOP);\n	if (operand & ~1u) /* queues",
         "a guest stops the queues of others", "their owners' interrupts do not arrive"),
    one("reset-keeps-handles", VDEV + "vqcommand.c", "		vqcommand_retire_entries(vq);\n		msix_reset_permissions(vq->msix);",
         "		msix_reset_permissions(vq->msix);", "handles survive Reset Device", "they are not refused"),
    one("reset-leaves-queue-enabled", VDEV + "vqcommand.c", "		vq->state = DEVICE_DRAINING;\n		forward(vq, WQ_STOP);",
         "		vq->state = DEVICE_DRAINING;\n		forward(vq, WQ_ABORT);", "the queue runs on after Reset Device", "what is stored after it is executed"),
    Defect("flr-keeps-all", (
        Edit(VDEV + "vqueue.c", "	/* First the source of interrupts and DMA, then what they would have gone to. */\n	" + _QUEUE, "	(void)0;"),
    ), "the queue runs on after a function-level reset, its handles work", "what is stored after it is executed"),
    one("flr-keeps-table", VDEV + "vqueue.c", "	msix_reset(vq->msix);\n}", "}", "the MSI-X table survives a function-level reset",
         "the guest reads it", ("device_model/tests/test_core_types.py::test_flr_gives_power_on_values",)),
    one("vmask-ignored", CORE + "msix.c", "(!(vector->ctrl & MSIX_VCTRL_MASK) || FAULT(msix->planted, FAULT_MASK_IGNORED))",
         "(!(vector->ctrl & MSIX_VCTRL_MASK) || vector != NULL)", "the guest's mask has no effect", "an interrupt while masked"),
    one("vmask-function-ignored", CORE + "msix.c", "msix->enabled && !msix->function_mask && msix->bus_master",
         "msix->enabled && msix->bus_master", "the function mask has no effect", "an interrupt while masked"),
    one("msix-enable-ignored", CORE + "msix.c", "msix->enabled && !msix->function_mask && msix->bus_master",
         "!msix->function_mask && msix->bus_master", "MSI-X Enable has no effect", "an interrupt while MSI-X is off", ("guest_tests/tests/test_agent_cases_device.py::test_interrupts_while_msix_is_off_are_one_when_it_is_on",)),
    one("bus-master-ignored", CORE + "msix.c", "msix->enabled && !msix->function_mask && msix->bus_master",
         "msix->enabled && !msix->function_mask", "messages without Bus Master Enable", "an interrupt while it is off", ("device_model/tests/test_core_interrupts.py::test_without_bus_mastering_a_pending_interrupt_waits",)),
    one("vmask-loses", CORE + "msix.c", "		remember_pending(vector, witness);\n		note(msix, msix->config.pended",
         "		note(msix, msix->config.pended", "what is masked is lost", "no interrupt at unmask"),
    one("function-mask-loses", CORE + "msix.c", "	vector->pending = true;", "	vector->pending = vector->ctrl & MSIX_VCTRL_MASK;",
         "what the function mask holds back is lost", "no interrupt when it is lifted"),
    one("vpending-kept", CORE + "msix.c", "		vector->pending = false;\n		send_unlocking", "		send_unlocking",
         "what was pending is sent again", "an interrupt too many"),
    one("pba-empty", CORE + "msix_table.c", "(uint64_t)msix->vectors[i].pending << bit", "(uint64_t)(msix->vectors[i].pending && msix->config.handles) << bit",
         "the PBA shows nothing", "a guest looks for its pending bit"),
    one("pba-without-ims", VDEV + "vqregs.c", "vq->vectors[word * 64 + i].entry) << i;", "vq->vectors[word * 64 + i].entry + 0x10000u) << i;",
         "the PBA does not show what is pending in the IMS", "a guest looks for its pending bit"),
    one("vmask-does-not-wait", CORE + "msix_table.c", "			msix_wait_sent(msix, index);", "			(void)msix_wait_sent;",
         "a message may still be on its way when its masking returns",
         "a race of nanoseconds: by the test of the core with a message held up",
         ("device_model/tests/test_chip_c_units.py::test_no_message_is_lost_doubled_torn_or_sent_while_masked",)),
    one("message-kept", CORE + "msix_table.c", "		vector->data = value;", "		if (!vector->data)\n			vector->data = value;",
         "a rewritten entry sends its old message", "the interrupt arrives at another vector", ("guest_tests/tests/test_agent_cases_device.py::test_rewritten_msix_entry_leads_to_another_vector_of_the_same_guest",)),
    one("sent-twice", VDEV + "vvm.c", "	result = call_vm(vdev, &vm, message);", "	result = call_vm(vdev, &vm, message) | call_vm(vdev, &vm, message);",
         "each message is sent twice", "the ledger and the counters differ"),
    one("sent-unrecorded", VDEV + "vvm.c", "	vvm_note(vdev, LEDGER_INJECTED, message, message->address, 0);", "	if (message->vector % 2)\n		vvm_note(vdev, LEDGER_INJECTED, message, message->address, 0);",
         "the ledger does not tell of some messages", "the guest counts more than the ledger explains"),
    one("vector-shifted", VDEV + "vqueue.c", "		.address = message->address,\n		.data = message->data,",
         "		.address = message->address,\n		.data = message->data ^ 1,", "messages go to another vector", "interrupts arrive elsewhere"),
    one("disabled-queue-accepts", CORE + "wq.c", "if (idxd->state != DEVICE_ENABLED || wq->state != WQ_ENABLED)", "if (idxd->state != DEVICE_ENABLED || wq->size == 0)",
         "a disabled queue takes descriptors", "what is stored is executed"),
    Defect("interrupt-before-record", (
        Edit(CORE + "completion.c", "	status = record(turn, request, outcome) ? outcome->status : STATUS_CR_FAULT;\n",
             "	if ((request->flags & DESC_F_RCI) && outcome->status != STATUS_HANDLE)\n		interrupt_raise(turn, request);\n"
             "	status = record(turn, request, outcome) ? outcome->status : STATUS_CR_FAULT;\n"),
        Edit(CORE + "completion.c", "(request->flags & DESC_F_RCI) && status != STATUS_CR_FAULT && outcome->status != STATUS_HANDLE)", "(request->flags & DESC_F_RCI) && status == STATUS_NONE)"),
    ), "the interrupt comes before the record", "the guest finds no record in its handler"),
    one("interrupt-after-record-fault", CORE + "completion.c", "	report_error(turn, request, status, request->cr_address, 0, status == STATUS_CR_FAULT ? &lost : NULL);\n	return status;",
         "	report_error(turn, request, status, request->cr_address, 0, status == STATUS_CR_FAULT ? &lost : NULL);\n	if (status == STATUS_CR_FAULT && request->flags & DESC_F_RCI)\n		interrupt_raise(turn, request);\n	return status;",
         "a descriptor whose record cannot be written interrupts", "an interrupt that is not due"),
    one("interrupt-of-misaligned-record", CORE + "completion.c", "	report_error(turn, request, status, request->cr_address, 0, status == STATUS_CR_FAULT ? &lost : NULL);\n	return status;",
         "	report_error(turn, request, status, request->cr_address, 0, status == STATUS_CR_FAULT ? &lost : NULL);\n	if (status == STATUS_CR_ALIGN && request->flags & DESC_F_RCI)\n		interrupt_raise(turn, request);\n	return status;",
         "a descriptor whose record is misaligned interrupts, unchecked", "victims get interrupts"),
    one("swerror-to-neighbour", CORE + "completion.c", "	registers_error(turn->idxd, turn->index, &report);",
         "	registers_error(turn->idxd, turn->index, &report);\n	registers_error(turn->idxd, (turn->index + 1) % turn->idxd->config.num_wqs, &report);",
         "another VM is told of a guest's errors", "its vector 0 has an interrupt that is not due"),
    one("swerror-shows-pasid", VDEV + "vqregs.c", "0xFFull << 16 | 0xFFFFFull << 40);", "0xFFull << 16);",
         "a guest reads the PASID of the host", "it looks into SWERROR"),
    one("fence-ignored", CORE + "batch.c", "	if ((raw[4] & DESC_F_FENCE) && batch->failed)", "	if ((raw[4] & DESC_F_FENCE) && batch->failed && batch->count == 1)",
         "a fence behind a refused member does not end the batch", "the member behind it interrupts"),
)  # fmt: skip

# ---- portals that the guest has mapped: seen by our own client, which may store what it likes ----

_MAPPED = ("device_model/tests/test_protocol_mapped_portal.py",)


def _mapped(name: str, old: str, new: str, breaks: str, noticed: str, file: str = "vmapped.c") -> Defect:
    return one(f"mapped-{name}", VDEV + file, old, new, breaks, noticed, _MAPPED)


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
