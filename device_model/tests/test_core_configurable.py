"""A virtual device that its guest configures (DSA specification 9.2.23, 9.2.24, table 9-7): what may be written when, what is
refused, and that what was configured is what bounds the guest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from device_model.ledger import Drop, Kind
from device_model.tests.core_rig import (
    CRAV,
    RAM,
    RCI,
    RCR,
    RECORDS,
    SUCCESS,
    SWERROR,
    Cmd,
    GuestView,
    Machine,
    descriptor,
    firing,
    move,
)
from device_model.tests.type_drivers import Probed, linux_probe

CFG = "dsa-1dwq-cfg-v1"
SIZE, THRESHOLD, MODE, LIMITS, STATE = 0, 1, 2, 3, 6
GRANTED = 16
"""Descriptors that the host gave the physical queue."""
BATCH = 0x01


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path, wq_size=GRANTED) as machine:
        yield machine


@pytest.fixture
def probed(machine: Machine) -> Probed:
    return linux_probe(machine.plug(1, CFG))


@pytest.fixture
def guest(probed: Probed) -> GuestView:
    return probed.guest


def enable(probed: Probed) -> tuple[int, int]:
    """CMDSTATUS of Enable Device and Enable WQ."""
    return probed.guest.command(Cmd.ENABLE_DEVICE), probed.guest.command(Cmd.ENABLE_WQ)


def wqcfg(probed: Probed) -> list[int]:
    return [probed.guest.read(probed.wq(0, dword)) for dword in range(8)]


# ---- what can be written ----


def test_nothing_is_configured_at_first(probed: Probed) -> None:
    assert wqcfg(probed) == [0, 0, 0, 0, 0, 0, 1 << 29, 0]
    assert [probed.guest.read(probed.grpcfg + 8 * word, 8) for word in range(8)] == [0] * 8


def test_each_field_takes_what_the_specification_gives_it(probed: Probed, guest: GuestView) -> None:
    for dword in range(8):
        guest.write(probed.wq(0, dword), 0xFFFFFFFF)
    for word in range(8):
        guest.write(probed.grpcfg + 8 * word, 2**64 - 1, 8)

    assert wqcfg(probed) == [0xFFFF, 0xFFFF, 0x3FFFFFF3, 0x1FF, 0, 0, 1 << 29, 0]
    assert [guest.read(probed.grpcfg + 8 * word, 8) for word in range(8)] == [1, 0, 0, 0, 1, 0x3F, 0, 0]


def test_fixed_device_takes_no_configuration(machine: Machine) -> None:
    probed = linux_probe(machine.plug(1))
    before = wqcfg(probed)
    probed.group(0, 0, 0, 9)
    probed.queue(0, 3, mode=0, limits=0)

    assert wqcfg(probed) == before
    assert probed.guest.read(probed.grpcfg, 8) == 1


def test_enabled_device_keeps_groups_and_sizes_and_enabled_queue_the_rest(probed: Probed, guest: GuestView) -> None:
    probed.configure(8)
    statuses = enable(probed)
    before = wqcfg(probed)
    probed.group(0, 0, 0)
    probed.queue(0, 4, mode=0, limits=0)
    while_enabled = wqcfg(probed), guest.read(probed.grpcfg, 8)
    guest.command(Cmd.DISABLE_WQ, 1)
    probed.queue(0, 4, mode=1 | 3 << 4, limits=20 | 3 << 5)

    assert statuses == (0, 0)
    assert while_enabled == (before, 1)
    assert wqcfg(probed)[:4] == [8, 0, 1 | 3 << 4, 20 | 3 << 5]


def test_threshold_is_always_the_guests(probed: Probed, guest: GuestView) -> None:
    probed.configure()
    enable(probed)
    guest.write(probed.wq(0, THRESHOLD), 5)

    assert guest.read(probed.wq(0, THRESHOLD)) == 5


def test_reset_wq_keeps_the_size_and_the_group(probed: Probed, guest: GuestView) -> None:
    probed.configure(8)
    enable(probed)
    status = guest.command(Cmd.RESET_WQ, 1)

    assert status == 0
    assert wqcfg(probed)[:4] == [8, 0, 0, 0]
    assert guest.read(probed.grpcfg, 8) == 1


# ---- what is refused ----


@pytest.mark.parametrize(
    ("wqs", "engines", "size", "error"),
    [
        (1, 1, GRANTED + 1, 0x14),
        (1, 0, 8, 0x15),
        (0, 1, 8, 0x15),
        (0, 0, 8, 0x16),
        (1, 1, 0, 0x16),
        (0, 0, 0, 0x00),
        (1, 1, GRANTED, 0x00),
    ],
)
def test_enable_device_checks_groups_and_sizes(probed: Probed, wqs: int, engines: int, size: int, error: int) -> None:
    probed.group(0, wqs, engines)
    probed.queue(0, size)

    assert probed.guest.command(Cmd.ENABLE_DEVICE) == error
    assert probed.guest.read(0x90) == (error == 0)


@pytest.mark.parametrize(
    ("mode", "limits", "error"),
    [
        (0 | 1 << 4, 21 | 5 << 5, 0x24),
        (1 | 1 << 4 | 1 << 1, 21 | 5 << 5, 0x25),
        (1 | 1 << 4 | 1 << 28, 21 | 5 << 5, 0x26),
        (1 | 1 << 4, 21 | 0 << 5, 0x27),
        (1 | 1 << 4, 21 | 6 << 5, 0x27),
        (1 | 1 << 4, 22 | 5 << 5, 0x28),
        (1 | 1 << 4, 21 | 5 << 5, 0x00),
    ],
)
def test_enable_wq_checks_mode_and_limits(probed: Probed, mode: int, limits: int, error: int) -> None:
    probed.configure()
    probed.queue(0, GRANTED, mode=mode, limits=limits)

    assert enable(probed) == (0, error)
    assert probed.guest.read(probed.wq(0, STATE)) >> 30 == (error == 0)


def test_queue_without_a_size_is_not_enabled(probed: Probed) -> None:
    assert enable(probed) == (0, 0x22)


# ---- what bounds ----


@pytest.mark.parametrize("size", [1, 5, GRANTED])
def test_size_bounds_the_queue(machine: Machine, probed: Probed, guest: GuestView, size: int) -> None:
    probed.configure(size)
    enable(probed)
    guest.submit(*(descriptor(0, record=RECORDS + 32 * i) for i in range(size)))
    before = guest.read(SWERROR, 8)
    guest.submit(descriptor(0, record=RECORDS + 32 * size))
    dropped = [record.reason for record in machine.ledger(Kind.DROPPED)]
    machine.step_all()

    assert before == 0
    assert dropped == [Drop.WQ_FULL]
    assert guest.read(SWERROR, 8) >> 8 & 0xFF == 0x53
    assert [guest.record(RECORDS + 32 * i).status for i in range(size + 1)] == [SUCCESS] * size + [0]


def test_smaller_size_of_one_guest_does_not_bound_another_nor_the_next(machine: Machine, probed: Probed) -> None:
    probed.configure(2)
    enable(probed)
    other = linux_probe(machine.plug(1, CFG))
    other.configure()
    enable(other)
    wq = probed.guest.mdev.wq
    machine.unplug(probed.guest)
    following = machine.started(1)  # of the type that is not configured by its guest
    for one in (other.guest, following):
        one.submit(*[descriptor(0)] * GRANTED)

    assert following.mdev.wq == wq
    assert machine.ledger(Kind.DROPPED) == []


@pytest.mark.parametrize(("log2", "status"), [(12, 0x13), (13, SUCCESS), (21, SUCCESS)])
def test_transfer_limit_bounds(probed: Probed, guest: GuestView, log2: int, status: int) -> None:
    probed.configure()
    probed.queue(0, GRANTED, limits=log2 | 5 << 5)
    enable(probed)

    assert guest.status(move(RAM, RAM + 0x10000, 8192)) == status


@pytest.mark.parametrize(("log2", "status"), [(12, 0x13), (13, SUCCESS)])
def test_transfer_limit_bounds_members_of_a_batch_of_moves(probed: Probed, guest: GuestView, log2: int, status: int) -> None:
    probed.configure()
    probed.queue(0, GRANTED, limits=log2 | 5 << 5)
    enable(probed)
    records = [RECORDS + 32 * index for index in range(1, 5)]
    sizes = (4096, 4096, 8192, 4096)
    guest.put(RAM, b"".join(move(RAM, RAM + 0x10000, size, record=at) for size, at in zip(sizes, records, strict=True)))

    guest.run(descriptor(BATCH, record=RECORDS, source=RAM, size=4, flags=CRAV | RCR))

    assert [guest.record(at).status for at in records] == [SUCCESS, SUCCESS, status, SUCCESS]


@pytest.mark.parametrize(("log2", "status"), [(1, 0x14), (2, SUCCESS), (5, SUCCESS)])
def test_batch_limit_bounds(probed: Probed, guest: GuestView, log2: int, status: int) -> None:
    probed.configure()
    probed.queue(0, GRANTED, limits=21 | log2 << 5)
    enable(probed)
    guest.put(RAM, descriptor(0, flags=0) * 4)

    assert guest.status(descriptor(BATCH, record=RECORDS, source=RAM, size=4, flags=CRAV | RCR)) == status


def test_limits_reach_the_physical_queue_and_only_ones_own(machine: Machine, probed: Probed, guest: GuestView) -> None:
    other = linux_probe(machine.plug(1, CFG))
    other.configure()
    enable(other)
    host = [machine.device.read(0x800 + 32 * wq + 12) for wq in range(machine.chip.num_wqs)]
    probed.configure()
    probed.queue(0, GRANTED, limits=13 | 2 << 5)
    before = machine.device.read(0x800 + 32 * guest.mdev.wq + 12)
    enable(probed)
    after = [machine.device.read(0x800 + 32 * wq + 12) for wq in range(machine.chip.num_wqs)]

    assert before == 21 | 5 << 5, "nothing of the guest's reaches the hardware before it is checked"
    assert after[guest.mdev.wq] == 13 | 2 << 5
    assert [one for wq, one in enumerate(after) if wq != guest.mdev.wq] == [
        one for wq, one in enumerate(host) if wq != guest.mdev.wq
    ]


def test_host_programs_pasid_and_mode_whatever_the_guest_wrote(machine: Machine, probed: Probed, guest: GuestView) -> None:
    probed.configure()
    guest.write(probed.wq(0, MODE), 1 | 15 << 4 | 0x12345 << 8)
    enable(probed)
    mode = machine.device.read(0x800 + 32 * guest.mdev.wq + 8)

    assert mode == 1 | 1 << 4 | guest.mdev.pasid << 8 | 1 << 28


def test_interrupts_work_as_on_a_fixed_device(machine: Machine, probed: Probed, guest: GuestView) -> None:
    probed.configure(4)
    enable(probed)
    handle = guest.command(Cmd.REQUEST_HANDLE, 1) >> 8
    neighbour = machine.started()

    assert handle == guest.handle
    assert guest.status(firing(RECORDS, handle)) == SUCCESS
    assert guest.status(firing(RECORDS, neighbour.handle)) == 0x19
    assert guest.status(descriptor(0, record=RECORDS, flags=CRAV | RCR | RCI, handle=handle)) == SUCCESS
    assert (guest.vectors(), neighbour.vectors()) == ([1, 1], [])


# ---- handles ----


def test_index_is_released_before_a_handle_of_the_same_number(machine: Machine) -> None:
    """Entries are given out in order: the first guest's vector 1 has handle 0, vector 2 handle 1 (9.2.12)."""
    guest = machine.started(vectors=3)
    handles = guest.mdev.handles
    released = guest.command(Cmd.RELEASE_HANDLE, 1)
    guest.run(*(firing(RECORDS + 32 * i, handle) for i, handle in enumerate(handles)))

    assert handles == [0, 1, 2]
    assert released == 0
    assert [guest.record(RECORDS + 32 * i).status for i in range(3)] == [0x19, SUCCESS, SUCCESS]
    assert guest.vectors() == [2, 3]


@pytest.mark.parametrize("others", [0, 1, 4])
def test_one_vector_is_released_by_index_and_by_handle(machine: Machine, others: int) -> None:
    """With the one vector that Linux needs, both readings of the operand are the same."""
    _ = [machine.create(1) for _ in range(others)]
    guest = machine.started(vectors=1)
    by_handle = guest.command(Cmd.RELEASE_HANDLE, guest.handle)
    again = guest.command(Cmd.RELEASE_HANDLE, guest.handle)
    guest.command(Cmd.REQUEST_HANDLE, 1)

    assert (by_handle, again) == (0, 0x41)
    assert guest.command(Cmd.RELEASE_HANDLE, 1) == 0


@pytest.mark.parametrize("operand", [1 << 17 | 1, 1 << 18 | 1, 1 << 19 | 1])
def test_reserved_bits_of_release_are_refused(machine: Machine, operand: int) -> None:
    assert machine.started().command(Cmd.RELEASE_HANDLE, operand) == 0x04
