"""A virtual device of ours goes into a running guest and out of it again, over its vfio-user socket."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from device_model.config import DeviceConfig, VdevConfig
from device_model.device import Device
from device_model.virtual_device import Vdev
from host_ctl.guest import Guest
from host_ctl.tests.qtest_guest import QtestPort, qtest_guest
from host_ctl.tests.real_qemu import halting
from qemu_patches import QemuBinary

pytest_plugins = ["host_ctl.tests.qemu_fixtures"]
LIMIT_S = 20.0
LIMIT_MS = 20_000
CONFIG = VdevConfig(
    id=1,
    wq=0,
    vectors=((0, 1),),
    gencap=0,
    wqcap=0,
    grpcap=1,
    engcap=1,
    opcap=1,
    cmdcap=0,
    wq_size=16,
    wq_mode=1,
    wq_limits=0,
)


@pytest.fixture
def vdev() -> Iterator[Vdev]:
    with Device(DeviceConfig(num_wqs=1, total_wq_size=16, num_ims=256)) as device:
        created = device.create_vdev(CONFIG)
        yield created
        created.close()


@pytest.fixture
async def guest(qemu: QemuBinary, folder: Path) -> AsyncIterator[Guest]:
    async with await Guest.start(halting(folder, ports=2), qemu, folder) as started:
        yield started


@pytest.fixture
async def driven(qemu: QemuBinary, folder: Path) -> AsyncIterator[QtestPort]:
    async with qtest_guest(qemu, folder) as port:
        yield port


async def test_device_is_plugged_and_its_server_sees_it_go(guest: Guest, vdev: Vdev, folder: Path) -> None:
    vdev.serve(folder / "dsa0.sock")
    plugged = await guest.plug("dsa0", folder / "dsa0.sock", 1)
    assert 0 < plugged.seconds < LIMIT_S
    assert guest.devices == {1: "dsa0"}
    assert vdev.server_stats().mappings > 0
    await guest.unplug("dsa0")
    assert await asyncio.to_thread(vdev.wait_disconnected, 1, LIMIT_MS)
    assert guest.devices == {}
    assert vdev.server_stats().mappings == 0


async def test_device_is_plugged_twenty_times_over(guest: Guest, vdev: Vdev, folder: Path) -> None:
    for cycle in range(20):
        vdev.serve(folder / f"dsa0-{cycle}.sock")
        await guest.plug("dsa0", folder / f"dsa0-{cycle}.sock", 0)
        await guest.unplug("dsa0")
        assert await asyncio.to_thread(vdev.wait_disconnected, 1, LIMIT_MS)
        vdev.stop_serving()
    assert not guest.died.done()


async def test_device_that_the_guest_has_powered_leaves_when_the_guest_ejects_it(
    driven: QtestPort, vdev: Vdev, folder: Path
) -> None:
    vdev.serve(folder / "dsa0.sock")
    await driven.guest.plug("dsa0", folder / "dsa0.sock", 0)
    await driven.power_on()
    with driven.guest.monitor.expect("DEVICE_DELETED", device="dsa0") as gone:
        await driven.eject()
        await gone.wait(LIMIT_S)
    assert await asyncio.to_thread(vdev.wait_disconnected, 1, LIMIT_MS)


async def test_guest_survives_the_end_of_its_server_and_takes_the_next(guest: Guest, vdev: Vdev, folder: Path) -> None:
    vdev.serve(folder / "first.sock")
    await guest.plug("dsa0", folder / "first.sock", 0)
    vdev.stop_serving()
    await guest.unplug("dsa0")
    vdev.serve(folder / "second.sock")
    await guest.plug("dsa0", folder / "second.sock", 0)
    assert guest.devices == {0: "dsa0"}
    assert not guest.died.done()


async def test_end_of_a_guest_is_the_end_of_its_devices_client(guest: Guest, vdev: Vdev, folder: Path) -> None:
    vdev.serve(folder / "dsa0.sock")
    await guest.plug("dsa0", folder / "dsa0.sock", 0)
    await guest.close()
    assert await asyncio.to_thread(vdev.wait_disconnected, 1, LIMIT_MS)
