"""From a completion to the VM: mask, pending and ignore at both levels, and messages that nobody may get."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from device_model.ledger import Kind
from device_model.tests.core_rig import (
    IMS_IGNORE,
    IMS_MASK,
    IMS_PASID_ENABLE,
    IMS_PENDING,
    MSIX_TABLE,
    MSIXPERM,
    PBA,
    RECORDS,
    SUCCESS,
    Cmd,
    GuestView,
    Machine,
    firing,
)
from host_ctl.physical import Command

Action = Callable[[GuestView], None]

LEVELS: dict[str, tuple[Action, Action]] = {
    "ims_mask": (lambda g: g.entry.mask(), lambda g: g.entry.unmask()),
    "msix_vector_mask": (lambda g: g.mask_vector(1, True), lambda g: g.mask_vector(1, False)),
    "msix_function_mask": (lambda g: g.msix_control(function_mask=True), lambda g: g.msix_control()),
    "msix_disabled": (lambda g: g.msix_control(enable=False), lambda g: g.msix_control()),
}
"""How an interrupt is held back, and let go. Bus mastering is apart: it also takes the memory away."""

RESET_ADDRESS = 0xFEE0_0000


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path) as machine:
        yield machine


@pytest.fixture
def guest(machine: Machine) -> GuestView:
    return machine.started()


@pytest.fixture
def other(machine: Machine) -> GuestView:
    return machine.started()


def fire(guest: GuestView, times: int = 1) -> None:
    guest.run(*[firing(RECORDS, guest.handle)] * times)


# ---- mask and pending ----


@pytest.mark.parametrize("level", LEVELS)
def test_held_back_interrupt_is_pending_and_sent_exactly_once(guest: GuestView, level: str) -> None:
    hold, let_go = LEVELS[level]
    hold(guest)
    fire(guest)
    held, pending = guest.vectors(), guest.read(PBA, 8)
    let_go(guest)

    assert (held, pending) == ([], 1 << 1)
    assert guest.vectors() == [1]
    assert guest.read(PBA, 8) == 0
    hold(guest)
    let_go(guest)
    assert guest.vectors() == []


@pytest.mark.parametrize("level", LEVELS)
def test_many_interrupts_held_back_become_one(guest: GuestView, level: str) -> None:
    hold, let_go = LEVELS[level]
    hold(guest)
    fire(guest, times=5)
    let_go(guest)

    assert guest.vectors() == [1]


@pytest.mark.parametrize("level", LEVELS)
def test_nothing_held_back_nothing_sent(guest: GuestView, level: str) -> None:
    hold, let_go = LEVELS[level]
    hold(guest)
    let_go(guest)

    assert guest.vectors() == []


@pytest.mark.parametrize("level", LEVELS)
def test_holding_one_guest_back_holds_no_other(guest: GuestView, other: GuestView, level: str) -> None:
    LEVELS[level][0](guest)
    fire(other)

    assert other.vectors() == [1]


def test_vector_mask_holds_one_vector_only(guest: GuestView) -> None:
    guest.mask_vector(1, True)
    guest.run(*(firing(RECORDS, handle) for handle in guest.mdev.handles))

    assert guest.vectors() == [2]
    assert guest.read(PBA, 8) == 1 << 1


def test_mask_at_both_levels_needs_both_to_end(guest: GuestView) -> None:
    guest.entry.mask()
    guest.mask_vector(1, True)
    fire(guest)
    guest.entry.unmask()
    after_ims = guest.vectors()
    guest.mask_vector(1, False)

    assert after_ims == []
    assert guest.vectors() == [1]


def test_without_bus_mastering_a_pending_interrupt_waits(guest: GuestView) -> None:
    guest.mask_vector(1, True)
    fire(guest)
    guest.bus_master(False)
    guest.mask_vector(1, False)
    held = guest.vectors()
    guest.bus_master(True)

    assert held == []
    assert guest.vectors() == [1]


def test_without_bus_mastering_there_is_neither_a_record_nor_an_interrupt(guest: GuestView) -> None:
    guest.put(RECORDS, bytes(32))
    guest.submit(firing(RECORDS, guest.handle))
    guest.bus_master(False)
    status = guest.status(firing(RECORDS, guest.handle))
    silent = guest.vectors()
    guest.bus_master(True)

    assert (status, silent) == (0, [])
    assert guest.vectors() == []
    assert guest.swerror().code == 0x51


def test_ignore_drops_the_interrupt_without_pending(machine: Machine, guest: GuestView) -> None:
    guest.write(MSIXPERM + 8, IMS_IGNORE)
    fire(guest)
    pending = guest.read(PBA, 8)
    guest.write(MSIXPERM + 8, 0)

    assert pending == 0
    assert guest.record().status == SUCCESS
    assert guest.vectors() == []
    assert len(machine.ledger(Kind.IGNORED)) == 1


def test_ignore_set_while_pending_does_not_stop_the_message(guest: GuestView) -> None:
    guest.entry.mask()
    fire(guest)
    guest.write(MSIXPERM + 8, IMS_IGNORE)
    guest.entry.unmask()

    assert guest.vectors() == [1]


def test_mask_and_unmask_by_the_host_keep_the_guests_ignore(guest: GuestView) -> None:
    guest.write(MSIXPERM + 8, IMS_IGNORE)
    guest.entry.mask()
    guest.entry.unmask()
    fire(guest)

    assert guest.ims_control() & IMS_IGNORE
    assert guest.vectors() == []


def test_msix_permissions_of_a_guest_reach_only_its_own_entry(guest: GuestView, other: GuestView) -> None:
    before = other.ims_control()
    guest.write(MSIXPERM + 8, 0xFFFF_FFFF)

    assert other.ims_control() == before
    assert guest.ims_control() >> 12 == guest.mdev.pasid
    assert guest.ims_control() & IMS_PASID_ENABLE


def test_message_is_the_vectors_address_and_data(guest: GuestView) -> None:
    guest.write(MSIX_TABLE + 16, 0xFEE1_2340, 8)
    guest.write(MSIX_TABLE + 24, 0x4321)
    fire(guest)
    guest.sync()

    (interrupt,) = guest.client.interrupts
    assert (interrupt.address, interrupt.data) == (0xFEE1_2340, 0x4321)


def test_guests_message_reaches_no_register_of_the_hardware(guest: GuestView) -> None:
    slot = 0x10000 + 16 * guest.entry.entry
    before = guest.machine.device.read(slot, 8), guest.machine.device.read(slot + 8, 4)
    guest.write(MSIX_TABLE + 16, 0xFEE7_7770, 8)
    guest.write(MSIX_TABLE + 24, 0x77, 8)

    assert (guest.machine.device.read(slot, 8), guest.machine.device.read(slot + 8, 4)) == before


# ---- messages that nobody may get ----


def test_cleared_remapping_entry_blocks(machine: Machine, guest: GuestView, other: GuestView) -> None:
    machine.device.remap_clear(guest.entry.message[0] >> 5 & 0x7FFF)
    machine.ledger()
    fire(guest)

    assert [record.kind for record in machine.ledger(Kind.BLOCKED, Kind.REMAPPED, Kind.INJECTED)] == [Kind.BLOCKED]
    assert (guest.vectors(), other.vectors()) == ([], [])


def test_message_not_in_remappable_format_is_blocked(machine: Machine, guest: GuestView, other: GuestView) -> None:
    guest.entry.store.write(guest.entry.entry, 0, RESET_ADDRESS)
    machine.ledger()
    fire(guest)

    assert [record.kind for record in machine.ledger(Kind.BLOCKED, Kind.REMAPPED)] == [Kind.BLOCKED]
    assert (guest.vectors(), other.vectors()) == ([], [])


def test_interrupt_of_an_unattached_vdev_is_lost_and_reaches_nobody(
    machine: Machine, guest: GuestView, other: GuestView
) -> None:
    guest.entry.mask()
    fire(guest)
    guest.disconnect()
    machine.ledger()
    guest.entry.unmask()

    kinds = [record.kind for record in machine.ledger()]
    assert kinds == [Kind.FIRED, Kind.REMAPPED, Kind.LOST]
    assert other.vectors() == []


def test_lost_interrupt_does_not_reach_the_next_client(machine: Machine, guest: GuestView) -> None:
    guest.entry.mask()
    fire(guest)
    guest.disconnect()
    guest.entry.unmask()
    guest.connect()

    assert guest.vectors() == []


def test_unknown_pasid_faults(machine: Machine, guest: GuestView, other: GuestView) -> None:
    machine.device.pasid_clear(guest.mdev.pasid)
    before = bytes(guest.memory), bytes(other.memory)
    guest.run(firing(RECORDS, guest.handle))

    assert (bytes(guest.memory), bytes(other.memory)) == before
    assert guest.swerror().code == 0x1A


# ---- the end of pending ----


def test_release_clears_pending(guest: GuestView) -> None:
    guest.entry.mask()
    fire(guest)
    before = guest.ims_control() & IMS_PENDING
    guest.command(Cmd.RELEASE_HANDLE, 1)
    guest.entry.unmask()

    assert before
    assert guest.vectors() == []


def test_heir_of_an_entry_does_not_inherit_pending(machine: Machine, guest: GuestView) -> None:
    guest.entry.mask()
    fire(guest)
    entry = guest.entry.entry
    machine.unplug(guest)
    heir = machine.started()
    heir.mask_vector(1, True)
    heir.mask_vector(1, False)

    assert heir.entry.entry == entry
    assert heir.read(PBA, 8) == 0
    assert heir.vectors() == []


def test_reset_device_of_the_hardware_wipes_the_whole_store(machine: Machine, guest: GuestView, other: GuestView) -> None:
    other.entry.mask()
    fire(other)
    machine.chip.command(Command.RESET_DEVICE)
    values = {(machine.device.read(0x10000 + 16 * i, 8), machine.device.read(0x10000 + 16 * i + 8, 8)) for i in range(256)}
    other.entry.unmask()

    assert values == {(RESET_ADDRESS, IMS_MASK << 32)}
    assert (guest.vectors(), other.vectors()) == ([], [])


@pytest.mark.parametrize("level", ["ims_mask", "msix_vector_mask"])
@pytest.mark.parametrize("reset", ["command", "device", "function"])
def test_reset_of_a_vdsa_clears_pending_and_ignore(guest: GuestView, level: str, reset: str) -> None:
    resets: dict[str, Action] = {
        "command": lambda g: g.write(0xA0, Cmd.RESET_DEVICE << 20),
        "device": lambda g: g.client.reset(),
        "function": lambda g: g.write(0x48, 1 << 15, 2, 7),
    }
    LEVELS[level][0](guest)
    fire(guest)
    guest.write(MSIXPERM + 8, IMS_IGNORE)
    resets[reset](guest)
    pending, permissions = guest.read(PBA, 8), guest.read(MSIXPERM + 8)
    LEVELS[level][1](guest)
    guest.start()

    assert (pending, permissions) == (0, 0)
    assert not guest.ims_control() & IMS_IGNORE
    assert guest.vectors() == []
    fire(guest)
    assert guest.vectors() == [1]


@pytest.mark.parametrize("reset", ["command", "device"])
def test_reset_of_a_vdsa_touches_nobody_else(machine: Machine, guest: GuestView, other: GuestView, reset: str) -> None:
    other.entry.mask()
    fire(other)
    before = other.registers(), other.ims_control()
    resets: dict[str, Action] = {
        "command": lambda g: g.write(0xA0, Cmd.RESET_DEVICE << 20),
        "device": lambda g: g.client.reset(),
    }
    resets[reset](guest)

    assert (other.registers(), other.ims_control()) == before
    other.entry.unmask()
    fire(other)
    assert other.vectors() == [1, 1]
