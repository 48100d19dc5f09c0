"""The containment table: what becomes of each fault in each combination of message store and interrupt domain, on real guests."""

from collections.abc import Sequence

from guest_tests.containment.detection import caught_by
from guest_tests.containment.guest_rows import GUEST_ROWS
from guest_tests.containment.hardware_rows import HARDWARE_ROWS
from guest_tests.containment.host_rows import HOST_ROWS
from guest_tests.containment.probe import probe
from guest_tests.containment.row import Row

__all__ = ["Row", "caught_by", "probe", "rows"]


def rows() -> Sequence[Row]:
    """All rows, in the order of their groups: guest, host, hardware."""
    return (*GUEST_ROWS, *HOST_ROWS, *HARDWARE_ROWS)
