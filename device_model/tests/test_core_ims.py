"""IMS entries as registers of the physical device (DSA specification 9.2.28)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from device_model.tests.core_rig import IMS_MASK, RECORDS, GuestView, Machine, firing

RESET_ADDRESS = 0xFEE0_0000


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path) as machine:
        yield machine


@pytest.fixture
def guest(machine: Machine) -> GuestView:
    return machine.started()


def slot(guest: GuestView, register: int = 0) -> int:
    return 0x10000 + 16 * guest.entry.entry + register


@pytest.mark.parametrize("value", [0xFEF0_0000, 0xFED0_0000, 0x0, 0xFFFF_FFFF, 0x7EE0_0000])
def test_address_outside_fee_is_ignored_4_bytes(machine: Machine, guest: GuestView, value: int) -> None:
    before = machine.device.read(slot(guest), 8)
    machine.device.write(slot(guest), value, 4)

    assert machine.device.read(slot(guest), 8) == before


@pytest.mark.parametrize("value", [0x1_FEE0_0000, 0xFEE0_0000_FEE0_0000, 0xFEF0_0000, 1 << 63 | 0xFEE0_0000])
def test_address_outside_fee_is_ignored_8_bytes(machine: Machine, guest: GuestView, value: int) -> None:
    before = machine.device.read(slot(guest), 8)
    machine.device.write(slot(guest), value, 8)

    assert machine.device.read(slot(guest), 8) == before


def test_upper_half_of_the_address_stays_zero(machine: Machine, guest: GuestView) -> None:
    machine.device.write(slot(guest, 4), 0xFEE0_0000, 4)

    assert machine.device.read(slot(guest, 4), 4) == 0


@pytest.mark.parametrize("size", [4, 8])
def test_address_inside_fee_is_taken_without_its_lowest_two_bits(machine: Machine, guest: GuestView, size: int) -> None:
    machine.device.write(slot(guest), 0xFEEF_FFFF, size)

    assert machine.device.read(slot(guest), 8) == 0xFEEF_FFFC


def test_pending_and_reserved_bits_of_an_entry_are_not_writable(machine: Machine, guest: GuestView) -> None:
    machine.device.write(slot(guest, 12), 0xFFFF_FFFF)

    assert machine.device.read(slot(guest, 12)) == 0xFFFF_F00D


def test_narrow_and_misaligned_writes_to_an_entry_are_ignored(machine: Machine, guest: GuestView) -> None:
    before = machine.device.read(slot(guest), 8), machine.device.read(slot(guest, 8), 8)
    machine.device.write(slot(guest, 12), 0, 1)
    machine.device.write(slot(guest, 12), 0, 2)
    machine.device.write(slot(guest, 4), 0xFEE0_0000, 8)
    machine.device.write(slot(guest, 2), 0xFEE0_0000, 4)

    assert (machine.device.read(slot(guest), 8), machine.device.read(slot(guest, 8), 8)) == before


def test_writing_beyond_the_store_does_nothing(machine: Machine, guest: GuestView) -> None:
    end = 0x10000 + 16 * 256
    for offset in (end, end + 4, (1 << 40) + 12, 2**64 - 8):
        machine.device.write(offset, 0xFFFF_FFFF, 4)
        assert machine.device.read(offset, 4) == 0
    guest.run(firing(RECORDS, guest.handle))

    assert guest.vectors() == [1]


def test_entry_resets_to_masked_without_owner(machine: Machine) -> None:
    values = {(machine.device.read(0x10000 + 16 * i, 8), machine.device.read(0x10000 + 16 * i + 8, 8)) for i in range(256)}

    assert values == {(RESET_ADDRESS, IMS_MASK << 32)}
