"""The command line of a guest: what it is made of, as QEMU's options. Nothing here starts or opens anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

MAX_PORTS = 28
"""Root ports that fit on q35's bus 0 beside the chipset's own devices and a few of the user's."""

RAM_ID = "ram"
"""QEMU id of the guest's memory backend."""

LEAN_MACHINE = (
    "graphics=off",
    "vmport=off",
    "smbus=off",
    "sata=off",
    "usb=off",
    "hpet=off",
    "i8042=off",
    "pit=off",
    "pic=off",
)
"""q35 with nothing that a bare-metal agent does not use: starts fastest, and does not wake up when idle (no PIT)."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_MONITOR_OBJECT_SINCE = (11, 0, 0)


class GuestImage(Protocol):
    """A bare-metal program: its ELF file, and the 64 KiB boot stub that jumps to its entry."""

    @property
    def elf(self) -> Path: ...

    @property
    def stub(self) -> Path: ...


@dataclass(frozen=True, slots=True)
class GuestSpec:
    """One guest to be. Raises ValueError for what QEMU would refuse or misread.

    name: also in file names, [A-Za-z0-9_-], at most 32 characters. ram_mib: MiB. ports: empty PCIe root ports `port0`
    to `port<n-1>`, port i being device 00:<i+1>.0. accelerator: "tcg", "kvm", "qtest". image: None when `extra` says
    what to boot. hotplug: who runs it, PCIe itself or ACPI. extra: further QEMU options, last on the line.
    tb_size_mib: TCG's translation buffer. reset_is_death: a reset that the guest itself does (a triple fault, or a
    reboot) ends it instead of looping; one that is asked for by QMP never does.
    """

    name: str
    ram_mib: int = 16
    ports: int = 1
    accelerator: str = "tcg"
    image: GuestImage | None = None
    hotplug: Literal["native", "acpi"] = "native"
    extra: tuple[str, ...] = ()
    cpu: str = "qemu64"
    cpus: int = 1
    machine: tuple[str, ...] = LEAN_MACHINE
    tb_size_mib: int = 1
    reset_is_death: bool = True

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"guest name {self.name!r}: use 1 to 32 of A-Z a-z 0-9 _ -, beginning with a letter or digit"
            )
        if self.ram_mib < 2 or self.cpus < 1 or self.tb_size_mib < 1:
            raise ValueError(
                f"guest {self.name}: it needs 2 MiB of RAM, a CPU and a translation buffer of 1 MiB at least"
            )
        if not 0 <= self.ports <= MAX_PORTS:
            raise ValueError(f"guest {self.name}: {self.ports} root ports, bus 0 has room for {MAX_PORTS}")
        if self.hotplug not in ("native", "acpi"):
            raise ValueError(f"guest {self.name}: hotplug is {self.hotplug!r}, it can be 'native' or 'acpi'")

    @property
    def ram_bytes(self) -> int:
        """Size of the guest's RAM in bytes."""
        return self.ram_mib << 20


class InheritedFds(NamedTuple):
    """Descriptor numbers in QEMU's own table: RAM (a memfd), monitor and serial line (connected sockets)."""

    ram: int
    monitor: int
    serial: int


def guest_options(spec: GuestSpec, fds: InheritedFds, version: tuple[int, int, int]) -> tuple[str, ...]:
    """QEMU's options for `spec`, without the program's own prefix. `version` is QEMU's."""
    return tuple(_options(spec, fds, version))


def _options(spec: GuestSpec, fds: InheritedFds, version: tuple[int, int, int]) -> Iterator[str]:
    # -S: the CPUs wait for `cont`, so that no event of the guest comes before somebody listens.
    yield from ("-nodefaults", "-no-user-config", "-display", "none", "-S", "-name", spec.name)
    yield from ("-cpu", spec.cpu, "-smp", str(spec.cpus), "-m", f"{spec.ram_mib}M")
    yield from ("-accel", f"tcg,tb-size={spec.tb_size_mib}" if spec.accelerator == "tcg" else spec.accelerator)
    # A path below /proc is the one way to hand QEMU a file that has no name: a guest that is killed leaves nothing.
    backend = f"memory-backend-file,id={RAM_ID},size={spec.ram_mib}M,mem-path=/proc/self/fd/{fds.ram},share=on"
    yield from ("-object", backend)
    yield from ("-machine", ",".join(("q35", f"memory-backend={RAM_ID}", *spec.machine)))
    yield from ("-chardev", f"socket,id=monitor,fd={fds.monitor}")
    yield from _monitor(version)
    yield from ("-chardev", f"socket,id=serial,fd={fds.serial}", "-device", "isa-serial,chardev=serial")
    if spec.hotplug == "native":
        yield from ("-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off")
    for port in range(spec.ports):
        yield from ("-device", f"pcie-root-port,id=port{port},chassis={port + 1},bus=pcie.0,addr={port + 1:#x}")
    if spec.image is not None:
        yield from ("-bios", str(spec.image.stub), "-kernel", str(spec.image.elf))
    yield from spec.extra


def _monitor(version: tuple[int, int, int]) -> tuple[str, str]:
    if version >= _MONITOR_OBJECT_SINCE:
        return ("-object", "monitor-qmp,id=qmp,chardev=monitor")
    return ("-mon", "chardev=monitor,mode=control")
