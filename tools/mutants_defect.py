"""A defect that is planted: exact substitutions, what they break, and how that should be noticed.

A substitution must fit its file exactly once. Those with `tests` show in nothing that a guest sees, or only by chance: the tests
named must find them. All others must be noticed by the isolation suite.
"""

from __future__ import annotations

from dataclasses import dataclass

CORE, VDEV, PLATFORM = "device_model/core/", "device_model/vdev/", "device_model/platform/"


@dataclass(frozen=True, slots=True)
class Edit:
    """One substitution in a file, named from the root of the tree."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Defect:
    """A defect: one or more substitutions. tests: pytest's arguments, if it is not the suite that finds it."""

    name: str
    edits: tuple[Edit, ...]
    breaks: str
    noticed: str
    tests: tuple[str, ...] = ()
    mdev_type: str = "dsa-1dwq-v1"
    store: str = "array"
    domain: str = "device"


def one(name: str, file: str, old: str, new: str, breaks: str, noticed: str, tests: tuple[str, ...] = ()) -> Defect:
    return Defect(name, (Edit(file, old, new),), breaks, noticed, tests)
