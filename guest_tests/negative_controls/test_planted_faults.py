"""Each planted fault is noticed, by a finding of the kind that it should lead to; with no fault planted there is none."""

from __future__ import annotations

import pytest

from guest_tests.arena import Arena
from guest_tests.negative_controls.noticed_by import NOTICED_BY
from guest_tests.planted import FAULTS, Fault


async def test_without_a_fault_nothing_is_found(arena: Arena) -> None:
    """The control of the controls: else a broken harness would "notice" everything."""
    scenarios = list(dict.fromkeys(scenario for chosen in NOTICED_BY.values() for scenario in chosen))

    run = await arena.run(None, scenarios)

    assert run.findings == {}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
async def test_planted_fault_is_noticed(arena: Arena, fault: Fault) -> None:
    run = await arena.run(fault, NOTICED_BY[fault.id])

    assert run.caught_by(fault), f"missed; found instead: {run.findings or 'nothing'}"
