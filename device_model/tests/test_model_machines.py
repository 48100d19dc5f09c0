"""Core and model side by side, under whatever guests and hosts may do: they agree in all that can be seen after every step.

More with VDSA_EXAMPLES=20000, or `make nightly`: then with another seed each time.
"""

from __future__ import annotations

import pytest
from hypothesis.stateful import run_state_machine_as_test

from device_model.tests.guests_machine import Guests
from device_model.tests.hosts_machine import Hosts
from device_model.tests.model_inputs import examples


@pytest.mark.timeout(0)
def test_guests_see_what_the_specification_says_and_nothing_of_each_other() -> None:
    run_state_machine_as_test(Guests, settings=examples(1200))


@pytest.mark.timeout(0)
def test_device_does_what_is_written_into_it_whatever_that_is() -> None:
    run_state_machine_as_test(Hosts, settings=examples(800))
