"""PASIDs: which address space a request of the device belongs to (PCI Express base specification 6.20)."""

from __future__ import annotations

from host_ctl.errors import HostError

MAX_PASID = (1 << 20) - 1


class PasidExhausted(HostError):  # noqa: N818
    """All PASIDs of the allocator's range are in use."""


class PasidAllocator:
    """Hands out PASIDs in a circle, so that one that was freed stays unused for as long as possible.

    A PASID that returns to another VM at once would match whatever of the old one was forgotten somewhere.
    """

    def __init__(self, first: int = 1, last: int = MAX_PASID) -> None:
        if not 0 < first <= last <= MAX_PASID:
            raise ValueError(f"PASIDs are 20 bits and 0 is the host's own: {first}..{last} is no range of them")
        self._first, self._last = first, last
        self._next = first
        self._used: set[int] = set()

    @property
    def in_use(self) -> int:
        """Number of PASIDs handed out and not freed."""
        return len(self._used)

    def allocate(self) -> int:
        """A PASID that nobody has. PasidExhausted: there is none."""
        if len(self._used) > self._last - self._first:
            raise PasidExhausted(f"all {len(self._used)} PASIDs are in use: destroy an mdev first")
        while self._next in self._used:
            self._advance()
        pasid = self._next
        self._used.add(pasid)
        self._advance()
        return pasid

    def free(self, pasid: int) -> None:
        """Takes a PASID back. ValueError: it was not handed out."""
        if pasid not in self._used:
            raise ValueError(f"PASID {pasid} is not in use")
        self._used.remove(pasid)

    def _advance(self) -> None:
        self._next = self._first if self._next == self._last else self._next + 1
