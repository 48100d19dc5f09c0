"""Plots of cost and capacity: readable without colours, made of numbers and fixed words."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from host_ctl.comparison import OPERATIONS, Capacity, Combination, Cost
from host_ctl.report.cost_plots import render_capacity_bars, render_cost_plot, render_plots
from host_ctl.tests.capacity_rig import SEVEN

MOST = {"array": 16_128, "msix": 2047}


def costs() -> list[Cost]:
    return [
        Cost(
            combination=one, operation=operation, vectors=vectors, reached=min(vectors, MOST.get(one.store, vectors)),
            p50_ns=10_000, p99_ns=30_000, why="full" if one.store in MOST else "",
        )
        for one in SEVEN for operation in OPERATIONS for vectors in (1000, 65_536, 1_000_000)
    ]  # fmt: skip


def capacity(one: Combination) -> Capacity:
    return Capacity(
        combination=one, vectors_device=None if one.store == "queue" else 16_128, vectors_vm=2048, bound_by="<b>",
        exhaustion="<e>", bytes_per_vector_host=1.0, bytes_per_vector_device=1.0, steps=None, device_state="<d>",
    )  # fmt: skip


def elements(svg: str, kind: str) -> list[ET.Element]:
    return [one for one in ET.fromstring(svg).iter() if kind in one.get("class", "").split()]


def shape(mark: ET.Element) -> str:
    """The commands of its path, without where it is."""
    return "".join(filter(str.isalpha, mark.get("d", "")))


def test_every_combination_is_a_line_with_a_shape_of_its_own_store() -> None:
    svg = render_cost_plot("fire", [cost for cost in costs() if cost.operation == "fire"])

    shapes = {one.get("class", ""): shape(elements(ET.tostring(one, "unicode"), "mark")[0]) for one in elements(svg, "series")}
    assert set(shapes) == {f"series {one.store} {one.domain}" for one in SEVEN}
    assert shapes["series array device"] == shapes["series array vm"]
    assert len(set(shapes.values())) == 4


def test_lines_of_stores_that_are_full_end_with_a_bar() -> None:
    svg = render_cost_plot("fire", [cost for cost in costs() if cost.operation == "fire"])

    full = [one.get("class", "") for one in elements(svg, "series") if elements(ET.tostring(one, "unicode"), "full")]
    assert full == ["series array device", "series array vm", "series msix device"]


def test_bar_that_only_memory_bounds_says_so() -> None:
    svg = render_capacity_bars([capacity(one) for one in SEVEN])

    assert svg.count("memory only") == 2 * 2  # two bars, and the description
    assert len(elements(svg, "amount")) == 2 * len(SEVEN)


def test_texts_of_a_comparison_never_get_into_the_plots() -> None:
    svg = render_plots([capacity(one) for one in SEVEN], costs())

    assert not any(text in svg for text in ("<b>", "<e>", "<d>", "<script"))


def test_nothing_measured_is_nothing_shown() -> None:
    assert render_plots((), ()) == ""
    unmeasured = Cost(combination=SEVEN[0], operation="fire", vectors=1000, reached=0, p50_ns=None, p99_ns=None, why="no gcc")
    assert render_plots((), (unmeasured,)) == ""
