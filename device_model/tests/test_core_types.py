"""Every mdev type: registers as drivers need them, their set-up replayed, and resets that touch nobody else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from device_model.ledger import NO_ENTRY, Kind
from device_model.tests.core_rig import (
    BAD_HANDLE,
    BAR2,
    CONFIG,
    CRAV,
    GENSTS,
    INTCAUSE,
    RAM,
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
from device_model.tests.type_drivers import (
    CMDCAP,
    ENGCAP,
    GENCAP,
    GRPCAP,
    OPCAP,
    WQCAP,
    Probed,
    linux_bind,
    linux_handle,
    linux_probe,
    linux_unbind,
    polled_set_up,
)
from device_model.vfio_user_protocol import IrqFlags
from host_ctl.account import LedgerAccount

FIXED, CFG, PF, IAX = "dsa-1dwq-v1", "dsa-1dwq-cfg-v1", "dsa-pf-v1", "iax-1dwq-v1"
LINUX = {FIXED: 1, CFG: 1, PF: 4, IAX: 1}
"""Vectors besides vector 0 that Linux needs: as many as work queues."""
ALL = list(LINUX)
LIMITED_PORTAL, STRIDE = 0x1000, 0x4000
RESETS: dict[str, Callable[[GuestView], object]] = {
    "flr": lambda guest: guest.write(0x48, 1 << 15, 2, CONFIG),
    "device_reset": lambda guest: guest.client.reset(),
    "reset_device": lambda guest: guest.command(Cmd.RESET_DEVICE),
    "bus_master": lambda guest: guest.bus_master(False),
}
NOOP_WITH_RECORD = descriptor(0, record=RECORDS)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path) as machine:
        yield machine


def started(machine: Machine, name: str) -> tuple[GuestView, Probed, int]:
    """A guest whose driver has bound queue 0, and the handle of vector 1."""
    guest = machine.plug(LINUX[name], name)
    probed = linux_probe(guest)
    linux_bind(probed)
    return guest, probed, linux_handle(probed)


# ---- what a driver reads ----


@pytest.mark.parametrize(
    ("name", "gencap", "wqcap", "groups", "engines", "cmdcap"),
    [
        (FIXED, 0x100B52016, 1 << 49 | 1 << 16 | 16, 1, 1, 0x67FE),
        (CFG, 0x180B52016, 1 << 49 | 1 << 16 | 16, 1, 1, 0x67FE),
        (PF, 0x180B52016, 0b1101 << 49 | 4 << 16 | 128, 4, 2, 0x1FFE),
        (IAX, 0x80150014, 0b1101 << 49 | 1 << 16 | 64, 1, 1, 0x1FFE),
    ],
)
def test_capability_registers_are_those_of_the_type(
    machine: Machine, name: str, gencap: int, wqcap: int, groups: int, engines: int, cmdcap: int
) -> None:
    guest = machine.plug(LINUX[name], name)

    assert guest.read(GENCAP, 8) == gencap
    assert guest.read(WQCAP, 8) == wqcap
    assert (guest.read(GRPCAP, 8), guest.read(ENGCAP, 8)) == (groups, engines)
    assert guest.read(CMDCAP, 8) == cmdcap
    assert guest.read(CMDCAP) == cmdcap & 0xFFFFFFFF


@pytest.mark.parametrize("name", [FIXED, CFG, PF])
def test_operations_shown_are_those_of_the_hardware(machine: Machine, name: str) -> None:
    guest = machine.plug(LINUX[name], name)
    guest.write(OPCAP, 0, 8)

    assert guest.read(OPCAP, 8) == machine.device.read(OPCAP, 8) != 0


@pytest.mark.parametrize("name", ALL)
def test_drivers_fixed_limits_fit(machine: Machine, name: str) -> None:
    probed = Probed(machine.plug(LINUX[name], name))

    assert probed.gencap >> 16 & 0x1F >= 21
    assert probed.gencap >> 2 & 1
    assert probed.ims == 0


@pytest.mark.parametrize(("name", "device"), [(FIXED, 0x0B25), (CFG, 0x0B25), (PF, 0x0B25), (IAX, 0x0CFE)])
def test_config_space_names_the_device_and_has_no_intx(machine: Machine, name: str, device: int) -> None:
    guest = machine.plug(LINUX[name], name)

    assert guest.read(0, 4, CONFIG) == device << 16 | 0x8086
    assert guest.read(0x3D, 1, CONFIG) == 0
    assert guest.read(0x82, 2, CONFIG) == LINUX[name]
    assert guest.client.region_info(BAR2).size == max(1, guest.read(WQCAP, 8) >> 16 & 0xFF) * STRIDE


@pytest.mark.parametrize("name", ALL)
def test_sizing_a_bar_shows_its_size(machine: Machine, name: str) -> None:
    guest = machine.plug(LINUX[name], name)
    for bar in (0, 2):
        guest.write(0x10 + 4 * bar, 0xFFFFFFFF_FFFFFFFF, 8, CONFIG)
        shown = guest.read(0x10 + 4 * bar, 8, CONFIG)

        assert shown & 0xF == 0xC
        assert (~(shown & ~0xF) + 1) & (1 << 64) - 1 == guest.client.region_info(bar).size


# ---- drivers ----


@pytest.mark.parametrize("name", ALL)
def test_linux_probes_binds_works_and_unbinds(machine: Machine, name: str) -> None:
    guest, probed, handle = started(machine, name)

    assert guest.status(firing(RECORDS, handle)) == SUCCESS
    assert guest.vectors() == [1]
    linux_unbind(probed, handle)
    assert guest.read(GENSTS) == 0
    assert guest.read(SWERROR, 8) == 0


@pytest.mark.parametrize("name", [CFG, PF, IAX])
def test_linux_binds_a_configurable_device_again(machine: Machine, name: str) -> None:
    guest, probed, handle = started(machine, name)
    linux_unbind(probed, handle)
    again = linux_probe(guest)
    linux_bind(again)

    assert guest.status(firing(RECORDS, linux_handle(again))) == SUCCESS
    assert guest.vectors() == [1]


@pytest.mark.parametrize("name", [CFG, PF])
@pytest.mark.parametrize("page", [0x0000, 0x1000])
def test_polled_drivers_set_a_device_up_and_copy(machine: Machine, name: str, page: int) -> None:
    guest = machine.plug(LINUX[name], name)
    polled_set_up(guest)
    guest.put(RAM, b"what is copied" * 300)
    guest.store(move(RAM, RAM + 0x10000, 4200), page)
    guest.sync()
    machine.step_all()

    assert guest.record().status == SUCCESS
    assert guest.get(RAM + 0x10000, 4200) == guest.get(RAM, 4200)
    assert guest.read(SWERROR, 8) == 0
    assert guest.vectors() == []


@pytest.mark.parametrize("name", ALL)
def test_dummy_portal_reads_ones_and_takes_nothing(machine: Machine, name: str) -> None:
    guest, _, _ = started(machine, name)
    guest.put(RECORDS, bytes(32))
    for piece in range(8):
        guest.write(0xF000 + 8 * piece, int.from_bytes(NOOP_WITH_RECORD[8 * piece : 8 * piece + 8], "little"), 8)

    assert guest.read(0xF000, 8) == guest.read(0xFFF8, 8) == 2**64 - 1
    assert machine.step_all() == 0


# ---- a reset is one's own ----


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("other_name", ALL)
@pytest.mark.parametrize("how", list(RESETS))
def test_resets_touch_nobody_else(machine: Machine, name: str, other_name: str, how: str) -> None:
    guest, _, handle = started(machine, name)
    other, other_probed, other_handle = started(machine, other_name)
    other.submit(firing(RECORDS, other_handle))
    guest.submit(firing(RECORDS, handle))
    before = bytes(other.client.region_read(CONFIG, 0, 4096)), other.read(other_probed.wq(0, 2)), other.read(GENSTS)
    RESETS[how](guest)
    after = bytes(other.client.region_read(CONFIG, 0, 4096)), other.read(other_probed.wq(0, 2)), other.read(GENSTS)
    machine.step_all()

    assert after == before
    assert other.record().status == SUCCESS
    assert other.vectors() == [1]
    assert guest.record().status == 0
    assert guest.vectors() == []


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("how", ["flr", "device_reset"])
def test_flr_gives_power_on_values(machine: Machine, name: str, how: str) -> None:
    guest, probed, handle = started(machine, name)
    untouched = machine.plug(LINUX[name], name)
    guest.run(firing(RECORDS, handle))
    RESETS[how](guest)
    registers = [*range(0, 0x100, 8), *range(probed.wqcfg, probed.wqcfg + 32 * probed.wqs, 8)]
    registers += [*range(probed.grpcfg, probed.grpcfg + 64 * probed.groups, 8), *range(probed.perm, probed.perm + 16, 8)]
    registers += range(guest.msix_table, guest.msix_table + 32, 8)

    assert [guest.read(offset, 8) for offset in registers] == [untouched.read(offset, 8) for offset in registers]
    assert guest.client.region_read(CONFIG, 0, 4096) == untouched.client.region_read(CONFIG, 0, 4096)


@pytest.mark.parametrize("name", [FIXED, CFG])
def test_reset_device_clears_intcause_and_keeps_the_msix_table(machine: Machine, name: str) -> None:
    guest, _, _ = started(machine, name)
    guest.command(Cmd.REQUEST_HANDLE, 1, interrupt=True)
    guest.vectors()
    table = guest.read(guest.msix_table, 8)
    cause = guest.read(INTCAUSE)
    status = guest.command(Cmd.RESET_DEVICE)

    assert (cause, status) == (2, 0)
    assert guest.read(INTCAUSE) == 0
    assert guest.read(guest.msix_table, 8) == table != 0


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("code", [1, 2, 3, 4, 5])
def test_reserved_bits_of_commands_are_refused(machine: Machine, name: str, code: int) -> None:
    guest, probed, _ = started(machine, name)

    assert [guest.command(code, operand) for operand in (1, 1 << 19)] == [4, 4]
    guest.write(0xA0, code << 20 | 1 << 25)
    assert guest.read(0xA8) == 4
    assert guest.read(probed.wq(0, 6)) >> 30 == 1


# ---- a device of its own ----


@pytest.fixture
def pf(machine: Machine) -> GuestView:
    guest = machine.plug(4, PF)
    probed = linux_probe(guest)
    for group in range(2):
        probed.group(group, 0b101 << group, 1 << group)
    for wq in range(4):
        probed.queue(wq, 8)
    for code, operand in ((Cmd.ENABLE_DEVICE, 0), *((Cmd.ENABLE_WQ, wq) for wq in range(4))):
        assert guest.command(code, operand) == 0
    return guest


@pytest.mark.parametrize("wq", range(4))
def test_each_queue_has_portals_and_any_vector(machine: Machine, pf: GuestView, wq: int) -> None:
    pf.store(firing(RECORDS, wq + 1), wq * STRIDE + LIMITED_PORTAL)
    pf.store(firing(RECORDS, wq + 1), wq * STRIDE + 2 * LIMITED_PORTAL)  # no IMS: taken by nobody
    pf.sync()
    accepted = [record.wq for record in machine.ledger(Kind.ACCEPTED)]
    machine.step_all()

    assert accepted == [wq]
    assert pf.record().status == SUCCESS
    assert pf.vectors() == [wq + 1]


def test_pieces_for_two_queues_are_never_joined(machine: Machine, pf: GuestView) -> None:
    pf.store_pieces(NOOP_WITH_RECORD, range(4), LIMITED_PORTAL)
    pf.store_pieces(NOOP_WITH_RECORD, range(4, 8), STRIDE + LIMITED_PORTAL)
    pf.sync()

    assert machine.ledger(Kind.ACCEPTED) == []


@pytest.mark.parametrize("handle", [5, 6, 255, 0x8000, 0xFFFF])
def test_handle_beyond_its_own_vectors_is_refused(machine: Machine, pf: GuestView, handle: int) -> None:
    neighbour, _, neighbours_handle = started(machine, FIXED)

    assert pf.status(firing(RECORDS, handle)) == BAD_HANDLE
    assert (pf.vectors(), neighbour.vectors()) == ([], [])
    assert neighbour.status(firing(RECORDS, neighbours_handle)) == SUCCESS


def test_pf_without_bus_master_halts_and_comes_back_by_reset(machine: Machine, pf: GuestView) -> None:
    pf.bus_master(False)
    halted = pf.read(GENSTS) & 3, pf.read(SWERROR, 8) >> 8 & 0xFF, pf.command(Cmd.ENABLE_WQ)
    pf.bus_master(True)
    pf.vectors()
    reset = pf.command(Cmd.RESET_DEVICE)
    polled_set_up(pf)

    assert (halted, reset) == ((3, 0x51, 5), 0)
    assert pf.status(NOOP_WITH_RECORD) == SUCCESS


def test_masked_vector_of_a_pf_waits_for_its_mask(machine: Machine, pf: GuestView) -> None:
    pf.mask_vector(2, True)
    pf.run(firing(RECORDS, 2))
    masked, pending = pf.vectors(), pf.read(pf.read(0x88, 4, CONFIG), 8)
    pf.mask_vector(2, False)

    assert (masked, pending) == ([], 1 << 2)
    assert pf.vectors() == [2]


def test_ledger_of_several_devices_is_explained(machine: Machine) -> None:
    """Numbers of descriptors and of vectors are the same in each device, and must not be mixed up."""
    guests = [started(machine, name) for name in (PF, FIXED, PF, IAX)]
    for guest, _, handle in guests:
        guest.mask_vector(1, True)
        guest.run(*(firing(RECORDS + 32 * i, handle) for i in range(3)))
    for guest, _, handle in guests:
        guest.mask_vector(1, False)
        guest.run(firing(RECORDS, handle))
    records = machine.ledger()
    account = LedgerAccount(first_seq=records[0].seq)
    account.feed(records)
    summary = account.summary(lambda mdev: mdev)

    assert summary.violations == ()
    assert [guest.vectors().count(1) for guest, _, _ in guests] == [2, 2, 2, 2]
    assert {way: count for way, count in summary.injected.items() if way[2] == 1} == {
        (guest.mdev.id, guest.mdev.id, 1): 2 for guest, _, _ in guests
    }
    own = {guest.mdev.id for guest, _, _ in guests if guest.mdev.type.own}
    injected = [record for record in records if record.kind == Kind.INJECTED and record.target in own]
    assert {record.entry for record in injected} == {NO_ENTRY}


# ---- IAA ----


def test_iaa_executes_noop_and_drain_and_refuses_the_rest(machine: Machine) -> None:
    guest, _, _ = started(machine, IAX)
    guest.put(RECORDS, b"\xff" * 64)
    noop = guest.status(NOOP_WITH_RECORD)

    assert noop == SUCCESS
    assert guest.get(RECORDS + 32, 32) == bytes(32), "a record of an IAA has 64 bytes"
    assert [guest.status(descriptor(op, record=RECORDS, flags=CRAV | RCR)) for op in (1, 3, 0x42, 0x4C)] == [0x10] * 4
    assert (guest.read(0, 4), guest.read(0x180, 8)) == (0x200, 0)


# ---- a table that is the VMM's ----


@pytest.mark.parametrize("name", [FIXED, PF, IAX])
@pytest.mark.parametrize("reset", [False, True])
def test_table_of_the_vmm_gives_every_interrupt_to_the_eventfd_of_its_vector(
    machine: Machine, name: str, reset: bool
) -> None:
    guest = machine.plug(LINUX[name], name, eventfd=True)
    descriptors = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2)]
    guest.client.set_irqs(IrqFlags.DATA_EVENTFD | IrqFlags.ACTION_TRIGGER, 0, 2, descriptors)
    if reset:
        guest.client.reset()
    probed = Probed(guest)
    guest.bus_master(True)
    probed.configure()
    for code in (Cmd.ENABLE_DEVICE, Cmd.ENABLE_WQ):
        assert guest.command(code) == 0
    handle = guest.command(Cmd.REQUEST_HANDLE, 1) >> 8 if probed.cmdcap >> 13 & 1 else 1
    status = guest.status(firing(RECORDS, handle))
    guest.command(Cmd.DRAIN_ALL, interrupt=True)
    counts = [os.eventfd_read(one) for one in descriptors]
    for one in descriptors:
        os.close(one)

    assert status == SUCCESS
    assert counts == [1, 1]
    assert guest.vectors() == []
