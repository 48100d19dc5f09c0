"""Commands (DSA specification 9.2.12, 9.2.13, 3.10): error codes, states, and the promise of quiet after them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from device_model.ledger import Drop, Kind
from device_model.tests.core_rig import (
    ACTIVE,
    CMD,
    CMDSTATUS,
    GENCTRL,
    GENSTS,
    INTCAUSE,
    RAM,
    RAM_SIZE,
    RECORDS,
    SUCCESS,
    WQCFG,
    Cmd,
    GuestView,
    Machine,
    firing,
    move,
)

WQ_STATE = WQCFG + 24
STOPS = {
    "abort_wq": (Cmd.ABORT_WQ, 1),
    "abort_all": (Cmd.ABORT_ALL, 0),
    "reset_wq": (Cmd.RESET_WQ, 1),
    "reset_device": (Cmd.RESET_DEVICE, 0),
}
"""Commands that drop what is queued."""
WAITS = {
    "drain_wq": (Cmd.DRAIN_WQ, 1),
    "drain_all": (Cmd.DRAIN_ALL, 0),
    "disable_wq": (Cmd.DISABLE_WQ, 1),
    "disable_device": (Cmd.DISABLE_DEVICE, 0),
}
"""Commands that wait for what is queued."""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path) as machine:
        yield machine


@pytest.fixture
def fresh(machine: Machine) -> GuestView:
    return machine.plug()


@pytest.fixture
def guest(machine: Machine) -> GuestView:
    return machine.started()


def queue_three(guest: GuestView) -> bytes:
    """Three descriptors that would write memory and interrupt; the memory as it is before."""
    guest.submit(*(firing(RECORDS + 32 * i, guest.handle) for i in range(3)))
    return bytes(guest.memory)


# ---- error codes ----


def test_enable_device_without_bus_mastering_is_0x12(fresh: GuestView) -> None:
    assert fresh.command(Cmd.ENABLE_DEVICE) == 0x12
    assert fresh.read(GENSTS) == 0


def test_enable_device_twice_is_0x10(guest: GuestView) -> None:
    assert guest.command(Cmd.ENABLE_DEVICE) == 0x10


def test_disable_device_that_is_disabled_is_0x31(fresh: GuestView) -> None:
    assert fresh.command(Cmd.DISABLE_DEVICE) == 0x31


def test_enable_wq_of_a_disabled_device_is_0x20(fresh: GuestView) -> None:
    assert fresh.command(Cmd.ENABLE_WQ) == 0x20


def test_enable_wq_twice_is_0x21(guest: GuestView) -> None:
    assert guest.command(Cmd.ENABLE_WQ) == 0x21


@pytest.mark.parametrize(("operand", "error"), [(1, 0x02), (0xFF, 0x02), (0x100, 0x04), (0xFFFFF, 0x04)])
def test_enable_wq_takes_no_other_queue(guest: GuestView, operand: int, error: int) -> None:
    guest.command(Cmd.DISABLE_WQ, 1)

    assert guest.command(Cmd.ENABLE_WQ, operand) == error


def test_enable_wq_with_pasid_enable_in_the_guests_wqcfg_is_0x26(guest: GuestView) -> None:
    guest.command(Cmd.DISABLE_WQ, 1)
    guest.write(WQCFG + 8, guest.read(WQCFG + 8) | 1 << 28 | 5 << 8)

    assert guest.command(Cmd.ENABLE_WQ) == 0x26


@pytest.mark.parametrize("command", [Cmd.DISABLE_WQ, Cmd.DRAIN_WQ, Cmd.ABORT_WQ])
def test_command_to_a_queue_that_is_not_enabled_is_0x32(guest: GuestView, command: Cmd) -> None:
    guest.command(Cmd.DISABLE_WQ, 1)

    assert guest.command(command, 1) == 0x32


@pytest.mark.parametrize("command", [Cmd.DISABLE_WQ, Cmd.DRAIN_WQ, Cmd.ABORT_WQ])
def test_command_to_a_queue_that_the_host_drains_is_0x32(machine: Machine, guest: GuestView, command: Cmd) -> None:
    guest.submit(firing(RECORDS, guest.handle))
    machine.device.write(CMD, Cmd.DISABLE_WQ << 20 | 1 << guest.mdev.wq)
    state, status = guest.read(WQ_STATE) >> 30, guest.command(command, 1)
    machine.step_all()

    assert (state, status, guest.read(WQ_STATE) >> 30) == (2, 0x32, 0)


@pytest.mark.parametrize("operand", [0b10, 0b11, 0x8000, 0x1_0001, 0xF_0001, 0xFFFFF])
@pytest.mark.parametrize("command", [Cmd.DISABLE_WQ, Cmd.DRAIN_WQ, Cmd.ABORT_WQ, Cmd.RESET_WQ])
def test_queues_of_others_cannot_be_named(machine: Machine, guest: GuestView, command: Cmd, operand: int) -> None:
    other = machine.started()

    assert guest.command(command, operand) == 0x02
    assert guest.read(WQ_STATE) >> 30 == 1
    assert other.status(firing(RECORDS, other.handle)) == SUCCESS


def test_reset_wq_of_a_disabled_queue_succeeds(guest: GuestView) -> None:
    guest.command(Cmd.DISABLE_WQ, 1)

    assert guest.command(Cmd.RESET_WQ, 1) == 0


@pytest.mark.parametrize("command", [0, Cmd.DRAIN_PASID, 12, 15, 16, 17, 31])
def test_command_not_in_cmdcap_is_0x01(guest: GuestView, command: int) -> None:
    assert guest.command(command) == 0x01


@pytest.mark.parametrize(
    ("operand", "error"), [(0, 0x41), (3, 0x41), (0xFFFF, 0x41), (1 << 16 | 1, 0x41), (1 << 17 | 1, 0x04), (1 << 19, 0x04)]
)
def test_handle_of_a_bad_index_is_refused(guest: GuestView, operand: int, error: int) -> None:
    assert guest.command(Cmd.REQUEST_HANDLE, operand) == error


def test_release_takes_the_index_of_the_specification_and_the_handle_of_linux(machine: Machine) -> None:
    machine.started(vectors=4)  # so that the next one's handles are no indices of its table
    guest = machine.started()

    assert guest.command(Cmd.RELEASE_HANDLE, 1) == 0
    assert guest.command(Cmd.RELEASE_HANDLE, guest.mdev.handles[1]) == 0
    assert guest.command(Cmd.RELEASE_HANDLE, 1) == 0x41
    guest.run(*(firing(RECORDS, handle) for handle in guest.mdev.handles))
    assert guest.vectors() == []


@pytest.mark.parametrize("name", ["drain_all", "abort_all", "reset_device", "reset_wq"])
def test_commands_that_check_nothing_succeed_on_a_disabled_device(fresh: GuestView, name: str) -> None:
    command, operand = (STOPS | WAITS)[name]

    assert fresh.command(command, operand) == 0


def test_success_leaves_the_whole_status_word_zero(fresh: GuestView) -> None:
    fresh.bus_master(True)
    steps = [(Cmd.ENABLE_DEVICE, 0), (Cmd.ENABLE_WQ, 0), (Cmd.DRAIN_WQ, 1), (Cmd.DISABLE_WQ, 1), (Cmd.DISABLE_DEVICE, 0)]

    assert [fresh.command(command, operand) for command, operand in steps] == [0] * 5


# ---- states and completion ----


def test_states_follow_the_commands(fresh: GuestView) -> None:
    fresh.bus_master(True)
    seen = [(fresh.read(GENSTS), fresh.read(WQ_STATE) >> 30)]
    for command, operand in ((1, 0), (6, 0), (7, 1), (2, 0)):
        fresh.command(Cmd(command), operand)
        seen.append((fresh.read(GENSTS), fresh.read(WQ_STATE) >> 30))

    assert seen == [(0, 0), (1, 0), (1, 1), (1, 0), (0, 0)]


def test_command_that_waits_is_active_and_its_queue_is_draining(machine: Machine, guest: GuestView) -> None:
    queue_three(guest)
    active = guest.command(Cmd.DISABLE_DEVICE)
    states = guest.read(GENSTS), guest.read(WQ_STATE) >> 30
    machine.step_all()

    assert active == ACTIVE
    assert states == (2, 2)
    assert (guest.read(CMDSTATUS), guest.read(GENSTS), guest.read(WQ_STATE) >> 30) == (0, 0, 0)


def test_completion_interrupt_comes_if_asked_for_and_says_why(guest: GuestView) -> None:
    guest.command(Cmd.DRAIN_WQ, 1)
    without = guest.vectors(), guest.read(INTCAUSE)
    guest.command(Cmd.DRAIN_WQ, 1, interrupt=True)

    assert without == ([], 0)
    assert (guest.vectors(), guest.read(INTCAUSE)) == ([0], 0b10)
    guest.write(INTCAUSE, 0b10)
    assert guest.read(INTCAUSE) == 0


def test_each_completion_interrupts_even_while_intcause_is_set(guest: GuestView) -> None:
    for _ in range(3):
        guest.command(Cmd.DRAIN_WQ, 1, interrupt=True)

    assert guest.vectors() == [0, 0, 0]


def test_failed_command_interrupts_too(guest: GuestView) -> None:
    assert guest.command(Cmd.ENABLE_DEVICE, interrupt=True) == 0x10
    assert guest.vectors() == [0]


def test_command_while_one_is_active_is_discarded_with_swerror_0x52(machine: Machine, guest: GuestView) -> None:
    queue_three(guest)
    guest.write(GENCTRL, 1)
    guest.command(Cmd.DRAIN_WQ, 1)
    guest.command(Cmd.RESET_DEVICE)
    error, causes, vectors = guest.swerror(), guest.read(INTCAUSE), guest.vectors()
    machine.step_all()

    assert (error.valid, error.code) == (True, 0x52)
    assert (causes, vectors) == (0b01, [0])
    assert guest.read(GENSTS) == 1
    assert guest.vectors() == [1, 1, 1]
    assert guest.read(CMDSTATUS) == 0


def test_command_of_one_guest_does_not_keep_another_waiting(machine: Machine, guest: GuestView) -> None:
    other = machine.started()
    queue_three(guest)

    assert guest.command(Cmd.DRAIN_WQ, 1) == ACTIVE
    assert other.command(Cmd.DRAIN_WQ, 1) == 0
    assert other.command(Cmd.RESET_DEVICE) == 0


def test_narrow_writes_to_cmd_are_ignored(guest: GuestView) -> None:
    for size in (1, 2):
        guest.write(CMD + 4 - size, 0x50, size)

    assert guest.read(GENSTS) == 1


# ---- the promise of quiet ----


@pytest.mark.parametrize("name", STOPS)
def test_nothing_is_written_or_signalled_after_what_drops(machine: Machine, guest: GuestView, name: str) -> None:
    before = queue_three(guest)
    machine.ledger()

    assert guest.command(*STOPS[name]) == 0
    assert machine.step_all() == 0
    assert bytes(guest.memory) == before
    assert guest.vectors() == []
    assert [record.kind for record in machine.ledger()] == [Kind.ABORTED] * 3


@pytest.mark.parametrize("name", WAITS)
def test_all_is_written_and_signalled_before_the_end_of_what_waits(machine: Machine, guest: GuestView, name: str) -> None:
    queue_three(guest)
    command, operand = WAITS[name]
    guest.command(command, operand, interrupt=True)
    machine.step_all()

    assert [guest.record(RECORDS + 32 * i).status for i in range(3)] == [SUCCESS] * 3
    assert guest.vectors() == [1, 1, 1, 0]


def test_drain_waits_only_for_what_was_queued_before(machine: Machine, guest: GuestView) -> None:
    queue_three(guest)
    guest.command(Cmd.DRAIN_WQ, 1)
    guest.submit(firing(RECORDS, guest.handle))
    for _ in range(3):
        machine.device.step()
    status = guest.read(CMDSTATUS)

    assert status == 0
    assert machine.step_all() == 1


def test_queue_that_is_being_disabled_takes_nothing_more(machine: Machine, guest: GuestView) -> None:
    queue_three(guest)
    guest.command(Cmd.DISABLE_WQ, 1)
    machine.ledger()
    guest.submit(firing(RECORDS, guest.handle))

    assert [(record.kind, record.reason) for record in machine.ledger()] == [(Kind.DROPPED, Drop.WQ_DISABLED)]
    assert machine.step_all() == 3


@pytest.mark.parametrize("name", ["device", "function"])
def test_reset_of_the_function_drops_what_is_queued(machine: Machine, guest: GuestView, name: str) -> None:
    before = queue_three(guest)
    resets: dict[str, Callable[[], None]] = {
        "device": guest.client.reset,
        "function": lambda: guest.write(0x48, 1 << 15, 2, 7),
    }
    resets[name]()

    assert machine.step_all() == 0
    assert bytes(guest.memory) == before
    assert guest.vectors() == []
    assert (guest.read(GENSTS), guest.read(WQ_STATE) >> 30) == (0, 0)


def test_reset_ends_a_command_that_waits(machine: Machine, guest: GuestView) -> None:
    queue_three(guest)
    guest.command(Cmd.DRAIN_WQ, 1)
    guest.client.reset()

    assert guest.read(CMDSTATUS) == 0
    assert guest.start().status(firing(RECORDS, guest.handle)) == SUCCESS


def test_destroyed_mdev_never_writes_or_signals_again(machine: Machine, guest: GuestView) -> None:
    memory = memoryview(guest.memory)
    before = queue_three(guest)
    handle = guest.handle
    machine.unplug(guest)
    heir = machine.started()

    assert heir.handle == handle
    assert machine.step_all() == 0
    assert bytes(memory) == before
    assert heir.vectors() == []
    assert bytes(heir.memory) == bytes(RAM_SIZE)
    memory.release()


def test_destroying_with_a_command_that_waits_ends_it(machine: Machine, guest: GuestView) -> None:
    queue_three(guest)
    guest.command(Cmd.DISABLE_DEVICE, interrupt=True)
    machine.unplug(guest)

    assert machine.step_all() == 0
    assert machine.started().status(firing(RECORDS, machine.guests[-1].handle)) == SUCCESS


def test_abort_of_one_queue_leaves_the_others_work(machine: Machine, guest: GuestView) -> None:
    other = machine.started()
    queue_three(other)
    queue_three(guest)
    guest.command(Cmd.ABORT_WQ, 1)

    assert machine.step_all() == 3
    assert other.vectors() == [1, 1, 1]


def test_queue_can_be_used_again_after_each_stop(machine: Machine, guest: GuestView) -> None:
    for name in ("abort_wq", "reset_wq"):
        guest.command(*STOPS[name])
        guest.command(Cmd.ENABLE_WQ)
        assert guest.status(move(RAM, RAM + 64, 8)) == SUCCESS


def test_reset_wq_wipes_what_the_guest_may_configure(guest: GuestView) -> None:
    guest.write(WQCFG + 4, 0x1234)
    threshold = guest.read(WQCFG + 4)
    guest.command(Cmd.RESET_WQ, 1)

    assert (threshold, guest.read(WQCFG + 4)) == (0x1234, 0)


def test_guest_changes_no_configuration_of_the_hardware(machine: Machine, guest: GuestView) -> None:
    guest.command(Cmd.DISABLE_WQ, 1)
    base = 0x800 + 32 * guest.mdev.wq
    before = [machine.device.read(base + 4 * i) for i in range(8)]
    for offset in range(WQCFG, WQCFG + 32, 4):
        guest.write(offset, 0xFFFF_FFFF)

    assert [machine.device.read(base + 4 * i) for i in range(8)] == before
    assert guest.read(WQCFG + 8) & 1
    assert guest.read(WQCFG) == machine.chip.wq_size
