"""Which lines of the ledger show what became of a fault."""

from __future__ import annotations

from collections.abc import Callable

from guest_tests.containment.outcome import Judged
from guest_tests.containment.scene import Scene

_DESCRIPTORS = 3
"""Of a kind, to be shown."""


def excerpt(scene: Scene, judged: Judged) -> tuple[str, ...]:
    """The records of the descriptors that show it; of what was contained those that were tried, and one that arrived."""
    chosen = _choosers(scene)[judged.outcome](judged)
    return scene.trail.excerpt(chosen[:_DESCRIPTORS] or list(scene.due)[:1])


def _choosers(scene: Scene) -> dict[str, Callable[[Judged], list[int]]]:
    return {
        "leaked": lambda judged: scene.astray(),
        "denied": lambda judged: scene.missing(judged.guest),
        "harmed_own": lambda judged: scene.missing(judged.guest) or scene.undue() or scene.tried,
        "contained": lambda judged: [*scene.tried[: _DESCRIPTORS - 1], *list(scene.due)[-1:]],
    }
