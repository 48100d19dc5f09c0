"""The heat map: who fired, who received; as inline SVG whose colours come from the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

Matrix = Sequence[Sequence[int]]

NUMBERS_UP_TO = 16
"""With more guests than this the cells carry no numbers."""
_LEADERS = 24
"""With more foreign cells than this nothing leads to them and only regular guests are named: they are seen anyway."""
_MARGIN_LEFT = 62
_MARGIN_TOP = 58
_TITLE = '<title id="map-title">Interrupts by the guest that fired and the guest that received</title>'
_HATCH = (
    '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="hatch-back" width="6" height="6"/><rect class="hatch-line" width="2" height="6"/></pattern></defs>'
)


class Box(NamedTuple):
    """A rectangle, in user units of the SVG."""

    x: float
    y: float
    w: float
    h: float

    def grown(self, by: float) -> Box:
        """Larger by `by` on each side; smaller if negative."""
        return Box(self.x - by, self.y - by, self.w + 2 * by, self.h + 2 * by)

    def rect(self, kind: str) -> str:
        """As an element of class `kind`."""
        return f'<rect class="{kind}" x="{self.x:g}" y="{self.y:g}" width="{self.w:g}" height="{self.h:g}"/>'


def render_heatmap(matrix: Matrix) -> Markup:
    """A square map for matrix[fired by][received by]; classes only, styled by the page (see report.html.j2).

    A cell on the diagonal is shaded by its share of the largest one; a zero off it is left quiet; anything else off it
    is hatched, outlined and, where there is room, numbered, so that it stands out in black and white as well.
    """
    size = len(matrix)
    cell_w, cell_h = _cell(size)
    field = Box(_MARGIN_LEFT, _MARGIN_TOP, size * cell_w, size * cell_h)
    width, height = field.x + field.w + 8, field.y + field.h + 8
    largest = max((matrix[guest][guest] for guest in range(size)), default=0)
    quiet: list[str] = []
    loud: list[str] = []
    leaders: list[str] = []
    for sender, row in enumerate(matrix):
        for receiver, count in enumerate(row):
            box = Box(field.x + receiver * cell_w, field.y + sender * cell_h, cell_w, cell_h)
            if sender == receiver:
                quiet.append(_own(box, count, largest, size))
            elif count:
                title = f"fired by guest {sender}, received by guest {receiver}: {count:,}"
                loud.append(f"<g><title>{title}</title>{_foreign(box, count, size)}</g>")
                leaders.append(_leader(box))
            elif size <= NUMBERS_UP_TO:
                quiet.append(_number(box, 0, "none"))
    parts = [
        f'<svg class="map" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
        'aria-labelledby="map-title map-desc">',
        _TITLE,
        f'<desc id="map-desc">{_describe(matrix)}</desc>',
        _HATCH,
        field.rect("field"),
        _grid(size, cell_w, cell_h),
        *quiet,
        *(leaders if size > NUMBERS_UP_TO and len(leaders) <= _LEADERS else ()),
        *loud,
        _axes(matrix, cell_w, cell_h),
        "</svg>",
    ]
    return Markup("\n".join(parts))  # built of numbers and fixed words only


def _cell(size: int) -> tuple[float, float]:
    if size <= 8:
        return 70, 44
    if size <= NUMBERS_UP_TO:
        return 40, 32
    side = max(5.0, 660 / size)
    return side, side


def _short(count: int) -> str:
    for limit, divisor, suffix in ((100_000, 1, ""), (10_000_000, 1000, "k"), (10**10, 10**6, "M")):
        if count < limit:
            return f"{count // divisor:,}{suffix}"
    return f"{count // 10**9:,}G"


def _number(box: Box, count: int, kind: str) -> str:
    text = _short(count)
    small = " small" if len(text) * 8.4 > box.w else ""
    return f'<text class="n {kind}{small}" x="{box.x + box.w / 2:g}" y="{box.y + box.h / 2:g}">{text}</text>'


def _own(box: Box, count: int, largest: int, size: int) -> str:
    level = 0 if not count else 1 + min(3, count * 4 // (largest + 1))
    cell = box.grown(-1.5 if size <= NUMBERS_UP_TO else -0.25).rect(f"own l{level}")
    return cell + (_number(box, count, f"on l{level}") if size <= NUMBERS_UP_TO else "")


def _foreign(box: Box, count: int, size: int) -> str:
    """Where cells are small the mark is larger than its cell."""
    if size > NUMBERS_UP_TO:
        mark = box.grown(max(0.0, (17 - box.w) / 2))
        side = mark.w - 9
        cross = f"M{mark.x + 4.5:g} {mark.y + 4.5:g}l{side:g} {side:g}m0 {-side:g}l{-side:g} {side:g}"
        return f'{mark.rect("foreign plain")}<path class="cross" d="{cross}"/>'
    half = min(box.w - 10, 12 + 9 * len(_short(count))) / 2
    plate = Box(box.x + box.w / 2 - half, box.y + box.h / 2 - 11, 2 * half, 22)
    return box.grown(-1).rect("foreign") + plate.rect("plate") + _number(box, count, "loud")


def _leader(box: Box) -> str:
    """Dashes from both axes to a cell."""
    x, y = box.x + box.w / 2, box.y + box.h / 2
    return f'<path class="leader" d="M{_MARGIN_LEFT} {y:g}H{box.x:g}M{x:g} {_MARGIN_TOP}V{box.y:g}"/>'


def _grid(size: int, w: float, h: float) -> str:
    step = 1 if size <= NUMBERS_UP_TO else 8
    right, bottom = _MARGIN_LEFT + size * w, _MARGIN_TOP + size * h
    lines = []
    for index in range(0, size + 1, step):
        x, y = _MARGIN_LEFT + index * w, _MARGIN_TOP + index * h
        lines.append(f"M{x:g} {_MARGIN_TOP}V{bottom:g}M{_MARGIN_LEFT} {y:g}H{right:g}")
    return f'<path class="grid" d="{"".join(lines)}"/>'


def _axes(matrix: Matrix, w: float, h: float) -> str:
    size = len(matrix)
    step = 1 if size <= NUMBERS_UP_TO else 8
    loud = [(s, r) for s, row in enumerate(matrix) for r, count in enumerate(row) if count and s != r]
    if step > 1 and len(loud) > _LEADERS:
        loud = []
    senders, receivers = {s for s, _ in loud}, {r for _, r in loud}
    middle = _MARGIN_TOP + size * h / 2
    parts = [
        f'<text class="axis" x="{_MARGIN_LEFT + size * w / 2:g}" y="16">received by guest</text>',
        f'<text class="axis" transform="translate(14 {middle:g}) rotate(-90)">fired by guest</text>',
    ]
    for guest in range(size):
        x, y = _MARGIN_LEFT + (guest + 0.5) * w, _MARGIN_TOP + (guest + 0.5) * h
        if _labelled(guest, receivers, step):
            kind = "tick loud" if guest in receivers else "tick"
            parts.append(f'<text class="{kind}" x="{x:g}" y="{_MARGIN_TOP - 10}">{guest}</text>')
        if _labelled(guest, senders, step):
            kind = "tick side loud" if guest in senders else "tick side"
            parts.append(f'<text class="{kind}" x="{_MARGIN_LEFT - 9}" y="{y:g}">{guest}</text>')
    return "".join(parts)


def _labelled(guest: int, conspicuous: set[int], step: int) -> bool:
    """Conspicuous guests are always named, and push away the regular labels beside them."""
    if guest in conspicuous:
        return True
    return guest % step == 0 and (step == 1 or not any(abs(guest - other) < 3 for other in conspicuous))


def _describe(matrix: Matrix) -> str:
    own = sum(row[index] for index, row in enumerate(matrix))
    foreign = sum(map(sum, matrix)) - own
    return (
        f"{len(matrix)} guests. {own:,} interrupts were received by the guest that fired them, "
        f"{foreign:,} by another guest."
    )
