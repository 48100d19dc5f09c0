# ruff: noqa: E501 - excerpts of sources, as long as they are there
"""Defects of the host's software, and of device types other than the default."""

from __future__ import annotations

from mutants_defect import CORE, VDEV, Defect, Edit, one

# ---- the host's software ----

HOST = (
    one("host-entry-not-wiped", "host_ctl/interrupts/domain.py", "            self.store.clear(place.entry)\n", "",
         "freed entries keep message and owner", "dirty entries after the run"),
    one("host-entry-twice", "host_ctl/interrupts/pool.py", "            number, self._fresh = self._fresh, self._fresh + 1\n            if number not in self.used:",
         "            number, self._fresh = self._fresh, self._fresh + (len(self.used) % 3 != 1)\n            if number in self.numbers:",
         "an entry is given to two mdevs", "interrupts cross"),
    one("host-handle-stays", "host_ctl/interrupts/array.py", "        self.chip.command(Command.RELEASE_INT_HANDLE, entry | _IMS_HANDLE)\n        self.write(entry, ADDRESS",
         "        self.write(entry, ADDRESS",
         "the handle of a freed entry is live for its next owner before he has asked", "the virtual device has released it already: by the host's test",
         ("host_ctl/tests/test_interrupts_entries.py",)),
    one("host-owner-not-written", "host_ctl/interrupts/array.py", "self.control & IGNORE | owner_id << 12 | PASID_ENABLE | mask", "self.control & IGNORE | mask",
         "entries belong to nobody", "interrupts are refused to their owner"),
    one("host-disarm-keeps-owner", "host_ctl/interrupts/array.py", "        self.store.write(self.entry, CONTROL, MASK)  #", "        self.mask()  #",
         "what is being taken away still passes the check", "a disarmed entry is not refused"),
    one("host-pasid-twice", "host_ctl/ids.py", "        self._used.add(number)\n        self._advance()", "        self._used.add(number)\n        if len(self._used) != 2:\n            self._advance()\n        else:\n            self._used.discard(number)",
         "two mdevs have one PASID", "interrupts cross, or DMA"),
    one("host-pasid-reused", "host_ctl/ids.py", "        while self._next in self._used:", "        self._next = self._first\n        while self._next in self._used:",
         "the PASID of a VM that has gone is the next one's", "nothing is left that it could match: by the host's test", ("host_ctl/tests/test_pasid.py",)),
    one("host-pasid-cut", "host_ctl/physical.py", "pasid << 8 | 1 << 28", "(pasid & 0xFFF) << 8 | 1 << 28", "a queue runs with a part of its PASID", "DMA and interrupts fail"),
    one("host-wq-twice", "host_ctl/physical.py", "        return self._free_wqs.pop()", "        return self._free_wqs.pop() if len(self._free_wqs) != 3 else self._free_wqs[-1]",
         "two mdevs have one work queue", "the second cannot be set up"),
    Defect("host-wq-not-reset", (
        Edit("host_ctl/mdev.py", "        undo.callback(parts.chip.reset_wq, self.wq)\n", ""),
        Edit("host_ctl/physical.py", "        if mode or state:", "        if mode and state > 3:"),
    ), "the next owner of a queue gets it as it was", "a queue that is not Disabled cannot be enabled; or the order of commands"),
    one("host-pasid-entry-stays", "host_ctl/mdev.py", "        undo.callback(parts.chip.device.pasid_clear, self.pasid)\n", "",
         "the address space of an mdev that has gone can be entered", "a table entry is not given back"),
    one("host-remap-elsewhere", "host_ctl/remapping.py", "self._device.remap_set(entry.index, vdev, vector)", "self._device.remap_set(entry.index, vdev, vector ^ 3 if vector in (1, 2) else vector)",
         "vectors of an mdev are exchanged", "interrupts arrive elsewhere"),
    one("host-remap-not-cleared", "host_ctl/remapping.py", "        self._device.remap_clear(entry.index)\n", "", "a remapping entry leads to a VM that has gone", "it is not given back"),
    one("host-foreign-handles", "host_ctl/interrupts/entries.py", "return Place(entry, entry, space)", "return Place(entry, entry ^ 2, space)", "guests are told the handles of others", "interrupts are refused to their owner"),
)  # fmt: skip

# ---- other types ----

TYPES = (
    one("cfg-size-not-applied", VDEV + "vqcfg.c", "	idxd_wq_set_limit(idxd, vq->config.wq, cfg->wq[WQCFG_SIZE]);\n", "", "the size that a guest configures bounds nothing",
         "by the test of the type", ("device_model/tests/test_core_configurable.py",)),
    one("own-handle-state-ignored", CORE + "msix.c", ".requested = vector->requested || !msix->config.handles,", ".requested = vector->requested || !msix->config.handles || !vector->perm,",
         "a device of its own takes handles that were never given", "by the test of the chip", ("device_model/tests/test_core_chip_work.py", "device_model/tests/test_core_handles.py")),
    Defect("own-vector-shifted", (Edit(VDEV + "vowned.c", "		.vector = message->entry,", "		.vector = message->entry ^ 1,"),),
           "the ledger of a device of its own names another vector", "it differs from the guest's counters", mdev_type="dsa-pf-v1"),
    Defect("own-vmask-ignored", (Edit(CORE + "msix.c", "	return function_may_send(msix) && (!(vector->ctrl", "	return function_may_send(msix) && (vector || !(vector->ctrl"),),
           "masks of a device of its own have no effect", "an interrupt while masked", mdev_type="dsa-pf-v1"),
)  # fmt: skip
