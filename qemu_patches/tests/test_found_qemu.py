"""The QEMU this machine really uses: what every test with a guest stands on."""

import ctypes
import os
import signal
import subprocess
import threading
import timeit
from functools import partial

import pytest

from qemu_patches import QemuBinary, find_qemu

SECONDS = 60
PR_SET_PDEATHSIG = 1


@pytest.fixture(scope="module")
def qemu() -> QemuBinary:
    return find_qemu()


def run(qemu: QemuBinary, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*qemu.argv, *arguments],
        env={**os.environ, **qemu.env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )


def test_found_qemu_is_as_new_as_it_claims(qemu: QemuBinary) -> None:
    printed = run(qemu, "--version").stdout

    assert qemu.version >= (11, 1, 0)
    assert "QEMU emulator version {}.{}.{}".format(*qemu.version) in printed


def test_found_qemu_has_the_vfio_user_client(qemu: QemuBinary) -> None:
    assert "socket=" in run(qemu, "-device", "vfio-user-pci,help").stdout


def test_found_qemu_finds_its_firmware_and_runs_it(qemu: QemuBinary) -> None:
    machine = "-accel tcg -M q35 -display none -vga none -nodefaults -no-user-config -chardev stdio,id=log"
    command = [*qemu.argv, *machine.split(), "-device", "isa-debugcon,iobase=0x402,chardev=log"]
    with subprocess.Popen(
        command,
        env={**os.environ, **qemu.env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        preexec_fn=partial(ctypes.CDLL(None).prctl, PR_SET_PDEATHSIG, signal.SIGKILL),  # noqa: PLW1509
    ) as running:
        watchdog = threading.Timer(SECONDS, running.kill)
        watchdog.start()
        assert running.stdout is not None
        first_line = running.stdout.readline()
        watchdog.cancel()
        running.kill()

    assert first_line.startswith(b"SeaBIOS (version ")


def test_finding_it_again_runs_nothing_and_is_quick(qemu: QemuBinary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QEMU", raising=False)
    first = find_qemu()
    monkeypatch.setattr(subprocess, "run", None)

    took = min(timeit.repeat(find_qemu, number=1, repeat=20))

    assert first.version >= (11, 1, 0)
    assert took < 0.05
