"""The interrupt remapping table: messages that name an entry, exhaustion, and nothing left of a failure."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from device_model.config import DeviceConfig
from device_model.device import Device
from device_model.errors import DeviceError
from device_model.virtual_device import Vdev
from host_ctl.mdev_type import TYPES
from host_ctl.remapping import NUM_ENTRIES, RemapEntry, RemappingExhausted, RemappingTable


@pytest.fixture
def device() -> Iterator[Device]:
    with Device(DeviceConfig(num_wqs=1, total_wq_size=1, num_ims=256), run_engine=False) as device:
        yield device


@pytest.fixture
def vdev(device: Device) -> Vdev:
    return device.create_vdev(TYPES["dsa-1dwq-v1"].config(1, 0, 1, [], eventfd=False))


@pytest.mark.parametrize(
    ("index", "address"),
    [(0, 0xFEE0_0010), (1, 0xFEE0_0030), (0x7FFF, 0xFEEF_FFF0), (0x8000, 0xFEE0_0014), (0xFFFF, 0xFEEF_FFF4)],
)
def test_message_address_names_the_entry_as_vt_d_says(index: int, address: int) -> None:
    assert (RemapEntry(index).address, RemapEntry(index).data) == (address, 0)


def test_entries_are_distinct_and_all_can_be_had(device: Device, vdev: Vdev) -> None:
    table = RemappingTable(device)
    indices = {table.allocate(vdev, 0).index for _ in range(NUM_ENTRIES)}

    assert len(indices) == NUM_ENTRIES == table.in_use
    assert device.iommu_entries()[0] == NUM_ENTRIES
    with pytest.raises(RemappingExhausted, match="destroy an mdev"):
        table.allocate(vdev, 0)
    assert table.in_use == NUM_ENTRIES


def test_freed_entry_leads_nowhere_and_may_be_reused(device: Device, vdev: Vdev) -> None:
    table = RemappingTable(device)
    entry = table.allocate(vdev, 0)
    table.free(entry)

    assert (table.in_use, device.iommu_entries()[0]) == (0, 0)
    assert table.allocate(vdev, 0) == entry


def test_failure_to_write_an_entry_takes_none(device: Device, vdev: Vdev, monkeypatch: pytest.MonkeyPatch) -> None:
    table = RemappingTable(device)
    with monkeypatch.context() as broken:
        broken.setattr(device, "remap_set", _refuse)
        with pytest.raises(DeviceError, match="broken"):
            table.allocate(vdev, 0)

    assert table.in_use == 0


def _refuse(*_: object) -> None:
    raise DeviceError("broken")


@pytest.mark.parametrize("index", [NUM_ENTRIES, NUM_ENTRIES + 1, 2**32 - 1])
def test_index_outside_the_table_is_a_typed_error(device: Device, vdev: Vdev, index: int) -> None:
    with pytest.raises(DeviceError, match="remapping entry"):
        device.remap_set(index, vdev, 0)
    with pytest.raises(DeviceError, match="remapping entry"):
        device.remap_clear(index)


@pytest.mark.parametrize("pasid", [1 << 20, 2**32 - 1])
def test_pasid_outside_the_table_is_a_typed_error(device: Device, vdev: Vdev, pasid: int) -> None:
    with pytest.raises(DeviceError, match="PASID"):
        device.pasid_set(pasid, vdev)
    with pytest.raises(DeviceError, match="PASID"):
        device.pasid_clear(pasid)


def test_setting_and_clearing_twice_counts_once(device: Device, vdev: Vdev) -> None:
    for _ in range(2):
        device.remap_set(7, vdev, 0)
        device.pasid_set(7, vdev)
    twice_set = device.iommu_entries()
    for _ in range(2):
        device.remap_clear(7)
        device.pasid_clear(7)

    assert (twice_set, device.iommu_entries()) == ((1, 1), (0, 0))
