"""The machines can fail: each defect that can be planted into the core (core/fault.h) is found by one of them."""

from __future__ import annotations

import re

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from device_model import build_core
from device_model.tests.core_rig import FAULT_VARIABLE
from device_model.tests.guests_machine import Guests
from device_model.tests.hosts_machine import Hosts
from device_model.tests.model_inputs import examples

SOURCE = (build_core.HERE / "core" / "fault.h").read_text()
FAULTS = {name: int(number) for name, number in re.findall(r"(FAULT_\w+) = (\d+),", SOURCE) if number != "0"}


@pytest.mark.parametrize("machine", [Guests, Hosts])
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_found(fault: str, machine: type[Guests], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FAULT_VARIABLE, str(FAULTS[fault]))
    quick = settings(
        examples(),
        max_examples=1000,
        derandomize=True,
        phases=(Phase.generate,),
        report_multiple_bugs=False,
        print_blob=False,
    )

    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=quick)
