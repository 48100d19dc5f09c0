"""The burn-down: what a guest touches that its device does not model is named and counted, in a table of fixed size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from device_model.layout import BAR0 as BAR0_REGION
from device_model.observe import Touch
from device_model.tests.core_rig import (
    BAR0,
    BAR2,
    CMD,
    CONFIG,
    GENCTRL,
    GENSTS,
    INTCAUSE,
    MSIX_TABLE,
    MSIXPERM,
    PORTAL,
    RECORDS,
    SWERROR,
    WQCFG,
    Cmd,
    GuestView,
    Machine,
    firing,
)
from device_model.vfio_user_client import VfioUserError

TABLE_SIZE = 128
BAR0_SIZE = 0x10000


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[GuestView]:
    with Machine(tmp_path) as machine:
        yield machine.started()


def seen(guest: GuestView) -> list[tuple[str, Touch, tuple[str, ...]]]:
    """Register, what was wrong with the access, and the fields, of all touches in their order."""
    guest.sync()
    return [(one.register, one.kind, one.fields) for one in guest.mdev.vdev.burn_down()]


def test_driver_that_keeps_to_the_specification_touches_nothing(guest: GuestView) -> None:
    guest.client.region_read(BAR0, WQCFG, 8)
    for offset in (0x00, 0x10, 0x20, 0x30, 0x38, 0x60, 0x68, 0x80, 0x88, 0x90, 0x98, 0xA8, 0xB0, *range(0xC0, 0xE0, 8)):
        guest.read(offset, 8)
    guest.write(GENCTRL, guest.read(GENCTRL) | 3)
    guest.write(INTCAUSE, 0x8000003F)
    guest.write(SWERROR, guest.read(SWERROR, 8) & 3, 8)
    guest.write(WQCFG + 4, 16)
    guest.write(MSIXPERM + 8, 0)
    guest.mask_vector(1, True)
    guest.mask_vector(1, False)
    guest.write(CMD, Cmd.DRAIN_WQ << 20 | 1 | 1 << 31)
    guest.write(0xF000, 0xFFFFFFFF)
    for bar in range(6):
        guest.write(0x10 + 4 * bar, 0xFFFFFFFF, 4, CONFIG)
    guest.run(firing(RECORDS, guest.handle))
    guest.store_pieces(firing(RECORDS, guest.handle), range(8))

    assert seen(guest) == []


@pytest.mark.parametrize(
    ("offset", "size", "name"),
    [(0x100, 8, "IDCAP"), (0x108, 4, "IDBR"), (0x180, 8, "DSACAP0"),
     (0xE000, 8, "CMDPARAM"), (0x08, 4, "BAR0+0x8"), (0x1234, 4, "BAR0+0x1234"), (MSIX_TABLE + 3 * 16, 4, "BAR0+0x2030")],
)  # fmt: skip
def test_read_of_what_is_not_modelled_is_named(guest: GuestView, offset: int, size: int, name: str) -> None:
    guest.read(offset, size)

    assert seen(guest) == [(name, Touch.READ_UNKNOWN, ())]


@pytest.mark.parametrize(
    ("offset", "value", "size", "name", "kind", "fields"),
    [
        (0x3FF8, 5, 4, "BAR0+0x3ff8", Touch.WRITE_UNKNOWN, ("reserved 0x5",)),
        (GENSTS, 1, 4, "GENSTS", Touch.READ_ONLY, ("GENSTS",)),
        (0x14, 1 << 20, 4, "GENCAP", Touch.READ_ONLY, ("Batch1",)),
        (WQCFG, 16, 4, "WQCFG[0].Size", Touch.READ_ONLY, ("Size",)),
        (GENCTRL, 0xFF03, 4, "GENCTRL", Touch.BITS, ("reserved 0xff00",)),
        (MSIXPERM, 0xFF2, 4, "MSIXPERM[0]", Touch.BITS, ("reserved 0xff2",)),
        (CMD, 1 << 25 | Cmd.DRAIN_ALL << 20, 4, "CMD", Touch.BITS, ("reserved 0x2000000",)),
        (WQCFG + 8, 0xF1, 4, "WQCFG[0].Mode", Touch.BITS, ("Priority",)),
        (GENCTRL, 0xFF03_0000_0001, 8, "BAR0+0x8c", Touch.WRITE_UNKNOWN, ("reserved 0xff03",)),
        (GENCTRL, 1, 1, "GENCTRL", Touch.WRITE_SIZE, ("SoftwareErrorInt",)),
        (WQCFG + 4, 16, 2, "WQCFG[0].Threshold", Touch.WRITE_SIZE, ("Threshold",)),
    ],
)  # fmt: skip
def test_write_that_the_device_does_not_model_is_named_to_the_bit(
    guest: GuestView, offset: int, value: int, size: int, name: str, kind: Touch, fields: tuple[str, ...]
) -> None:
    guest.write(offset, value, size)

    assert seen(guest) == [(name, kind, fields)]


@pytest.mark.parametrize(
    ("offset", "value", "size", "name", "kind"),
    [(0x100, 1, 4, "config+0x100", Touch.WRITE_UNKNOWN), (0x60, 0xFF, 1, "config+0x60", Touch.WRITE_UNKNOWN),
     (0x44, 5, 4, "PCIe.DeviceCap", Touch.READ_ONLY), (0x82, 0x8800, 2, "MSIX and MSIX.Control", Touch.BITS)],
)  # fmt: skip
def test_config_write_to_what_is_not_modelled_is_named(
    guest: GuestView, offset: int, value: int, size: int, name: str, kind: Touch
) -> None:
    guest.write(offset, value, size, CONFIG)

    assert [one[:2] for one in seen(guest)] == [(name, kind)]


@pytest.mark.parametrize(
    ("offset", "size", "name", "kind"),
    [(PORTAL, 4, "WQ 0's portal, limited MSI-X", Touch.WRITE_SIZE),
     (0x2000, 64, "WQ 0's portal, unlimited IMS", Touch.WRITE_UNKNOWN)],
)  # fmt: skip
def test_store_that_is_no_submission_is_named(guest: GuestView, offset: int, size: int, name: str, kind: Touch) -> None:
    guest.store(bytes(size), offset)

    assert [one[:2] for one in seen(guest)] == [(name, kind)]
    assert guest.mdev.vdev.burn_down()[0].region == "BAR2"


def test_bits_that_are_set_already_may_be_written_back(guest: GuestView) -> None:
    guest.write(0x04, guest.read(0x04, 4, CONFIG), 4, CONFIG)
    guest.write(WQCFG + 8, guest.read(WQCFG + 8))
    guest.write(WQCFG + 24, guest.read(WQCFG + 24))

    assert [(one.register, one.kind) for one in guest.mdev.vdev.burn_down()] == [("WQCFG[0].Status", Touch.READ_ONLY)]


def test_touches_of_one_kind_are_counted_and_their_bits_gathered(guest: GuestView) -> None:
    guest.write(GENCTRL, 0x100)
    first = guest.mdev.vdev.burn_down()
    guest.write(GENCTRL, 0x200)
    guest.write(GENCTRL, 0x0)
    (touched,) = guest.mdev.vdev.burn_down()

    assert (touched.count, touched.mask) == (2, 0x300)
    assert touched.first_ns == first[0].first_ns > 0
    assert str(touched) == (
        "GENCTRL (0x88 in BAR0): bits set that are reserved or read-only: reserved 0x300, 2 times"
    )


def test_misaligned_access_is_refused_and_recorded(guest: GuestView) -> None:
    with pytest.raises(VfioUserError):
        guest.client.region_read(BAR0, GENSTS + 1, 4)

    assert seen(guest) == [("GENSTS", Touch.READ_SIZE, ())]
    assert guest.mdev.vdev.stats().accesses_refused == 1


def test_guest_that_touches_everything_is_bounded_and_the_rest_counted(guest: GuestView) -> None:
    for offset in range(0x4000, 0xE000, 4):
        guest.client.region_write(BAR0, offset, b"\xff\xff\xff\xff", posted=True)
    guest.read(0x4000)
    whole = guest.mdev.vdev.burn_down_whole()

    assert len(whole.touched) == TABLE_SIZE
    assert sum(one.count for one in whole.touched) + whole.overflow == (0xE000 - 0x4000) // 4 + 1
    assert whole.touched[0].offset == 0x4000


def test_the_host_looking_is_not_the_guest_touching(guest: GuestView) -> None:
    before = guest.mdev.vdev.stats()
    guest.mdev.vdev.burn_down()
    guest.mdev.vdev.polling()

    assert guest.mdev.vdev.stats() == before
    assert seen(guest) == []


# ---- what the device is thought to model is what it does model ----


def dwords(guest: GuestView) -> dict[int, int]:
    return {offset: guest.read(offset) for offset in range(0, 0xF000, 4)}


def modelled(guest: GuestView) -> dict[int, int]:
    """Offset of each dword that is there -> bits that may be set in a write."""
    return {
        first + n * stride: writable
        for first, stride, count, writable, _ in guest.mdev.vdev.layout.ranges(BAR0_REGION)
        for n in range(count)
    }


def test_nothing_is_read_where_the_layout_has_no_register(tmp_path: Path) -> None:
    with Machine(tmp_path) as machine:
        guest = machine.started()
        there = modelled(guest)
        shown = {offset for offset, value in dwords(guest).items() if value}

    assert shown - there.keys() == set()
    assert {GENSTS, WQCFG, WQCFG + 24, 0x400, 0x420, MSIX_TABLE} <= shown


def test_no_write_has_an_effect_where_the_layout_allows_none(tmp_path: Path) -> None:
    with Machine(tmp_path) as machine:
        guest = machine.plug()
        there = modelled(guest)
        before = dwords(guest)
        for offset in set(range(0, 0xF000, 4)) - {CMD}:
            guest.client.region_write(BAR0, offset, (~there.get(offset, 0) & 0xFFFFFFFF).to_bytes(4, "little"), posted=True)
        after = dwords(guest)

    assert {offset for offset in before if after[offset] & ~before[offset]} == set()


@pytest.mark.parametrize(
    ("offset", "region"),
    [(GENCTRL, BAR0), (WQCFG + 4, BAR0), (WQCFG + 8, BAR0), (MSIXPERM + 8, BAR0), (MSIX_TABLE + 16, BAR0),
     (MSIX_TABLE + 24, BAR0), (MSIX_TABLE + 28, BAR0)],
)  # fmt: skip
def test_bits_that_the_layout_allows_are_kept(tmp_path: Path, offset: int, region: int) -> None:
    with Machine(tmp_path) as machine:
        guest = machine.plug()
        allowed = modelled(guest)[offset] & ~(0x3 if offset == MSIX_TABLE + 16 else 0)
        guest.write(offset, allowed, 4, region)

        assert guest.read(offset, 4, region) & allowed == allowed
        assert guest.mdev.vdev.burn_down() == []


def test_portals_of_the_layout_are_those_that_take_descriptors(guest: GuestView) -> None:
    pages = {first for first, *_ in guest.mdev.vdev.layout.ranges(BAR2)}
    guest.machine.ledger()
    for page in range(4):
        guest.store(firing(RECORDS, guest.handle), page * 0x1000)
    guest.sync()

    assert pages == {0, PORTAL}
    assert guest.mdev.vdev.stats().descriptors == len(pages)
