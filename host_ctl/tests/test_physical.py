"""The physical device as its driver sees it: bring-up, commands with bounds, work queues."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from device_model.config import DeviceConfig
from device_model.device import Device
from host_ctl import physical
from host_ctl.errors import HostError
from host_ctl.physical import Command, CommandFailed, PhysicalDevice, WqsExhausted

CMD, CMDSTATUS, GENSTS = 0xA0, 0xA8, 0x90


def a_device(num_wqs: int = 4, total: int = 64) -> Device:
    return Device(DeviceConfig(num_wqs=num_wqs, total_wq_size=total, num_ims=512), run_engine=False)


@pytest.fixture
def chip() -> Iterator[PhysicalDevice]:
    with a_device() as device:
        yield PhysicalDevice(device, wq_size=16)


class StuckDevice(Device):
    """Shows a command as active until it is let go, as hardware that waits for a descriptor does."""

    stuck = False
    written: list[int]

    def read(self, offset: int, size: int = 4) -> int:
        return 1 << 31 if self.stuck and offset == CMDSTATUS else super().read(offset, size)

    def write(self, offset: int, value: int, size: int = 4) -> None:
        if offset == CMD:
            self.written.append(value >> 20)
        super().write(offset, value, size)


@pytest.fixture
def stuck() -> Iterator[tuple[StuckDevice, PhysicalDevice]]:
    with StuckDevice(DeviceConfig(num_wqs=1, total_wq_size=1, num_ims=256), run_engine=False) as device:
        device.written = []
        chip = PhysicalDevice(device, wq_size=1)
        device.written.clear()
        yield device, chip


def test_bring_up_enables_the_device_with_all_queues(chip: PhysicalDevice) -> None:
    assert chip.device.read(GENSTS) == 1
    assert [chip.device.read(0x800 + 32 * wq) for wq in range(4)] == [16] * 4
    assert (chip.num_wqs, chip.num_ims, chip.wqs_in_use) == (4, 512, 0)


@pytest.mark.parametrize("num_wqs", [1, 63, 64, 65, 255])
def test_bring_up_groups_any_number_of_queues(num_wqs: int) -> None:
    with a_device(num_wqs, 255) as device:
        assert PhysicalDevice(device, wq_size=1).num_wqs == num_wqs


def test_sizes_that_do_not_fit_are_a_typed_error_with_the_code() -> None:
    with a_device() as device, pytest.raises(CommandFailed, match="0x14") as failure:
        PhysicalDevice(device, wq_size=17)

    assert (failure.value.command, failure.value.error) == (Command.ENABLE_DEVICE, 0x14)


def test_refused_command_is_a_typed_error_with_the_code(chip: PhysicalDevice) -> None:
    with pytest.raises(CommandFailed, match="DISABLE_WQ") as failure:
        chip.command(Command.DISABLE_WQ, 1)

    assert (failure.value.operand, failure.value.error) == (1, 0x32)


def test_result_of_a_command_is_returned(chip: PhysicalDevice) -> None:
    assert chip.command(Command.REQUEST_INT_HANDLE, 1 << 16 | 300) == 300


def test_queues_are_handed_out_once_each(chip: PhysicalDevice) -> None:
    queues = [chip.allocate_wq() for _ in range(4)]

    assert sorted(queues) == [0, 1, 2, 3]
    with pytest.raises(WqsExhausted, match="destroy an mdev"):
        chip.allocate_wq()
    chip.free_wq(2)
    assert (chip.wqs_in_use, chip.allocate_wq()) == (3, 2)


def test_programmed_queue_has_its_pasid_and_reset_takes_it_away(chip: PhysicalDevice) -> None:
    chip.program_wq(3, 0xABCDE, max_xfer_log2=21, max_batch_log2=5)
    mode, limits = chip.device.read(0x868), chip.device.read(0x86C)
    chip.reset_wq(3)

    assert (mode & 1, mode >> 8 & 0xFFFFF, mode >> 28 & 1) == (1, 0xABCDE, 1)
    assert (limits & 0x1F, limits >> 5 & 0xF) == (21, 5)
    assert [chip.device.read(0x860 + offset) for offset in (0, 8, 12)] == [16, 0, 0]


def test_reset_names_queues_beyond_the_first_sixteen() -> None:
    with a_device(40, 40) as device:
        chip = PhysicalDevice(device, wq_size=1)
        for wq in (5, 21, 37):
            chip.program_wq(wq, 7, max_xfer_log2=21, max_batch_log2=5)
        chip.reset_wq(21)

        assert [chip.device.read(0x808 + 32 * wq) != 0 for wq in (5, 21, 37)] == [True, False, True]


def test_command_without_an_end_is_a_typed_error_in_bounded_time(
    stuck: tuple[StuckDevice, PhysicalDevice], monkeypatch: pytest.MonkeyPatch
) -> None:
    device, chip = stuck
    monkeypatch.setattr(physical, "COMMAND_LIMIT_S", 0.05)
    device.stuck = True

    with pytest.raises(HostError, match="did not end"):
        chip.command(Command.RESET_WQ, 1)


def test_command_is_not_written_while_one_before_it_is_active(
    stuck: tuple[StuckDevice, PhysicalDevice], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device would discard it, and its end would be taken for that of the one before."""
    device, chip = stuck
    monkeypatch.setattr(physical, "COMMAND_LIMIT_S", 0.05)
    device.stuck = True
    with pytest.raises(HostError, match="before"):
        chip.command(Command.RESET_WQ, 1)
    device.stuck = False

    assert device.written == []
    assert chip.command(Command.RESET_WQ, 1) == 0
    assert device.written == [Command.RESET_WQ]


def test_commands_from_several_threads_do_not_meet(chip: PhysicalDevice) -> None:
    results: dict[int, list[int]] = {}

    def request(entry: int) -> None:
        results[entry] = [chip.command(Command.REQUEST_INT_HANDLE, 1 << 16 | entry) for _ in range(100)]

    threads = [threading.Thread(target=request, args=(entry,)) for entry in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert results == {entry: [entry] * 100 for entry in range(4)}


def test_queue_that_was_not_reset_is_given_to_nobody_else(chip: PhysicalDevice) -> None:
    """Its WQCFG still has the PASID of the VM before: the next one would run in that VM's memory."""
    wq = chip.allocate_wq()
    chip.program_wq(wq, pasid=7, max_xfer_log2=21, max_batch_log2=5)

    with pytest.raises(HostError, match="was not reset"):
        chip.free_wq(wq)

    assert chip.wqs_in_use == 1
    assert wq not in [chip.allocate_wq() for _ in range(chip.num_wqs - 1)]
