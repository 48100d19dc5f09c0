"""Numbers of a range, taken and given back: entries, vectors, tables, work queues."""

from __future__ import annotations

from collections.abc import Iterator


class Pool:
    """O(1) to make, to take and to give back. A number that was given back last is given out first."""

    def __init__(self, numbers: range) -> None:
        self.numbers = numbers
        self.used: set[int] = set()
        self._fresh = numbers.start
        self._returned: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def free(self) -> int:
        """How many can be taken."""
        return len(self.numbers) - len(self.used)

    def take(self) -> int | None:
        """A number that is free; None: there is none."""
        while self._returned:
            number, _ = self._returned.popitem()
            self.used.add(number)
            return number
        while self._fresh < self.numbers.stop:
            number, self._fresh = self._fresh, self._fresh + 1
            if number not in self.used:
                self.used.add(number)
                return number
        return None

    def claim(self, number: int) -> bool:
        """Takes this number; False: it is taken, or none of these."""
        if number not in self.numbers or number in self.used:
            return False
        self._returned.pop(number, None)
        self.used.add(number)
        return True

    def give_back(self, number: int) -> None:
        """KeyError: it was not taken."""
        self.used.remove(number)
        self._returned[number] = None

    def __iter__(self) -> Iterator[int]:
        """The free ones."""
        return (number for number in self.numbers if number not in self.used)
