"""Options of a comparison: what is asked for is what is run, and everything that is wrong is said at once."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from host_ctl.cli import build_parser
from host_ctl.comparison_options import ALL, CompareOptions
from host_ctl.options import OptionsError


def test_all_seven_combinations_are_compared_unless_some_are_chosen() -> None:
    assert list(map(str, CompareOptions().combinations)) == [
        "array/device", "array/vm", "table/device", "table/vm", "queue/device", "queue/vm", "msix/device",
    ]  # fmt: skip
    assert CompareOptions().combinations == ALL


@pytest.mark.parametrize(
    ("stores", "domains", "columns"),
    [
        (("table",), (), ["table/device", "table/vm"]),
        ((), ("vm",), ["array/vm", "table/vm", "queue/vm"]),
        (("queue", "table"), ("vm",), ["table/vm", "queue/vm"]),
        (("msix", "array"), ("vm",), ["array/vm"]),
    ],
)
def test_columns_are_those_of_the_stores_and_domains_chosen(
    stores: tuple[str, ...], domains: tuple[str, ...], columns: list[str]
) -> None:
    assert list(map(str, CompareOptions(stores=stores, domains=domains).combinations)) == columns


@pytest.mark.parametrize(
    ("wrong", "problems"),
    [
        ({"vectors": 5000}, ["--vectors 5000: take"]),
        ({"guests": 1, "vectors": 0, "seed": -1}, ["--guests 1: take", "--vectors 0: take", "--seed -1: take"]),
        ({"stores": ("tabel",), "domains": ("host",)}, ["--store tabel: take", "--domain host: take"]),
        ({"stores": ("msix",), "domains": ("vm",)}, ["--store msix with --domain vm makes no sense: MSI-X belongs"]),
        ({"rows": ("twice",), "faults": False}, ["--row chooses among faults"]),
        ({"only": ("",), "rows": ("",), "guests": 1}, ["--row needs", "--guests 1", "--only needs"]),
        ({"guests": 128, "vectors": 32}, ["--store msix has no room for 128 guests with 32 vectors"]),
    ],
)
def test_everything_that_is_wrong_is_said_at_once_and_only_once(wrong: dict[str, Any], problems: list[str]) -> None:
    with pytest.raises(OptionsError) as refused:
        CompareOptions(**wrong)

    assert len(refused.value.problems) == len(problems)
    assert [said for said, problem in zip(refused.value.problems, problems, strict=True) if not said.startswith(problem)] == []


def test_command_line_of_a_comparison_asks_for_the_same_again() -> None:
    options = CompareOptions(
        guests=3, vectors=2, seed=5, stores=("table",), domains=("vm",), only=("own",), rows=("twice",), costs=False,
        accelerator="tcg",
    )  # fmt: skip
    arguments = build_parser().parse_args(options.command()[1:])

    assert shlex.join(options.command()).startswith("vdsa compare --guests 3 --vectors 2 --seed 5 ")
    assert (arguments.store, arguments.domain, arguments.only, arguments.row) == (["table"], ["vm"], ["own"], ["twice"])
    assert (arguments.no_costs, arguments.no_faults, arguments.accel, arguments.seed) == (True, False, "tcg", 5)


@pytest.mark.parametrize(
    ("options", "partial"),
    [
        (CompareOptions(), None),
        (CompareOptions(stores=("table",), costs=False), None),
        (CompareOptions(faults=False), "no faults were planted"),
        (CompareOptions(rows=("twice",)), "only faults named like twice were planted"),
        (CompareOptions(only=("own",)), "only scenarios named like own were run"),
    ],
)
def test_what_was_left_out_of_a_column_is_known(options: CompareOptions, partial: str | None) -> None:
    assert options.partial == partial
