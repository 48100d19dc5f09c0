"""What the organisations are, which domains make sense over them, and how large a store has to be."""

from __future__ import annotations

import pytest

from device_model.config import DeviceConfig, Organisation
from device_model.device import Device
from host_ctl.errors import HostError
from host_ctl.interrupts import (
    COMBINATIONS,
    FACTS,
    STORES,
    IdKind,
    Scope,
    Subdevice,
    make_store,
    open_domains,
    store_size,
    why_not,
)
from host_ctl.interrupts.organisation import part_size
from host_ctl.physical import PhysicalDevice
from host_ctl.tests.interrupt_rig import Rig, name_of


def test_seven_combinations_make_sense_and_the_other_says_why_not() -> None:
    assert len(COMBINATIONS) == 7
    assert all(why_not(*pair) is None for pair in COMBINATIONS)
    assert "no function of its own to hang a domain on" in (why_not(Organisation.MSIX, Scope.VM) or "")


def test_every_organisation_has_facts_and_a_store() -> None:
    assert set(FACTS) == set(STORES) == set(Organisation)
    assert {o for o, facts in FACTS.items() if facts.id_kind is IdKind.VM_ID} == {Organisation.TABLE}
    assert [facts.name for facts in FACTS.values()] == ["array", "table", "queue", "msix"]


@pytest.mark.parametrize(
    ("vectors", "entries"), [(1, 1), (2, 2), (3, 4), (16, 16), (17, 32), (255, 256), (1025, 2048), (2048, 2048)]
)
def test_part_is_the_smallest_power_of_two_that_holds_its_vectors(vectors: int, entries: int) -> None:
    assert part_size(vectors) == entries


@pytest.mark.parametrize("vectors", [0, -1, 2049])
def test_part_that_no_table_could_be_is_refused(vectors: int) -> None:
    with pytest.raises(ValueError, match="1 to 2048"):
        part_size(vectors)


@pytest.mark.parametrize(("mdevs", "vectors"), [(10, 3), (66, 4), (7, 100)])
@pytest.mark.parametrize("pair", COMBINATIONS, ids=name_of)
def test_store_of_the_size_that_is_told_holds_all_mdevs(pair: tuple[Organisation, Scope], mdevs: int, vectors: int) -> None:
    size = store_size(*pair, mdevs, vectors)
    config = DeviceConfig(
        num_wqs=mdevs, total_wq_size=mdevs, num_ims=size.num_ims, num_msix=size.num_msix, organisation=pair[0]
    )
    with Device(config, run_engine=False) as device:
        domains = open_domains(make_store(PhysicalDevice(device, wq_size=1), vectors), pair[1])
        blocks = [domains.allocate_block(Subdevice(f"mdev {n}", n + 1, n), vectors) for n in range(mdevs)]

        assert domains.in_use == mdevs * vectors == len({entry for block in blocks for entry in block.entries})


def test_part_of_msix_is_refused_with_the_reason(rig: Rig) -> None:
    store = STORES[Organisation.MSIX](rig.chip, 4)

    for call in (lambda: store.reserve(rig.owner(), 1), lambda: store.give_up(store.whole())):
        with pytest.raises(HostError, match="MSI-X belongs to the PCI function"):
            call()
