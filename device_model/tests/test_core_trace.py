"""The trace: every access as one line with names, in order, honest about what it lost, and nothing of it while it is off."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from device_model import trace
from device_model.errors import DeviceError
from device_model.tests.core_rig import (
    BAR0,
    CMD,
    CMDSTATUS,
    CONFIG,
    GENCTRL,
    MSIX_TABLE,
    MSIXPERM,
    PORTAL,
    RAM,
    RECORDS,
    WQCFG,
    Cmd,
    GuestView,
    Machine,
    firing,
    move,
)

LINE = re.compile(r" *(?P<us>\d+\.\d) mdev (?P<mdev>\d+) +(?P<text>.*)")


def traced(tmp_path: Path, act: Callable[[GuestView], object], **options: int) -> list[str]:
    """The lines that a guest's acts leave, without time, mdev, and what brings it up."""
    out = io.StringIO()
    with Machine(tmp_path) as machine:
        guest = machine.started()
        machine.device.trace(out, **options)
        act(guest)
    return [match["text"] for line in out.getvalue().splitlines() if (match := LINE.fullmatch(line))][:-1]


@pytest.mark.parametrize(
    ("access", "line"),
    [
        (lambda g: g.write(CMD, Cmd.REQUEST_HANDLE << 20 | 2), "CMD <- Request Interrupt Handle index=2"),
        (lambda g: g.write(CMD, Cmd.DRAIN_WQ << 20 | 0x1 | 1 << 31), "CMD <- Drain WQ wqs=0 +int"),
        (lambda g: g.write(CMD, Cmd.ENABLE_WQ << 20 | 7), "CMD <- Enable WQ wq=7"),
        (lambda g: g.write(CMD, 31 << 20 | 5), "CMD <- command 31 operand=0x5"),
        (lambda g: g.read(CMDSTATUS), "CMDSTATUS -> 0x00000100 Result=0x1"),
        (lambda g: g.read(0x90), "GENSTS -> 0x00000001 Enabled"),
        (lambda g: g.write(GENCTRL, 0x103), "GENCTRL <- 0x00000103 SoftwareErrorInt HaltInt reserved=0x100"),
        (lambda g: g.read(WQCFG + 24), "WQCFG[0].Status -> 0x60000000 ModeSupport State=Enabled"),
        (lambda g: g.write(MSIXPERM + 8, 4), "MSIXPERM[1] <- 0x00000004 Ignore"),
        (lambda g: g.write(MSIX_TABLE + 0x1C, 1), "MSIX[1].Control <- 0x00000001 Mask"),
        (lambda g: g.read(0x100, 8), "IDCAP -> 0x0000000000000000 (not modelled)"),
        (lambda g: g.read(0x1234), "BAR0+0x1234 -> 0x00000000 (no register)"),
        (lambda g: g.read(0x04, 2, CONFIG), "config.Command -> 0x0006 Memory BusMaster"),
        (lambda g: g.client.region_read(CONFIG, 0, 4096), "config+0x0 -> 4096 bytes"),
    ],
)  # fmt: skip
def test_access_is_one_line_with_names(tmp_path: Path, access: Callable[[GuestView], object], line: str) -> None:
    assert traced(tmp_path, access)[0] == line


def test_error_of_a_command_is_named(tmp_path: Path) -> None:
    lines = traced(tmp_path, lambda guest: guest.command(Cmd.REQUEST_HANDLE, 99))

    assert lines == [
        "CMD <- Request Interrupt Handle index=99", "CMDSTATUS -> 0x00000041 Error=0x41 invalid interrupt table index",
    ]  # fmt: skip


def test_descriptor_is_one_line_however_it_was_stored(tmp_path: Path) -> None:
    desc = move(RAM, RAM + 0x1000, 4096)
    line = "WQ 0's portal, limited MSI-X <= Memory Move CRAV|RCR record=0x180000 src=0x100000 dst=0x101000 size=4096"

    def act(guest: GuestView) -> None:
        guest.store(desc)
        guest.store_pieces(desc, range(8), PORTAL + 0x40)
        guest.sync()

    assert [text for text in traced(tmp_path, act) if "<=" in text] == [line, line]


def test_decisions_stand_between_the_accesses_in_order(tmp_path: Path) -> None:
    lines = traced(tmp_path, lambda guest: guest.run(firing(RECORDS, guest.handle), firing(RECORDS, 0xFFFF, first_word=7)))

    assert [line for line in lines if not line.startswith("VERSION")] == [
        "WQ 0's portal, limited MSI-X <= No-op CRAV|RCR|RCI handle=0x0 record=0x180000", "#1 ACCEPTED",
        "WQ 0's portal, limited MSI-X <= No-op CRAV|RCR|RCI handle=0xffff record=0x180000 pasid=7", "#2 ACCEPTED",
        "#1 GRANTED entry=0 handle=0x0", "#1 COMPLETED 0x01 success", "#1 FIRED entry=0", "#1 REMAPPED vector=1 entry=0",
        "#1 INJECTED vector=1 entry=0", "#2 REFUSED because OUT_OF_RANGE handle=0xffff",
        "#2 COMPLETED 0x19 invalid interrupt handle",
    ]  # fmt: skip


def test_lines_have_the_time_and_the_device_and_tell_when_a_vm_comes_and_goes(tmp_path: Path) -> None:
    file = tmp_path / "trace.txt"
    with Machine(tmp_path) as machine:
        machine.device.trace(file)
        guests = [machine.started(), machine.started()]
        guests[0].client.reset()
    lines = file.read_text().splitlines()
    matches = [match for line in lines if (match := LINE.fullmatch(line))]
    texts = {(int(match["mdev"]), match["text"]) for match in matches}
    times = [float(match["us"]) for match in matches]

    assert len(matches) == len(lines) - 2
    assert lines[0].startswith("# trace of a DSA device, in us since ")
    assert lines[-1] == f"# end: {len(matches)} records"
    assert {(1, "a VM is attached"), (2, "a VM is attached"), (1, "function-level reset"), (2, "the VM is gone")} <= texts
    assert times == sorted(times)


def test_what_comes_too_fast_is_lost_and_said(tmp_path: Path) -> None:
    def act(guest: GuestView) -> None:
        for _ in range(3000):
            guest.client.region_write(BAR0, GENCTRL, bytes(4), posted=True)
        guest.sync()

    out = io.StringIO()
    with Machine(tmp_path) as machine:
        guest = machine.started()
        tracer = machine.device.trace(out, capacity=16)
        act(guest)
    lines = out.getvalue().splitlines()
    told = sum(int(found[1]) for line in lines if (found := re.search(r"--- (\d+) accesses lost here", line)))
    written = sum("GENCTRL <-" in line for line in lines)

    assert tracer.lost == told > 0
    assert written + told >= 3000
    assert lines[-1].endswith(f"{told} lost")


def test_trace_takes_nothing_from_the_ledgers_reader(tmp_path: Path) -> None:
    with Machine(tmp_path) as machine:
        machine.device.trace(io.StringIO())
        guest = machine.started()
        machine.ledger()
        guest.run(firing(RECORDS, guest.handle))

        assert len(machine.ledger()) == 6


def test_file_that_cannot_be_written_is_an_error_at_once_and_a_full_disk_is_none(tmp_path: Path) -> None:
    with Machine(tmp_path) as machine:
        with pytest.raises(OSError, match="No such file"):
            machine.device.trace(tmp_path / "nowhere" / "trace.txt")
        tracer = machine.device.trace(Path("/dev/full"))
        guest = machine.started()
        guest.run(firing(RECORDS, guest.handle))
        assert guest.vectors() == [1]

    assert tracer.problem is not None


def test_device_is_traced_once(tmp_path: Path) -> None:
    with Machine(tmp_path) as machine:
        machine.device.trace(io.StringIO())
        with pytest.raises(DeviceError, match="not traced yet"):
            machine.device.trace(io.StringIO())


@pytest.mark.parametrize(("value", "target"), [("", None), ("0", None), ("trace.txt", Path("trace.txt"))])
def test_variable_says_where(value: str, target: Path | None) -> None:
    assert trace.target_of({"VDSA_TRACE": value}) == target


def test_variable_that_is_not_set_traces_nothing() -> None:
    assert trace.target_of({}) is None
