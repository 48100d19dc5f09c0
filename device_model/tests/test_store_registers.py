"""Registers of message stores: what they take and when, and that what is refused changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from device_model.config import DeviceConfig, Feature, Organisation
from device_model.errors import DeviceError
from device_model.ledger import Refusal
from device_model.tests.chip_rig import GENCAP, OFFSETS
from device_model.tests.core_rig import NOOP, RCI, Cmd, descriptor, make_device
from device_model.tests.store_hosts import FEE, TABLE_ENTRIES, TABLE_OBJECTS, VALID, WQ_VALID
from device_model.tests.store_rig import SIZES, StoreChip

ARRAY, TABLE, QUEUE, MSIX = Organisation
POOL = 512


@pytest.fixture
def table() -> Iterator[StoreChip]:
    with StoreChip(TABLE) as chip:
        yield chip


@pytest.fixture
def queue() -> Iterator[StoreChip]:
    with StoreChip(QUEUE) as chip:
        yield chip


# ---- sizes ----


@pytest.mark.parametrize(
    "sizes",
    [
        {"organisation": TABLE, "num_ims": 0},
        {"organisation": TABLE, "num_ims": 255},
        {"organisation": TABLE, "num_ims": (1 << 21) + 256},
        {"organisation": QUEUE, "num_ims": 256},
        {"organisation": MSIX, "num_ims": 256, "num_msix": 8},
        {"organisation": MSIX, "num_ims": 0, "num_msix": 0},
        {"organisation": MSIX, "num_ims": 0, "num_msix": 2049},
        {"organisation": ARRAY, "num_ims": 64 * 256},
        {"organisation": 4, "num_ims": 256},
        {"organisation": 0xFFFF_FFFF, "num_ims": 256},
        {"organisation": TABLE, "num_ims": 256, "features": Feature.NO_HANDLES},
        {"organisation": QUEUE, "num_ims": 0, "features": Feature.NO_CMDCAP},
    ],
)
def test_store_that_cannot_be_is_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(DeviceError, match="size out of range"):
        make_device(DeviceConfig(**sizes), ledger_capacity=64)


@pytest.mark.parametrize("organisation", Organisation)
@pytest.mark.parametrize("sizes", [{}, {"num_wqs": 255, "total_wq_size": 0xFFFF}, {"num_wqs": 1, "total_wq_size": 1}])
def test_store_lies_where_the_device_says_and_collides_with_nothing(
    organisation: Organisation, sizes: dict[str, int]
) -> None:
    config = DeviceConfig(organisation=organisation, **(SIZES[organisation] | sizes))
    with closing(make_device(config, ledger_capacity=64)) as device:
        offsets, array = device.read(OFFSETS, 8), device.read(GENCAP, 8) >> 25 & 0x3F
        store, end = (offsets >> 48) * 0x100, device.msix_table
        places = [(offsets >> shift & 0xFFFF) * 0x100 for shift in (0, 16, 32)]

    assert (store > 0, array > 0) == (organisation != MSIX, organisation == ARRAY)
    assert store == 0 or max(places) < store < end


def test_largest_pool_has_its_last_entry() -> None:
    with StoreChip(TABLE, num_ims=1 << 21) as chip:
        chip.host.attach(chip.owners[1], (1 << 21) - 2048, 2048)
        handle = chip.host.arm(chip.owners[1], 2047)

        assert chip.use(chip.owners[1], handle).decisions[-1][2] == (1 << 21) - 1


# ---- handle commands of the host ----


@pytest.mark.parametrize("organisation", [TABLE, QUEUE, MSIX])
@pytest.mark.parametrize("code", [Cmd.REQUEST_HANDLE, Cmd.RELEASE_HANDLE])
@pytest.mark.parametrize("index", [0, 1, 255, 0xFFFF])
def test_host_commands_name_entries_of_an_array_and_vectors_only(organisation: Organisation, code: Cmd, index: int) -> None:
    with StoreChip(organisation) as chip:
        assert chip.command(code, 1 << 16 | index) == 0x41


@pytest.mark.parametrize(
    ("organisation", "outside"),
    [(ARRAY, 256), (TABLE, POOL), (QUEUE, 0), (QUEUE, 255), (QUEUE, 0xFFFF_FFFF), (MSIX, 0), (MSIX, 130)],
)
def test_entry_that_there_is_not_cannot_be_released(organisation: Organisation, outside: int) -> None:
    with StoreChip(organisation) as chip, pytest.raises(DeviceError, match=f"no entry {outside}"):
        chip.device.release_entry(outside)


def test_device_without_a_store_has_no_entry() -> None:
    with (
        closing(make_device(DeviceConfig(num_ims=0), ledger_capacity=64)) as device,
        pytest.raises(DeviceError, match="no entry 0"),
    ):
        device.release_entry(0)


# ---- table ----


def vm(number: int, register: int = 0) -> int:
    return TABLE_OBJECTS + 16 * number + register


@pytest.mark.parametrize(
    ("first", "count", "valid"),
    [
        (0, 1, True), (0, POOL, True), (POOL - 1, 1, True), (1, POOL - 1, True), (0, 0, False), (0, POOL + 1, False),
        (POOL, 1, False), (POOL - 1, 2, False), (1, POOL, False), (0xFFFF_FFFF, 1, False), (1, 0xFFFF_FFFF, False),
        (0xFFFF_FFFF, 0xFFFF_FFFF, False), (0x8000_0000, 0x8000_0000, False),
    ],
)  # fmt: skip
def test_table_must_lie_within_the_pool(table: StoreChip, first: int, count: int, valid: bool) -> None:
    table.host.table(9, first, count)

    assert table.read(table.ims + vm(9, 8)) == valid


@pytest.mark.parametrize(("count", "valid"), [(2048, True), (2049, False), (4096, False)])
def test_table_has_2048_entries_at_most(count: int, valid: bool) -> None:
    with StoreChip(TABLE, num_ims=8192) as chip:
        chip.host.table(9, 0, count)

        assert chip.read(chip.ims + vm(9, 8)) == valid


def test_place_of_a_table_is_locked_while_it_is_valid(table: StoreChip) -> None:
    table.host.table(9, 16, 8)
    for at, value, size in ((0, 0, 4), (4, POOL, 4), (0, 0x100_0000_0000, 8)):
        table.write(table.ims + vm(9, at), value, size)
    locked = table.read(table.ims + vm(9), 8)
    table.write(table.ims + vm(9, 8), 0)
    table.write(table.ims + vm(9), 0x200, 4)

    assert (locked, table.read(table.ims + vm(9), 8)) == (16 | 8 << 32, 0x200 | 8 << 32)


def test_becoming_valid_again_empties_nothing(table: StoreChip) -> None:
    table.host.attach(table.owners[1], 16, 8)
    table.host.arm(table.owners[1], 3, data=77)
    table.write(table.ims + vm(table.owners[1].vm, 8), VALID)

    assert table.host.words(19)[1] == 77


@pytest.mark.parametrize("number", [0, 1, 2047, 4095])
def test_there_are_4096_vm_objects_and_each_is_its_own(table: StoreChip, number: int) -> None:
    table.host.table(number, number % POOL, 1)
    others = [(number + step) % 4096 for step in (1, 64, 4095)]

    assert table.read(table.ims + vm(number), 8) == number % POOL | 1 << 32
    assert [table.read(table.ims + vm(other), 8) | table.read(table.ims + vm(other, 8), 8) for other in others] == [0] * 3


def test_registers_have_no_more_bits_than_they_have(table: StoreChip) -> None:
    table.write(table.ims + 4, 0xFFFF_FFFF)
    table.write(table.ims + vm(9, 8), 0xFFFF_FFFF_FFFF_FFFF, 8)
    table.write(table.ims + vm(10, 4), 1)
    table.write(table.ims + vm(10, 8), 0xFFFF_FFFF_FFFF_FFFF, 8)

    assert table.read(table.ims + 4) == WQ_VALID | 0xFFF
    assert table.read(table.ims + vm(9, 8), 8) == 0  # a table without entries is none
    assert table.read(table.ims + vm(10, 8), 8) == VALID


def test_queues_that_there_are_not_have_no_vm_id(table: StoreChip) -> None:
    table.write(table.ims + 8, WQ_VALID << 32 | 5 << 32 | WQ_VALID | 4, 8)
    for offset in (16, 20, 0x400, TABLE_OBJECTS - 4):
        table.write(table.ims + offset, WQ_VALID | 7)

    assert table.read(table.ims + 8, 8) == WQ_VALID << 32 | 5 << 32 | WQ_VALID | 4
    assert [table.read(table.ims + offset) for offset in (16, 20, 0x400, TABLE_OBJECTS - 4)] == [0] * 4


RESETS: dict[str, Callable[[StoreChip], None]] = {
    "flr": lambda chip: chip.device.flr(),
    "reset_device": lambda chip: chip.succeed(Cmd.RESET_DEVICE),
}


@pytest.mark.parametrize("reset", RESETS)
def test_reset_clears_what_leads_to_tables(table: StoreChip, reset: str) -> None:
    table.host.attach(table.owners[1], 16, 8)
    RESETS[reset](table)

    assert [table.read(table.ims + at, 8) for at in (0, vm(8), vm(8, 8))] == [0, 0, 0]


@pytest.mark.parametrize("reset", RESETS)
def test_reset_clears_what_leads_to_memory(queue: StoreChip, reset: str) -> None:
    queue.host.attach(queue.owners[1], 0, 8)
    RESETS[reset](queue)

    assert [queue.read(queue.ims + 16 + at, 8) for at in (0, 8)] == [0, 0]


def test_odd_number_of_queues_ends_in_the_midst_of_8_bytes() -> None:
    with StoreChip(TABLE, num_wqs=3, total_wq_size=48) as chip:
        chip.write(chip.ims + 8, 0xFFFF_FFFF_FFFF_FFFF, 8)

        assert chip.read(chip.ims + 8, 8) == WQ_VALID | 0xFFF


@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("address", [0, 0xFED0_0000, 0xFEF0_0000, 0x7EE0_0000])
def test_address_outside_fee_is_ignored(table: StoreChip, address: int, size: int) -> None:
    table.host.attach(table.owners[1], 16, 8)
    at = table.ims + TABLE_ENTRIES + 16 * 16
    table.write(at, FEE | 0x1000, 8)
    table.write(at, address, size)
    table.write(at + 4, 1)

    assert table.read(at, 8) == FEE | 0x1000


def test_entries_of_no_table_read_0_and_take_nothing(table: StoreChip) -> None:
    table.host.table(9, 16, 8)
    for entry in (15, 24, POOL - 1):
        table.write(table.ims + TABLE_ENTRIES + 16 * entry + 8, 0xFFFF_FFFF_FFFF_FFFF, 8)

    assert [table.host.words(entry) for entry in (15, 24, POOL - 1)] == [(0, 0, 0)] * 3
    assert [table.host.words(entry) for entry in (16, 23)] == [(FEE, 0, 1)] * 2


# ---- queue ----


def test_directory_is_a_page_and_locked_while_valid(queue: StoreChip) -> None:
    at = queue.ims + 16
    queue.write(at, 0x1234_5678_9ABC_DEF0, 8)
    written = queue.read(at, 8)
    queue.write(at + 4, 0x77)
    half = queue.read(at, 8)
    queue.write(at + 8, 1)
    queue.write(at, 0, 8)
    queue.write(at + 4, 0)

    assert (written, half, queue.read(at, 8)) == (0x1234_5678_9ABC_D000, 0x77_9ABC_D000, 0x77_9ABC_D000)


def test_context_shows_valid_and_nothing_else(queue: StoreChip) -> None:
    queue.write(queue.ims + 16 + 8, 0xFFFF_FFFF_FFFF_FFFF, 8)
    valid = queue.read(queue.ims + 16 + 8, 8)
    queue.write(queue.ims + 16 + 8, 0xFFFF_FFFE)

    assert (valid, queue.read(queue.ims + 16 + 8, 8)) == (VALID, 0)


def test_contexts_of_queues_that_there_are_not_take_nothing(queue: StoreChip) -> None:
    for offset in (64, 72, 0x1000 - 8):
        queue.write(queue.ims + offset, 0xFFFF_FFFF_FFFF_FFFF, 8)

    assert [queue.read(queue.ims + offset, 8) for offset in (64, 72, 0x1000 - 8)] == [0] * 3
    assert [queue.read(queue.ims + 16 * wq, 8) for wq in range(4)] == [0] * 4


# ---- all ----


@pytest.mark.parametrize("organisation", [ARRAY, TABLE, QUEUE])
@pytest.mark.parametrize(("offset", "size"), [(12, 1), (12, 2), (8, 2), (2, 4), (4, 8), (12, 8), (1, 1), (0, 1), (0, 2)])
def test_narrow_and_misaligned_writes_are_ignored(organisation: Organisation, offset: int, size: int) -> None:
    with StoreChip(organisation) as chip:
        before = [chip.read(chip.ims + at, 8) for at in (0, 8)]
        chip.write(chip.ims + offset, 0xFFFF_FFFF_FFFF_FFFF >> 64 - 8 * size, size)

        assert [chip.read(chip.ims + at, 8) for at in (0, 8)] == before


def test_handle_of_the_portal_that_the_store_does_not_take_is_out_of_range() -> None:
    """A device whose store is its MSI-X table has nothing behind the other portal."""
    with StoreChip(MSIX) as chip:
        chip.device.submit(1, descriptor(NOOP, flags=RCI, handle=1))
        chip.step_all()

        assert [reason for _, reason, _ in chip.outcome().decisions] == [Refusal.OUT_OF_RANGE]


def test_vector_of_the_device_is_no_guests_handle() -> None:
    with StoreChip(MSIX) as chip:
        chip.host.attach(chip.owners[1], 0, 4)

        assert chip.refusal(chip.owners[1], 0) == Refusal.NOT_REQUESTED
        assert chip.host.entry(chip.owners[1], 0) == 1


# ---- host memory ----


def test_host_memory_is_read_and_written_where_a_page_is(queue: StoreChip) -> None:
    page = queue.device.memory_page()
    queue.device.memory_write(page + 8, 0x1122_3344_5566_7788, 8)
    queue.device.memory_write(page + 12, 0x99AA_BBCC)
    before = queue.device.memory_update(page + 8, 0xFF, 0x11)

    assert (before, queue.device.memory_read(page + 8, 8)) == (0x5566_7788, 0x99AA_BBCC_5566_7711)
    assert queue.device.memory_pages == 1


@pytest.mark.parametrize(("offset", "size"), [(0x1000, 4), (2, 4), (4, 8), (0, 16), (0, 1), (0, 0), (-4, 4)])
def test_host_memory_that_there_is_not_is_an_error(queue: StoreChip, offset: int, size: int) -> None:
    page = queue.device.memory_page()
    for access in (
        lambda: queue.device.memory_read(page + offset, size),
        lambda: queue.device.memory_write(page + offset, 0, size),
        lambda: queue.device.memory_update(page + offset + (size != 4), 0, 0),
        lambda: queue.device.memory_free(page + 16),
    ):
        with pytest.raises(DeviceError):
            access()
