"""BAR0 of the physical device (DSA specification chapter 9): what each register says, and who may write it when."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from device_model.config import Feature
from device_model.tests.chip_rig import CMDCAP, GENCAP, GENCFG, LIMITS, MODE, OFFSETS, OPCAP, WQCAP, Chip
from device_model.tests.core_rig import CMD, CMDSTATUS, GENCTRL, GENSTS, INTCAUSE, SWERROR, Cmd

OPCFG = 8
"""First dword of it in WQCFG."""
CAPABILITIES = [0x00, *range(GENCAP, 0x78, 8), CMDCAP, 0x100, 0x180]


@pytest.fixture
def chip() -> Iterator[Chip]:
    with Chip() as chip:
        yield chip


# ---- capabilities ----


def test_capabilities_say_what_the_device_was_made_with() -> None:
    with Chip(num_wqs=8, total_wq_size=128, num_groups=4, num_engines=3, max_xfer_log2=30, max_batch_log2=9) as chip:
        gencap, wqcap = chip.read(GENCAP, 8), chip.read(WQCAP, 8)

        assert chip.read(0x00) == 0x100
        assert (gencap >> 16 & 0x1F, gencap >> 21 & 0xF, gencap >> 25 & 0x3F) == (30, 9, 1)
        assert (gencap & 0xFFFF, gencap >> 31) == (0x16, 1)
        assert (wqcap & 0xFFFF, wqcap >> 16 & 0xFF, wqcap >> 24 & 0xF, wqcap >> 48) == (128, 8, 0, 0b11010)
        assert (chip.read(0x30, 8), chip.read(0x38, 8), chip.read(CMDCAP, 8)) == (4, 3, 0x7FFE)


def test_iaa_has_its_own_version_operations_and_no_batches() -> None:
    with Chip(kind=1) as chip:
        assert chip.read(0x00) == 0x200
        assert [chip.read(OPCAP + 8 * i, 8) for i in range(4)] == [0b101, 0, 0, 0]
        assert chip.read(GENCAP, 8) >> 21 & 0xF == 0
        assert chip.read(0x180, 8) == 0


def test_iaa_runs_no_operation_of_dsa() -> None:
    with Chip(kind=1) as chip:
        chip.start().device.submit(0, bytes(7) + b"\x03" + bytes(56))
        chip.step_all()

        assert (chip.swerror().code, chip.swerror().operation) == (0x10, 0x03)


@pytest.mark.parametrize("features", [Feature.NO_HANDLES, Feature.NO_CMDCAP])
def test_device_without_handle_commands_has_none_in_cmdcap(features: Feature) -> None:
    with Chip(features=features) as chip:
        has_register = chip.read(GENCAP, 8) >> 4 & 1

        assert has_register == int(features == Feature.NO_HANDLES)
        assert chip.read(CMDCAP, 8) == 0x1FFE * has_register
        assert chip.command(Cmd.REQUEST_HANDLE, 1) == 0x01


def test_tables_that_are_not_there_have_no_offset() -> None:
    with Chip(num_ims=0, num_msix=0) as chip:
        assert chip.read(OFFSETS, 8) >> 32 == 0
        assert chip.read(GENCAP, 8) >> 25 & 0x3F == 0
        assert chip.command(Cmd.REQUEST_HANDLE, 0) == 0x41
        assert chip.command(Cmd.REQUEST_HANDLE, 1 << 16) == 0x41


@pytest.mark.parametrize("groups", [1, 8, 9, 16])
def test_tables_do_not_overlap_at_the_largest_sizes(groups: int) -> None:
    sizes = {"num_wqs": 255, "total_wq_size": 65535, "num_ims": 63 * 256, "num_msix": 2048}
    with Chip(raw=True, features=Feature.OPCFG, num_groups=groups, **sizes) as chip:
        spans = [(0, 0x200), (chip.grpcfg, 64 * groups), (chip.wqcfg, 64 * 255), (chip.msixperm, 8 * 2048)]
        spans += [(chip.pba, 256), (0xF000, 0x1000), (chip.ims, 16 * 63 * 256), (chip.table, 16 * 2048)]
        spans.sort()
        last = chip.table + 16 * 2047

        assert all(start + size <= following for (start, size), (following, _) in itertools.pairwise(spans))
        assert (chip.table % 0x1000, chip.pba % 0x1000) == (0, 0)
        chip.write(last, 0x1234, 8)
        assert chip.read(last, 8) == 0x1234


def test_capabilities_and_status_are_read_only(chip: Chip) -> None:
    offsets = [*CAPABILITIES, GENSTS, CMDSTATUS]
    before = [chip.read(offset, 8) for offset in offsets]
    for offset in offsets:
        chip.write(offset, 0xFFFF_FFFF)
        chip.write(offset + 4, 0xFFFF_FFFF)

    assert [chip.read(offset, 8) for offset in offsets] == before


# ---- accesses of all sizes ----


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("name", ["fixed", "wqcfg", "grpcfg", "msixperm", "table", "ims"])
def test_every_size_reads_the_same_bytes(chip: Chip, name: str, size: int) -> None:
    chip.configure()
    chip.write(chip.msixperm, 0x12345_00C)
    base = {"fixed": 0x10, "wqcfg": chip.wqcfg, "grpcfg": chip.grpcfg, "msixperm": chip.msixperm}
    base |= {"table": chip.table + 16, "ims": chip.ims}
    whole = b"".join(chip.read(base[name] + i, 8).to_bytes(8, "little") for i in range(0, 16, 8))
    parts = b"".join(chip.read(base[name] + i, size).to_bytes(size, "little") for i in range(0, 16, size))

    assert parts == whole
    assert any(whole)


@pytest.mark.parametrize(
    ("size", "offset", "value", "expected"),
    [
        (1, 0, 0xAA, 0x4444_3333_2222_11AA),
        (1, 5, 0xAA, 0x4444_AA33_2222_1111),
        (2, 4, 0xAAAA, 0x4444_AAAA_2222_1111),
        (4, 4, 0xAAAA_AAAA, 0xAAAA_AAAA_2222_1111),
        (8, 0, 0xBBBB_BBBB_AAAA_AAAA, 0xBBBB_BBBB_AAAA_AAAA),
    ],
)
def test_every_size_writes_its_own_bytes_only(size: int, offset: int, value: int, expected: int) -> None:
    with Chip(features=Feature.OPCFG) as chip:
        base = chip.wq(0, OPCFG)
        chip.write(base, 0x4444_3333_2222_1111, 8)
        chip.write(base + offset, value, size)

        assert chip.read(base, 8) == expected


def test_narrow_writes_clear_only_the_bits_that_they_bring(chip: Chip) -> None:
    chip.command(Cmd.DRAIN_ALL, interrupt=True)
    chip.write(INTCAUSE + 1, 0xFF, 1)
    kept = chip.read(INTCAUSE)
    chip.write(INTCAUSE, 0xFF, 1)

    assert (kept, chip.read(INTCAUSE)) == (2, 0)


@pytest.mark.parametrize("size", [1, 2])
def test_part_of_a_command_is_none(chip: Chip, size: int) -> None:
    chip.start()
    chip.write(CMD + 4 - size, Cmd.RESET_DEVICE << 4 >> (16 - 8 * size), size)

    assert chip.read(GENSTS) == 1


@pytest.mark.parametrize("size", [1, 2])
def test_tables_of_messages_take_no_part_of_a_word(chip: Chip, size: int) -> None:
    for base in (chip.table, chip.ims):
        before = [chip.read(base + i) for i in range(0, 16, 4)]
        for offset in range(0, 16, size):
            chip.write(base + offset, 0, size)

        assert [chip.read(base + i) for i in range(0, 16, 4)] == before


def test_two_registers_are_written_by_one_access(chip: Chip) -> None:
    chip.write(0x98, 0, 8)
    chip.write(chip.wq(0), 16 | 7 << 32, 8)

    assert (chip.read(chip.wq(0)), chip.read(chip.wq(0, 1))) == (16, 7)


@pytest.mark.parametrize(("offset", "size"), [(0x12, 4), (0x14, 8), (0x11, 2), (0x10, 3), (0x10, 16), (1 << 20, 8)])
def test_misaligned_and_outside_reads_are_zero(chip: Chip, offset: int, size: int) -> None:
    assert chip.read(offset, size) == 0


def test_dummy_portal_reads_ones_and_takes_nothing(chip: Chip) -> None:
    chip.write(0xF000, 0, 8)

    assert {chip.read(offset, 8) for offset in (0xF000, 0xF040, 0xFFF8)} == {(1 << 64) - 1}
    assert chip.read(0xFFFF, 1) == 0xFF


# ---- GENCFG, GENCTRL, SWERROR ----


def test_gencfg_is_writable_while_disabled_and_has_one_bit(chip: Chip) -> None:
    chip.write(GENCFG, 0xFFFF_FFFF)
    first = chip.read(GENCFG)
    chip.start()
    chip.write(GENCFG, 0)

    assert (first, chip.read(GENCFG)) == (1 << 12, 1 << 12)


def test_genctrl_is_writable_always(chip: Chip) -> None:
    chip.start()
    chip.write(GENCTRL, 0xFFFF_FFFF)

    assert chip.read(GENCTRL) == 0b111


def test_swerror_keeps_the_first_error_until_it_is_cleared(chip: Chip) -> None:
    chip.start()
    chip.write(GENCTRL, 1)
    chip.device.submit(0, bytes(7) + b"\xff" + bytes(56))
    chip.device.submit(0, bytes(7) + b"\xfe" + bytes(56))
    chip.step()
    first = chip.swerror(), chip.vectors(), chip.read(INTCAUSE)
    chip.step()
    second = chip.swerror(), chip.vectors()

    assert (first[0].operation, first[0].overflow, first[1], first[2]) == (0xFF, False, [0], 1)
    assert (second[0].operation, second[0].overflow, second[1]) == (0xFF, True, [])
    chip.write(SWERROR, 0, 8)
    assert chip.read(SWERROR) & 3 == 3
    chip.write(SWERROR, 1, 8)
    assert chip.read(SWERROR) & 3 == 2
    chip.write(SWERROR, 3, 8)
    assert chip.read(SWERROR) & 3 == 0


def test_overflow_stays_until_software_clears_it(chip: Chip) -> None:
    chip.start()
    for clear in (0, 0, 1):
        chip.write(SWERROR, clear)
        chip.device.submit(0, bytes(7) + b"\xff" + bytes(56))
        chip.step_all()

    assert chip.read(SWERROR) & 3 == 3
    chip.write(SWERROR, 3)
    chip.device.submit(0, bytes(7) + b"\xff" + bytes(56))
    chip.step_all()
    assert chip.read(SWERROR) & 3 == 1


def test_each_recorded_error_interrupts_though_the_cause_is_not_acknowledged(chip: Chip) -> None:
    chip.start()
    chip.write(GENCTRL, 1)
    for _ in range(3):
        chip.device.submit(0, bytes(7) + b"\xff" + bytes(56))
        chip.step_all()
        chip.write(SWERROR, 3)

    assert chip.vectors() == [0, 0, 0]


def test_error_without_its_interrupt_enabled_leaves_intcause_alone(chip: Chip) -> None:
    chip.start().device.submit(0, bytes(7) + b"\xff" + bytes(56))
    chip.step_all()

    assert (chip.swerror().valid, chip.read(INTCAUSE), chip.vectors()) == (True, 0, [])


# ---- GRPCFG ----


def test_groups_hold_only_the_bits_that_there_are(chip: Chip) -> None:
    for offset in range(chip.grpcfg, chip.grpcfg + 128, 8):
        chip.write(offset, (1 << 64) - 1, 8)
    words = [chip.read(chip.grpcfg + offset, 8) for offset in range(0, 128, 8)]

    assert words == [0b1111, 0, 0, 0, 0b11, 0x3F, 0, 0] * 2
    assert chip.read(chip.grpcfg + 128, 8) == 0


def test_groups_are_read_only_while_enabled(chip: Chip) -> None:
    chip.start()
    before = [chip.read(chip.group(0, part), 8) for part in (0, 32, 40)]
    for part in (0, 32, 40):
        chip.write(chip.group(0, part), 0x2A, 8)

    assert [chip.read(chip.group(0, part), 8) for part in (0, 32, 40)] == before


# ---- WQCFG (table 9-7) ----


def test_wqcfg_has_the_fields_that_there_are_capabilities_for(chip: Chip) -> None:
    for dword in range(8):
        chip.write(chip.wq(3, dword), 0xFFFF_FFFF)

    assert [chip.read(chip.wq(3, dword)) for dword in range(8)] == [0xFFFF, 0xFFFF, 0x3FFF_FFF1, 0x1FF, 0, 0, 1 << 29, 0]
    assert chip.read(chip.wq(4)) == 0


def test_size_is_fixed_while_the_device_is_enabled_and_the_rest_while_the_queue_is(chip: Chip) -> None:
    chip.start(2)
    chip.succeed(Cmd.DISABLE_WQ, 0b10)
    for wq in (0, 1):
        for dword in range(8):
            chip.write(chip.wq(wq, dword), 0)
        chip.write(chip.wq(wq, 1), 7)

    assert [chip.read(chip.wq(0, dword)) for dword in range(4)] == [16, 7, MODE, LIMITS]
    assert [chip.read(chip.wq(1, dword)) for dword in range(4)] == [16, 7, 0, 0]


def test_state_and_occupancy_are_the_devices(chip: Chip) -> None:
    chip.start()
    chip.fire(0)
    chip.fire(0)
    chip.write(chip.wq(0, 6), 0)

    assert chip.read(chip.wq(0, 6)) == 1 << 30 | 1 << 29 | 2


def test_fixed_configuration_can_be_enabled_and_changed_only_in_mode_and_pasid() -> None:
    with Chip(features=Feature.FIXED_CONFIG) as chip:
        fixed = [chip.read(chip.wq(0, dword)) for dword in range(4)]
        for offset in (GENCFG, chip.group(0), chip.group(0, 32), *(chip.wq(0, dword) for dword in range(4))):
            chip.write(offset, 0)

        assert chip.read(GENCAP, 8) >> 31 & 1 == 0
        assert fixed == [16, 0, MODE, LIMITS]
        assert [chip.read(chip.wq(0, dword)) for dword in range(4)] == [16, 0, MODE & ~1, LIMITS]
        chip.succeed(Cmd.RESET_WQ, 1)
        assert [chip.read(chip.wq(0, dword)) for dword in range(4)] == fixed
        chip.succeed(Cmd.ENABLE_DEVICE)
        chip.succeed(Cmd.ENABLE_WQ, 3)


# ---- OPCFG ----


def test_opcfg_starts_as_opcap_and_comes_back_by_reset_wq() -> None:
    with Chip(features=Feature.OPCFG) as chip:
        opcap = [chip.read(OPCAP + 4 * i) for i in range(8)]
        first = [chip.read(chip.wq(1, OPCFG + i)) for i in range(8)]
        chip.write(chip.wq(1, OPCFG), 1)
        narrowed = chip.read(chip.wq(1, OPCFG))
        chip.succeed(Cmd.RESET_WQ, 0b10)

        assert (chip.stride, chip.read(WQCAP, 8) >> 54 & 1) == (64, 1)
        assert (first, narrowed) == (opcap, 1)
        assert [chip.read(chip.wq(1, OPCFG + i)) for i in range(8)] == opcap


def test_host_limits_what_a_queue_takes_by_opcfg() -> None:
    with Chip(features=Feature.OPCFG) as chip:
        chip.configure(2)
        chip.write(chip.wq(0, OPCFG), chip.read(OPCAP) & ~1)
        chip.succeed(Cmd.ENABLE_DEVICE)
        chip.succeed(Cmd.ENABLE_WQ, 0)
        chip.succeed(Cmd.ENABLE_WQ, 1)
        chip.request(2)
        chip.run(2, wq=0)
        refused = chip.swerror()
        chip.write(SWERROR, 3)
        chip.run(2, wq=1)

        assert (refused.code, refused.wq, refused.operation) == (0x10, 0, 0)
        assert not chip.swerror().valid


def test_opcfg_is_fixed_while_the_queue_is_enabled() -> None:
    with Chip(features=Feature.OPCFG) as chip:
        chip.start()
        chip.write(chip.wq(0, OPCFG), 0)

        assert chip.read(chip.wq(0, OPCFG)) == chip.read(OPCAP)


# ---- MSI-X permissions ----


def test_permissions_have_pasid_its_enable_and_ignore(chip: Chip) -> None:
    chip.write(chip.msixperm + 8, 0xFFFF_FFFF_FFFF_FFFF, 8)
    chip.write(chip.msixperm + 8 * 5, 0xFFFF_FFFF)

    assert chip.read(chip.msixperm + 8, 8) == 0xFFFF_F00C
    assert chip.read(chip.msixperm + 8 * 5, 8) == 0


# ---- power-on ----


def test_power_on_values_are_those_of_table_9_3() -> None:
    with Chip(raw=True) as chip:
        assert [chip.read(offset, 8) for offset in (GENCFG, GENCTRL, GENSTS, INTCAUSE, CMDSTATUS)] == [0] * 5
        assert [chip.read(SWERROR + 8 * i, 8) for i in range(4)] == [0] * 4
        assert [chip.read(chip.table + 4 * i) for i in range(4)] == [0, 0, 0, 1]
        assert [chip.read(chip.ims + 4 * i) for i in range(4)] == [0xFEE0_0000, 0, 0, 1]
        assert (chip.read(chip.msixperm, 8), chip.read(chip.pba, 8)) == (0, 0)
        assert [chip.read(chip.grpcfg + offset, 8) for offset in range(0, 128, 8)] == [0] * 16
