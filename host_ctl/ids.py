"""IDs that the hardware tells owners apart by, handed out in a circle."""

from __future__ import annotations

from typing import ClassVar

from host_ctl.errors import HostError


class IdsExhausted(HostError):  # noqa: N818
    """All IDs of an allocator's range are in use."""


class IdAllocator:
    """Hands out IDs in a circle, so that one that was freed stays unused for as long as possible.

    An ID that returns to another VM at once would match whatever of the old one was forgotten somewhere. 0 is nobody's.
    """

    KIND: ClassVar[str]
    BITS: ClassVar[int]
    EXHAUSTED: ClassVar[type[IdsExhausted]] = IdsExhausted

    def __init__(self, first: int = 1, last: int | None = None) -> None:
        last = (1 << self.BITS) - 1 if last is None else last
        if not 0 < first <= last < 1 << self.BITS:
            raise ValueError(
                f"{self.KIND}s are {self.BITS} bits and 0 is the host's own: {first}..{last} is no range of them"
            )
        self._first, self._last = first, last
        self._next = first
        self._used: set[int] = set()

    @property
    def in_use(self) -> int:
        """Number of IDs handed out and not freed."""
        return len(self._used)

    @property
    def left(self) -> int:
        """Number of IDs that can be handed out."""
        return self._last - self._first + 1 - len(self._used)

    def allocate(self) -> int:
        """An ID that nobody has. IdsExhausted: there is none."""
        if len(self._used) > self._last - self._first:
            raise self.EXHAUSTED(f"all {len(self._used)} {self.KIND}s are in use: destroy an mdev first")
        while self._next in self._used:
            self._advance()
        number = self._next
        self._used.add(number)
        self._advance()
        return number

    def free(self, number: int) -> None:
        """Takes an ID back. ValueError: it was not handed out."""
        if number not in self._used:
            raise ValueError(f"{self.KIND} {number} is not in use")
        self._used.remove(number)

    def _advance(self) -> None:
        self._next = self._first if self._next == self._last else self._next + 1
