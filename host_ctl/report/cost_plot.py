"""Costs over the number of vectors in use, as inline SVG: colours come from the page, shapes tell stores apart without them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from host_ctl.comparison import OPERATIONS, Combination, Cost, Operation, Store

_WIDTH, _HEIGHT = 380.0, 250.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 14.0, 30.0, 40.0
_SIZE = 4.2
_TITLES: dict[Operation, str] = {
    "allocate": "Allocate one vector", "free": "Free one vector", "fire": "Fire: accepted to message sent",
}  # fmt: skip


class Line(NamedTuple):
    """Medians of one combination: (vectors in use, microseconds), ascending, no number of vectors twice."""

    combination: Combination
    points: tuple[tuple[int, float], ...]


def lines(costs: Sequence[Cost], operation: Operation) -> list[Line]:
    """What of `costs` can be drawn, in their order."""
    found: dict[Combination, dict[int, float]] = {}
    for cost in costs:
        if cost.operation == operation and cost.p50_ns is not None and cost.reached > 0:
            found.setdefault(cost.combination, {})[cost.reached] = cost.p50_ns / 1000
    return [Line(combination, tuple(sorted(points.items()))) for combination, points in found.items()]


def render_cost_plots(costs: Sequence[Cost]) -> Markup:
    """A plot for each operation and one legend; empty if there is nothing to draw."""
    plots = [_plot(operation, drawn) for operation in OPERATIONS if (drawn := lines(costs, operation))]
    combinations = list(dict.fromkeys(cost.combination for cost in costs))
    return Markup("\n".join([*plots, _legend(combinations)]) if plots else "")  # built of numbers and fixed words only


def _plot(operation: Operation, drawn: list[Line]) -> str:
    axes = _Axes(drawn)
    parts = [
        f'<svg class="plot" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{_TITLES[operation]}, median">',
        f'<text class="title" x="0" y="14">{_TITLES[operation]}, us</text>',
        axes.render(),
        *(_line(axes, line) for line in drawn),
        "</svg>",
    ]
    return "\n".join(parts)


class _Axes:
    """x: logarithm of the vectors in use; y: microseconds, from 0."""

    def __init__(self, drawn: list[Line]) -> None:
        xs = [x for line in drawn for x, _ in line.points]
        self._low = math.floor(math.log10(min(xs)))
        self._high = max(self._low + 1, math.ceil(math.log10(max(xs)) - 1e-9))
        self._step = _nice(max(y for line in drawn for _, y in line.points) / 4)
        self._top = self._step * max(1, math.ceil(max(y for line in drawn for _, y in line.points) / self._step - 1e-9))

    def x(self, vectors: int) -> float:
        share = (math.log10(vectors) - self._low) / (self._high - self._low)
        return _LEFT + 6 + share * (_WIDTH - _LEFT - _RIGHT - 12)

    def y(self, us: float) -> float:
        return _HEIGHT - _BOTTOM - us / self._top * (_HEIGHT - _TOP - _BOTTOM)

    def render(self) -> str:
        parts = []
        for number in range(round(self._top / self._step) + 1):
            us = number * self._step
            parts.append(f'<path class="rule" d="M{_LEFT:g} {self.y(us):.1f}H{_WIDTH - _RIGHT:g}"/>')
            parts.append(f'<text class="tick side" x="{_LEFT - 6:g}" y="{self.y(us) + 4:.1f}">{us:g}</text>')
        for power in range(self._low, self._high + 1):
            x = self.x(10**power)
            parts.append(f'<text class="tick" x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 16:g}">{_short(power)}</text>')
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        return "".join([*parts, f'<text class="tick axis" x="{middle:g}" y="{_HEIGHT - 4:g}">vectors in use</text>'])


def _short(power: int) -> str:
    return f"{10 ** (power % 3)}{('', ' k', ' M', ' G')[power // 3]}"


def _nice(step: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step)) if step > 0 else 1.0
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step - 1e-12)


def _line(axes: _Axes, line: Line) -> str:
    points = [(axes.x(x), axes.y(y)) for x, y in line.points]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    marks = "".join(_mark(line.combination.store, x, y) for x, y in points)
    title = "; ".join(f"{x:,}: {y:.3g} us" for x, y in line.points)
    head = f'<g class="{_classes(line.combination)}"><title>{line.combination}: {title}</title>'
    return f'{head}<path class="line" d="M{path}"/>{marks}</g>'


def _classes(combination: Combination) -> str:
    return f"series {combination.store} per-{combination.domain}"


def _mark(store: Store, x: float, y: float) -> str:
    s, d = _SIZE, 1.35 * _SIZE
    paths = {
        "table": f"M{x - s:.1f} {y - s:.1f}h{2 * s:g}v{2 * s:g}h{-2 * s:g}z",
        "queue": f"M{x:.1f} {y - s * 1.2:.1f}l{s * 1.2:.2f} {s * 2.2:.2f}h{-s * 2.4:.2f}z",
        "msix": f"M{x:.1f} {y - d:.1f}l{d:.2f} {d:.2f}l{-d:.2f} {d:.2f}l{-d:.2f} {-d:.2f}z",
    }
    if store in paths:
        return f'<path class="point" d="{paths[store]}"/>'
    return f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="{s:g}"/>'


def _legend(combinations: Sequence[Combination]) -> str:
    items = [
        f'<span><svg class="key" viewBox="0 0 34 14" aria-hidden="true"><g class="{_classes(one)}">'
        f'<path class="line" d="M1 7H33"/>{_mark(one.store, 17, 7)}</g></svg> {one}</span>'
        for one in combinations
    ]
    return f'<p class="keys">{"".join(items)}</p>'
