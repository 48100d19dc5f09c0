"""Cost over the number of vectors, and capacity as bars; as inline SVG whose colours come from the page (cost_plots.css).

A store has a colour and a shape, a scope is full or hollow: what belongs together is seen in black and white as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from host_ctl.comparison import OPERATIONS, Capacity, Combination, Cost, Operation
from host_ctl.report.heatmap import Box

_TITLES: dict[Operation, str] = {
    "allocate": "Allocate",
    "free": "Free",
    "fire": "Fire",
}
_WHAT: dict[Operation, str] = {
    "allocate": "from the domain to an open entry",
    "free": "from disarming to the domain",
    "fire": "from the portal to the message",
}
_WIDTH, _HEIGHT = 380.0, 262.0
_FIELD = Box(40, 50, 330, 170)
_DODGE = 3.5
_MARK = 4.2


@dataclass(frozen=True, slots=True)
class _LogAxis:
    """Values from `first` to `last` onto a length from `start`."""

    first: float
    last: float
    start: float
    length: float

    def place(self, value: float) -> float:
        """Where a value lies; those beyond the ends lie at them."""
        clipped = min(max(value, self.first), self.last)
        return self.start + self.length * math.log(clipped / self.first) / math.log(self.last / self.first)


def render_plots(capacity: Sequence[Capacity], costs: Sequence[Cost]) -> Markup:
    """Legend, a plot for each operation that has costs, and the capacity bars; empty if there is nothing to show."""
    measured = [cost for cost in costs if cost.p50_ns is not None]
    columns = list(dict.fromkeys(cost.combination for cost in measured))
    parts = [_legend(columns)] if columns else []
    for operation in OPERATIONS:
        if mine := [cost for cost in measured if cost.operation == operation]:
            parts.append(render_cost_plot(operation, mine))
    if capacity:
        parts.append(render_capacity_bars(capacity))
    return Markup("\n".join(parts))  # built of numbers and fixed words only


# ---- cost ----


def render_cost_plot(operation: Operation, costs: Sequence[Cost]) -> Markup:
    """Medians in microseconds, from 0, over vectors in use (log). A line ends, with a bar across, where the store is full.

    costs: of this operation, each with p50_ns.
    """
    sizes = sorted({cost.vectors for cost in costs})
    across = _LogAxis(min(cost.reached for cost in costs) / 1.35, max(sizes) * 1.6, _FIELD.x, _FIELD.w)
    top, step = _scale(max(cost.p50_ns or 0 for cost in costs) / 1000)
    columns = list(dict.fromkeys(cost.combination for cost in costs))
    label = f"cost-{operation}"
    parts = [
        f'<svg class="cost-plot" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-labelledby="{label} {label}-desc">',
        f'<title id="{label}">{_TITLES[operation]}: median over vectors in use</title>',
        f'<desc id="{label}-desc">{_describe(costs)}</desc>',
        f'<text class="head" x="2" y="14">{_TITLES[operation]}</text>',
        f'<text class="unit" x="2" y="32">us a vector, {_WHAT[operation]}; median</text>',
        _FIELD.rect("field"),
        _rules(top, step),
        _ticks(across, sizes),
    ]
    for number, column in enumerate(columns):
        dodge = _DODGE * (number - (len(columns) - 1) / 2) / max(1, len(columns) - 1) * 2
        parts.append(_line(across, top, dodge, [cost for cost in costs if cost.combination == column]))
    return Markup("\n".join([*parts, "</svg>"]))


def _scale(most: float) -> tuple[float, float]:
    """The end of an axis from 0 that `most` fits on, and the distance of its rules: 1, 2 or 5 times a power of ten."""
    magnitude = 10.0 ** math.floor(math.log10(most or 1))
    step = next(size * magnitude for size in (0.2, 0.5, 1, 2, 5) if most <= 5 * size * magnitude)
    return step * math.ceil(most * 1.08 / step), step


def _y(value: float, top: float) -> float:
    return _FIELD.y + _FIELD.h * (1 - value / top)


def _rules(top: float, step: float) -> str:
    parts = []
    for index in range(round(top / step) + 1):
        y = _y(index * step, top)
        parts.append(f'<path class="rule" d="M{_FIELD.x:g} {y:.1f}h{_FIELD.w:g}"/>')
        parts.append(f'<text class="tick side" x="{_FIELD.x - 7:g}" y="{y:.1f}">{index * step:g}</text>')
    return "".join(parts)


def _ticks(across: _LogAxis, sizes: Sequence[int]) -> str:
    bottom = _FIELD.y + _FIELD.h
    parts = []
    for size in sizes:
        x = across.place(size)
        parts.append(f'<path class="rule" d="M{x:.1f} {_FIELD.y:g}v{_FIELD.h + 4:g}"/>')
        parts.append(f'<text class="tick" x="{min(x, _WIDTH - 34):.1f}" y="{bottom + 15:g}">{size:,}</text>')
    parts.append(f'<text class="tick" x="{_FIELD.x + _FIELD.w / 2:g}" y="{bottom + 33:g}">vectors in use</text>')
    return "".join(parts)


def _line(across: _LogAxis, top: float, dodge: float, costs: Sequence[Cost]) -> str:
    """Marks stand beside each other, so that those of equal costs are all seen."""
    column = costs[0].combination
    kind = f"{column.store} {column.domain}"
    at = {cost.reached: _y((cost.p50_ns or 0) / 1000, top) for cost in costs}
    points = [(across.place(reached) + dodge, y) for reached, y in sorted(at.items())]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    marks = "".join(_mark(column, x, y) for x, y in points)
    end = ""
    if full := [cost for cost in costs if cost.reached < cost.vectors]:
        x, y = across.place(full[0].reached) + dodge, at[full[0].reached]
        end = f'<path class="full" d="M{x + 7:.1f} {y - 7:.1f}v14"/>'
    title = "; ".join(f"{reached:,} vectors: {_at(costs, reached):.2f} us" for reached in sorted(at))
    return f'<g class="series {kind}"><title>{column}: {title}</title><path class="line" d="M{path}"/>{end}{marks}</g>'


def _at(costs: Sequence[Cost], reached: int) -> float:
    return next((cost.p50_ns or 0) / 1000 for cost in costs if cost.reached == reached)


def _mark(column: Combination, x: float, y: float) -> str:
    r = _MARK
    shapes = {
        "array": f"M{x - r:.1f} {y - r:.1f}h{2 * r:g}v{2 * r:g}h{-2 * r:g}z",
        "table": f"M{x - r:.1f} {y:.1f}a{r:g} {r:g} 0 1 0 {2 * r:g} 0a{r:g} {r:g} 0 1 0 {-2 * r:g} 0z",
        "queue": f"M{x:.1f} {y - 1.3 * r:.1f}l{1.2 * r:.2f} {2.2 * r:.2f}h{-2.4 * r:.2f}z",
        "msix": f"M{x:.1f} {y - 1.35 * r:.1f}l{1.35 * r:.2f} {1.35 * r:.2f}l{-1.35 * r:.2f} {1.35 * r:.2f}"
        f"l{-1.35 * r:.2f} {-1.35 * r:.2f}z",
    }
    return f'<path class="mark" d="{shapes[column.store]}"/>'


def _describe(costs: Sequence[Cost]) -> str:
    least, most = (which(cost.p50_ns or 0 for cost in costs) / 1000 for which in (min, max))
    return f"Medians lie between {least:.2f} and {most:.2f} us."


def _legend(columns: Sequence[Combination]) -> str:
    parts = ['<svg class="cost-legend" viewBox="0 0 1190 26" role="img" aria-label="legend">']
    for number, column in enumerate(columns):
        x = 4 + number * 150
        parts.append(
            f'<g class="series {column.store} {column.domain}"><path class="line" d="M{x} 13h30"/>{_mark(column, x + 15, 13)}'
            f'<text x="{x + 38}" y="13">{column}</text></g>'
        )
    x = 4 + len(columns) * 150
    parts.append(f'<g class="series"><path class="full" d="M{x + 4} 6v14"/><text x="{x + 13}" y="13">store is full</text></g>')
    return "".join([*parts, "</svg>"])


# ---- capacity ----

_BARS = Box(112, 46, 900, 0)
_ROW, _THICK = 34.0, 11.0
_BOUNDLESS = 100_000_000
"""Where a bar ends that nothing but memory bounds."""


def render_capacity_bars(capacity: Sequence[Capacity]) -> Markup:
    """For each combination the vectors of a device and, below, of one VM (log). A bar without an end: bounded by memory only."""
    across = _LogAxis(1, _BOUNDLESS, _BARS.x, _BARS.w)
    height = _BARS.y + _ROW * len(capacity) + 30
    parts = [
        f'<svg class="capacity-bars" viewBox="0 0 1190 {height:g}" role="img" aria-labelledby="bars bars-desc">',
        '<title id="bars">Vectors of a device and of one VM</title>',
        f'<desc id="bars-desc">{_describe_bars(capacity)}</desc>',
        '<defs><pattern id="of-vm" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect class="vm-back" width="5" height="5"/><rect class="vm-line" width="1.6" height="5"/></pattern></defs>',
        '<text class="head" x="2" y="14">Capacity</text>',
        '<text class="unit" x="2" y="32">vectors: of a device (full), of one VM (hatched); each step is ten times as many</text>',
        _bar_rules(across, len(capacity)),
    ]
    for row, one in enumerate(capacity):
        y = _BARS.y + row * _ROW + 5
        parts.append(f'<text class="tick side" x="{_BARS.x - 10:g}" y="{y + _THICK:g}">{one.combination}</text>')
        parts.append(_bar(across, y, "device", one.vectors_device))
        parts.append(_bar(across, y + _THICK + 2, "vm", one.vectors_vm))
    return Markup("\n".join([*parts, "</svg>"]))


def _bar_rules(across: _LogAxis, rows: int) -> str:
    bottom = _BARS.y + rows * _ROW + 4
    parts = []
    for power in range(round(math.log10(_BOUNDLESS))):
        x = across.place(10**power)
        parts.append(f'<path class="rule" d="M{x:.1f} {_BARS.y:g}V{bottom:g}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 14:g}">{10**power:,}</text>')
    return "".join(parts)


def _bar(across: _LogAxis, y: float, kind: str, vectors: int | None) -> str:
    end = across.place(_BOUNDLESS if vectors is None else vectors)
    width = end - _BARS.x
    label = "memory only" if vectors is None else f"{vectors:,}"
    if vectors is None:
        point = f"l{_THICK / 2:g} {_THICK / 2:g}l{-_THICK / 2:g} {_THICK / 2:g}"
        shape = f'<path class="amount {kind}" d="M{_BARS.x:g} {y:g}h{width:.1f}{point}h{-width:.1f}z"/>'
    else:
        shape = Box(_BARS.x, y, width, _THICK).rect(f"amount {kind}")
    return f'{shape}<text class="count" x="{end + 12:.1f}" y="{y + _THICK / 2:g}">{label}</text>'


def _describe_bars(capacity: Sequence[Capacity]) -> str:
    return " ".join(
        f"{one.combination}: {'memory only' if one.vectors_device is None else format(one.vectors_device, ',')} a device, "
        f"{one.vectors_vm:,} a VM."
        for one in capacity
    )
