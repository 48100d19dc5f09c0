"""Each defect that can be planted into the core (core/fault.h) is found in every organisation of the message store that has a
place for it; where it has none, all is as it should be (test_store_faults.c has the whole matrix of the store itself).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from device_model.config import Organisation
from device_model.ledger import Kind
from device_model.tests.core_rig import CORE_VARIABLE, CRAV, FAULT_VARIABLE, NOOP, RCI, descriptor
from device_model.tests.direct_rig import direct_core
from device_model.tests.model_inputs import examples
from device_model.tests.store_machine import Pokes, machine
from device_model.tests.store_rig import StoreChip, sent

ARRAY, TABLE, QUEUE, MSIX = Organisation
PASID_SKIPPED, ENABLE_IGNORED, LATE, PENDING, MASK_IGNORED, STATE_IGNORED, MEMBER, BOUND = range(1, 9)
EVERYWHERE = (ENABLE_IGNORED, PENDING, MASK_IGNORED, STATE_IGNORED)
SHOWN = [(fault, organisation) for fault in EVERYWHERE for organisation in Organisation]
SHOWN += [(PASID_SKIPPED, organisation) for organisation in (ARRAY, QUEUE, MSIX)]
SHOWN += [(BOUND, organisation) for organisation in (ARRAY, TABLE, MSIX)]
ABSENT = [(PASID_SKIPPED, TABLE), (MEMBER, TABLE), (BOUND, QUEUE)]


def name(value: object) -> str | None:
    return value.name.lower() if isinstance(value, Organisation) else None


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv(CORE_VARIABLE, str(direct_core(planted=True).__file__))
    return monkeypatch


def run(organisation: Organisation, count: int) -> None:
    quick = settings(
        examples(), max_examples=count, derandomize=True, phases=(Phase.generate,), report_multiple_bugs=False, print_blob=False
    )
    run_state_machine_as_test(machine(Pokes, organisation), settings=quick)


@pytest.mark.parametrize(("fault", "organisation"), SHOWN, ids=name)
def test_planted_fault_is_found_by_the_machine(fault: int, organisation: Organisation, planted: pytest.MonkeyPatch) -> None:
    planted.setenv(FAULT_VARIABLE, str(fault))

    with pytest.raises(AssertionError):
        run(organisation, 300)


@pytest.mark.parametrize(("fault", "organisation"), ABSENT, ids=name)
def test_fault_without_a_place_in_the_organisation_changes_nothing(
    fault: int, organisation: Organisation, planted: pytest.MonkeyPatch
) -> None:
    planted.setenv(FAULT_VARIABLE, str(fault))

    run(organisation, 10)


@pytest.fixture(params=Organisation, ids=name)
def chip(request: pytest.FixtureRequest, planted: pytest.MonkeyPatch) -> Iterator[StoreChip]:
    """The core with places for faults, and none planted yet."""
    with StoreChip(request.param) as chip:
        chip.host.attach(chip.owners[0], 8, 4)
        chip.host.arm(chip.owners[0], 1)
        yield chip


def refused(chip: StoreChip) -> list[Kind]:
    """What becomes of a handle that nobody may use, in a descriptor whose record cannot be written."""
    unwritable = descriptor(NOOP, flags=RCI | CRAV, record=0x1000, handle=chip.host.handle(chip.owners[0], 2))
    chip.device.submit(0, unwritable, msix=chip.organisation == MSIX)
    chip.step_all()
    return [kind for kind, _, _ in chip.outcome().decisions]


def test_check_after_execution_shows_in_every_organisation(chip: StoreChip) -> None:
    before = refused(chip)
    chip.device.plant_fault(LATE)

    assert (before, refused(chip)) == ([Kind.REFUSED], [])


def test_core_with_places_for_faults_and_none_planted_is_as_it_should_be(chip: StoreChip) -> None:
    owner = chip.owners[0]

    assert chip.use(owner, chip.host.handle(owner, 1)) == sent(chip.host, owner, 1)
