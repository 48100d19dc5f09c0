"""The interrupt handle check (DSA specification 5.4, table 5-2): who is refused, why, and that a refusal changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_model.config import DeviceConfig
from device_model.ledger import Kind, Refusal
from device_model.tests.core_rig import (
    BAD_HANDLE,
    CRAV,
    IMS_MASK,
    IMS_PASID_ENABLE,
    IMS_PENDING,
    RAM,
    RCI,
    RCR,
    RECORDS,
    SUCCESS,
    Cmd,
    GuestView,
    Machine,
    firing,
    move,
)

PATTERN = bytes(range(1, 65))


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path) as machine:
        yield machine


@pytest.fixture
def attacker(machine: Machine) -> GuestView:
    return machine.started()


@pytest.fixture
def victim(machine: Machine) -> GuestView:
    return machine.started()


def refusals(machine: Machine) -> list[int]:
    return [record.reason for record in machine.ledger(Kind.REFUSED)]


def test_own_handle_is_taken_and_the_interrupt_arrives_once(machine: Machine, attacker: GuestView) -> None:
    assert attacker.status(firing(RECORDS, attacker.handle)) == SUCCESS
    assert attacker.vectors() == [1]


def test_each_vector_has_an_entry_of_its_own(attacker: GuestView) -> None:
    attacker.run(*(firing(RECORDS, handle) for handle in reversed(attacker.mdev.handles)))

    assert attacker.vectors() == [2, 1]


@pytest.mark.parametrize("handle", [256, 257, 0x7FFF, 0xFFFF])
def test_handle_beyond_the_table_is_out_of_range(machine: Machine, attacker: GuestView, handle: int) -> None:
    assert attacker.status(firing(RECORDS, handle)) == BAD_HANDLE
    assert refusals(machine) == [Refusal.OUT_OF_RANGE]


def test_last_entry_of_the_table_is_in_range(machine: Machine, attacker: GuestView) -> None:
    assert attacker.status(firing(RECORDS, 255)) == BAD_HANDLE
    assert refusals(machine) == [Refusal.NOT_REQUESTED]


def test_own_handle_never_requested_is_refused(machine: Machine) -> None:
    guest = machine.plug()
    guest.bus_master(True)
    guest.enable()

    assert guest.status(firing(RECORDS, guest.handle)) == BAD_HANDLE
    assert refusals(machine) == [Refusal.NOT_REQUESTED]
    assert guest.vectors() == []


def test_released_handle_is_refused_until_requested_again(machine: Machine, attacker: GuestView) -> None:
    attacker.command(Cmd.RELEASE_HANDLE, 1)

    refused = attacker.status(firing(RECORDS, attacker.handle))
    reasons = refusals(machine)
    attacker.command(Cmd.REQUEST_HANDLE, 1)

    assert (refused, reasons) == (BAD_HANDLE, [Refusal.NOT_REQUESTED])
    assert attacker.status(firing(RECORDS, attacker.handle)) == SUCCESS
    assert attacker.vectors() == [1]


def test_handle_released_while_the_descriptor_is_queued_is_refused(machine: Machine, attacker: GuestView) -> None:
    attacker.submit(firing(RECORDS, attacker.handle))
    attacker.command(Cmd.RELEASE_HANDLE, 1)

    machine.step_all()

    assert attacker.record().status == BAD_HANDLE
    assert attacker.vectors() == []


def test_entry_without_pasid_enable_is_refused_to_a_queue_with_it(machine: Machine, attacker: GuestView) -> None:
    control = attacker.ims_control()
    attacker.entry.store.write(attacker.entry.entry, 12, control & ~IMS_PASID_ENABLE)

    assert attacker.status(firing(RECORDS, attacker.handle)) == BAD_HANDLE
    assert refusals(machine) == [Refusal.PASID_ENABLE]
    assert attacker.vectors() == []


def test_entry_with_pasid_enable_is_refused_to_a_queue_without_it(machine: Machine, attacker: GuestView) -> None:
    attacker.command(Cmd.DISABLE_WQ, 1)
    wqcfg = (machine.device.read(0x60, 8) >> 16 & 0xFFFF) * 0x100 + 32 * attacker.mdev.wq
    machine.device.write(wqcfg + 8, 1 | 1 << 4 | attacker.mdev.pasid << 8)
    attacker.command(Cmd.ENABLE_WQ)

    attacker.run(firing(RECORDS, attacker.handle))

    assert refusals(machine) == [Refusal.PASID_ENABLE]
    assert attacker.vectors() == []


def test_forged_handle_is_refused_and_victim_stays_silent(machine: Machine, attacker: GuestView, victim: GuestView) -> None:
    assert attacker.status(firing(RECORDS, victim.handle)) == BAD_HANDLE
    assert refusals(machine) == [Refusal.PASID]
    assert (attacker.vectors(), victim.vectors()) == ([], [])


def test_forged_pasid_and_privilege_are_ignored(machine: Machine, attacker: GuestView, victim: GuestView) -> None:
    forged = firing(RECORDS, victim.handle, first_word=victim.mdev.pasid | 1 << 31)
    own = firing(RECORDS, attacker.handle, first_word=victim.mdev.pasid | 1 << 31)

    assert attacker.status(forged) == BAD_HANDLE
    assert attacker.status(own) == SUCCESS
    assert {record.pasid for record in machine.ledger()} >= {attacker.mdev.pasid} - {victim.mdev.pasid}
    assert (attacker.vectors(), victim.vectors()) == ([1], [])


def test_forged_pasid_does_not_lead_dma_into_the_victims_memory(attacker: GuestView, victim: GuestView) -> None:
    attacker.put(RAM, PATTERN)
    forged = bytearray(move(RAM, RAM + 0x1000, 64))
    forged[:4] = (victim.mdev.pasid | 1 << 31).to_bytes(4, "little")

    assert attacker.status(bytes(forged)) == SUCCESS
    assert attacker.get(RAM + 0x1000, 64) == PATTERN
    assert victim.get(RAM + 0x1000, 64) == bytes(64)


def test_entry_given_to_another_vm_is_refused_to_the_one_before(machine: Machine, attacker: GuestView) -> None:
    former = machine.started()
    handle = former.handle
    machine.unplug(former)
    heir = machine.started()

    assert heir.handle == handle
    assert attacker.status(firing(RECORDS, handle)) == BAD_HANDLE
    assert heir.status(firing(RECORDS, handle)) == SUCCESS
    assert (attacker.vectors(), heir.vectors()) == ([], [1])


def test_released_handle_of_a_victim_is_refused_as_not_requested(
    machine: Machine, attacker: GuestView, victim: GuestView
) -> None:
    victim.command(Cmd.RELEASE_HANDLE, 1)

    assert attacker.status(firing(RECORDS, victim.handle)) == BAD_HANDLE
    assert refusals(machine) == [Refusal.NOT_REQUESTED]


def test_guest_releases_no_handle_but_its_own(machine: Machine, attacker: GuestView, victim: GuestView) -> None:
    statuses = [attacker.command(Cmd.RELEASE_HANDLE, operand) for operand in (3, 255, 0xFFFF, victim.handle | 1 << 16)]
    statuses += [victim.command(Cmd.RELEASE_HANDLE, operand) for operand in (0, attacker.handle)]

    assert statuses == [0x41] * 6
    assert attacker.status(firing(RECORDS, attacker.handle)) == SUCCESS

    assert victim.status(firing(RECORDS, victim.handle)) == SUCCESS


def test_masked_victims_entry_is_refused_and_does_not_become_pending(
    machine: Machine, attacker: GuestView, victim: GuestView
) -> None:
    victim.entry.mask()
    before = victim.ims_control()

    attacker.run(firing(RECORDS, victim.handle))
    after = victim.ims_control()
    victim.entry.unmask()

    assert before == after
    assert not after & IMS_PENDING
    assert attacker.record().status == BAD_HANDLE
    assert victim.vectors() == []


def test_refusal_changes_no_register_and_no_memory_of_the_victim(attacker: GuestView, victim: GuestView) -> None:
    victim.entry.mask()
    before = (victim.registers(), bytes(victim.memory), victim.ims_control())

    attacker.run(*(firing(RECORDS, handle) for handle in [*victim.mdev.handles, 0xFFFF, 255] * 2))

    assert (victim.registers(), bytes(victim.memory), victim.ims_control()) == before
    assert victim.vectors() == []


def test_refused_descriptor_is_not_executed(attacker: GuestView, victim: GuestView) -> None:
    attacker.put(RAM, PATTERN)
    refused = move(RAM, RAM + 0x1000, 64, flags=CRAV | RCR | RCI, handle=victim.handle)

    assert attacker.status(refused) == BAD_HANDLE
    assert attacker.record().bytes_completed == 0
    assert attacker.get(RAM + 0x1000, 64) == bytes(64)


def test_handle_is_checked_before_anything_that_would_fail_with_an_interrupt(
    machine: Machine, attacker: GuestView, victim: GuestView
) -> None:
    bad_opcode_and_handle = bytearray(firing(RECORDS, victim.handle))
    bad_opcode_and_handle[7] = 0x77

    assert attacker.status(bytes(bad_opcode_and_handle)) == BAD_HANDLE
    assert attacker.vectors() == []


def test_descriptor_without_interrupt_request_never_uses_a_handle(machine: Machine, attacker: GuestView) -> None:
    attacker.run(move(RAM, RAM + 0x1000, 64))

    assert machine.ledger(Kind.GRANTED, Kind.REFUSED, Kind.FIRED) == []
    assert attacker.vectors() == []


def test_refusal_without_a_record_goes_to_the_guests_own_swerror(
    machine: Machine, attacker: GuestView, victim: GuestView
) -> None:
    attacker.run(firing(0, victim.handle)[:4] + bytes([RCI]) + bytes(3) + firing(0, victim.handle)[8:])
    error = attacker.swerror()

    assert (error.valid, error.code, error.info_valid, error.info) == (True, BAD_HANDLE, True, victim.handle)
    assert not victim.swerror().valid


def test_host_slot_0_is_not_everybodys(machine: Machine, attacker: GuestView, victim: GuestView) -> None:
    """Handle 0 names the first entry of the store, which belongs to one guest like any other."""
    assert attacker.handle == 0
    assert victim.status(firing(RECORDS, 0)) == BAD_HANDLE
    assert (attacker.vectors(), victim.vectors()) == ([], [])


def test_of_all_65536_handles_a_guest_has_exactly_its_own(tmp_path: Path) -> None:
    config = DeviceConfig(num_wqs=4, total_wq_size=4 * 4096, num_ims=512)
    with Machine(tmp_path, config=config, wq_size=4096) as machine:
        others = [machine.started(vectors=3)]
        guest = machine.started(vectors=3)
        others.append(machine.started(vectors=3))
        statuses = bytearray()
        for first in range(0, 0x10000, 4096):
            guest.run(*(firing(RECORDS + 32 * (handle % 4096), handle) for handle in range(first, first + 4096)))
            statuses += guest.get(RECORDS, 32 * 4096)[::32]
        reasons = Counter(refusals(machine))

        assert [handle for handle, status in enumerate(statuses) if status == SUCCESS] == guest.mdev.handles
        assert Counter(statuses) == {SUCCESS: 3, BAD_HANDLE: 0x10000 - 3}
        assert reasons == {
            Refusal.OUT_OF_RANGE: 0x10000 - 512,
            Refusal.NOT_REQUESTED: 512 - 9,
            Refusal.PASID: 6,
        }
        assert guest.vectors() == [1, 2, 3]
        assert [other.vectors() for other in others] == [[], []]
        assert all(other.ims_control(vector) & (IMS_MASK | IMS_PENDING) == 0 for other in others for vector in (1, 2, 3))
