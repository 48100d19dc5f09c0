"""What the patched QEMU can do and a stock one cannot: it survives, and it moves the right bytes. Skipped where there is none."""

from __future__ import annotations

import asyncio
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device_model.vfio_user_protocol import Command
from guest_tests.agent_build import build_agent
from guest_tests.guests import running_guests
from guest_tests.rig import Rig, make_host
from guest_tests.suite import run
from guest_tests.tests.agent_guests import BUILD
from guest_tests.tests.message_device import MessageDevice
from guest_tests.tests.whole_runs import running
from host_ctl.errors import HostError, HotplugError
from host_ctl.options import RunOptions
from host_ctl.progress import QuietProgress
from host_ctl.qemu_process import QemuProcess
from host_ctl.run_folder import RunFolder
from qemu_patches import QemuBinary
from qemu_patches.tests.patched import patched_or_skip

CYCLES = 200
VECTORS = 4
SECONDS = 60
BASE = 0x200000
AROUND = 64
SIZES = [1, 3, 8, 64, 4096, 65536]


@pytest.fixture(scope="module")
def patched() -> QemuBinary:
    return patched_or_skip()


@pytest.fixture
def folder() -> Iterator[Path]:
    with RunFolder() as made:
        yield made.path


@pytest.mark.parametrize("eventfd", [False, True], ids=["message", "eventfd"])
async def test_200_plugs_and_unplugs_with_interrupts_between_them(
    patched: QemuBinary, folder: Path, eventfd: bool
) -> None:
    host = await asyncio.to_thread(make_host, 1, VECTORS)
    try:
        before = host.audit().counts()
        async with running_guests(1, build_agent(BUILD), patched, folder, accelerator="tcg") as members:
            rig = Rig(host, members, folder, vectors=VECTORS, seed=1, eventfd=eventfd)
            for _ in range(CYCLES):
                await rig.plug(members[0])
                await rig.fire(members[0], members[0].vectors)
                await rig.unplug(members[0])
            counts = rig.record.counts(members[0])
            alive = await members[0].diagnosis()
        after = host.audit().counts()
    finally:
        await asyncio.to_thread(host.close)

    assert alive is None
    assert len(rig.timings.device_del) == CYCLES
    assert counts == {1: 2 * CYCLES, **dict.fromkeys(range(2, VECTORS + 1), CYCLES)}
    assert after == before


@pytest.mark.parametrize(
    "faults",
    [{"refuses": Command.REGION_READ}, {"refuses": Command.DEVICE_GET_REGION_INFO}, {"bad_msix": True}],
    ids=["no-config-space", "no-regions", "msix-in-no-bar"],
)
async def test_server_that_cannot_be_used_is_an_error_and_no_crash(
    patched: QemuBinary, folder: Path, faults: dict[str, Any]
) -> None:
    path = folder / "refuser"
    with MessageDevice(path, **faults):
        async with running_guests(1, build_agent(BUILD), patched, folder, accelerator="tcg") as members:
            with pytest.raises(HotplugError):
                await members[0].guest.plug("refused", path, 0)
            await members[0].link.nop()
            alive = await members[0].diagnosis()

    assert alive is None


class QtestVm:
    """A VM without a CPU whose RAM no descriptor stands for, with the device in slot 5."""

    def __init__(self, qemu: QemuBinary, folder: Path) -> None:
        self.device = MessageDevice(folder / "dev")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(folder / "qtest"))
        listener.listen(1)
        listener.settimeout(SECONDS)
        device = f'{{"driver":"vfio-user-pci","addr":"5","socket":{{"type":"unix","path":"{folder / "dev"}"}}}}'
        machine = ["-M", "q35", "-m", "16", "-accel", "qtest", "-nodefaults", "-no-user-config", "-display", "none"]
        options = ["-qtest", f"unix:{folder / 'qtest'}", "-qtest-log", "/dev/null", "-device", device]
        command = [*qemu.argv, *machine, *options]
        self.process = QemuProcess.start(command, log_path=folder / "log", env=qemu.env)
        connection, _ = listener.accept()
        listener.close()
        connection.settimeout(SECONDS)
        self._qtest = connection.makefile("rw")
        self._connection = connection
        self._command("outl 0xcf8 0x80002804")
        self._command("outw 0xcfc 0x6")  # memory and bus master

    def close(self) -> None:
        self._connection.close()
        self.process.close()
        self.device.__exit__()

    def load(self, address: int, size: int) -> bytes:
        return bytes.fromhex(self._command(f"read {address:#x} {size:#x}")[2:])

    def store(self, address: int, data: bytes) -> None:
        self._command(f"write {address:#x} {len(data):#x} 0x{data.hex()}")

    def _command(self, text: str) -> str:
        self._qtest.write(f"{text}\n")
        self._qtest.flush()
        answer = self._qtest.readline().split()
        assert answer[:1] == ["OK"], (answer, self.process.log_tail())
        return answer[1] if len(answer) > 1 else ""


@pytest.fixture
def vm(patched: QemuBinary, folder: Path) -> Iterator[QtestVm]:
    made = QtestVm(patched, folder)
    yield made
    made.close()


def pattern(size: int) -> bytes:
    return bytes((i * 37 + i // 256 + 1) % 255 + 1 for i in range(size))


def test_ram_without_a_descriptor_is_mapped_without_one(vm: QtestVm) -> None:
    assert any(address <= BASE < address + size for address, size in vm.device.maps)
    assert vm.device.fds == 0


@pytest.mark.parametrize("size", SIZES)
def test_dma_write_by_message_puts_these_bytes_and_no_others(vm: QtestVm, size: int) -> None:
    answer = vm.device.write(BASE + 5, pattern(size))

    memory = vm.load(BASE + 5 - AROUND, size + 2 * AROUND)
    assert not answer.is_error
    assert memory == bytes(AROUND) + pattern(size) + bytes(AROUND)


@pytest.mark.parametrize("size", SIZES)
def test_dma_read_by_message_brings_these_bytes(vm: QtestVm, size: int) -> None:
    vm.store(BASE + 7, pattern(size))

    answer, address, count, data = vm.device.read(BASE + 7, size)

    assert not answer.is_error
    assert (address, count) == (BASE + 7, size)
    assert data == pattern(size)


@pytest.mark.parametrize("upper", [1 << 32, 1 << 63])
def test_count_whose_upper_half_is_not_zero_is_refused_and_the_vm_goes_on(vm: QtestVm, upper: int) -> None:
    answer, _, _, _ = vm.device.read(BASE, upper + 8)

    assert answer.is_error
    assert not vm.device.write(BASE, b"goes on").is_error
    assert vm.load(BASE, 7) == b"goes on"


def test_eventfd_delivery_proves_isolation_as_messages_do(patched: QemuBinary, tmp_path: Path) -> None:
    with running(tmp_path / "report", "--delivery", "eventfd", QEMU=shlex.join(patched.argv)) as run_of_a_user:
        status = run_of_a_user.end()

    assert run_of_a_user.results()["verdict"] == "ISOLATED", run_of_a_user.lines
    assert status == 0


def test_eventfd_delivery_is_refused_with_a_qemu_that_would_abort(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stock = QemuBinary(("/bin/false",), {}, (11, 1, 3), "cache", frozenset({"dma-count64"}))
    monkeypatch.setattr("guest_tests.session.find_qemu", lambda progress: stock)
    options = RunOptions(delivery="eventfd", accelerator="tcg", report=tmp_path / "report")

    with pytest.raises(HostError, match=r"survives the unplug .* no stock QEMU .* QEMU=patched"):
        run(options, QuietProgress())
