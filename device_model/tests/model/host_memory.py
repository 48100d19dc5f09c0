"""Pages of the host's memory that it has given to the device: of 4 KiB, the one freed last is given first."""

from __future__ import annotations

from dataclasses import dataclass, field

PAGE = 0x1000


@dataclass(slots=True)
class HostMemory:
    """Pages that are given, by address."""

    pages: dict[int, bytearray] = field(default_factory=dict)
    _freed: list[int] = field(default_factory=list)
    _ever: int = 0

    def page(self) -> int:
        if not self._freed:
            self._ever += 1
            self._freed.append(self._ever * PAGE)
        address = self._freed.pop()
        self.pages[address] = bytearray(PAGE)
        return address

    def free(self, address: int) -> None:
        del self.pages[address]
        self._freed.append(address)

    def read(self, address: int, size: int) -> int | None:
        """None: nothing is there."""
        page = self.pages.get(address & -PAGE)
        at = address % PAGE
        return None if page is None else int.from_bytes(page[at : at + size], "little")

    def write(self, address: int, value: int, size: int) -> None:
        page, at = self.pages.get(address & -PAGE), address % PAGE
        if page is not None:
            page[at : at + size] = value.to_bytes(size, "little")

    def update(self, address: int, clear: int, more: int) -> None:
        value = self.read(address, 4)
        if value is not None:
            self.write(address, value & ~clear | more, 4)
