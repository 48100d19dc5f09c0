"""What leads from a work queue to its entries: VM objects and tables, directories and pages, and what if it leads elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from device_model.config import Organisation
from device_model.ledger import Kind, Refusal
from device_model.tests.store_hosts import FEE, MASK, PASID_ENABLE, PENDING, REQUESTED
from device_model.tests.store_rig import StoreChip, sent


@pytest.fixture
def table() -> Iterator[StoreChip]:
    with StoreChip(Organisation.TABLE) as chip:
        chip.host.attach(chip.owners[0], 8, 4)
        chip.host.attach(chip.owners[1], 12, 4)
        yield chip


@pytest.fixture
def queue() -> Iterator[StoreChip]:
    with StoreChip(Organisation.QUEUE) as chip:
        chip.host.attach(chip.owners[0], 0, 4)
        chip.host.attach(chip.owners[1], 0, 4)
        yield chip


# ---- table ----


def test_same_handle_of_two_machines_is_two_entries(table: StoreChip) -> None:
    a, b = table.owners[:2]
    table.host.arm(a, 3)
    table.host.arm(b, 3)

    assert table.use(a, 3) == sent(table.host, a, 3)
    assert table.use(b, 3) == sent(table.host, b, 3)


def test_table_ends_where_its_neighbours_begins(table: StoreChip) -> None:
    a, b = table.owners[:2]
    table.host.arm(b, 0)

    assert table.refusal(a, 4) == Refusal.OUT_OF_RANGE
    assert table.refusal(a, 3) == Refusal.NOT_REQUESTED


def test_two_queues_of_a_machine_have_one_table(table: StoreChip) -> None:
    a, helper = table.owners[0], table.owners[3]
    table.host.arm(a, 2)
    table.host.lead(helper.wq, a.vm)

    assert table.use(helper, 2).decisions == sent(table.host, a, 2).decisions


def test_queue_without_machine_and_machine_without_table_lead_nowhere(table: StoreChip) -> None:
    a = table.owners[0]
    table.host.arm(a, 1)
    table.host.lead(a.wq, 0x123)
    without_table = table.refusal(a, 1)
    table.write(table.ims + 4 * a.wq, a.vm)
    without_valid = table.refusal(a, 1)
    table.host.lead(a.wq, a.vm)

    assert (without_table, without_valid) == (Refusal.NO_STORAGE, Refusal.NO_STORAGE)
    assert table.use(a, 1) == sent(table.host, a, 1)


def test_table_that_is_not_valid_any_more_leads_nowhere(table: StoreChip) -> None:
    a = table.owners[0]
    table.host.arm(a, 1)
    table.host.table(a.vm, 8, 4, valid=False)

    assert table.refusal(a, 1) == Refusal.NO_STORAGE
    assert table.host.words(9) == (0, 0, 0)


def test_vm_id_0_is_one_like_any_other(table: StoreChip) -> None:
    c = table.owners[2]
    table.host.lead(c.wq, 0)
    before = table.refusal(c, 0)
    c.vm = 0
    table.host.attach(c, 100, 1)
    table.host.arm(c, 0)

    assert before == Refusal.NO_STORAGE
    assert table.use(c, 0) == sent(table.host, c, 0)


def test_table_that_is_moved_begins_empty(table: StoreChip) -> None:
    a = table.owners[0]
    table.host.arm(a, 1, data=5)
    table.host.table(a.vm, 100, 4)
    moved = table.refusal(a, 1)
    table.host.table(a.vm, 8, 4)

    assert (moved, table.refusal(a, 1)) == (Refusal.NOT_REQUESTED, Refusal.NOT_REQUESTED)
    assert table.host.words(9) == (FEE, 0, MASK)


def test_tables_that_overlap_are_emptied_when_the_second_becomes_valid(table: StoreChip) -> None:
    """A mistake of the host. The entry is then both's, as the pointers say, and holds nothing of before."""
    a, c = table.owners[0], table.owners[2]
    table.host.arm(a, 3, data=5)
    table.host.attach(c, 11, 4)
    emptied = table.refusal(a, 3)
    table.host.arm(c, 0, data=6)

    assert emptied == Refusal.NOT_REQUESTED
    assert table.use(a, 3) == sent(table.host, c, 0)


def test_neighbours_of_a_table_that_comes_and_goes_stay(table: StoreChip) -> None:
    a, b = table.owners[:2]
    table.host.arm(b, 0)
    table.host.detach(a)
    table.host.attach(a, 8, 4)

    assert table.use(b, 0) == sent(table.host, b, 0)


# ---- queue ----


def test_same_handle_of_two_queues_is_two_entries(queue: StoreChip) -> None:
    a, b = queue.owners[:2]
    queue.host.arm(a, 3)
    queue.host.arm(b, 3)

    assert queue.host.entry(a, 3) != queue.host.entry(b, 3)
    assert queue.use(a, 3) == sent(queue.host, a, 3)
    assert queue.use(b, 3) == sent(queue.host, b, 3)


@pytest.mark.parametrize("handle", [255, 256, 0x7FFF, 0xFF00, 0xFFFF])
def test_queue_grows_to_65536_handles(queue: StoreChip, handle: int) -> None:
    a = queue.owners[0]
    queue.host.grow(a, handle // 256)
    queue.host.arm(a, handle)

    assert queue.use(a, handle) == sent(queue.host, a, handle)


def test_page_that_is_not_linked_and_one_that_was_taken_out_lead_nowhere(queue: StoreChip) -> None:
    a = queue.owners[0]
    never = queue.refusal(a, 0x100)
    queue.host.arm(a, 3)
    queue.host.link(a, 0, 0)
    taken = queue.refusal(a, 3)
    queue.host.link(a, 0, a.pages[0] if a.pages else 0)

    assert (never, taken) == (Refusal.NO_STORAGE, Refusal.NO_STORAGE)
    assert queue.use(a, 3) == sent(queue.host, a, 3)


def test_pointer_that_is_not_valid_is_not_followed(queue: StoreChip) -> None:
    a = queue.owners[0]
    queue.host.arm(a, 3)
    assert a.pages is not None
    queue.device.memory_write(a.directory, a.pages[0] | 0xFFE, 8)
    invalid = queue.refusal(a, 3)
    queue.device.memory_write(a.directory, a.pages[0] | 0xFFF, 8)

    assert invalid == Refusal.NO_STORAGE
    assert queue.use(a, 3) == sent(queue.host, a, 3)


@pytest.mark.parametrize("pointer", [0, 0x7000_0001, 0xFFF_FFFF_F001, 0xFFFF_FFFF_FFFF_FFFF, 0x1])
def test_pointer_or_directory_without_memory_leads_nowhere(queue: StoreChip, pointer: int) -> None:
    a = queue.owners[0]
    queue.device.memory_write(a.directory, pointer, 8)
    by_pointer = queue.refusal(a, 0), queue.refusal(a, 255)
    queue.host.context(a.wq, pointer & ~0xFFF)

    assert by_pointer == (Refusal.NO_STORAGE, Refusal.NO_STORAGE)
    assert queue.refusal(a, 0xFFFF) == Refusal.NO_STORAGE


def test_memory_of_zeros_is_nobodys_entry(queue: StoreChip) -> None:
    a = queue.owners[0]
    with_pasid = queue.refusal(a, 3)
    queue.rewrite_queue(a.wq, 0)

    assert (with_pasid, queue.refusal(a, 3)) == (Refusal.NOT_REQUESTED, Refusal.NOT_REQUESTED)


def test_page_that_the_host_freed_without_telling_leads_nowhere(queue: StoreChip) -> None:
    a = queue.owners[0]
    queue.host.arm(a, 3)
    assert a.pages is not None
    queue.device.memory_free(a.pages[0])

    assert queue.refusal(a, 3) == Refusal.NO_STORAGE


def test_page_that_has_another_owner_by_now_is_refused_by_its_pasid(queue: StoreChip) -> None:
    a, heir = queue.owners[0], queue.owners[2]
    queue.host.arm(a, 3)
    assert a.pages is not None
    queue.device.memory_free(a.pages[0])
    spare = queue.device.memory_page()  # as the host gives it out again
    heir.directory, heir.pages = queue.device.memory_page(), {0: spare}
    queue.host.context(heir.wq, heir.directory)
    queue.host.link(heir, 0, spare)
    queue.host.arm(heir, 3, data=7)
    queue.host.mask(heir, 3, True)
    before = queue.host.words(spare // 16 + 3)

    assert spare == a.pages[0]
    assert queue.refusal(a, 3) == Refusal.PASID
    assert queue.host.words(spare // 16 + 3) == before
    queue.host.mask(heir, 3, False)
    assert queue.outcome() == ([], [])
    assert queue.use(heir, 3) == sent(queue.host, heir, 3)


@pytest.mark.parametrize("address", [0, 0x1000, 0xFED0_0000, 0xFEF0_0000, 0x1_FEE0_0000, 1 << 63 | FEE])
def test_message_to_what_is_no_local_apic_does_not_leave(queue: StoreChip, address: int) -> None:
    a = queue.owners[0]
    queue.host.program(a, 3, address=address)
    queue.host.request(a, 3)
    entry = queue.host.entry(a, 3)
    at_once = queue.use(a, 3)
    queue.host.mask(a, 3, True)
    queue.use(a, 3)
    queue.host.mask(a, 3, False)

    assert at_once == ([(Kind.GRANTED, 0, entry), (Kind.VANISHED, 0, entry)], [])
    assert queue.outcome() == ([(Kind.VANISHED, 0, entry)], [])
    assert not queue.host.pending(a, 3)


def test_pending_in_memory_is_sent_when_the_device_is_told_and_once(queue: StoreChip) -> None:
    a = queue.owners[0]
    queue.host.arm(a, 3)
    queue.device.memory_update(16 * queue.host.entry(a, 3) + 12, 0, PENDING)
    untold = queue.outcome()
    for _ in range(2):
        queue.host.sync(a.wq, 3)

    assert untold == ([], [])
    assert queue.outcome() == ([(Kind.FIRED, 0, queue.host.entry(a, 3))], [a.address(3)])


def test_pending_of_a_released_entry_is_dropped_when_the_device_is_told(queue: StoreChip) -> None:
    a = queue.owners[0]
    queue.host.arm(a, 3)
    at = 16 * queue.host.entry(a, 3) + 12
    queue.device.memory_update(at, REQUESTED, PENDING)
    queue.host.sync(a.wq, 3)

    assert queue.outcome() == ([], [])
    assert queue.device.memory_read(at) == a.pasid << 12 | PASID_ENABLE


def test_two_handles_that_lead_to_one_page_are_one_entry(queue: StoreChip) -> None:
    a = queue.owners[0]
    queue.host.arm(a, 3)
    assert a.pages is not None
    queue.host.link(a, 5, a.pages[0])

    assert queue.use(a, 0x503) == sent(queue.host, a, 3)


def test_context_that_is_cleared_leads_nowhere_until_it_is_set_again(queue: StoreChip) -> None:
    a = queue.owners[0]
    queue.host.arm(a, 3)
    queue.host.context(a.wq, a.directory, valid=False)
    cleared = queue.refusal(a, 3)
    queue.host.context(a.wq, a.directory)

    assert cleared == Refusal.NO_STORAGE
    assert queue.use(a, 3) == sent(queue.host, a, 3)
