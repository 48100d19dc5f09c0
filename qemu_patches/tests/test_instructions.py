"""MOVDIRI and MOVDIR64B of the patched QEMU, by a guest that is nothing but attempts (guest/): RAM, faults, encodings, MMIO."""

import ctypes
import os
import re
import signal
import subprocess
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from qemu_patches import QemuBinary
from qemu_patches.tests.patched import patched_or_skip

GUEST = Path(__file__).parent / "guest"
FLAGS = (
    "-std=c17 -O2 -Wall -Wextra -Werror -ffreestanding -nostdlib -static -no-pie -fno-pic -mgeneral-regs-only -mno-red-zone "
    "-fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables -fno-strict-aliasing "
    "-Wl,--build-id=none -Wl,-z,max-page-size=4096 -Wl,-z,noexecstack -Wl,-T,guest.ld"
)
MACHINE = (
    "-M q35,i8042=off -accel tcg -smp 2 -m 64 -nodefaults -no-user-config -display none -device edu "
    "-chardev stdio,id=log -device isa-debugcon,iobase=0xe9,chardev=log -device isa-debug-exit,iobase=0xf4,iosize=4"
)
EXITED = 1  # isa-debug-exit: twice what the guest wrote, and one
SECONDS = 120
PR_SET_PDEATHSIG = 1
WITHOUT_CPUID = {
    "movdir64b_without_its_cpuid_bit_is_ud",
    "movdiri_without_its_cpuid_bit_is_ud",
}
ATTEMPTS = sorted(
    {
        name
        for file in GUEST.glob("*.c")
        for name in re.findall(r'(?:check|copies_64_bytes|undefined)\(\s*"(\w+)"', file.read_text())
    }
    - WITHOUT_CPUID
)
_WRITE = re.compile(r"cpu (\d+) mr \S+ addr (0x\w+) value (0x\w+) size (\d) name 'edu-mmio'")
SHOT = 0xD64B
PLAIN = 0xD1D1
RACE = 0x4ACE


@dataclass(frozen=True, slots=True)
class Write:
    """One access that the device got."""

    cpu: int
    offset: int
    value: int
    size: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a run of the guest has shown: its lines, and what the device got in order."""

    status: int
    lines: tuple[str, ...]
    writes: tuple[Write, ...]

    def marked(self, mark: int) -> list[Write]:
        return [write for write in self.writes if write.size == 8 and write.value >> 48 == mark]


def run(qemu: QemuBinary, guest: Path, cpu: str, trace: Path) -> Report:
    command = [*qemu.argv, *MACHINE.split(), "-cpu", cpu, "-kernel", str(guest)]
    done = subprocess.run(
        [*command, "-trace", "memory_region_ops_write", "-D", str(trace)],
        env={**os.environ, **qemu.env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        preexec_fn=partial(ctypes.CDLL(None).prctl, PR_SET_PDEATHSIG, signal.SIGKILL),
    )
    found = _WRITE.findall(trace.read_text())
    writes = tuple(Write(int(cpu), int(at, 16) % 4096, int(value, 16), int(size)) for cpu, at, value, size in found)
    return Report(done.returncode, tuple(done.stdout.splitlines()), writes)


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    elf = tmp_path_factory.mktemp("guest") / "guest.elf"
    code = sorted(file.name for file in GUEST.glob("*.c"))
    subprocess.run(["gcc", *FLAGS.split(), *code, "boot.S", "-o", str(elf)], cwd=GUEST, check=True, timeout=SECONDS)
    return elf


@pytest.fixture(scope="module")
def qemu() -> QemuBinary:
    return patched_or_skip()


@pytest.fixture(scope="module")
def report(qemu: QemuBinary, guest: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return run(qemu, guest, "max", tmp_path_factory.mktemp("run") / "trace")


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_instruction_does_what_the_processor_does(attempt: str, report: Report) -> None:
    told = [line for line in report.lines if line.split()[1:2] == [attempt]]

    assert told == [f"ok {attempt}"]


def test_guest_made_every_attempt_and_no_other(report: Report) -> None:
    assert report.status == EXITED
    assert report.lines[-1] == f"done {len(ATTEMPTS):016x}"
    assert len(report.lines) == len(ATTEMPTS) + 1


def test_device_gets_64_bytes_as_eight_ascending_writes(report: Report) -> None:
    assert report.marked(SHOT) == [Write(0, 0xC0 + 8 * i, SHOT << 48 | i, 8) for i in range(8)]


def test_device_gets_movdiri_as_one_write(report: Report) -> None:
    assert report.marked(PLAIN) == [Write(0, 0xC0, PLAIN << 48 | 8, 8)]
    assert [write for write in report.writes if write.size == 4] == [Write(0, 4, 0x12345678, 4)]


def test_two_cpus_never_interleave_in_the_device(report: Report) -> None:
    writes = report.marked(RACE)
    shots = [writes[i : i + 8] for i in range(0, len(writes), 8)]

    assert len(writes) >= 2 * 2000 * 8
    assert all(len({(write.cpu, write.value >> 8) for write in shot}) == 1 for shot in shots)
    assert all([write.value & 0xFF for write in shot] == list(range(8)) for shot in shots)
    assert any(one[0].cpu != other[0].cpu for one, other in pairwise(shots))


def test_cpu_without_the_bits_does_not_know_the_instructions(qemu: QemuBinary, guest: Path, tmp_path: Path) -> None:
    lines = run(qemu, guest, "max,-movdiri,-movdir64b", tmp_path / "trace").lines

    assert set(lines) >= {f"ok {attempt}" for attempt in WITHOUT_CPUID}
    assert any(line.startswith("FAIL cpuid_movdir64b") for line in lines)
