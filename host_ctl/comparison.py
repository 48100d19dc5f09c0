"""A comparison as a file: every organisation of the message store with every scope of interrupt domain, side by side.

Schema version 1, described in docs/comparison-schema.md (made from this module). `Comparison` is what `vdsa compare` comes
to, what comparison.json holds and what every other form of its report is made from.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from host_ctl.results import Count, Text, Utc, VerdictName

SCHEMA_VERSION = 1

Store = Literal["array", "table", "queue", "msix"]
Domain = Literal["device", "vm"]
Group = Literal["guest", "host", "hardware"]
Outcome = Literal["contained", "leaked", "denied", "harmed_own", "not_possible", "undetermined"]
Operation = Literal["allocate", "free", "fire"]

GROUPS: tuple[Group, ...] = get_args(Group)
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
OPERATIONS: tuple[Operation, ...] = get_args(Operation)
EXCERPT_LINES = 12
"""Lines of the ledger that a cell may show."""


def _about(text: str) -> Meta:
    return Meta(description=text)


class Combination(msgspec.Struct, frozen=True, order=True, forbid_unknown_fields=True):
    """A column: an organisation of the message store, and a scope of interrupt domain over it. In text `table/vm`."""

    store: Annotated[Store, _about("organisation of the message store")]
    domain: Annotated[Domain, _about("device: one interrupt domain over the store; vm: one for each mdev, over its part")]

    def __str__(self) -> str:
        return f"{self.store}/{self.domain}"


class Setup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was asked for, and what it was run with."""

    guests: Annotated[Count, _about("guests that run the scenarios; cells take three of them")]
    vectors: Annotated[Count, _about("vectors of each guest besides vector 0")]
    combinations: Annotated[tuple[Combination, ...], _about("combinations asked for, in the order of the columns")]
    faults: Annotated[bool, _about("whether the containment table was asked for")]
    costs: Annotated[bool, _about("whether capacity and cost were asked for")]
    only: Annotated[tuple[str, ...], _about("patterns that scenarios were chosen by; empty: all of them")] = ()
    rows: Annotated[tuple[str, ...], _about("patterns that rows of the containment table were chosen by; empty: all")] = ()
    delivery: Annotated[Text, _about("message: a memory write into the VM; eventfd: by the VMM")]
    accelerator: Annotated[Text, _about("tcg or kvm, as used")]
    accelerator_why: Annotated[str, _about("why this accelerator")]
    qemu_version: Annotated[str, _about("version of the QEMU used; empty: none was started")]
    qemu_origin: Annotated[str, _about("where this QEMU came from")]
    machine: Annotated[str, _about("processor, how many of it this process may use, kernel, Python")]


class Unfaulted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole suite of scenarios in one combination, without a fault; judged as `vdsa run` judges, its cells the controls."""

    combination: Annotated[Combination, _about("the column")]
    verdict: Annotated[VerdictName, _about("what the column came to")]
    reason: Annotated[Text, _about("why, in one sentence")]
    scenarios_passed: Annotated[Count, _about("scenarios that passed")]
    scenarios: Annotated[Count, _about("scenarios that were planned")]
    failed: Annotated[tuple[str, ...], _about("scenarios that did not pass, each with the first line of why")] = ()
    interrupts_due: Annotated[Count, _about("interrupts that were due and acknowledged")]
    interrupts_arrived: Annotated[Count, _about("interrupts that the guests' own handlers counted")]
    refusals: Annotated[Count, _about("attempts that the device refused")]
    caught: Annotated[Count, _about("planted faults that the suite noticed")] = 0
    planted: Annotated[Count, _about("planted faults that are possible in this combination")] = 0
    seconds: Annotated[float, Meta(ge=0), _about("duration of the unfaulted part in seconds")]
    fire_p50_ns: Annotated[int | None, _about("IMS fire, descriptor accepted to message sent, median in ns; null: none")] = None
    fire_p99_ns: Annotated[int | None, _about("the same, 99th percentile in ns")] = None


class FaultRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of the containment table: something that may go wrong."""

    id: Annotated[Text, _about("name in lower case with hyphens, the same in every report")]
    group: Annotated[Group, _about("what a hostile guest tries, a mistake of the host software, a defect of the hardware")]
    title: Annotated[Text, _about("a few words")]
    what: Annotated[Text, _about("what exactly is tried or planted, one or two sentences")]


class Cell(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A cell of the containment table: what came of a row in one combination.

    contained: no other VM noticed, and the VM itself lost nothing that was its own. leaked: an interrupt or DMA of one VM, or an
    effect of a refused attempt, reached another. denied: another VM lost interrupts that were due to it, none went astray.
    harmed_own: only the VM that tried, or that the mistake was about, lost something. not_possible: the combination has nothing
    that this could happen to. undetermined: the probe came to no answer; it counts as the worst.
    """

    row: Annotated[Text, _about("id of the row")]
    combination: Annotated[Combination, _about("the column")]
    outcome: Annotated[Outcome, _about("what came of it")]
    why: Annotated[Text, _about("why this outcome, from the evidence; of not_possible: why it is not")]
    excerpt: Annotated[
        tuple[str, ...],
        Meta(max_length=EXCERPT_LINES, description="lines of the device's ledger that show it, decoded"),
    ] = ()
    caught_by: Annotated[
        str, _about("what the suite's own scenarios noticed it by; empty: nothing; always so in group guest and of not_possible")
    ] = ""
    seconds: Annotated[float, Meta(ge=0), _about("duration in seconds")]


class Capacity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a combination has room for, and what it needs."""

    combination: Annotated[Combination, _about("the column")]
    vectors_device: Annotated[Count | None, _about("vectors of a whole device at its largest; null: bounded by memory only")]
    vectors_vm: Annotated[Count, _about("vectors that one VM can have")]
    bound_by: Annotated[Text, _about("what bounds it")]
    exhaustion: Annotated[Text, _about("the error that the creation of the next VM's mdev really gave when all was used up")]
    bytes_per_vector_host: Annotated[float, Meta(ge=0), _about("memory of the host for a vector, in bytes")]
    bytes_per_vector_device: Annotated[float, Meta(ge=0), _about("state of the device for a vector, in bytes")]
    steps: Annotated[
        Count | None,
        _about("host steps that must be right for isolation to hold, counted from the containment table; null: not counted"),
    ]
    device_state: Annotated[Text, _about("what the device has to keep")]


class Cost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operation costs in one combination, with so many vectors in use. No guests are needed for it."""

    combination: Annotated[Combination, _about("the column")]
    operation: Annotated[Operation, _about("allocate or free: one vector of a block; fire: descriptor accepted to message sent")]
    vectors: Annotated[Count, _about("vectors in use that were asked for")]
    reached: Annotated[Count, _about("vectors in use that there could be; the times are at this number")]
    p50_ns: Annotated[Count | None, _about("median in ns; null: not measured")]
    p99_ns: Annotated[Count | None, _about("99th percentile in ns; null: not measured")]
    why: Annotated[str, _about("why fewer were reached, or why it was not measured; empty: all were")] = ""


class CostRatio(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much longer an operation takes than what it is compared with: both were measured in turns, so that it can be trusted.

    allocate and free are compared with the same combination with few vectors in use, fire with `array` as well.
    """

    combination: Annotated[Combination, _about("the column")]
    operation: Annotated[Operation, _about("the operation")]
    vectors: Annotated[Count, _about("vectors in use")]
    to: Annotated[Text, _about("what it is compared with")]
    ratio: Annotated[float, Meta(ge=0), _about("median of the ratios of all rounds' medians")]


class Comparison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole comparison."""

    schema: Annotated[int, _about("version of this schema")] = SCHEMA_VERSION
    version: Annotated[Text, _about("version of vdsa")]
    command: Annotated[tuple[str, ...], _about("command line that repeats it, seed included")]
    started: Annotated[Utc, _about("start, ISO 8601 in UTC")]
    finished: Annotated[Utc, _about("end, ISO 8601 in UTC")]
    seed: Annotated[int, _about("seed of everything random")]
    options: Annotated[Setup, _about("what was asked for and used")]
    verdict: Annotated[VerdictName, _about("what it came to: the worst of all columns and cells")]
    reason: Annotated[Text, _about("why, in one sentence")]
    interrupted: Annotated[str | None, _about("what ended it early; null: it ran to its end")] = None
    unfaulted: Annotated[tuple[Unfaulted, ...], _about("one for each column, in their order")]
    rows: Annotated[tuple[FaultRow, ...], _about("rows of the containment table, in the order of its groups")] = ()
    cells: Annotated[tuple[Cell, ...], _about("a cell for each row and column")] = ()
    capacity: Annotated[tuple[Capacity, ...], _about("what was measured of capacity, by column")] = ()
    costs: Annotated[tuple[Cost, ...], _about("what was measured of cost, by column")] = ()
    ratios: Annotated[tuple[CostRatio, ...], _about("costs compared with each other, by column")] = ()


PARTS: tuple[type[msgspec.Struct], ...] = (
    Comparison, Setup, Combination, Unfaulted, FaultRow, Cell, Capacity, Cost, CostRatio,
)  # fmt: skip
