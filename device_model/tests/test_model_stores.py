"""Message stores and their models side by side, each organisation: they agree in all that can be seen after every step.

More with VDSA_EXAMPLES=20000, or `make nightly`: then with another seed each time.
"""

from __future__ import annotations

import pytest
from hypothesis.stateful import run_state_machine_as_test

from device_model.config import Organisation
from device_model.tests.model_inputs import examples
from device_model.tests.store_machine import Owners, Pokes, machine

EACH = pytest.mark.parametrize("organisation", Organisation, ids=lambda organisation: organisation.name.lower())


@EACH
@pytest.mark.timeout(0)
def test_descriptor_reaches_the_entry_that_its_owner_may_use_and_changes_no_other(organisation: Organisation) -> None:
    run_state_machine_as_test(machine(Owners, organisation), settings=examples(70))


@EACH
@pytest.mark.timeout(0)
def test_store_does_what_is_written_into_it_whatever_that_is(organisation: Organisation) -> None:
    run_state_machine_as_test(machine(Pokes, organisation), settings=examples(70))
