"""Negative controls: defects and mistakes planted on purpose, each of which the scenarios have to notice.

Defects of the hardware exist in a build of the C core that is made here and ships nowhere (core/fault.h); mistakes of the
host are parts of its control software that have been replaced by wrong ones. Neither can be switched on in a package.
"""

from guest_tests.planted.build import HOLD_MESSAGES, is_built, planted_core
from guest_tests.planted.fault import Fault, Finding
from guest_tests.planted.hardware import HARDWARE
from guest_tests.planted.host import HOST

FAULTS: tuple[Fault, ...] = (*HARDWARE, *HOST)

__all__ = ["FAULTS", "HARDWARE", "HOLD_MESSAGES", "HOST", "Fault", "Finding", "is_built", "planted_core"]
