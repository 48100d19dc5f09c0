"""What an administrator of a Linux guest does with a DSA device: configure, enable, use, take away; by sysfs or accel-config."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from guest_tests.linux.guest import LinuxGuest

PROBE_LIMIT_S = 30.0
"""Bound on the time from device_add to a bound driver; it takes some 0.1 s."""
SETTLE_LIMIT_S = 60.0
_CUT = "==== bound again ===="


@dataclass(frozen=True, slots=True)
class Names:
    """What the driver calls the device and its parts, and what it made of it."""

    dsa: str
    configurable: bool
    """The guest may configure its queues."""
    interrupts: tuple[int, ...]
    """The guest's numbers, by MSI-X vector."""

    @property
    def number(self) -> str:
        return self.dsa.removeprefix("dsa")

    def wq(self, index: int) -> str:
        return f"wq{self.number}.{index}"

    def engine(self, index: int) -> str:
        return f"engine{self.number}.{index}"


class IdxdDevice:
    """The device behind root port `port` of a guest, for as long as it is plugged."""

    def __init__(self, guest: LinuxGuest, port: int) -> None:
        self.guest = guest
        self.port = port
        self.bdf = f"0000:{port + 1:02x}:00.0"
        self.pci = f"/sys/bus/pci/devices/{self.bdf}"
        self._channels: list[str] = []
        """dmaengine's names of its queues; empty: not looked up since the last change."""

    # ---- probe ----

    async def names(self) -> Names:
        """What the driver calls it; waits until it has bound it."""
        self._channels.clear()
        return _names(await self.guest.run("\n".join(self._bound()), PROBE_LIMIT_S))

    def _bound(self) -> list[str]:
        """Lines of a script that wait for the driver, and write what _names() takes apart. The driver makes groups last, after
        device, queues and engines.
        """
        last = '[ -e "$1/group${1##*/dsa}.$((groups - 1))" ]'
        return [
            f'until set -- {self.pci}/dsa*; [ -e "$1/max_groups" ] && read -r groups <"$1/max_groups" && {last}',
            "do sleep 0.02; done",
            "echo ${1##*/}",
            "cat $1/configurable",
            f"ls {self.pci}/msi_irqs",
        ]

    async def absent(self) -> None:
        """Waits until the guest has no such device any more."""
        await self.guest.run(f"while [ -e {self.pci} ]; do sleep 0.02; done", SETTLE_LIMIT_S)

    async def attribute(self, part: str, name: str) -> str:
        """An attribute of a part (`dsa0`, `wq0.0`), as sysfs has it."""
        return (await self.guest.run(f"cat /sys/bus/dsa/devices/{part}/{name}")).strip()

    # ---- set-up by sysfs ----

    async def enable(self, names: Names, wqs: int = 1) -> None:
        """Enables the device and its first `wqs` queues for the kernel's use; dedicated ones, where that can be configured.

        A device that the host has configured may be enabled already.
        """
        self._channels.clear()
        lines = ["set -e", "cd /sys/bus/dsa/devices", *(_configuration(names, wqs) if names.configurable else [])]
        lines += [*_types(names, wqs), "cd ../drivers"]
        lines += [f"[ -e idxd/{names.dsa} ] || echo {names.dsa} >idxd/bind"]
        lines += [f"echo {names.wq(index)} >dmaengine/bind" for index in range(wqs)]
        await self.guest.run("\n".join(lines))

    async def disable(self, names: Names, wqs: int = 1) -> None:
        """The opposite of enable(); what is disabled already stays so."""
        self._channels.clear()
        await self.guest.run("\n".join(["set -e", *_disabling(names, wqs)]))

    async def rebind(self, names: Names, wqs: int, between: str) -> tuple[str, Names]:
        """Disables all, takes the PCI device from its driver, and gives it back when the driver has let go. What `between`, a
        script that is run then, has written; and what the driver calls the device now.
        """
        self._channels.clear()
        driver = "/sys/bus/pci/drivers/idxd"
        lines = ["set -e", *_disabling(names, wqs), f"echo {self.bdf} >{driver}/unbind", between, f"echo {_CUT}"]
        lines += [f"echo {self.bdf} >{driver}/bind", "set +e", *self._bound()]
        written, _, bound = (await self.guest.run("\n".join(lines), SETTLE_LIMIT_S + PROBE_LIMIT_S)).partition(f"{_CUT}\n")
        return written, _names(bound)

    # ---- set-up by accel-config ----

    async def listed(self, names: Names) -> dict[str, Any]:
        """What `accel-config list` says of the device."""
        said = json.loads(await self.guest.run("accel-config list -i"))
        return next(device for device in said if device["dev"] == names.dsa)

    async def load_configuration(self, configuration: list[dict[str, Any]], *, enable: bool) -> str:
        """What `accel-config load-config` writes, of a configuration as `accel-config save-config` makes it."""
        self._channels.clear()
        script = f"cat >/tmp/config.json <<'END'\n{json.dumps(configuration, indent=1)}\nEND\n"
        return await self.guest.run(f"{script}accel-config load-config -c /tmp/config.json {'-e' if enable else ''}")

    async def saved_configuration(self) -> Any:
        """What `accel-config save-config` makes of all devices that are configured."""
        return json.loads(await self.guest.run("accel-config save-config -s /tmp/saved.json && cat /tmp/saved.json"))

    # ---- use ----

    async def channels(self) -> Sequence[str]:
        """dmaengine's names of its queues that are enabled for the kernel."""
        if not self._channels:
            found = await self.guest.run(
                f"for c in /sys/class/dma/*; do case $(readlink -f $c/device) in */{self.bdf}*) echo ${{c##*/}};; esac; done"
            )
            self._channels = found.split()
        return self._channels

    # ---- interrupts ----

    async def interrupts(self) -> dict[int, int]:
        """MSI-X vector -> interrupts taken, by /proc/interrupts, since the driver was bound; empty: it is not."""
        output = await self.guest.run(f"ls {self.pci}/msi_irqs 2>/dev/null; echo; cat /proc/interrupts")
        numbers, _, table = output.partition("\n\n")
        lines = sorted(int(number) for number in numbers.split())
        counts = parse_interrupts(table)
        return {vector: counts.get(line, 0) for vector, line in enumerate(lines)}


def parse_interrupts(table: str) -> dict[int, int]:
    """Number of the interrupt -> how often all CPUs took it, of /proc/interrupts."""
    cpus = len(table.splitlines()[0].split()) if table else 0
    counts = {}
    for line in table.splitlines()[1:]:
        words = line.split()
        if re.fullmatch(r"\d+:", words[0] if words else ""):
            counts[int(words[0][:-1])] = sum(map(int, words[1 : 1 + cpus]))
    return counts


def _names(text: str) -> Names:
    """Of what the lines of _bound() write."""
    dsa, configurable, *interrupts = text.split()
    return Names(dsa, configurable == "1", tuple(sorted(map(int, interrupts))))


def _disabling(names: Names, wqs: int) -> list[str]:
    parts = [("dmaengine", names.wq(index)) for index in range(wqs)] + [("idxd", names.dsa)]
    drivers = "/sys/bus/dsa/drivers"
    return [f"[ ! -e {drivers}/{driver}/{part} ] || echo {part} >{drivers}/{driver}/unbind" for driver, part in parts]


def _configuration(names: Names, wqs: int) -> list[str]:
    """All in group 0, as one does by hand."""
    lines = [f"echo 0 >{names.engine(0)}/group_id"]
    for wq in map(names.wq, range(wqs)):
        lines += [f"echo 0 >{wq}/group_id", f"echo dedicated >{wq}/mode", f"echo 16 >{wq}/size", f"echo 10 >{wq}/priority"]
    return lines


def _types(names: Names, wqs: int) -> list[str]:
    lines = []
    for index, wq in enumerate(map(names.wq, range(wqs))):
        lines += [f"echo kernel >{wq}/type", f"echo dmaengine{index} >{wq}/name"]
        # Newer kernels let one choose the driver of a queue, and want it done.
        lines += [f"[ ! -e {wq}/driver_name ] || echo dmaengine >{wq}/driver_name"]
    return lines
