"""Guest RAM keeps its size, is shared, and leaves nothing behind."""

import fcntl
import mmap
import os

import pytest

from host_ctl.errors import NoMemfd
from host_ctl.guest_ram import GuestRam
from host_ctl.tests.real_qemu import open_fds

MIB = 1 << 20


@pytest.mark.parametrize("size", [MIB - mmap.PAGESIZE, MIB + mmap.PAGESIZE])
def test_whoever_holds_the_descriptor_cannot_change_the_size(size: int) -> None:
    with GuestRam(MIB) as ram, pytest.raises(PermissionError):
        os.ftruncate(ram.fd, size)


def test_whoever_holds_the_descriptor_cannot_take_write_access_away() -> None:
    with GuestRam(MIB) as ram, pytest.raises(PermissionError):
        fcntl.fcntl(ram.fd, fcntl.F_ADD_SEALS, 0x10)  # F_SEAL_FUTURE_WRITE


def test_two_mappings_of_one_ram_show_the_same_bytes() -> None:
    with GuestRam(MIB) as ram, mmap.mmap(ram.fd, MIB) as other:
        other[4096:4100] = b"seen"
        assert ram.map[4096:4100] == b"seen"


def test_ram_begins_as_zeros() -> None:
    with GuestRam(MIB) as ram:
        assert ram.map[:] == bytes(MIB)


def test_descriptor_is_not_inherited_unless_it_is_passed() -> None:
    with GuestRam(MIB) as ram:
        assert not os.get_inheritable(ram.fd)


def test_close_gives_every_descriptor_back_and_may_be_repeated() -> None:
    before = open_fds()
    ram = GuestRam(MIB)
    ram.close()
    ram.close()
    assert ram.closed
    assert open_fds() == before


def test_close_is_not_stopped_by_a_view_that_is_still_held() -> None:
    ram = GuestRam(MIB)
    view = memoryview(ram.map)
    ram.close()
    assert view[0] == 0


def test_mapping_goes_with_the_last_view_though_the_ram_is_still_known() -> None:
    before = open_fds()
    ram = GuestRam(MIB)
    view = memoryview(ram.map)
    ram.close()
    held = open_fds() - before
    view.release()
    assert ram.closed
    assert len(held) == 1
    assert open_fds() == before


@pytest.mark.parametrize("size", [0, -4096, 4095, 4097])
def test_odd_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="positive multiple"):
        GuestRam(size)


def test_kernel_without_memfd_gets_a_clear_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_name: str, _flags: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "memfd_create", refused)
    with pytest.raises(NoMemfd, match=r"Linux 3\.17"):
        GuestRam(MIB)
