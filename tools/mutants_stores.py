# ruff: noqa: E501 - excerpts of sources, as long as they are there
"""Defects of message stores other than the array, in the hardware and in what the host makes of them."""

from __future__ import annotations

from mutants_defect import CORE, PLATFORM, Defect, Edit, one

# ---- message stores of the hardware other than the array: what no guest does by itself, the tests of the core do ----

_HANDLES = "device_model/tests/test_store_handles.py"
_PLACES = "device_model/tests/test_store_places.py"
_REGISTERS = "device_model/tests/test_store_registers.py"
_C_UNITS = "device_model/tests/test_store_c_units.py"


def _in(file: str, name: str, old: str, new: str, breaks: str, noticed: str, tests: str) -> Defect:
    return one(name, CORE + file + ".c", old, new, breaks, noticed, (tests,))


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
    one("memory-not-zeroed", PLATFORM + "host_memory.c", "	uint8_t *bytes = calloc(1, PAGE);", "	uint8_t *bytes = malloc(PAGE);",
         "a page shows what its last owner had in it", "by its test", (_C_UNITS,)),
    one("memory-freed-still-there", PLATFORM + "host_memory.c", "number > memory->count || !memory->pages[number - 1].bytes)", "number > memory->count)",
         "a page that was freed is reached", "a crash", (_PLACES,)),
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
