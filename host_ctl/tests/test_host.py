"""The host as a whole: instances left, many threads, and a close that undoes everything."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device_model.config import DeviceConfig, Organisation, VdevConfig
from device_model.errors import DeviceError
from device_model.ledger import Kind
from device_model.vfio_user_client import VfioUserClient
from host_ctl.errors import HostError
from host_ctl.host import Host, HostClosed, OwnDevicesExhausted
from host_ctl.interrupts import COMBINATIONS, Scope
from host_ctl.mdev import Mdev
from host_ctl.mdev_type import TYPES, UnknownType
from host_ctl.physical import CommandFailed
from host_ctl.tests.interrupt_rig import name_of, small_device

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


@pytest.mark.parametrize(
    ("pair", "taken", "instances"),
    [
        ((Organisation.ARRAY, Scope.VM), 3, [15, 15, 15, 0]),
        ((Organisation.TABLE, Scope.DEVICE), 3, [15, 15, 15, 0]),
        ((Organisation.TABLE, Scope.VM), 3, [15, 15, 15, 0]),
        ((Organisation.MSIX, Scope.DEVICE), 136, [19, 15, 7, 7]),
        ((Organisation.QUEUE, Scope.VM), 136, [19, 19, 19, 19]),
    ],
    ids=name_of,
)
def test_available_instances_follow_the_store(
    pair: tuple[Organisation, Scope], taken: int, instances: list[int], tmp_path: Path
) -> None:
    """20 work queues; 256 entries, or parts of 16; none of both bounds storage in host memory."""
    host = Host(small_device(pair[0], 20), scope=pair[1], wq_size=4, mdev_vectors=16)
    host.create(TYPE, taken, tmp_path)
    seen = [host.available_instances(TYPE, vectors) for vectors in (1, 8, 16, 17)]
    host.close()

    assert seen == instances


def test_scope_that_makes_no_sense_is_refused_with_the_reason() -> None:
    with pytest.raises(HostError, match="one table, one capability, one domain made by the PCI core"):
        Host(small_device(Organisation.MSIX), scope=Scope.VM, wq_size=4)


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


class _Lock:
    """A host's lock that says when somebody wants it."""

    def __init__(self, host: Host) -> None:
        self._lock, self.wanted = host._lock, threading.Event()

    def __enter__(self) -> None:
        self.wanted.set()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_close_waits_for_an_mdev_in_the_making_and_destroys_it(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, real = _Lock(host), host.parts.describe
    closer = threading.Thread(target=host.close)
    waited = []

    def describe_while_it_is_closed(*arguments: Any) -> VdevConfig:
        lock.wanted.clear()
        closer.start()
        waited.append(lock.wanted.wait(60))  # for the close to come to it
        return real(*arguments)

    monkeypatch.setattr(host, "_lock", lock)
    host.parts.describe = describe_while_it_is_closed
    mdev = host.create(TYPE, 1, tmp_path)
    closer.join(60)

    assert waited == [True]
    assert not closer.is_alive()
    assert host.mdevs == {}
    assert not mdev.socket.exists()
    with pytest.raises(HostClosed, match="closed"):
        host.create(TYPE, 1, tmp_path)


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


@pytest.mark.parametrize("pair", COMBINATIONS, ids=name_of)
def test_mdevs_made_and_destroyed_by_many_threads_leave_nothing(pair: tuple[Organisation, Scope], tmp_path: Path) -> None:
    host = Host(small_device(pair[0], 16), scope=pair[1], wq_size=1)
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


@pytest.mark.parametrize("pair", COMBINATIONS, ids=name_of)
def test_mdevs_held_by_many_threads_share_no_part(pair: tuple[Organisation, Scope], tmp_path: Path) -> None:
    host = Host(small_device(pair[0], 32), scope=pair[1], wq_size=1, mdev_vectors=8)
    made: list[Mdev] = []

    def create() -> None:
        made.extend(host.create(TYPE, 8, tmp_path) for _ in range(4))

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pasids, queues = {mdev.pasid for mdev in made}, {mdev.wq for mdev in made}
    sockets, entries = {mdev.socket for mdev in made}, {i.entry for mdev in made for i in mdev.interrupts}
    owners = {mdev.subdevice.owner_id for mdev in made}
    host.close()

    assert [len(pasids), len(queues), len(sockets), len(entries), len(owners)] == [32, 32, 32, 256, 32]


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
