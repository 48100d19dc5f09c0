"""A guest's command line is what it is expected to be, word for word."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from host_ctl.guest_command import GuestSpec, InheritedFds, guest_options

FDS = InheritedFds(ram=7, monitor=8, serial=9)
NEW = (11, 1, 3)


@dataclass(frozen=True)
class Image:
    elf: Path = Path("/images/agent.elf")
    stub: Path = Path("/images/stub.bin")


GOLDEN = """
-nodefaults -no-user-config -display none -S -name g0 -cpu qemu64 -smp 1 -m 16M -accel tcg,tb-size=1
-object memory-backend-file,id=ram,size=16M,mem-path=/proc/self/fd/7,share=on
-machine q35,memory-backend=ram,graphics=off,vmport=off,smbus=off,sata=off,usb=off,hpet=off,i8042=off,pit=off,pic=off
-chardev socket,id=monitor,fd=8 -object monitor-qmp,id=qmp,chardev=monitor
-chardev socket,id=serial,fd=9 -device isa-serial,chardev=serial
-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off
-device pcie-root-port,id=port0,chassis=1,bus=pcie.0,addr=0x1
-device pcie-root-port,id=port1,chassis=2,bus=pcie.0,addr=0x2
-bios /images/stub.bin -kernel /images/agent.elf -no-shutdown
"""


def test_command_line_of_an_agent_is_the_golden_one() -> None:
    spec = GuestSpec("g0", ports=2, image=Image(), extra=("-no-shutdown",))
    assert guest_options(spec, FDS, NEW) == tuple(GOLDEN.split())


def test_acpi_hotplug_is_the_machines_own_default() -> None:
    native = guest_options(GuestSpec("g0"), FDS, NEW)
    acpi = guest_options(GuestSpec("g0", hotplug="acpi"), FDS, NEW)
    assert set(native) - set(acpi) == {"-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"}


def test_qemu_before_11_is_given_the_older_monitor_option() -> None:
    options = guest_options(GuestSpec("g0"), FDS, (10, 2, 2))
    assert options[options.index("-mon") + 1] == "chardev=monitor,mode=control"
    assert "monitor-qmp,id=qmp,chardev=monitor" not in options


def test_kvm_is_given_no_translation_buffer() -> None:
    options = guest_options(GuestSpec("g0", accelerator="kvm"), FDS, NEW)
    assert options[options.index("-accel") + 1] == "kvm"


def test_extra_options_come_last_so_that_they_win() -> None:
    assert guest_options(GuestSpec("g0", extra=("-kernel", "vmlinuz")), FDS, NEW)[-2:] == ("-kernel", "vmlinuz")


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "../up"},
        {"name": "a,b"},
        {"name": "g" * 33},
        {"name": "g", "ram_mib": 1},
        {"name": "g", "ports": 29},
        {"name": "g", "ports": -1},
        {"name": "g", "cpus": 0},
        {"name": "g", "hotplug": "shpc"},
    ],
)
def test_spec_that_qemu_would_misread_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="guest"):
        GuestSpec(**fields)  # type: ignore[arg-type]
