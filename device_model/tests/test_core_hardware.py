"""The physical device's own commands and configuration rules (DSA specification 9.2.12, 9.2.13, table 9-7)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from device_model.config import DeviceConfig
from device_model.tests.core_rig import (
    ACTIVE,
    CMD,
    CMDSTATUS,
    GENSTS,
    RECORDS,
    Cmd,
    GuestView,
    Machine,
    firing,
    make_device,
)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path) as machine:
        yield machine


@pytest.fixture
def guest(machine: Machine) -> GuestView:
    return machine.started()


def queue_three(guest: GuestView) -> None:
    """Three descriptors that interrupt."""
    guest.submit(*(firing(RECORDS + 32 * i, guest.handle) for i in range(3)))


def hardware(**sizes: int) -> DeviceConfig:
    return DeviceConfig(**{"num_wqs": 4, "total_wq_size": 64, "num_ims": 256} | sizes)


WQ, GROUP = 0x800, 0x600


def test_hardware_checks_its_configuration_before_it_is_enabled() -> None:
    with make_device(hardware()) as device:

        def enable() -> int:
            device.write(CMD, Cmd.ENABLE_DEVICE << 20)
            return device.read(CMDSTATUS)

        device.write(WQ, 65)
        too_big = enable()
        device.write(WQ, 64)
        no_group = enable()
        device.write(GROUP, 1, 8)
        no_engine = enable()
        device.write(GROUP + 32, 1, 8)
        good = enable()

        assert (no_group, too_big, no_engine, good, enable()) == (0x16, 0x14, 0x15, 0, 0x10)


@pytest.mark.parametrize(
    ("mode", "limits", "error"),
    [
        (1, 21 | 5 << 5, 0x23),
        (1 << 4, 21 | 5 << 5, 0x24),
        (1 | 1 << 4, 21, 0x27),
        (1 | 1 << 4, 21 | 6 << 5, 0x27),
        (1 | 1 << 4, 22 | 5 << 5, 0x28),
        (1 | 1 << 4, 21 | 5 << 5, 0),
    ],
)
def test_hardware_checks_a_queue_before_it_is_enabled(mode: int, limits: int, error: int) -> None:
    with make_device(hardware()) as device:
        device.write(WQ, 16)
        device.write(GROUP, 1, 8)
        device.write(GROUP + 32, 1, 8)
        device.write(CMD, Cmd.ENABLE_DEVICE << 20)
        device.write(WQ + 8, mode)
        device.write(WQ + 12, limits)
        device.write(CMD, Cmd.ENABLE_WQ << 20)

        assert device.read(CMDSTATUS) == error
        device.write(CMD, Cmd.ENABLE_WQ << 20 | 1)
        assert device.read(CMDSTATUS) == 0x22


@pytest.mark.parametrize(
    ("command", "operand", "error"),
    [
        (Cmd.REQUEST_HANDLE, 1 << 16 | 255, 0),
        (Cmd.REQUEST_HANDLE, 1 << 16 | 256, 0x41),
        (Cmd.REQUEST_HANDLE, 5, 0x41),
        (Cmd.RELEASE_HANDLE, 5, 0x41),
        (Cmd.REQUEST_HANDLE, 1 << 17 | 1 << 16, 0x04),
        (Cmd.DISABLE_WQ, 1 << 4, 0x02),
        (Cmd.DISABLE_WQ, 1, 0x32),
        (Cmd.RESET_WQ, 0xF, 0),
        (Cmd.DRAIN_PASID, 0, 0),
    ],
)
def test_hardwares_own_commands_check_their_operands(command: Cmd, operand: int, error: int) -> None:
    with make_device(hardware()) as device:
        device.write(CMD, command << 20 | operand)

        assert device.read(CMDSTATUS) & 0xFF == error


def test_hardwares_disable_waits_for_queues_that_drain_already(machine: Machine, guest: GuestView) -> None:
    queue_three(guest)
    guest.command(Cmd.DISABLE_WQ, 1)
    machine.device.write(CMD, Cmd.DISABLE_DEVICE << 20)
    active, state = machine.device.read(CMDSTATUS), machine.device.read(GENSTS)
    machine.step_all()

    assert (active, state) == (ACTIVE, 2)
    assert (machine.device.read(CMDSTATUS), machine.device.read(GENSTS)) == (0, 0)
    assert guest.vectors() == [1, 1, 1]


def test_hardware_discards_a_command_while_one_is_active(machine: Machine, guest: GuestView) -> None:
    queue_three(guest)
    machine.device.write(CMD, Cmd.DRAIN_ALL << 20)
    machine.device.write(CMD, Cmd.RESET_DEVICE << 20)

    assert machine.device.read(0xC0, 8) >> 8 & 0xFF == 0x52
    assert machine.step_all() == 3
    assert guest.vectors() == [1, 1, 1]


def test_configuration_of_the_hardware_is_fixed_while_it_is_enabled(machine: Machine, guest: GuestView) -> None:
    base = WQ + 32 * guest.mdev.wq
    before = [machine.device.read(offset, 8) for offset in (base, base + 8, GROUP, GROUP + 32)]
    for offset in (base, base + 8, base + 12, GROUP, GROUP + 32):
        machine.device.write(offset, 0, 8 if offset in (GROUP, GROUP + 32) else 4)

    assert [machine.device.read(offset, 8) for offset in (base, base + 8, GROUP, GROUP + 32)] == before
