"""What a guest would see is linted before it is shown: every type passes, and each rule that is broken is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from device_model.config import DeviceConfig, OwnVdevConfig
from device_model.errors import DeviceError
from device_model.tests.core_rig import CONFIG, Machine, core_under_test
from host_ctl.mdev_type import TYPES

Config = bytearray
EXPRESS, MSIX = 0x40, 0x80


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path) as machine:
        yield machine


@pytest.fixture
def shown(machine: Machine) -> Config:
    """The config space of a device that is sound."""
    return Config(machine.plug().client.region_read(CONFIG, 0, 4096))


def lint(
    config: bytes | Config, *, bar0: int = 0x10000, bar2: int = 0x4000, ranges: list[tuple[int, int]] | None = None
) -> str | None:
    core: Any = core_under_test()
    named = [(0, 0x200), (0x600, 0x20), (0xF000, 0x1000)] if ranges is None else ranges
    table = core.ffi.new("struct vlint_bar0 *", {"count": len(named), "ranges": named})
    complaint = core.lib.vdev_lint(bytes(config), bar0, bar2, table)
    return core.ffi.string(complaint).decode() if complaint else None


@pytest.mark.parametrize("name", list(TYPES))
def test_every_type_passes(machine: Machine, name: str) -> None:
    guest = machine.plug(TYPES[name].vectors[0], name)
    sizes = [guest.client.region_info(bar).size for bar in (0, 2)]

    assert lint(guest.client.region_read(CONFIG, 0, 4096), bar0=sizes[0], bar2=sizes[1]) is None


def put(offset: int, *values: int) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        config[offset : offset + len(values)] = bytes(values)

    return change


BROKEN = {
    "no vendor": (put(0x00, 0xFF, 0xFF), "vendor"),
    "no device": (put(0x02, 0, 0), "vendor"),
    "header type": (put(0x0E, 0x80), "header type"),
    "INTx": (put(0x3D, 1), "INTx"),
    "no capability list": (put(0x06, 0), "status register"),
    "status bits": (put(0x07, 1), "status register"),
    "BAR0 of 32 bits": (put(0x10, 0x8), "64 bits wide"),
    "BAR2 not prefetchable": (put(0x18, 0x4), "64 bits wide"),
    "a third BAR": (put(0x20, 0xC), "not BAR0 or BAR2"),
    "list starts in the header": (put(0x34, 0x10), "misplaced"),
    "list starts at an odd place": (put(0x34, 0x42), "misplaced"),
    "a loop of one": (put(EXPRESS + 1, EXPRESS), "leads back"),
    "a loop of two": (put(MSIX + 1, EXPRESS), "leads back"),
    "overlap": (put(EXPRESS + 1, EXPRESS + 0x20), "overlaps another"),
    "end of the list": (put(MSIX + 1, 0xFE), "misplaced"),
    "no MSI-X": (put(MSIX, 0x09), "missing"),
    "no PCI Express": (put(EXPRESS, 0x09), "missing"),
    "empty list": (put(0x34, 0), "missing"),
    "Express version": (put(EXPRESS + 2, 0x91), "version 2"),
    "Express type": (put(EXPRESS + 2, 0x02), "root complex"),
    "no FLR": (put(EXPRESS + 7, 0), "function-level"),
    "table in BAR2": (put(MSIX + 4, 2), "not in BAR0"),
    "PBA in BAR2": (put(MSIX + 8, 2), "not in BAR0"),
    "table beyond BAR0": (put(MSIX + 4, 0xF0, 0xFF, 0), "beyond BAR0"),
    "PBA beyond BAR0": (put(MSIX + 8, 0, 0, 1), "beyond BAR0"),
    "table over PBA": (put(MSIX + 4, 0xF8, 0x2F), "its PBA overlap"),
    "table over registers": (put(MSIX + 4, 0x00, 0x06), "overlaps registers"),
    "PBA over registers": (put(MSIX + 8, 0x00, 0xF0), "overlaps registers"),
    "extended loop": (put(0x100, 0x0B, 0, 0x01, 0x10), "extended"),
    "extended next in the header": (put(0x100, 0x0B, 0, 0x01, 0x04), "extended"),
    "extended next misplaced": (put(0x100, 0x0B, 0, 0x21, 0x20), "extended"),
}


@pytest.mark.parametrize("rule", list(BROKEN))
def test_config_space_that_breaks_a_rule_is_named(shown: Config, rule: str) -> None:
    change, words = BROKEN[rule]
    sound = lint(shown)
    change(shown)

    assert sound is None
    assert words in (lint(shown) or "")


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"bar0": 0x18000}, "power of two"),
        ({"bar2": 0}, "power of two"),
        ({"bar0": 0x8000}, "too small"),
        ({"bar2": 0x1000}, "too small"),
        ({"ranges": [(0, 0x200), (0x100, 8)]}, "overlap each other"),
        ({"ranges": [(0, 0x200), (0xFFF8, 0x10)]}, "beyond BAR0"),
    ],
)
def test_bar_that_breaks_a_rule_is_named(shown: Config, sizes: dict[str, Any], words: str) -> None:
    assert words in (lint(shown, **sizes) or "")


def test_list_of_extended_capabilities_that_ends_is_taken(shown: Config) -> None:
    put(0x100, 0x0B, 0, 0x01, 0x20)(shown)
    put(0x200, 0x0B, 0, 0x01, 0x00)(shown)

    assert lint(shown) is None


@pytest.mark.parametrize(
    "config",
    [
        DeviceConfig(num_wqs=1, total_wq_size=4, num_ims=256, num_msix=2),
        DeviceConfig(num_wqs=1, total_wq_size=4, num_ims=0, num_msix=0),
        DeviceConfig(num_wqs=1, total_wq_size=4, num_ims=0, num_msix=257),
        DeviceConfig(num_wqs=0, total_wq_size=4, num_ims=0, num_msix=2),
        DeviceConfig(num_wqs=1, total_wq_size=4, num_ims=0, num_msix=2, num_engines=17),
    ],
)
def test_own_device_of_an_impossible_size_is_a_typed_error(machine: Machine, config: DeviceConfig) -> None:
    with pytest.raises(DeviceError, match="virtual device 7"):
        machine.device.create_vdev(OwnVdevConfig(7, config))
