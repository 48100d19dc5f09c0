"""The parts of a Linux guest's image: an archive that Linux can unpack, modules after what they need."""

from __future__ import annotations

import lzma
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from guest_tests.linux.cpio import CpioArchive
from guest_tests.linux.guest import LinuxTrouble
from guest_tests.linux.interrupts import parse_histogram
from guest_tests.linux.kernel_file import unpacked
from guest_tests.linux.kernel_log import reported_errors, unexpected_warnings
from guest_tests.linux.modules import Module, ModuleError, ModuleTree, read_module


def archive() -> CpioArchive:
    made = CpioArchive()
    made.file("init", b"#!/bin/sh\n", mode=0o755)
    made.file("usr/lib/empty", b"")
    made.file("odd", bytes(range(7)))
    made.symlink("bin/sh", "busybox")
    made.device("dev/console", 5, 1)
    return made


def members(raw: bytes) -> dict[str, tuple[int, bytes]]:
    """Name -> (mode, content), read as the format is described."""
    found, at = {}, 0
    while True:
        fields = [int(raw[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name = raw[at + 110 : at + 110 + fields[11] - 1].decode()
        start = at + (110 + fields[11] + 3) // 4 * 4
        found[name] = (fields[1], raw[start : start + fields[6]])
        at = start + (fields[6] + 3) // 4 * 4
        if name == "TRAILER!!!":
            return found


def test_archive_holds_files_links_devices_and_their_folders() -> None:
    found = members(bytes(archive()))

    assert list(found) == ["init", "usr", "usr/lib", "usr/lib/empty", "odd", "bin", "bin/sh", "dev", "dev/console", "TRAILER!!!"]
    assert found["init"] == (0o100755, b"#!/bin/sh\n")
    assert found["odd"] == (0o100644, bytes(range(7)))
    assert found["bin/sh"] == (0o120777, b"busybox")
    assert found["usr/lib"] == (0o040755, b"")
    assert found["dev/console"][0] == 0o020600


def test_same_members_make_the_same_archive() -> None:
    assert bytes(archive()) == bytes(archive())


@pytest.mark.skipif(shutil.which("cpio") is None, reason="no cpio here to unpack it with")
def test_archive_is_unpacked_by_cpio(tmp_path: Path) -> None:
    done = subprocess.run(["cpio", "-t", "--quiet"], input=bytes(archive()), capture_output=True, check=True, cwd=tmp_path)

    assert done.stdout.decode().split() == [name for name in members(bytes(archive())) if name != "TRAILER!!!"]


@pytest.mark.parametrize("name", ["/init", "../init", "a/../b", "", "TRAILER!!!"])
def test_name_that_would_leave_the_root_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a member"):
        CpioArchive().file(name, b"")


def test_name_used_twice_is_refused() -> None:
    made = archive()

    with pytest.raises(ValueError, match="in the archive already"):
        made.file("init", b"")


def bz_image(payload: bytes) -> bytes:
    """A bzImage with one sector of set-up, and the payload right behind it."""
    image = bytearray(1024)
    image[0x1F1] = 1
    image[0x202:0x208] = b"HdrS" + struct.pack("<H", 0x20F)
    image[0x248:0x250] = struct.pack("<II", 0, len(payload))
    return bytes(image) + payload


def test_kernel_that_is_packed_by_xz_is_unpacked() -> None:
    elf = b"\x7fELF" + bytes(1000)

    assert unpacked(bz_image(lzma.compress(elf) + struct.pack("<I", len(elf)))) == elf


@pytest.mark.parametrize("kernel", [b"", bz_image(b"\x28\xb5\x2f\xfd" + bytes(100)), bytes(4096)], ids=["none", "zstd", "other"])
def test_any_other_kernel_is_left_as_it_is(kernel: bytes) -> None:
    assert unpacked(kernel) == kernel


def elf_with_modinfo(modinfo: bytes) -> bytes:
    """The least ELF file with a section .modinfo."""
    names = b"\0.modinfo\0.shstrtab\0"
    sections = 64 + len(modinfo) + len(names)
    header = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, sections, 0, 64, 0, 0, 64, 3, 2)
    table = bytes(64)
    table += struct.pack("<IIQQQQIIQQ", 1, 1, 0, 0, 64, len(modinfo), 0, 0, 1, 0)
    table += struct.pack("<IIQQQQIIQQ", 10, 3, 0, 0, 64 + len(modinfo), len(names), 0, 0, 1, 0)
    return header + modinfo + names + table


def test_module_says_its_name_and_what_it_needs() -> None:
    module = read_module(elf_with_modinfo(b"name=idxd\0depends=idxd-bus,irqbypass\0vermagic=6.1.0 SMP\0"))

    assert (module.name, module.depends, module.vermagic) == ("idxd", ("idxd_bus", "irqbypass"), "6.1.0 SMP")


@pytest.mark.parametrize("content", [b"", b"not an ELF file", bytes(64)])
def test_file_that_is_no_module_is_refused(content: bytes) -> None:
    with pytest.raises(ModuleError):
        read_module(content)


def tree(tmp_path: Path, **depends: tuple[str, ...]) -> ModuleTree:
    return ModuleTree(tmp_path, [Module(name, needs, "", b"") for name, needs in depends.items()])


def test_each_module_comes_after_what_it_needs_and_once(tmp_path: Path) -> None:
    modules = tree(tmp_path, top=("left", "right"), left=("base",), right=("base",), base=())

    assert [module.name for module in modules.in_order(["top", "base"])] == ["base", "left", "right", "top"]


def test_missing_module_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModuleError, match="there is no module gone"):
        tree(tmp_path, top=("gone",)).in_order(["top"])


def test_modules_that_need_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModuleError, match="a -> b -> a"):
        tree(tmp_path, a=("b",), b=("a",)).in_order(["a"])


def test_histogram_of_handlers_is_read_by_interrupt() -> None:
    text = (
        "# event histogram\n{ irq:         29, name: idxd-portal             } hitcount:       1000\n"
        "{ irq:         24, name: virtio0-config          } hitcount:          3\nTotals:\n    Hits: 1003\n"
    )

    assert parse_histogram(text) == [(24, "virtio0-config", 3), (29, "idxd-portal", 1000)]


def test_counts_that_cannot_be_read_are_no_counts_of_zero() -> None:
    with pytest.raises(LinuxTrouble, match="no whole histogram"):
        parse_histogram("{ irq:         29, name: idxd-portal             } hitcount:       1000\n")


def test_only_warnings_that_nobody_expects_are_found() -> None:
    lines = [
        "<6>[    1.0] idxd 0000:01:00.0: Intel(R) Accelerator Device (v100)",
        "<4>[    1.1] idxd 0000:01:00.0: Failed to initialize perfmon. No PMU support: -19",
        "<4>[    1.2] idxd 0000:01:00.0: Unexpected interrupt cause bits set: 0x4",
        "<12>[    1.3] vdsa-mark-1",
        "<3>[    1.4] idxd 0000:01:00.0: Device is HALTED!",
    ]

    assert unexpected_warnings(lines) == [lines[2], lines[4]]


def test_kernel_on_a_busy_machine_complains_of_nothing() -> None:
    lines = [
        "<4>[    4.830943] hpet: Lost 7 RTC interrupts",
        "<4>[    5.1] workqueue: drm_fb_helper_damage_work hogged CPU for >10000us 4 times, consider switching to WQ_UNBOUND",
        "<4>[    5.2] CE: hpet increased min_delta_ns to 20115 nsec",
    ]

    assert unexpected_warnings(lines) == []


def test_errors_that_the_driver_reports_are_read_from_both_of_its_forms() -> None:
    lines = [
        "<4>[    9.0] idxd 0000:01:00.0: err[0]: 0x0000003f0000100d",
        "<4>[    9.0] idxd 0000:01:00.0: err[1]: 0x0000000000000000",
        "<4>[    9.1] idxd 0000:02:00.0: Device error 0x12 operation: 0x3 fault addr: 0x1000",
    ]

    assert reported_errors(lines) == [(0x10, 0x3F), (0x12, 3)]
