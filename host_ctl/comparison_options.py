"""What a comparison is asked to do: validated as a whole before anything is started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from host_ctl.comparison import Combination, Domain, Store
from host_ctl.interrupts import COMBINATIONS, Organisation, Scope, why_not
from host_ctl.options import DOMAINS, STORES, Accelerator, Delivery, OptionsError, RunOptions

ALL = tuple(
    Combination(store, domain)
    for store in get_args(Store)
    for domain in get_args(Domain)
    if (Organisation[store.upper()], Scope(domain)) in COMBINATIONS
)
"""The combinations that make sense, in the order of the columns."""


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """A comparison. stores, domains: those to be compared; empty: all. only, rows: scenarios, and rows of the containment
    table, whose names contain one of these; empty: all. faults: whether that table is made. costs: whether capacity and cost
    are measured.

    Raises OptionsError, with everything that is wrong at once.
    """

    guests: int = 8
    vectors: int = 4
    seed: int = 0
    stores: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    faults: bool = True
    costs: bool = True
    delivery: Delivery = "message"
    accelerator: Accelerator = "auto"
    report: Path = Path("build/comparison")

    def __post_init__(self) -> None:
        problems = [
            *(f"--store {one}: take one of {', '.join(STORES)}" for one in self.stores if one not in STORES),
            *(f"--domain {one}: take one of {', '.join(DOMAINS)}" for one in self.domains if one not in DOMAINS),
        ]
        if not problems and not self.combinations:
            problems += [_senseless(one, other) for one in self.stores for other in self.domains]
        if not all(self.rows):
            problems.append("--row needs a part of a row's name, not an empty word")
        if self.rows and not self.faults:
            problems.append("--row chooses among faults, and --no-faults leaves all of them out: give one of the two")
        for column in self.combinations or ALL[:1]:
            problems += [problem for problem in self._problems(column) if problem not in problems]
        if problems:
            raise OptionsError(tuple(problems))

    @property
    def combinations(self) -> tuple[Combination, ...]:
        """The columns: those of the stores and domains chosen that make sense."""
        return tuple(
            one
            for one in ALL
            if one.store in (self.stores or get_args(Store)) and one.domain in (self.domains or get_args(Domain))
        )

    def run(self, column: Combination) -> RunOptions:
        """The scenarios of one column, as a run. Raises OptionsError."""
        return RunOptions(
            guests=self.guests, vectors=self.vectors, seed=self.seed, delivery=self.delivery, accelerator=self.accelerator,
            report=self.report, only=self.only, controls=self.faults, store=column.store, domain=column.domain,
        )  # fmt: skip

    def _problems(self, column: Combination) -> Sequence[str]:
        try:
            self.run(column)
        except OptionsError as error:
            return error.problems
        return ()

    @property
    def partial(self) -> str | None:
        """What of a column was left out on request, in words; None: nothing, so it may prove isolation."""
        left_out = [self.run(self.combinations[0]).partial]
        if self.rows:
            left_out.append(f"only faults named like {', '.join(self.rows)} were planted")
        return "; ".join(one for one in left_out if one) or None

    def command(self) -> tuple[str, ...]:
        """The command line that repeats this comparison."""
        words = ["vdsa", "compare", "--guests", str(self.guests), "--vectors", str(self.vectors), "--seed", str(self.seed)]
        words += ["--delivery", self.delivery, "--accel", self.accelerator]
        for option, values in (
            ("--store", self.stores), ("--domain", self.domains), ("--only", self.only), ("--row", self.rows),
        ):  # fmt: skip
            words += [word for value in values for word in (option, value)]
        return (*words, *(() if self.faults else ("--no-faults",)), *(() if self.costs else ("--no-costs",)))


def _senseless(store: str, domain: str) -> str:
    return f"--store {store} with --domain {domain} makes no sense: {why_not(Organisation[store.upper()], Scope(domain))}"
