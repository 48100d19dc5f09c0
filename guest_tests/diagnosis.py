"""What the mdevs of a run have seen their guests do: registers touched that are not modelled, registers read again and again."""

from __future__ import annotations

from dataclasses import dataclass, field

from device_model.observe import Polling, Touched
from device_model.virtual_device import Vdev
from host_ctl.results import Polled, TouchedRegister

Key = tuple[str, int, str, str]


@dataclass(slots=True)
class _Row:
    count: int = 0
    guests: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Diagnosis:
    """Of all mdevs so far: take() before an mdev goes. Scenarios touch things on purpose, so nothing here is a verdict."""

    overflow: int = 0
    """Accesses that an mdev had no place for."""
    _rows: dict[Key, _Row] = field(default_factory=dict)
    _longest: dict[int, Polling] = field(default_factory=dict)

    def take(self, guest: int, vdev: Vdev) -> None:
        """Adds what this guest's mdev has seen since it was made. Once for each mdev."""
        found = vdev.burn_down_whole()
        self.overflow += found.overflow
        for one in found.touched:
            row = self._rows.setdefault(_key(one), _Row())
            row.count += one.count
            row.guests.add(guest)
        longest, before = vdev.longest_polling(), self._longest.get(guest)
        if longest is not None and (before is None or longest.seconds > before.seconds):
            self._longest[guest] = longest

    def touched(self) -> tuple[TouchedRegister, ...]:
        """By place, those of all guests together."""
        return tuple(
            TouchedRegister(
                register=register, region=region, offset=offset, what=what, guests=tuple(sorted(row.guests)), count=row.count
            )
            for (region, offset, register, what), row in sorted(self._rows.items())
        )

    def polled(self) -> tuple[Polled, ...]:
        """The longest time of each guest that has polled at all."""
        return tuple(
            Polled(
                guest=guest, register=one.register, value=one.value, meaning=one.meaning, reads=one.reads,
                seconds=one.seconds,
            )
            for guest, one in sorted(self._longest.items())
        )  # fmt: skip


def _key(one: Touched) -> Key:
    return one.region, one.offset, one.register, one.words
