"""What every combination of message store and domain scope has room for, and what an interrupt costs in it; no guests."""

from __future__ import annotations

from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from host_ctl.capacity import SIZES, Costs, costs_and_ratios, measure_capacity
from host_ctl.comparison import OPERATIONS, Capacity, Combination
from host_ctl.interrupts import COMBINATIONS, FACTS

ALL = tuple(
    msgspec.convert({"store": FACTS[organisation].name, "domain": scope.value}, Combination)
    for organisation, scope in COMBINATIONS
)


def measure_all(console: Console) -> dict[Combination, tuple[Capacity, Costs]]:
    """One combination after the other, each beside `array`; takes about half a minute on a quiet machine."""
    with console.status("capacity and cost") as status:
        return {one: (measure_capacity(one, status.update), costs_and_ratios(one, progress=status.update)) for one in ALL}


def show(console: Console, measured: dict[Combination, tuple[Capacity, Costs]]) -> None:
    """Three tables: capacity, medians, ratios."""
    console.print(_capacity(measured))
    console.print(_medians(measured))
    console.print(_ratios(measured))


def as_data(measured: dict[Combination, tuple[Capacity, Costs]]) -> dict[str, Any]:
    """For the file of figures, by combination."""
    return {
        str(one): {
            "capacity": msgspec.to_builtins(capacity),
            "costs": msgspec.to_builtins(costs.costs),
            "ratios": msgspec.to_builtins(costs.ratios),
        }
        for one, (capacity, costs) in measured.items()
    }


def _capacity(measured: dict[Combination, tuple[Capacity, Costs]]) -> Table:
    table = Table("store/domain", "of a device", "of a VM", "host bytes", "device bytes", "the next VM", title_justify="left")
    table.title = "Vectors, bytes for each, and what refuses a VM when all is used up"
    for one, (capacity, _) in measured.items():
        device = "memory" if capacity.vectors_device is None else f"{capacity.vectors_device:,}"
        sizes = f"{capacity.bytes_per_vector_host:.0f}", f"{capacity.bytes_per_vector_device:.4g}"
        table.add_row(str(one), device, f"{capacity.vectors_vm:,}", *sizes, capacity.exhaustion)
    return table


def _medians(measured: dict[Combination, tuple[Capacity, Costs]]) -> Table:
    table = Table("store/domain", *(f"{name} {size:,}" for name in OPERATIONS for size in SIZES), title_justify="left")
    table.title = "Median / p99 in us for one vector, with so many in use; *: the store is full with fewer"
    for one, (_, costs) in measured.items():
        cells = (
            f"{(cost.p50_ns or 0) / 1e3:.2f} / {(cost.p99_ns or 0) / 1e3:.2f}{'*' if cost.reached < cost.vectors else ''}"
            for cost in costs.costs
        )
        table.add_row(str(one), *cells)
    return table


def _ratios(measured: dict[Combination, tuple[Capacity, Costs]]) -> Table:
    table = Table("store/domain", "operation", "vectors", "ratio", "to", title_justify="left")
    table.title = "Ratios in the same run: growth, and firing beside array"
    for one, (_, costs) in measured.items():
        for ratio in costs.ratios:
            table.add_row(str(one), ratio.operation, f"{ratio.vectors:,}", f"{ratio.ratio:.2f}", ratio.to)
    return table
