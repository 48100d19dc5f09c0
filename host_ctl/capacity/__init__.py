"""Capacity and cost of every combination of store and domain scope, on the real device and the real domains, without guests."""

from host_ctl.capacity.cost import SIZES, Costs, Ratio
from host_ctl.capacity.driver import MeasurementFailed
from host_ctl.capacity.measure import costs_and_ratios, measure, measure_capacity
from host_ctl.capacity.steps import steps_that_must_be_right

__all__ = [
    "SIZES",
    "Costs",
    "MeasurementFailed",
    "Ratio",
    "costs_and_ratios",
    "measure",
    "measure_capacity",
    "steps_that_must_be_right",
]
