"""What the tests of capacity and cost have in common: every combination, and small devices."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from types import FrameType

import msgspec

from device_model.config import DeviceConfig
from host_ctl.capacity.filled import parts
from host_ctl.comparison import Combination
from host_ctl.interrupts import COMBINATIONS, FACTS
from host_ctl.tests.interrupt_rig import small_device

SEVEN = tuple(
    msgspec.convert({"store": FACTS[organisation].name, "domain": scope.value}, Combination)
    for organisation, scope in COMBINATIONS
)


def small(combination: Combination) -> DeviceConfig:
    """A device with 8 work queues of 8 descriptors, and 256 entries where that is bounded."""
    organisation, _ = parts(combination)
    return replace(small_device(organisation, 8), total_wq_size=64)


def calls_of(action: Callable[[], object]) -> Counter[str]:
    """Every function that is called meanwhile, in Python and in C, and how often: what it costs, without a clock."""
    calls: Counter[str] = Counter()

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            calls[frame.f_code.co_qualname] += 1
        elif event == "c_call":
            calls[str(getattr(argument, "__qualname__", argument))] += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(before)
    return calls
