"""The watchdog: a guest that keeps reading one register and gets the same value is named, and nobody else is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_model.observe import Polling
from device_model.tests.core_rig import BAR0, CMDSTATUS, CONFIG, GENSTS, SWERROR, Cmd, GuestView, Machine, descriptor

LONG_S = 2.3
"""A bit more than the time from which on reading counts as polling."""
MANY = 1001
"""More reads than make polling, however long they take on a busy machine."""


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[GuestView]:
    with Machine(tmp_path) as machine:
        yield machine.started()


def keep_reading(guest: GuestView, *accesses: tuple[int, int, int], seconds: float = LONG_S) -> int:
    """Reads (region, offset, size) in turn, as fast as it goes, for so long and MANY times; how often each."""
    end, rounds = time.monotonic() + seconds, 0
    while time.monotonic() < end or rounds < MANY:
        for region, offset, size in accesses:
            guest.client.region_read(region, offset, size)
        rounds += 1
    return rounds


def test_register_that_a_guest_keeps_reading_is_named_with_its_value(guest: GuestView) -> None:
    reads = keep_reading(guest, (BAR0, GENSTS, 4))
    polling = guest.mdev.vdev.polling()

    assert polling is not None
    assert (polling.register, polling.region, polling.offset) == ("GENSTS", "BAR0", GENSTS)
    assert (polling.value, polling.meaning, polling.reads) == (1, "Enabled", reads)
    assert polling.seconds >= 2.0
    assert str(polling).startswith(f"GENSTS (0x90), value 0x1 = Enabled, {reads:,} times in ")


def test_polling_is_seen_while_it_happens_and_its_longest_time_stays(guest: GuestView) -> None:
    keep_reading(guest, (BAR0, GENSTS, 4))
    during = guest.mdev.vdev.polling()
    guest.read(0)
    afterwards = guest.mdev.vdev.polling(), guest.mdev.vdev.longest_polling()

    assert during is not None
    assert afterwards == (None, during)


def test_wait_for_a_command_that_ends_is_no_polling(guest: GuestView) -> None:
    for _ in range(3):
        guest.command(Cmd.DRAIN_ALL)
        keep_reading(guest, (BAR0, CMDSTATUS, 4), seconds=0.8)

    assert guest.mdev.vdev.polling() is None
    assert guest.mdev.vdev.longest_polling() is None


@pytest.mark.parametrize(
    "accesses",
    [((BAR0, GENSTS, 4), (BAR0, CMDSTATUS, 4)), ((BAR0, GENSTS, 4), (CONFIG, 0, 2)), ((BAR0, GENSTS, 4), (BAR0, GENSTS, 8))],
    ids=["another_register", "config_space", "another_size"],
)
def test_other_access_in_between_is_no_polling(guest: GuestView, accesses: tuple[tuple[int, int, int], ...]) -> None:
    assert keep_reading(guest, *accesses) >= MANY
    assert guest.mdev.vdev.longest_polling() is None


def test_value_that_changes_begins_anew(guest: GuestView) -> None:
    guest.submit(descriptor(0x7F, flags=0))  # will be an error without a record: SWERROR
    keep_reading(guest, (BAR0, SWERROR, 8), seconds=1.5)
    guest.machine.step_all()
    keep_reading(guest, (BAR0, SWERROR, 8), seconds=1.5)

    assert guest.mdev.vdev.longest_polling() is None


@pytest.mark.parametrize("pause_s", [0.1, 0.005], ids=["by_a_timer", "too_few"])
def test_look_now_and_then_is_no_polling(guest: GuestView, pause_s: float) -> None:
    for _ in range(int(LONG_S / pause_s)):
        guest.read(GENSTS)
        time.sleep(pause_s)

    assert guest.mdev.vdev.longest_polling() is None


def test_polling_of_the_config_space_says_so() -> None:
    polling = Polling("VendorID", "config", 0, 0xFFFF, "", 5000, 0, 3.0)

    assert str(polling) == "VendorID (0x0 in config), value 0xffff, 5,000 times in 3.0 s"
