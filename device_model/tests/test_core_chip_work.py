"""What commands of the physical device do (DSA specification 3.15, 9.2.12): PASIDs, handles, their end, quiet after them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from device_model.config import Feature
from device_model.ledger import Kind
from device_model.tests.chip_rig import ABORT_PASID, DRAIN_PASID, MODE, PASID_ENABLE, Chip
from device_model.tests.core_rig import ACTIVE, CMD, CMDSTATUS, GENCTRL, GENSTS, INTCAUSE, Cmd


@pytest.fixture
def chip() -> Iterator[Chip]:
    with Chip() as chip:
        yield chip


# ---- PASIDs ----


def with_pasids(chip: Chip) -> None:
    """Queues 0 and 2 of PASID 7, queue 1 of PASID 8, queue 3 without; each has one descriptor whose vector is its number + 1."""
    chip.configure(4)
    for wq, pasid in ((0, 7), (1, 8), (2, 7)):
        chip.write(chip.wq(wq, 2), MODE | PASID_ENABLE | pasid << 8)
        chip.write(chip.msixperm + 8 * (wq + 1), pasid << 12 | 8)
    chip.write(chip.wq(3, 2), MODE | 7 << 8)
    chip.succeed(Cmd.ENABLE_DEVICE)
    for wq in range(4):
        chip.succeed(Cmd.ENABLE_WQ, wq)
        chip.request(wq + 1)
        chip.fire(wq + 1, wq=wq)


def test_abort_pasid_drops_what_runs_with_it_and_nothing_else(chip: Chip) -> None:
    with_pasids(chip)

    assert chip.command(ABORT_PASID, 7) == 0
    assert chip.step_all() == 2
    assert sorted(chip.vectors()) == [2, 4]
    assert [chip.wq_state(wq) for wq in range(4)] == [1] * 4


def test_drain_pasid_waits_for_what_runs_with_it(chip: Chip) -> None:
    with_pasids(chip)
    active = chip.command(DRAIN_PASID, 7)
    chip.step_all()

    assert (active, chip.read(CMDSTATUS)) == (ACTIVE, 0)
    assert sorted(chip.vectors()) == [1, 2, 3, 4]


@pytest.mark.parametrize("code", [DRAIN_PASID, ABORT_PASID])
def test_pasid_that_nobody_has_is_no_error(chip: Chip, code: int) -> None:
    with_pasids(chip)

    assert chip.command(code, 0xFFFFF) == 0
    assert chip.step_all() == 4


# ---- interrupt handles ----


@pytest.mark.parametrize("code", [Cmd.REQUEST_HANDLE, Cmd.RELEASE_HANDLE])
@pytest.mark.parametrize("operand", [5, 0xFFFF, 1 << 16 | 256, 1 << 16 | 0xFFFF])
def test_index_outside_its_table_is_0x41(chip: Chip, code: int, operand: int) -> None:
    assert chip.command(code, operand) == 0x41


@pytest.mark.parametrize("operand", [0, 4, 1 << 16, 1 << 16 | 255])
def test_handle_is_the_index_of_its_entry(chip: Chip, operand: int) -> None:
    assert chip.command(Cmd.REQUEST_HANDLE, operand) == (operand & 0xFFFF) << 8
    assert chip.command(Cmd.RELEASE_HANDLE, operand) == 0


def test_requested_handle_works_in_its_own_table_only(chip: Chip) -> None:
    chip.start()
    chip.succeed(Cmd.REQUEST_HANDLE, 1 << 16 | 2)
    chip.run(2)
    refused = chip.swerror().code, chip.vectors()
    chip.request(2)
    chip.run(2)
    granted = chip.vectors()
    chip.succeed(Cmd.RELEASE_HANDLE, 2)
    chip.run(2)

    assert (refused, granted, chip.vectors()) == ((0x19, []), [2], [])


def test_without_handle_commands_every_index_is_a_handle() -> None:
    with Chip(features=Feature.NO_HANDLES) as chip:
        chip.start()
        for vector in (0, 4, 5):
            chip.run(vector)

        assert (chip.vectors(), chip.swerror().code, chip.swerror().info) == ([0, 4], 0x19, 5)


# ---- completion ----


@pytest.mark.parametrize(("code", "status"), [(Cmd.DRAIN_ALL, 0), (Cmd.DISABLE_DEVICE, 0x31), (31, 0x01), (Cmd.RESET_DEVICE, 0)])
def test_end_of_a_command_interrupts_if_asked_for(chip: Chip, code: int, status: int) -> None:
    chip.command(code)
    without = chip.vectors(), chip.read(INTCAUSE)
    answer = chip.command(code, interrupt=True)

    assert (without, answer) == (([], 0), status)
    assert (chip.vectors(), chip.read(INTCAUSE)) == ([0], 2)


def test_each_end_of_a_command_interrupts_though_the_cause_is_not_acknowledged(chip: Chip) -> None:
    for _ in range(3):
        chip.command(Cmd.DRAIN_ALL, interrupt=True)

    assert chip.vectors() == [0, 0, 0]


def test_interrupt_of_a_command_comes_when_it_ends(chip: Chip) -> None:
    chip.start()
    chip.request(3)
    chip.fire(3)
    chip.command(Cmd.DRAIN_ALL, interrupt=True)
    before = chip.read(CMDSTATUS), chip.read(INTCAUSE), chip.vectors()
    chip.step_all()

    assert before == (ACTIVE, 0, [])
    assert (chip.read(CMDSTATUS), chip.read(INTCAUSE), chip.vectors()) == (0, 2, [3, 0])


def test_command_while_one_is_active_is_discarded_and_is_swerror_0x52(chip: Chip) -> None:
    chip.start()
    chip.write(GENCTRL, 1)
    chip.fire(0)
    chip.command(Cmd.DRAIN_ALL)
    chip.write(CMD, Cmd.RESET_DEVICE << 20 | 1 << 31)
    error, vectors = chip.swerror(), chip.vectors()
    chip.step_all()

    assert (error.valid, error.code, vectors) == (True, 0x52, [0])
    assert (chip.read(CMDSTATUS), chip.read(GENSTS), chip.wq_state(0)) == (0, 1, 1)
    assert chip.vectors() == []


# ---- the promise of quiet ----


@pytest.mark.parametrize(("code", "operand"), [(4, 0), (5, 0), (9, 1), (10, 1)])
def test_nothing_is_signalled_after_what_drops(chip: Chip, code: int, operand: int) -> None:
    chip.start()
    chip.request(1)
    chip.fire(1)
    chip.fire(1)
    chip.ledger()

    assert chip.command(code, operand) == 0
    assert chip.step_all() == 0
    assert [record.kind for record in chip.ledger()] == [Kind.ABORTED] * 2


@pytest.mark.parametrize(("code", "operand", "states"), [(2, 0, (0, 0)), (3, 0, (1, 1)), (7, 1, (1, 0)), (8, 1, (1, 1))])
def test_all_is_signalled_before_the_end_of_what_waits(chip: Chip, code: int, operand: int, states: tuple[int, int]) -> None:
    chip.start()
    chip.request(1)
    chip.fire(1)
    chip.command(code, operand, interrupt=True)
    chip.step_all()

    assert chip.vectors() == [1, 0]
    assert (chip.read(GENSTS), chip.wq_state(0)) == states


def test_reset_wq_keeps_the_size_only(chip: Chip) -> None:
    chip.start()
    chip.write(chip.wq(0, 1), 9)
    chip.succeed(Cmd.RESET_WQ, 1)

    assert [chip.read(chip.wq(0, dword)) for dword in range(4)] == [16, 0, 0, 0]
