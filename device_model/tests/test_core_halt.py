"""A virtual device over a work queue that loses bus mastering while enabled, and resets under a command that waits
(DSA specification 5.7, 5.8.2, 9.2.10; PCI Express base specification 6.6.2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from device_model.ledger import Kind
from device_model.tests.core_rig import (
    ACTIVE,
    CMDSTATUS,
    CONFIG,
    GENCTRL,
    GENSTS,
    INTCAUSE,
    PBA,
    RAM,
    RECORDS,
    SUCCESS,
    WQCFG,
    Cmd,
    GuestView,
    Machine,
    firing,
    move,
)

SOFTERR_INT, HALT_INT = 1, 2
SWERR_CAUSE, CMD_CAUSE, HALT_CAUSE = 1, 2, 1 << 4
HALT = 3


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path) as machine:
        yield machine


@pytest.fixture
def other(machine: Machine) -> GuestView:
    return machine.started()


@pytest.fixture
def guest(machine: Machine) -> GuestView:
    """Started, the interrupts of errors and of Halt on."""
    guest = machine.started()
    guest.write(GENCTRL, SOFTERR_INT | HALT_INT)
    return guest


def flr(guest: GuestView) -> None:
    guest.write(0x48, 1 << 15, 2, CONFIG)


# ---- Halt (case 39) ----


def test_losing_bus_mastering_while_enabled_is_halt_with_swerror_0x51(guest: GuestView) -> None:
    guest.bus_master(False)
    error = guest.swerror()

    assert (guest.read(GENSTS), error.valid, error.code) == (HALT, True, 0x51)
    assert guest.read(INTCAUSE) == SWERR_CAUSE | HALT_CAUSE
    assert guest.read(WQCFG + 24) >> 30 == 0


def test_interrupt_of_halt_waits_for_bus_mastering_to_come_back(guest: GuestView) -> None:
    guest.bus_master(False)
    silent, pending = guest.vectors(), guest.read(PBA, 8)
    guest.bus_master(True)

    assert (silent, pending, guest.vectors(), guest.read(GENSTS)) == ([], 1, [0], HALT)


def test_halt_without_its_interrupt_enabled_is_silent(guest: GuestView) -> None:
    guest.write(GENCTRL, 0)
    guest.bus_master(False)
    guest.bus_master(True)

    assert (guest.read(GENSTS), guest.read(INTCAUSE), guest.vectors()) == (HALT, 0, [])


def test_halt_drops_what_is_queued_without_a_trace_in_memory(machine: Machine, guest: GuestView) -> None:
    guest.submit(firing(RECORDS, guest.handle), move(RAM, RAM + 0x1000, 64))
    before = bytes(guest.memory)
    guest.bus_master(False)
    guest.bus_master(True)
    worked = machine.step_all()

    assert (worked, guest.vectors(), bytes(guest.memory)) == (0, [0], before)
    assert (guest.swerror().code, guest.swerror().overflow) == (0x51, False)
    assert len(machine.ledger(Kind.ABORTED)) == 2


def test_halted_device_takes_no_descriptors(machine: Machine, guest: GuestView) -> None:
    guest.bus_master(False)
    guest.bus_master(True)
    guest.submit(firing(RECORDS, guest.handle))

    assert machine.step_all() == 0


@pytest.mark.parametrize("command", sorted({*Cmd} - {Cmd.RESET_DEVICE, Cmd.DRAIN_PASID}))
def test_any_command_but_reset_device_is_0x05_in_halt(guest: GuestView, command: Cmd) -> None:
    guest.bus_master(False)
    guest.bus_master(True)

    assert guest.command(command, 1) == 0x05
    assert guest.read(GENSTS) == HALT


def test_command_that_waits_ends_with_0x03_when_the_device_halts(guest: GuestView) -> None:
    guest.submit(firing(RECORDS, guest.handle))
    active = guest.command(Cmd.DISABLE_DEVICE, interrupt=True)
    guest.bus_master(False)

    assert (active, guest.read(CMDSTATUS), guest.read(GENSTS)) == (ACTIVE, 0x03, HALT)
    assert guest.read(INTCAUSE) == SWERR_CAUSE | CMD_CAUSE | HALT_CAUSE


def test_losing_bus_mastering_while_disabled_is_nothing(machine: Machine) -> None:
    guest = machine.plug()
    guest.bus_master(True)
    guest.bus_master(False)

    assert (guest.read(GENSTS), guest.swerror().valid, guest.read(INTCAUSE)) == (0, False, 0)


def test_reset_device_ends_halt(guest: GuestView) -> None:
    guest.bus_master(False)
    guest.bus_master(True)
    status = guest.command(Cmd.RESET_DEVICE)
    guest.enable()
    guest.command(Cmd.REQUEST_HANDLE, 1)
    guest.vectors()

    assert (status, guest.status(firing(RECORDS, guest.handle)), guest.vectors()) == (0, SUCCESS, [1])


def test_flr_ends_halt(guest: GuestView) -> None:
    guest.bus_master(False)
    flr(guest)
    state = guest.read(GENSTS), guest.read(INTCAUSE), guest.swerror().valid
    guest.start()

    assert state == (0, 0, False)
    assert (guest.status(firing(RECORDS, guest.handle)), guest.vectors()) == (SUCCESS, [1])


def test_halt_of_one_device_leaves_the_others_alone(machine: Machine, guest: GuestView, other: GuestView) -> None:
    other.put(RECORDS, bytes(32))
    other.submit(firing(RECORDS, other.handle))
    guest.submit(firing(RECORDS, guest.handle))
    before = other.registers()
    guest.bus_master(False)
    after = other.registers()
    machine.step_all()

    assert after == before
    assert (other.record().status, other.vectors(), other.read(GENSTS)) == (SUCCESS, [1], 1)


# ---- function-level reset ----


@pytest.mark.parametrize("command", [Cmd.DRAIN_ALL, Cmd.DISABLE_DEVICE])
def test_flr_tells_nobody_of_the_command_that_it_ends(guest: GuestView, command: Cmd) -> None:
    guest.submit(firing(RECORDS, guest.handle))
    active = guest.command(command, interrupt=True)
    flr(guest)

    assert (active, guest.vectors(), guest.read(CMDSTATUS), guest.read(INTCAUSE)) == (ACTIVE, [], 0, 0)
    assert guest.read(PBA, 8) == 0
