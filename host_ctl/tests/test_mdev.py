"""Composing an mdev: whatever step fails, nothing is left; whatever it was given is taken back."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from device_model.config import Organisation
from device_model.errors import DeviceError
from device_model.vfio_user_client import VfioUserClient
from host_ctl.errors import HostError
from host_ctl.host import Audit, Host
from host_ctl.interrupts import COMBINATIONS, Scope, StoreExhausted
from host_ctl.interrupts.vm_id import VmIdAllocator, VmIdExhausted
from host_ctl.mdev_type import MAX_VECTORS
from host_ctl.pasid import PasidAllocator, PasidExhausted
from host_ctl.physical import WqsExhausted
from host_ctl.tests.interrupt_rig import name_of, small_device

TYPE = "dsa-1dwq-v1"
DEVICE_CALLS = ("write", "remap_set", "pasid_set", "create_vdev")
MEMORY_CALLS = ("memory_page", "memory_write", "memory_update")
"""With a store in host memory also these."""
"""Calls of the host that change the machine."""


class InjectedError(Exception):
    """The planned failure."""


Pair = tuple[Organisation, Scope]


@pytest.fixture(params=COMBINATIONS, ids=name_of)
def pair(request: pytest.FixtureRequest) -> Pair:
    """Organisation of the store and scope of the domains."""
    return request.param  # type: ignore[no-any-return]


def open_host(pair: Pair) -> Host:
    """4 work queues, 256 entries if the store has a bound, parts for 8 vectors."""
    return Host(small_device(pair[0]), scope=pair[1], wq_size=4, mdev_vectors=8)


@pytest.fixture
def host(pair: Pair) -> Iterator[Host]:
    host = open_host(pair)
    yield host
    host.close()


@pytest.fixture
def occupied(host: Host, tmp_path: Path) -> tuple[Host, Audit]:
    """With an mdev already there, so that "nothing left" is not "all zero"."""
    host.create(TYPE, 3, tmp_path)
    return host, host.audit()


def calls_of(host: Host) -> tuple[str, ...]:
    """Calls of the host that change the machine."""
    in_memory = host.parts.domain.store.ORGANISATION is Organisation.QUEUE
    return DEVICE_CALLS + (MEMORY_CALLS if in_memory else ())


def fail_at(host: Host, number: int, patch: pytest.MonkeyPatch) -> None:
    """The call of that number, from 0, of all calls_of() together raises; those after it work."""
    calls = itertools.count()

    def wrap(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if next(calls) == number:
                raise InjectedError(number)
            return real(*args, **kwargs)

        return call

    for name in calls_of(host):
        patch.setattr(host.device, name, wrap(getattr(host.device, name)))


def count_calls(host: Host, folder: Path, patch: pytest.MonkeyPatch) -> int:
    """How many such calls the creation of an mdev makes."""
    seen: list[str] = []

    def wrap(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            seen.append(name)
            return real(*args, **kwargs)

        return call

    with patch.context() as counting:
        for name in calls_of(host):
            counting.setattr(host.device, name, wrap(name, getattr(host.device, name)))
        mdev = host.create(TYPE, 2, folder)
    host.destroy(mdev)
    assert set(seen) == set(calls_of(host))
    return len(seen)


def test_failure_at_each_step_of_composition_leaves_nothing(
    occupied: tuple[Host, Audit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, before = occupied
    steps = count_calls(host, tmp_path, monkeypatch)

    for number in range(steps):
        with monkeypatch.context() as broken, pytest.raises(InjectedError):
            fail_at(host, number, broken)
            host.create(TYPE, 2, tmp_path)
        assert host.audit() == before, f"call {number} of {steps}"
    assert steps >= 14
    host.destroy(host.create(TYPE, 2, tmp_path))
    assert host.audit() == before


@pytest.mark.parametrize("step", ["describe", "serve"])
def test_failure_of_the_hosts_own_steps_leaves_nothing(
    occupied: tuple[Host, Audit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    host, before = occupied

    def refuse(*_: object) -> Any:
        raise InjectedError(step)

    with monkeypatch.context() as broken, pytest.raises(InjectedError):
        target = host.parts if step == "describe" else "device_model.virtual_device.Vdev"
        broken.setattr(*((target, step, refuse) if step == "describe" else (f"{target}.{step}", refuse)))
        host.create(TYPE, 2, tmp_path)

    assert host.audit() == before


def test_folder_that_is_not_there_is_a_typed_error_and_leaves_nothing(
    occupied: tuple[Host, Audit], tmp_path: Path
) -> None:
    host, before = occupied

    with pytest.raises(DeviceError, match="cannot serve on"):
        host.create(TYPE, 2, tmp_path / "missing")
    assert host.audit() == before


def test_socket_path_that_is_taken_is_a_typed_error_and_stays(occupied: tuple[Host, Audit], tmp_path: Path) -> None:
    host, before = occupied
    taken = tmp_path / "m2"
    taken.write_text("somebody else's")

    with pytest.raises(DeviceError, match="m2"):
        host.create(TYPE, 2, tmp_path)
    assert host.audit() == before
    assert taken.read_text() == "somebody else's"


@pytest.mark.parametrize("vectors", [0, -1, MAX_VECTORS + 1])
def test_number_of_vectors_out_of_range_is_a_typed_error(
    occupied: tuple[Host, Audit], tmp_path: Path, vectors: int
) -> None:
    host, before = occupied

    with pytest.raises(HostError, match="1 to 255"):
        host.create(TYPE, vectors, tmp_path)
    assert host.audit() == before


@pytest.mark.parametrize(
    ("pair", "exhaustion"),
    [
        ((Organisation.ARRAY, Scope.DEVICE), "253 of 256 are free"),
        ((Organisation.ARRAY, Scope.VM), "a VM's part of this array has 8"),
        ((Organisation.TABLE, Scope.DEVICE), "a table of this pool has 8"),
        ((Organisation.TABLE, Scope.VM), "a table of this pool has 8"),
        ((Organisation.MSIX, Scope.DEVICE), "253 of 256 are free"),
    ],
    ids=name_of,
)
def test_exhausted_entries_leave_nothing(occupied: tuple[Host, Audit], tmp_path: Path, exhaustion: str) -> None:
    host, before = occupied

    with pytest.raises(StoreExhausted, match=exhaustion):
        host.create(TYPE, 254, tmp_path)
    assert host.audit() == before


def test_exhausted_queues_leave_nothing(occupied: tuple[Host, Audit], tmp_path: Path) -> None:
    host, _ = occupied
    for _ in range(3):
        host.create(TYPE, 1, tmp_path)
    full = host.audit()

    with pytest.raises(WqsExhausted):
        host.create(TYPE, 1, tmp_path)
    assert host.audit() == full


def test_exhausted_pasids_leave_nothing(host: Host, tmp_path: Path) -> None:
    host.parts.pasids = PasidAllocator(1, 1)
    host.create(TYPE, 1, tmp_path)
    full = host.audit()

    with pytest.raises(PasidExhausted):
        host.create(TYPE, 1, tmp_path)
    assert host.audit() == full
    assert host.available_instances(TYPE, 1) == 0


@pytest.mark.parametrize("pair", [(Organisation.TABLE, scope) for scope in Scope], ids=name_of)
def test_exhausted_vm_ids_leave_nothing(host: Host, tmp_path: Path) -> None:
    host.parts.vm_ids = VmIdAllocator(1, 1)
    host.create(TYPE, 1, tmp_path)
    full = host.audit()

    with pytest.raises(VmIdExhausted, match="all 1 VM_IDs are in use"):
        host.create(TYPE, 1, tmp_path)
    assert host.audit() == full
    assert host.available_instances(TYPE, 1) == 0


STORE_COUNTS = {
    Organisation.ARRAY: (0, 0, 0, 0),
    Organisation.TABLE: (2, 2, 2, 0),
    Organisation.QUEUE: (0, 0, 2, 4),
    Organisation.MSIX: (0, 0, 0, 0),
}
"""Of two mdevs: VM_IDs, VM objects, queues that lead to storage, pages of host memory (a directory and a page each)."""


def during_store(audit: Audit) -> tuple[int, int, int, int]:
    return audit.vm_ids, audit.vm_objects, audit.queue_roots, audit.host_memory_pages


def test_destroying_takes_everything_back_and_wipes_it(occupied: tuple[Host, Audit], tmp_path: Path) -> None:
    host, before = occupied
    mdev = host.create(TYPE, 5, tmp_path)
    during = host.audit()
    host.destroy(mdev)
    host.destroy(mdev)

    assert (during.mdevs, during.pasids, during.work_queues, during.interrupt_entries) == (2, 2, 2, 8)
    assert during_store(during) == STORE_COUNTS[host.parts.domain.store.ORGANISATION]
    assert (during.remapping_entries, during.iommu_remapping_entries, during.iommu_pasids) == (8, 8, 2)
    assert host.audit() == before
    assert host.device.read(0x808 + 32 * mdev.wq) == 0
    assert not mdev.socket.exists()


def test_destroying_ends_the_connection_of_its_client(host: Host, tmp_path: Path) -> None:
    mdev = host.create(TYPE, 1, tmp_path)
    with VfioUserClient.connect(mdev.socket, timeout=30) as client:
        host.destroy(mdev)

        with pytest.raises(ConnectionError):
            client.region_read(0, 0, 4)


def test_next_mdev_gets_the_same_entries_but_other_ids(host: Host, tmp_path: Path) -> None:
    first = host.create(TYPE, 4, tmp_path)
    was = {interrupt.entry for interrupt in first.interrupts}, first.pasid, first.wq
    owner_id = first.subdevice.owner_id
    host.destroy(first)
    second = host.create(TYPE, 4, tmp_path)

    assert ({interrupt.entry for interrupt in second.interrupts}, second.wq) == (was[0], was[2])
    assert second.subdevice.owner_id != owner_id
    assert second.pasid != was[1]
    assert second.id != first.id


def test_failing_step_of_destruction_does_not_stop_the_others(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mdev = host.create(TYPE, 2, tmp_path)

    def refuse(*_: object) -> None:
        raise InjectedError("remap_clear")

    with monkeypatch.context() as broken, pytest.raises(InjectedError):
        broken.setattr(host.device, "remap_clear", refuse)
        host.destroy(mdev)
    host.destroy(mdev)
    left = {name: count for name, count in asdict(host.audit()).items() if count}

    assert left == {"remapping_entries": 2, "iommu_remapping_entries": 2}
    assert not mdev.socket.exists()
