"""PCI config space and BAR0 of a virtual device: what a guest's firmware and driver check before they use it."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_model.tests.core_rig import CONFIG, GENSTS, MSIX_TABLE, GuestView, Machine, firing
from device_model.vfio_user_client import VfioUserError

BAR0_SIZE, BAR2_SIZE = 0x10000, 0x4000


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path) as machine:
        yield machine


@pytest.fixture
def guest(machine: Machine) -> GuestView:
    return machine.plug()


def config(guest: GuestView) -> bytes:
    return guest.client.region_read(CONFIG, 0, 4096)


def capabilities(space: bytes) -> list[tuple[int, int]]:
    """(offset, ID) along the list; ends at a loop."""
    found: list[tuple[int, int]] = []
    at = space[0x34]
    while at and at not in [offset for offset, _ in found]:
        found.append((at, space[at]))
        at = space[at + 1]
    return found


def test_header_is_that_of_dsa(guest: GuestView) -> None:
    space = config(guest)
    vendor, device = struct.unpack_from("<HH", space, 0)

    assert (vendor, device) == (0x8086, 0x0B25)
    assert space[0x09:0x0C] == bytes([0x00, 0x80, 0x08])
    assert space[0x0E] == 0  # header type
    assert space[0x3D] == 0  # no INTx
    assert space[0x06] & 0x10  # capability list
    assert len(space) == 4096


def test_capability_list_is_sound(guest: GuestView) -> None:
    found = capabilities(config(guest))

    assert [identifier for _, identifier in found] == [0x10, 0x11]
    assert all(offset % 4 == 0 and 0x40 <= offset < 0x100 for offset, _ in found)
    assert config(guest)[found[-1][0] + 1] == 0
    assert config(guest)[0x100:0x104] == bytes(4)  # no extended capabilities


def test_capabilities_do_not_overlap(guest: GuestView) -> None:
    sizes = {0x10: 0x3C, 0x11: 0x0C}
    spans = [(offset, offset + sizes[identifier]) for offset, identifier in sorted(capabilities(config(guest)))]

    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))


def test_it_is_a_root_complex_integrated_endpoint_with_flr(guest: GuestView) -> None:
    flags, device_capabilities = struct.unpack_from("<HI", config(guest), 0x42)

    assert (flags & 0xF, flags >> 4 & 0xF) == (2, 9)
    assert device_capabilities >> 28 & 1


@pytest.mark.parametrize(("bar", "size"), [(0, BAR0_SIZE), (2, BAR2_SIZE)])
def test_bar_tells_its_size_and_keeps_its_type(guest: GuestView, bar: int, size: int) -> None:
    offset = 0x10 + 4 * bar
    guest.write(offset, 2**64 - 1, 8, CONFIG)
    probed = guest.read(offset, 8, CONFIG)
    guest.write(offset, 0x12_3456_0000, 8, CONFIG)

    assert probed & 0xF == 0xC  # 64 bits, prefetchable, memory
    assert -(probed & ~0xF) % 2**64 == size
    assert guest.client.region_info(bar).size == size
    assert guest.read(offset, 8, CONFIG) == 0x12_3456_0000 | 0xC


@pytest.mark.parametrize("offset", [0x20, 0x24, 0x30])
def test_bars_that_are_not_there_read_zero(guest: GuestView, offset: int) -> None:
    guest.write(offset, 0xFFFF_FFFF, 4, CONFIG)

    assert guest.read(offset, 4, CONFIG) == 0


@pytest.mark.parametrize("vectors", [1, 2, 63, 64, 255])
def test_msix_table_and_pba_lie_in_bar0_apart(machine: Machine, vectors: int) -> None:
    space = config(machine.plug(vectors))
    control, table, pba = struct.unpack_from("<HII", space, 0x82)
    count = (control & 0x7FF) + 1
    table_span = range(table & ~7, (table & ~7) + 16 * count)
    pba_span = range(pba & ~7, (pba & ~7) + (count + 63) // 64 * 8)

    assert count == vectors + 1
    assert (table & 7, pba & 7) == (0, 0)
    assert max(table_span.stop, pba_span.stop) <= BAR0_SIZE
    assert table_span.stop <= pba_span.start or pba_span.stop <= table_span.start


def test_register_tables_do_not_overlap(machine: Machine) -> None:
    guest = machine.plug(255)
    low = guest.read(0x60, 8)
    spans = sorted(
        [
            (0, 0x100),
            ((low & 0xFFFF) * 0x100, (low & 0xFFFF) * 0x100 + 64),
            ((low >> 16 & 0xFFFF) * 0x100, (low >> 16 & 0xFFFF) * 0x100 + 32),
            ((low >> 32 & 0xFFFF) * 0x100, (low >> 32 & 0xFFFF) * 0x100 + 8 * 256),
            (0x2000, 0x2000 + 16 * 256),
            (0x3000, 0x3000 + 32),
            (0xF000, 0x10000),
        ]
    )

    assert low >> 48 == 0  # no IMS of its own
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))


def test_only_what_pci_lets_software_write_is_writable(guest: GuestView) -> None:
    before = config(guest)
    for offset in range(0, 4096, 8):  # but for the bit that would reset it again
        value = bytes([0xFF] * 8) if offset != 0x48 else bytes([0xFF, 0x7F, *[0xFF] * 6])
        guest.client.region_write(CONFIG, offset, value)
    after = config(guest)
    writable = {i: a ^ b for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b}

    assert writable == {
        0x04: 0x06, 0x05: 0x04,
        0x12: 0xFF, 0x13: 0xFF, 0x14: 0xFF, 0x15: 0xFF, 0x16: 0xFF, 0x17: 0xFF,
        0x19: 0xC0, 0x1A: 0xFF, 0x1B: 0xFF, 0x1C: 0xFF, 0x1D: 0xFF, 0x1E: 0xFF, 0x1F: 0xFF,
        0x3C: 0xFF,
        0x48: 0xFF, 0x49: 0x7F,
        0x83: 0xC0,
    }  # fmt: skip


def test_flr_brings_the_config_space_back_and_reads_as_zero(guest: GuestView) -> None:
    fresh = config(guest)
    guest.start()
    guest.write(0x10, 0xFE00_0000, 4, CONFIG)
    guest.write(0x48, 1 << 15, 2, CONFIG)

    assert config(guest) == fresh
    assert guest.read(GENSTS) == 0


@pytest.mark.parametrize(("offset", "size"), [(0x02, 2), (0x00, 1), (0x0FF, 1), (0x7F, 4), (0xFFC, 4), (0xFFF, 1)])
def test_config_reads_of_any_size_are_slices_of_the_whole(guest: GuestView, offset: int, size: int) -> None:
    assert guest.client.region_read(CONFIG, offset, size) == config(guest)[offset : offset + size]


@pytest.mark.parametrize(("offset", "size"), [(4096, 1), (4095, 2), (2**64 - 4, 8), (0, 4097)])
def test_config_access_outside_is_refused(guest: GuestView, offset: int, size: int) -> None:
    with pytest.raises(VfioUserError):
        guest.client.region_read(CONFIG, offset, size)


@pytest.mark.parametrize(
    ("register", "value"),
    [
        (0x00, 0x100),
        (0x10, 0x1_00B5_2016),
        (0x38, 1),
        (0x40, 0x1_003F_03FF),
        (0xB0, 0x67FE),
    ],
)
def test_capability_registers_are_read_only(guest: GuestView, register: int, value: int) -> None:
    for size in (4, 8):
        guest.write(register, 2 ** (8 * size) - 1, size)

    assert guest.read(register, 8) == value


def test_device_fits_what_drivers_insist_on(guest: GuestView) -> None:
    gencap, wqcap = guest.read(0x10, 8), guest.read(0x20, 8)

    assert gencap >> 31 & 1 == 0  # configuration is not the guest's
    assert gencap >> 25 & 0x3F == 0  # no IMS
    assert (gencap >> 16 & 0x1F, gencap >> 21 & 0xF) == (21, 5)
    assert wqcap >> 16 & 0xFF == 1
    assert wqcap >> 48 & 3 == 2  # dedicated only
    assert guest.read(0x608) & 1  # WQCFG mode
    assert guest.read(0x608) >> 28 & 1 == 0  # no PASID
    assert (guest.read(0x400, 8), guest.read(0x420, 8)) == (1, 1)


@pytest.mark.parametrize("offset", [0x48, 0x200, 0x500, 0x1000, 0x4000, 0xEFF8, MSIX_TABLE + 16 * 3, 0x3008])
def test_holes_of_bar0_read_zero_and_take_nothing(guest: GuestView, offset: int) -> None:
    before = guest.registers()
    guest.write(offset, 2**64 - 1, 8)

    assert guest.read(offset, 8) == 0
    assert guest.registers() == before


def test_dummy_portal_reads_ones_and_takes_nothing(guest: GuestView) -> None:
    guest.start()
    for offset in range(0, 64, 8):
        guest.write(0xF000 + offset, 0, 8)

    assert guest.read(0xF000, 8) == 2**64 - 1
    assert guest.machine.step_all() == 0


@pytest.mark.parametrize(("offset", "size"), [(0x2, 4), (0x4, 8), (0x0, 3), (0x0, 16), (0xFFFC, 8), (0x10000, 4), (2**64 - 4, 4)])
def test_bar0_access_that_is_misaligned_odd_or_outside_is_refused(guest: GuestView, offset: int, size: int) -> None:
    before = guest.registers()
    with pytest.raises(VfioUserError):
        guest.client.region_read(0, offset, size)
    with pytest.raises(VfioUserError):
        guest.client.region_write(0, offset, bytes([0xFF] * size))

    assert guest.registers() == before


def test_registers_read_the_same_in_any_piece(guest: GuestView) -> None:
    whole = guest.client.region_read(0, 0x10, 8)

    assert b"".join(guest.client.region_read(0, 0x10 + i, 1) for i in range(8)) == whole
    assert b"".join(guest.client.region_read(0, 0x10 + i, 2) for i in range(0, 8, 2)) == whole
    assert b"".join(guest.client.region_read(0, 0x10 + i, 4) for i in range(0, 8, 4)) == whole


def test_pba_has_a_bit_for_each_of_256_vectors(machine: Machine) -> None:
    guest = machine.started(vectors=255)
    guest.msix_control(function_mask=True)
    for first in range(0, 255, 15):
        guest.run(*(firing(0x18_0000, handle) for handle in guest.mdev.handles[first : first + 15]))
    pending = b"".join(guest.client.region_read(0, 0x3000 + 8 * i, 8) for i in range(4))
    guest.msix_control()

    assert int.from_bytes(pending, "little") == 2**256 - 2
    assert sorted(guest.vectors()) == list(range(1, 256))
