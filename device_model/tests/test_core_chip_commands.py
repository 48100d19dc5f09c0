"""CMD of the physical device (DSA specification 9.2.12, 3.15, 5.1, 5.2): one test a refusal, and what success means."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from device_model.config import Feature
from device_model.tests.chip_rig import MODE, OPCAP, PASID_ENABLE, Chip
from device_model.tests.core_rig import GENSTS, Cmd

ALL = [*range(1, 15)]


@pytest.fixture
def chip() -> Iterator[Chip]:
    with Chip() as chip:
        yield chip


# ---- what any command can fail with ----


@pytest.mark.parametrize("code", [0, *range(15, 32)])
def test_command_that_there_is_not_is_0x01(chip: Chip, code: int) -> None:
    assert chip.command(code) == 0x01


@pytest.mark.parametrize("bit", range(25, 31))
def test_reserved_bit_of_cmd_is_0x04(chip: Chip, bit: int) -> None:
    assert chip.command(Cmd.DRAIN_ALL, 1 << bit) == 0x04


@pytest.mark.parametrize("command", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("operand", [1, 1 << 19])
def test_operand_of_a_command_that_has_none_is_0x04(chip: Chip, command: int, operand: int) -> None:
    assert chip.command(command, operand) == 0x04
    assert chip.read(GENSTS) == 0


@pytest.mark.parametrize("bit", range(8, 20))
def test_reserved_bit_of_enable_wq_is_0x04(chip: Chip, bit: int) -> None:
    assert chip.command(Cmd.ENABLE_WQ, 1 << bit) == 0x04


@pytest.mark.parametrize("command", [Cmd.REQUEST_HANDLE, Cmd.RELEASE_HANDLE])
@pytest.mark.parametrize("bit", [17, 18, 19])
def test_reserved_bit_of_a_handle_command_is_0x04(chip: Chip, command: Cmd, bit: int) -> None:
    assert chip.command(command, 1 << bit) == 0x04


@pytest.mark.parametrize("code", [code for code in ALL if code != Cmd.RESET_DEVICE])
def test_any_command_but_reset_device_is_0x05_in_halt(chip: Chip, code: int) -> None:
    chip.start()
    chip.device.set_bus_master(False)

    assert chip.command(code) == 0x05
    assert chip.read(GENSTS) == 3


# ---- Enable Device ----


def test_enabling_twice_is_0x10(chip: Chip) -> None:
    chip.start()

    assert chip.command(Cmd.ENABLE_DEVICE) == 0x10


def test_enabling_without_bus_mastering_is_0x12(chip: Chip) -> None:
    chip.configure()
    chip.device.set_bus_master(False)

    assert chip.command(Cmd.ENABLE_DEVICE) == 0x12
    assert (chip.read(GENSTS), chip.swerror().valid) == (0, False)


def test_more_descriptors_than_there_is_room_for_are_0x14(chip: Chip) -> None:
    chip.configure(4, size=16)
    chip.write(chip.wq(3), 17)

    assert chip.command(Cmd.ENABLE_DEVICE) == 0x14
    chip.write(chip.wq(3), 16)
    assert chip.command(Cmd.ENABLE_DEVICE) == 0


def test_sizes_do_not_wrap_around_in_their_sum() -> None:
    with Chip(num_wqs=3) as chip:
        chip.configure(3, size=0)
        for wq, size in enumerate((0xFFFF, 0xFFFF, 2)):
            chip.write(chip.wq(wq), size)

        assert chip.command(Cmd.ENABLE_DEVICE) == 0x14


def test_group_with_queues_and_no_engine_is_0x15(chip: Chip) -> None:
    chip.configure()
    chip.write(chip.group(0, 32), 0, 8)

    assert chip.command(Cmd.ENABLE_DEVICE) == 0x15


def test_group_with_an_engine_and_no_queue_is_0x15(chip: Chip) -> None:
    chip.configure()
    chip.write(chip.group(1, 32), 2, 8)

    assert chip.command(Cmd.ENABLE_DEVICE) == 0x15


def test_queue_in_two_groups_is_0x16(chip: Chip) -> None:
    chip.configure()
    chip.write(chip.group(1), 1, 8)
    chip.write(chip.group(1, 32), 2, 8)

    assert chip.command(Cmd.ENABLE_DEVICE) == 0x16


def test_queue_with_a_size_in_no_group_is_0x16(chip: Chip) -> None:
    chip.configure()
    chip.write(chip.wq(1), 1)

    assert chip.command(Cmd.ENABLE_DEVICE) == 0x16


def test_queue_without_a_size_in_a_group_is_0x16(chip: Chip) -> None:
    chip.configure()
    chip.write(chip.group(0), 0b11, 8)

    assert chip.command(Cmd.ENABLE_DEVICE) == 0x16


def test_engine_in_two_groups_is_0x17(chip: Chip) -> None:
    chip.configure(2)
    chip.write(chip.group(0), 0b01, 8)
    chip.write(chip.group(1), 0b10, 8)
    chip.write(chip.group(1, 32), 0b11, 8)

    assert chip.command(Cmd.ENABLE_DEVICE) == 0x17


def test_groups_may_be_left_empty_and_queues_unused(chip: Chip) -> None:
    chip.write(chip.wq(3), 64)
    chip.write(chip.group(1), 0b1000, 8)
    chip.write(chip.group(1, 32), 0b11, 8)

    assert chip.command(Cmd.ENABLE_DEVICE) == 0


# ---- Enable WQ ----


@pytest.mark.parametrize(("wq", "error"), [(4, 0x02), (255, 0x02), (1, 0x22), (0, 0x21)])
def test_queue_that_is_not_there_has_no_size_or_is_enabled_is_refused(chip: Chip, wq: int, error: int) -> None:
    chip.start()

    assert chip.command(Cmd.ENABLE_WQ, wq) == error


def test_queue_of_a_device_that_is_not_enabled_is_0x20(chip: Chip) -> None:
    chip.configure()

    assert chip.command(Cmd.ENABLE_WQ) == 0x20


@pytest.mark.parametrize(
    ("dword", "value", "error"),
    [
        (2, 1, 0x23),
        (2, 1 << 4, 0x24),
        (2, 1 << 4 | PASID_ENABLE, 0x24),
        (3, 21, 0x27),
        (3, 21 | 6 << 5, 0x27),
        (3, 22 | 5 << 5, 0x28),
        (2, MODE | PASID_ENABLE | 1 << 29, 0x2A),
        (2, MODE | PASID_ENABLE | 5 << 8, 0),
        (2, MODE | 1 << 29, 0),
        (2, 1 | 15 << 4, 0),
        (3, 0 | 1 << 5, 0),
    ],
)
def test_fields_of_wqcfg_are_checked(chip: Chip, dword: int, value: int, error: int) -> None:
    chip.configure()
    chip.write(chip.wq(0, dword), value)
    chip.succeed(Cmd.ENABLE_DEVICE)

    assert chip.command(Cmd.ENABLE_WQ) == error
    assert chip.wq_state(0) == int(error == 0)


def test_pasid_without_its_capability_is_0x26() -> None:
    with Chip(features=Feature.NO_PASID) as chip:
        chip.configure(mode=MODE | PASID_ENABLE)
        chip.succeed(Cmd.ENABLE_DEVICE)

        assert chip.command(Cmd.ENABLE_WQ) == 0x26
        chip.write(chip.wq(0, 2), MODE)
        assert chip.command(Cmd.ENABLE_WQ) == 0


def test_operation_that_the_device_does_not_have_is_0x2d_in_opcfg() -> None:
    with Chip(features=Feature.OPCFG) as chip:
        chip.configure()
        chip.write(chip.wq(0, 15), 1)
        chip.succeed(Cmd.ENABLE_DEVICE)

        assert chip.command(Cmd.ENABLE_WQ) == 0x2D
        chip.write(chip.wq(0, 15), 0)
        chip.write(chip.wq(0, 8), chip.read(OPCAP) & 1)
        assert chip.command(Cmd.ENABLE_WQ) == 0


def test_batch_size_is_no_field_of_iaa() -> None:
    with Chip(kind=1) as chip:
        chip.start()

        assert chip.read(chip.wq(0, 3)) == 21


# ---- Disable Device, commands to bitmaps of queues ----


def test_disabling_what_is_disabled_is_0x31(chip: Chip) -> None:
    assert chip.command(Cmd.DISABLE_DEVICE) == 0x31


@pytest.mark.parametrize("command", [Cmd.DISABLE_WQ, Cmd.DRAIN_WQ, Cmd.ABORT_WQ])
def test_bitmap_with_a_queue_that_is_not_enabled_is_0x32_and_touches_none(chip: Chip, command: Cmd) -> None:
    chip.start(2)
    chip.succeed(Cmd.DISABLE_WQ, 0b10)
    chip.request(1)
    chip.fire(1)

    assert chip.command(command, 0b11) == 0x32
    assert (chip.wq_state(0), chip.step_all(), chip.vectors()) == (1, 1, [1])


@pytest.mark.parametrize("command", [Cmd.DISABLE_WQ, Cmd.DRAIN_WQ, Cmd.ABORT_WQ, Cmd.RESET_WQ])
@pytest.mark.parametrize("operand", [0b1_0000, 0b1_0001, 0x8000, 0x1_0001, 0xF_0001])
def test_bitmap_beyond_the_queues_is_0x02_and_touches_none(chip: Chip, command: Cmd, operand: int) -> None:
    chip.start()

    assert chip.command(command, operand) == 0x02
    assert chip.wq_state(0) == 1


def test_bitmap_names_queues_in_blocks_of_sixteen() -> None:
    with Chip(num_wqs=40) as chip:
        chip.configure(40, size=1)
        chip.succeed(Cmd.ENABLE_DEVICE)
        for wq in (5, 21, 22, 37):
            chip.succeed(Cmd.ENABLE_WQ, wq)
        chip.succeed(Cmd.DISABLE_WQ, 0x1_0060)

        assert [chip.wq_state(wq) for wq in (5, 21, 22, 37)] == [1, 0, 0, 1]


@pytest.mark.parametrize("code", [3, 4, 5, 10, 11, 12])
def test_commands_that_check_nothing_succeed_on_a_disabled_device(chip: Chip, code: int) -> None:
    assert chip.command(code) == 0
