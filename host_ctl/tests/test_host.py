"""The host as a whole: instances left, many threads, and a close that undoes everything."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_model.device import DeviceConfig, DeviceError
from device_model.ledger import Kind
from device_model.vfio_user_client import VfioUserClient
from host_ctl.errors import HostError
from host_ctl.host import Host, OwnDevicesExhausted
from host_ctl.mdev import Mdev
from host_ctl.mdev_type import TYPES, UnknownType
from host_ctl.physical import CommandFailed

TYPE = "dsa-1dwq-v1"
SMALL = DeviceConfig(num_wqs=4, total_wq_size=16, num_ims=256)


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host(SMALL, wq_size=4)
    yield host
    host.close()


def test_unknown_type_is_a_typed_error_that_names_the_known(host: Host, tmp_path: Path) -> None:
    for call in (host.type, host.available_instances, lambda name: host.create(name, 1, tmp_path)):
        with pytest.raises(UnknownType, match=TYPE):
            call("dsa-9dwq-v1")


def test_available_instances_are_those_that_can_be_created(host: Host, tmp_path: Path) -> None:
    assert host.available_instances(TYPE) == 4
    for left in (3, 2, 1, 0):
        host.create(TYPE, 1, tmp_path)
        assert host.available_instances(TYPE) == left


def test_available_instances_are_limited_by_entries_too(host: Host, tmp_path: Path) -> None:
    host.create(TYPE, 120, tmp_path)

    assert [host.available_instances(TYPE, vectors) for vectors in (1, 45, 46, 69, 136, 137)] == [3, 3, 2, 1, 1, 0]


@pytest.mark.parametrize("vectors", [0, -1, 256])
def test_instances_with_an_impossible_number_of_vectors_are_a_typed_error(host: Host, vectors: int) -> None:
    with pytest.raises(HostError, match="1 to 255"):
        host.available_instances(TYPE, vectors)


def test_sizes_that_do_not_fit_leave_no_device_behind() -> None:
    with pytest.raises(CommandFailed):
        Host(SMALL, wq_size=5)


def test_close_undoes_everything_and_is_idempotent(tmp_path: Path) -> None:
    host = Host(SMALL, wq_size=4)
    mdevs = [host.create(TYPE, 2, tmp_path) for _ in range(4)]
    host.close()
    host.close()

    assert host.mdevs == {}
    assert not any(mdev.socket.exists() for mdev in mdevs)
    with pytest.raises(DeviceError, match="closed"):
        host.audit()


def test_close_goes_on_after_an_mdev_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(SMALL, wq_size=4)
    mdevs = [host.create(TYPE, 2, tmp_path) for _ in range(3)]
    real = Mdev.close

    def fail_after(mdev: Mdev) -> None:
        real(mdev)
        raise HostError("planned")

    monkeypatch.setattr(Mdev, "close", fail_after)
    with pytest.raises(HostError, match="planned"):
        host.close()

    assert not any(mdev.socket.exists() for mdev in mdevs)
    with pytest.raises(DeviceError, match="closed"):
        host.read_ledger()


def test_mdevs_made_and_destroyed_by_many_threads_leave_nothing(tmp_path: Path) -> None:
    host = Host(DeviceConfig(num_wqs=16, total_wq_size=16, num_ims=256), wq_size=1)
    failures: list[BaseException] = []

    def cycle() -> None:
        try:
            for vectors in (1, 2, 3) * 4:
                mdev = host.create(TYPE, vectors, tmp_path)
                with VfioUserClient.connect(mdev.socket, timeout=60) as client:
                    client.dma_map(0x10_0000, 0x1000)
                    host.destroy(mdev)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=cycle) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    audit = host.audit()
    host.close()

    assert failures == []
    assert set(audit.counts().values()) == {0}


def test_mdevs_held_by_many_threads_share_no_part(tmp_path: Path) -> None:
    host = Host(DeviceConfig(num_wqs=32, total_wq_size=32, num_ims=256), wq_size=1)
    made: list[Mdev] = []

    def create() -> None:
        made.extend(host.create(TYPE, 8, tmp_path) for _ in range(4))

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pasids, queues = {mdev.pasid for mdev in made}, {mdev.wq for mdev in made}
    sockets, handles = {mdev.socket for mdev in made}, {handle for mdev in made for handle in mdev.handles}
    host.close()

    assert [len(pasids), len(queues), len(sockets), len(handles)] == [32, 32, 32, 256]


def test_ledger_is_read_through_the_host(host: Host, tmp_path: Path) -> None:
    mdev = host.create(TYPE, 1, tmp_path)
    with VfioUserClient.connect(mdev.socket, timeout=60) as client:
        client.region_write(2, 0x1000, bytes(64))
    records, lost = host.read_ledger()

    assert ([record.kind for record in records], lost) == ([Kind.DROPPED], 0)


def test_trace_goes_where_it_is_asked_for_or_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VDSA_TRACE", str(tmp_path / "by_variable"))
    for trace in (None, None, tmp_path / "asked_for"):
        host = Host(SMALL, wq_size=4, trace=trace)
        VfioUserClient.connect(host.create(TYPE, 1, tmp_path).socket, timeout=10).close()
        host.close()

    assert (tmp_path / "by_variable").read_text().count("mdev 1   a VM is attached") == 2
    assert (tmp_path / "asked_for").read_text().count("mdev 1   a VM is attached") == 1


def test_trace_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"cannot write the trace to .*: choose another file"):
        Host(SMALL, wq_size=4, trace=tmp_path / "nowhere" / "trace")
# ---- types ----


@pytest.mark.parametrize("name", list(TYPES))
def test_mdev_of_each_type_is_made_and_leaves_nothing(host: Host, tmp_path: Path, name: str) -> None:
    before = host.audit()
    left = host.available_instances(name)
    mdev = host.create(name, TYPES[name].vectors[0], tmp_path)
    during = host.audit(), host.available_instances(name)
    host.destroy(mdev)

    assert during[0].mdevs == 1
    assert during[1] == left - 1
    assert host.audit() == before
    assert host.available_instances(name) == left


@pytest.mark.parametrize("name", ["dsa-pf-v1", "iax-1dwq-v1"])
def test_device_of_its_own_takes_no_part_of_the_shared_one(host: Host, tmp_path: Path, name: str) -> None:
    mdev = host.create(name, TYPES[name].vectors[0], tmp_path)
    counts = {what: count for what, count in host.audit().counts().items() if count}

    assert counts == {"mdevs": 1}
    assert host.available_instances(TYPE) == 4
    assert mdev.handles == list(range(1, mdev.vectors + 1))


@pytest.mark.parametrize("name", ["dsa-pf-v1", "iax-1dwq-v1"])
def test_devices_of_their_own_are_bounded(
    host: Host, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("host_ctl.host.MAX_OWN_DEVICES", 2)
    mdevs = [host.create(name, TYPES[name].vectors[0], tmp_path) for _ in range(2)]
    with pytest.raises(OwnDevicesExhausted, match="at most 2"):
        host.create(name, TYPES[name].vectors[0], tmp_path)
    host.destroy(mdevs[0])

    assert host.available_instances(name) == 1
    host.create(name, TYPES[name].vectors[0], tmp_path)


def test_device_of_its_own_has_the_vectors_it_has(host: Host, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="exactly 4 besides vector 0"):
        host.create("dsa-pf-v1", 2, tmp_path)
    assert host.audit().mdevs == 0


def test_type_that_is_made_of_shared_parts_has_no_device_of_its_own() -> None:
    with pytest.raises(ValueError, match="shared"):
        TYPES[TYPE].own_config(1, eventfd=False)
