"""A bounded sample of a long series of numbers, and its percentiles."""

from __future__ import annotations

from array import array
from collections.abc import Sequence


def percentile(ordered: Sequence[float], share: float) -> float:
    """Nearest-rank percentile of an ascending series; `share` in 0..1. Raises ValueError if the series is empty."""
    if not ordered:
        raise ValueError("a percentile needs at least one value")
    rank = max(0, min(len(ordered) - 1, -(-int(share * 1000) * len(ordered) // 1000) - 1))
    return ordered[rank]


class Samples:
    """Number, smallest and largest value are exact; percentiles are of every n-th value once `limit` is exceeded."""

    __slots__ = ("_kept", "_limit", "_stride", "largest", "n", "smallest")

    def __init__(self, limit: int = 65536) -> None:
        self._kept = array("Q")
        self._limit = max(2, limit)
        self._stride = 1
        self.n = 0
        self.smallest = 0
        self.largest = 0

    def add(self, value: int) -> None:
        """Takes one value, 0 <= value < 2**64."""
        self.smallest = value if self.n == 0 else min(self.smallest, value)
        self.largest = max(self.largest, value)
        if self.n % self._stride == 0:
            self._kept.append(value)
        self.n += 1
        if len(self._kept) >= self._limit:
            self._kept = self._kept[::2]
            self._stride *= 2

    def values(self) -> tuple[int, ...]:
        """The values kept, ascending."""
        return tuple(sorted(self._kept))
