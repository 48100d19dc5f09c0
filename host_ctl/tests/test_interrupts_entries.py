"""What is written to an entry and to what leads to it, in which order, in every organisation and scope."""

from __future__ import annotations

import pytest

from host_ctl.interrupts import Interrupt, Organisation, Scope, StoreRefused
from host_ctl.interrupts.queue import QueueStore
from host_ctl.interrupts.table import TableStore
from host_ctl.physical import Command
from host_ctl.tests.interrupt_rig import ADDRESS, DATA, PART, Rig, each_of

MASK, IGNORE, PASID_ENABLE, REQUESTED = 1, 4, 8, 16
_ARRAY, _TABLE, _QUEUE, _MSIX = Organisation
of_array = each_of([(_ARRAY, scope) for scope in Scope])
of_table = each_of([(_TABLE, scope) for scope in Scope])
of_queue = each_of([(_QUEUE, scope) for scope in Scope])
of_msix = each_of([(_MSIX, Scope.DEVICE)])
with_owner_in_entries = each_of([(organisation, scope) for organisation in (_ARRAY, _QUEUE) for scope in Scope])
OWNER = 101 << 12 | PASID_ENABLE
"""Of mdev 1."""
PERMISSIONS, MSIX_TABLE_ENTRY = 0x5000, 16


def test_programmed_entry_holds_its_message_and_is_open(rig: Rig) -> None:
    _, interrupts = rig.programmed()

    assert [i.message for i in interrupts] == [(ADDRESS, DATA)] * 2
    assert [i.control & MASK for i in interrupts] == [0, 0]
    assert not any(i.pending for i in interrupts)


def test_mask_and_unmask_change_nothing_else(rig: Rig) -> None:
    _, (interrupt, _) = rig.programmed()
    before = interrupt.message, interrupt.control
    interrupt.mask()
    masked = interrupt.message, interrupt.control
    interrupt.unmask()

    assert masked == (before[0], before[1] | MASK)
    assert (interrupt.message, interrupt.control) == before


@with_owner_in_entries
def test_entry_is_its_owners_and_masked_before_it_has_a_message(rig: Rig) -> None:
    block = rig.block()
    interrupt = block.parcel()
    words = watched(rig, interrupt)
    interrupt.program(ADDRESS, DATA)

    assert words[0][0] & ~REQUESTED == OWNER | MASK
    assert words[-1][0] & ~REQUESTED == OWNER
    assert all(control & MASK for control, data in words[:-1])
    assert words[-1][1] == DATA


def watched(rig: Rig, interrupt: Interrupt) -> list[tuple[int, int]]:
    """(control, data) of an entry after each call to the device that changes it from now on, until its owner gives it back."""
    words: list[tuple[int, int]] = []
    real = rig.device._noted

    def noted(name: str, *arguments: int) -> object:
        result = real(name, *arguments)
        if interrupt.entry in rig.store.places and name != "memory_free":
            now = interrupt.control, interrupt.message[1]
            words.extend([now] if [now] != words[-1:] else [])
        return result

    rig.device._noted = noted  # type: ignore[method-assign]
    return words


def test_entry_is_masked_before_its_owner_and_message_go(rig: Rig) -> None:
    block = rig.block(1, 1)
    interrupt = block.parcel()
    interrupt.program(ADDRESS, DATA)
    words = watched(rig, interrupt)
    rig.domains.free_block(block)
    with_message = [control for control, data in words if data == DATA]

    assert with_message[0] & MASK
    assert all(control & MASK for control in with_message)
    assert words[-1][1] == 0


@of_msix
def test_side_table_has_the_owner_before_the_vector_is_open(rig: Rig) -> None:
    block = rig.block()
    interrupt = block.parcel()
    interrupt.program(ADDRESS, DATA)
    writes = [(call[1], call[2]) for call in rig.device.log if call[0] == "write"]
    entry = rig.device.msix_table + MSIX_TABLE_ENTRY * interrupt.entry
    owned = writes.index((PERMISSIONS + 8 * interrupt.entry, OWNER))
    opened = writes.index((entry + 12, 0))

    assert writes[0] == (entry + 12, MASK)
    assert owned < writes.index((entry, ADDRESS)) < opened == len(writes) - 1
    assert rig.device.read(PERMISSIONS + 8 * interrupt.entry) == OWNER


@of_msix
def test_side_table_is_cleared_while_the_vector_is_masked_and_still_has_its_message(rig: Rig) -> None:
    block, (interrupt, _) = rig.programmed()
    rig.device.log.clear()
    rig.domains.free_block(block)
    base = rig.device.msix_table + MSIX_TABLE_ENTRY * interrupt.entry
    writes = [(call[1], call[2]) for call in rig.device.log if call[0] == "write"]
    places = [writes.index(one) for one in ((base + 12, MASK), (PERMISSIONS + 8 * interrupt.entry, 0), (base, 0))]

    assert places == sorted(places)


@of_msix
def test_vector_0_is_never_given_out(rig: Rig) -> None:
    assert sorted(rig.block(1, 256).entries) == list(range(1, 257))


@of_array
def test_handle_is_released_before_the_message_goes(rig: Rig) -> None:
    block = rig.block(1, 1)
    (entry,) = block.entries
    block.parcel().program(ADDRESS, DATA)
    rig.device.log.clear()
    rig.domains.free_block(block)
    writes = [(call[1], call[2]) for call in rig.device.log if call[0] == "write"]
    base = rig.chip.ims_base + 16 * entry
    released = (0xA0, Command.RELEASE_INT_HANDLE << 20 | entry | 1 << 16)

    assert writes == [(base + 12, MASK), released, (base, 0xFEE0_0000), (base + 8, 0)]


def test_disarmed_entry_is_masked_and_nobodys(rig: Rig) -> None:
    _, (interrupt, other) = rig.programmed()
    before = other.message, other.control
    rig.device.log.clear()
    interrupt.disarm()

    assert interrupt.control & ~IGNORE == MASK
    assert owner_of(rig, interrupt) in (None, 0)
    assert (other.message, other.control) == before


def owner_of(rig: Rig, interrupt: Interrupt) -> int | None:
    """What stands beside an entry as its owner; None: an entry of this organisation has none, its handle has been released."""
    if rig.store.ORGANISATION is _TABLE:
        assert rig.device.log[-1] == ("release_entry", interrupt.entry)
        return None
    if rig.store.ORGANISATION is _MSIX:
        return rig.device.read(PERMISSIONS + 8 * interrupt.entry)
    return interrupt.control & ~MASK


def test_unmasked_entry_is_its_owners_again_after_it_was_disarmed(rig: Rig) -> None:
    _, (interrupt, _) = rig.programmed()
    before = interrupt.message, interrupt.control
    interrupt.disarm()
    interrupt.unmask()

    assert (interrupt.message, interrupt.control) == before


@with_owner_in_entries
def test_ignore_of_the_guest_stays_when_the_host_masks(rig: Rig) -> None:
    _, (interrupt, _) = rig.programmed()
    rig.store.write(interrupt.entry, 12, interrupt.control | IGNORE)
    interrupt.mask()
    interrupt.unmask()

    assert interrupt.control & IGNORE


def test_freed_entries_are_clean_and_nothing_leads_to_them(rig: Rig) -> None:
    before = rig.state()
    block, interrupts = rig.programmed(count=PART)
    rig.domains.free_block(block)

    assert rig.state() == before
    assert rig.domains.dirty_entries() == []
    assert set(rig.store.roots().values()) <= {0}
    assert interrupts[0].entry not in rig.store.places


@each_of([(_ARRAY, Scope.DEVICE), (_ARRAY, Scope.VM), (_MSIX, Scope.DEVICE)])
def test_dirty_entry_of_nobody_is_found(rig: Rig) -> None:
    rig.block(1, 2)
    for entry, (register, value) in {40: (0, 0xFEE0_1000), 50: (8, 1), 60: (12, 0)}.items():
        rig.store.write(entry, register, value)

    assert sorted(rig.domains.dirty_entries()) == [40, 50, 60]


@of_queue
def test_dirty_entry_in_a_page_in_use_is_found(rig: Rig) -> None:
    block = rig.block(1, 2)
    rig.store.write(block.entries[0] + 7, 8, 1)

    assert rig.domains.dirty_entries() == [block.entries[0] + 7]


# ---- table ----


@of_table
def test_vm_object_bounds_the_table_exactly_and_the_queue_leads_to_it(rig: Rig) -> None:
    block = rig.block(1, 3)
    base, vm_object = rig.chip.ims_base, rig.chip.ims_base + 0x10000 + 16 * 101

    assert [rig.device.read(vm_object + offset) for offset in (0, 4, 8)] == [min(block.entries), 3, 1]
    assert rig.device.read(base + 4) == 101 | 1 << 31
    assert rig.store.roots() == {"queue_roots": 1, "vm_objects": 1}


@of_table
def test_queue_leads_to_its_vm_object_last_and_is_cut_off_first(rig: Rig) -> None:
    block = rig.block(1, 3)
    made = [call[1] for call in rig.device.log if call[0] == "write"]
    rig.device.log.clear()
    rig.domains.free_block(block)
    cut = [call[1:3] for call in rig.device.log if call[0] == "write"][-2:]
    queue, vm_object = rig.chip.ims_base + 4, rig.chip.ims_base + 0x10000 + 16 * 101

    assert made == [vm_object, vm_object + 4, vm_object + 8, queue]
    assert cut == [(queue, 0), (vm_object + 8, 0)]


@of_table
def test_vm_object_that_the_device_refuses_is_a_typed_error_and_leaves_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host believes in a pool that is larger than the device's."""
    monkeypatch.setattr(TableStore, "_take_table", lambda *_: 9999)
    monkeypatch.setattr(TableStore, "_give_table_back", lambda *_: None)

    with pytest.raises(StoreRefused, match="refused a table of 2 entries from 159984"):
        rig.block()
    monkeypatch.undo()
    assert rig.store.places == {}
    assert rig.store.roots() == {"queue_roots": 0, "vm_objects": 0}


@of_table
def test_vm_object_that_is_valid_already_is_not_taken_over(rig: Rig) -> None:
    vm_object = rig.chip.ims_base + 0x10000 + 16 * 101
    for offset, value in ((0, 128), (4, 1), (8, 1)):
        rig.device.write(vm_object + offset, value)
    before = rig.state()

    with pytest.raises(StoreRefused, match="Valid already"):
        rig.block()
    assert rig.state() == before
    assert rig.domains.dirty_entries() == [128]


# ---- queue ----


@of_queue
def test_storage_grows_and_shrinks_page_by_page(rig: Rig) -> None:
    pages = []
    for count in (1, 256, 257, 512, 513):
        block = rig.block(1, count)
        pages.append(rig.store.roots()["host_memory_pages"])
        rig.domains.free_block(block)

    assert pages == [2, 2, 3, 3, 4]
    assert rig.store.roots() == {"queue_roots": 0, "host_memory_pages": 0}


@of_queue
def test_page_is_taken_away_from_the_device_before_it_is_freed(rig: Rig) -> None:
    block, _ = rig.programmed(1, 2)
    page = min(block.entries) * 16
    rig.device.log.clear()
    rig.domains.free_block(block)
    calls = rig.device.log
    freed = calls.index(("memory_free", page))
    unlinked = next(n for n, call in enumerate(calls) if call[0] == "memory_write" and call[2:] == (0, 8) and n > freed - 3)

    assert calls[unlinked + 1][:2] == ("write", rig.chip.ims_base + 16 + 12)
    assert unlinked < freed


@of_queue
def test_context_is_cut_off_before_the_directory_is_freed(rig: Rig) -> None:
    block = rig.block(1, 2)
    rig.device.log.clear()
    rig.domains.free_block(block)
    names = [call[:3] for call in rig.device.log]

    assert names.index(("write", rig.chip.ims_base + 16 + 8, 0)) < len(names) - 1
    assert names[-1][0] == "memory_free"


@of_queue
def test_device_is_told_of_each_change_of_an_entry(rig: Rig) -> None:
    _, (interrupt, _) = rig.programmed()
    sync = ("write", rig.chip.ims_base + 16 + 12, interrupt.handle, 4)
    told = []
    for change in (interrupt.mask, interrupt.unmask, interrupt.disarm, interrupt.release_handle):
        rig.device.log.clear()
        change()
        told.append(rig.device.log[-1])

    assert told == [sync] * 4


@of_queue
def test_context_that_is_valid_already_is_not_taken_over(rig: Rig) -> None:
    rig.device.write(rig.chip.ims_base + 16, rig.device.memory_page(), 8)
    rig.device.write(rig.chip.ims_base + 16 + 8, 1)
    before = rig.state()

    with pytest.raises(StoreRefused, match="leads to storage already"):
        rig.block()
    assert rig.state() == before


@of_queue
def test_directory_that_the_device_refuses_is_a_typed_error_and_leaves_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that does not take the context: as if the queue did not exist."""
    before = rig.state()
    monkeypatch.setattr(QueueStore, "_context_read", lambda *_: 0)

    with pytest.raises(StoreRefused, match="refused directory"):
        rig.block()
    monkeypatch.undo()
    assert rig.state() == before
