"""The device as a PCI function: MSI-X, bus mastering, Halt, both resets (DSA specification 3.15, 5.7, 9.2, table 9-3)."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from device_model.tests.chip_rig import GENCFG, MODE, PASID_ENABLE, Chip
from device_model.tests.core_rig import ACTIVE, CMDSTATUS, GENCTRL, GENSTS, INTCAUSE, SWERROR, Cmd

SOFTERR_INT, HALT_INT = 1, 2
SWERR_CAUSE, CMD_CAUSE, HALT_CAUSE = 1, 2, 1 << 4


@pytest.fixture
def chip() -> Iterator[Chip]:
    with Chip() as chip:
        yield chip


@pytest.fixture
def busy(chip: Chip) -> Chip:
    """Enabled, vector 1 requested, all interrupts of the device enabled, two descriptors queued."""
    chip.start()
    chip.request(1)
    chip.write(GENCTRL, SOFTERR_INT | HALT_INT)
    chip.fire(1)
    chip.fire(1)
    chip.ledger()
    return chip


def registers(chip: Chip) -> list[int]:
    """All that a reset can be seen by."""
    offsets = [GENCFG, GENCTRL, GENSTS, INTCAUSE, CMDSTATUS, *range(SWERROR, SWERROR + 32, 8), chip.pba]
    offsets += [*range(chip.grpcfg, chip.grpcfg + 128, 8), *range(chip.wqcfg, chip.wqcfg + 4 * chip.stride, 8)]
    offsets += [*range(chip.msixperm, chip.msixperm + 40, 8), *range(chip.ims, chip.ims + 64, 8)]
    return [chip.read(offset, 8) for offset in offsets]


def table(chip: Chip) -> list[int]:
    return [chip.read(chip.table + offset, 8) for offset in range(0, 16 * chip.config.num_msix, 8)]


def scribble(chip: Chip) -> None:
    """Something in each register that a reset clears."""
    chip.write(GENCFG, 1 << 12)
    chip.start(2)
    chip.write(GENCTRL, SOFTERR_INT)
    chip.write(chip.msixperm + 16, 5 << 12 | 12)
    chip.write(chip.ims, 0xFEE0_1000)
    chip.write(chip.ims + 8, 0x77 | 5 << 44 | 8 << 32, 8)
    chip.device.submit(0, bytes(7) + b"\xff" + bytes(56))
    chip.mask(3, True)
    chip.mask(0, True)
    chip.request(3)
    chip.fire(3)
    chip.step_all()
    chip.command(31, interrupt=True)


# ---- MSI-X (cases 32 to 35) ----


def test_interrupts_while_masked_are_one_message_at_unmask(busy: Chip) -> None:
    busy.mask(1, True)
    busy.step_all()
    masked = busy.vectors(), busy.read(busy.pba, 8)
    busy.mask(1, False)

    assert masked == ([], 0b10)
    assert (busy.vectors(), busy.read(busy.pba, 8)) == ([1], 0)


def test_message_is_that_of_the_entry_when_it_leaves(busy: Chip) -> None:
    busy.mask(1, True)
    busy.step_all()
    busy.write(busy.table + 16, 0xFEE7_7000, 8)
    busy.mask(1, False)

    assert busy.messages() == [(1, 0xFEE7_7000)]


@pytest.mark.parametrize(("enabled", "function_mask"), [(False, False), (False, True), (True, True)])
def test_function_that_may_not_send_keeps_it_pending(busy: Chip, enabled: bool, function_mask: bool) -> None:
    busy.device.set_msix(enabled, function_mask=function_mask)
    busy.step_all()
    kept = busy.vectors(), busy.read(busy.pba, 8)
    busy.device.set_msix(True)

    assert kept == ([], 0b10)
    assert (busy.vectors(), busy.read(busy.pba, 8)) == ([1], 0)


def test_ignore_drops_completions_and_leaves_the_devices_own_interrupts(busy: Chip) -> None:
    busy.write(busy.msixperm + 8, 4)
    busy.write(busy.msixperm, 4)
    busy.step_all()
    busy.command(Cmd.DRAIN_ALL, interrupt=True)

    assert (busy.vectors(), busy.read(busy.pba, 8)) == ([0], 0)


def test_what_was_pending_before_ignore_is_still_sent(busy: Chip) -> None:
    busy.mask(1, True)
    busy.step()
    busy.write(busy.msixperm + 8, 4)
    busy.step()
    busy.mask(1, False)

    assert busy.vectors() == [1]


@pytest.mark.parametrize(
    ("mode", "permissions", "allowed"),
    [
        (MODE, 0, True),
        (MODE, 7 << 12, True),
        (MODE, 7 << 12 | 8, False),
        (MODE | PASID_ENABLE | 7 << 8, 7 << 12 | 8, True),
        (MODE | PASID_ENABLE | 7 << 8, 6 << 12 | 8, False),
        (MODE | PASID_ENABLE | 7 << 8, 7 << 12, False),
    ],
)
def test_permissions_must_match_the_queue(chip: Chip, mode: int, permissions: int, allowed: bool) -> None:
    chip.start(mode=mode)
    chip.request(1)
    chip.write(chip.msixperm + 8, permissions)
    chip.mask(1, True)
    chip.run(1)

    assert chip.read(chip.pba, 8) == 2 * allowed
    assert (chip.swerror().code, chip.swerror().info) == ((0, 0) if allowed else (0x19, 1))


@pytest.mark.parametrize(("mode", "code"), [(MODE, 0), (MODE | PASID_ENABLE | 7 << 8, 0x11)])
def test_user_mode_interrupts_are_an_invalid_flag_while_they_are_off(chip: Chip, mode: int, code: int) -> None:
    chip.configure(mode=mode)
    chip.write(GENCFG, 0)
    chip.succeed(Cmd.ENABLE_DEVICE)
    chip.succeed(Cmd.ENABLE_WQ, 0)
    chip.request(1)
    chip.write(chip.msixperm + 8, (mode >> 28) * (7 << 12 | 8))
    chip.run(1)

    assert (chip.swerror().code, chip.swerror().info) == (code, 1 << 4 if code else 0)
    assert chip.vectors() == [1] * (code == 0)


# ---- bus mastering and Halt (case 39) ----


def test_host_device_is_bus_master_from_the_start() -> None:
    with Chip(num_msix=0, raw=True) as chip:
        chip.configure()

        assert chip.command(Cmd.ENABLE_DEVICE) == 0


def test_losing_bus_mastering_while_enabled_is_halt_with_swerror_0x51(busy: Chip) -> None:
    busy.device.set_bus_master(False)
    error = busy.swerror()

    assert (busy.read(GENSTS), error.valid, error.code) == (3, True, 0x51)
    assert busy.read(INTCAUSE) == SWERR_CAUSE | HALT_CAUSE
    assert busy.step_all() == 0
    assert busy.vectors() == []


def test_interrupt_of_halt_waits_for_bus_mastering_to_come_back(busy: Chip) -> None:
    busy.device.set_bus_master(False)
    pending = busy.read(busy.pba, 8)
    busy.device.set_bus_master(True)

    assert (pending, busy.vectors(), busy.read(GENSTS)) == (1, [0], 3)


def test_halt_without_its_interrupt_enabled_is_silent(busy: Chip) -> None:
    busy.write(GENCTRL, 0)
    busy.device.set_bus_master(False)
    busy.device.set_bus_master(True)

    assert (busy.read(GENSTS), busy.read(INTCAUSE), busy.vectors()) == (3, 0, [])


def test_halted_device_takes_no_descriptors(busy: Chip) -> None:
    busy.device.set_bus_master(False)
    busy.device.set_bus_master(True)
    busy.fire(1)

    assert busy.step_all() == 0


def test_losing_bus_mastering_while_disabled_is_nothing(chip: Chip) -> None:
    chip.device.set_bus_master(False)

    assert (chip.read(GENSTS), chip.swerror().valid, chip.read(INTCAUSE)) == (0, False, 0)


def test_command_that_waits_ends_with_0x03_when_the_device_halts(busy: Chip) -> None:
    active = busy.command(Cmd.DISABLE_DEVICE, interrupt=True)
    busy.device.set_bus_master(False)

    assert (active, busy.read(CMDSTATUS), busy.read(GENSTS)) == (ACTIVE, 0x03, 3)
    assert busy.read(INTCAUSE) & CMD_CAUSE


def test_reset_device_ends_halt(busy: Chip) -> None:
    busy.device.set_bus_master(False)
    busy.device.set_bus_master(True)
    busy.succeed(Cmd.RESET_DEVICE)
    busy.ledger()
    busy.start()
    busy.request(1)
    busy.run(1)

    assert (busy.read(GENSTS), busy.vectors()) == (1, [1])


# ---- Reset Device (case 30) ----


def test_reset_device_keeps_the_table_swerror_and_status_and_wipes_the_rest() -> None:
    with Chip() as chip, Chip() as fresh:
        scribble(chip)
        kept = table(chip), [chip.read(SWERROR + 8 * i, 8) for i in range(4)]
        chip.succeed(Cmd.RESET_DEVICE)
        after = table(chip), [chip.read(SWERROR + 8 * i, 8) for i in range(4)]

        assert kept[1][0] & 1
        assert after == kept
        assert registers(chip)[:5] + registers(chip)[9:] == registers(fresh)[:5] + registers(fresh)[9:]


def test_reset_device_releases_handles_and_drops_what_is_pending(busy: Chip) -> None:
    busy.mask(1, True)
    busy.step_all()
    busy.succeed(Cmd.RESET_DEVICE)
    busy.mask(1, False)
    busy.start()
    busy.run(1)

    assert busy.vectors() == []
    assert busy.swerror().code == 0x19


# ---- FLR (case 31) ----


def test_flr_wipes_everything_to_power_on() -> None:
    with Chip() as chip, Chip(raw=True) as fresh:
        scribble(chip)
        chip.device.flr()

        assert registers(chip) == registers(fresh)
        assert table(chip) == table(fresh)


def test_flr_drops_what_is_queued_without_a_word(busy: Chip) -> None:
    busy.mask(1, True)
    busy.step()
    busy.device.flr()
    busy.switch_on()

    assert busy.step_all() == 0
    assert busy.vectors() == []


def test_flr_ends_a_command_that_waits_and_its_interrupt_never_comes(busy: Chip) -> None:
    busy.command(Cmd.DRAIN_ALL, interrupt=True)
    busy.device.flr()
    busy.switch_on()

    assert (busy.read(CMDSTATUS), busy.read(INTCAUSE), busy.vectors()) == (0, 0, [])


def test_flr_needs_msix_and_bus_mastering_to_be_set_up_again(chip: Chip) -> None:
    chip.device.flr()
    chip.command(31, interrupt=True)
    silent = chip.vectors()
    chip.configure()

    assert (silent, chip.command(Cmd.ENABLE_DEVICE)) == ([], 0x12)


def test_flr_ends_halt(busy: Chip) -> None:
    busy.device.set_bus_master(False)
    busy.device.flr()
    busy.switch_on()
    busy.start()
    busy.request(1)
    busy.run(1)

    assert (busy.swerror().valid, busy.vectors()) == (False, [1])


def test_host_device_is_ready_again_after_flr() -> None:
    with Chip(num_msix=0, raw=True) as chip:
        chip.start().device.flr()

        assert chip.read(GENSTS) == 0
        chip.start()


def test_resets_at_once_end_and_leave_the_device_as_at_power_on(busy: Chip) -> None:
    resets = [threading.Thread(target=busy.device.flr) for _ in range(4)]
    resets += [threading.Thread(target=busy.command, args=(Cmd.RESET_DEVICE,)) for _ in range(4)]
    for thread in resets:
        thread.start()
    for thread in resets:
        thread.join(30)
    busy.device.flr()

    assert not any(thread.is_alive() for thread in resets)
    with Chip(raw=True) as fresh:
        assert registers(busy) == registers(fresh)
