"""The results of a run as a file: schema version 2, described in docs/report-schema.md (made from this module).

`RunResult` is what the suite returns, what report.json holds and what every other form of the report is made from.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from host_ctl.errors import HostError
from host_ctl.samples import percentile

SCHEMA_VERSION = 2
_WRITTEN = {word.lower(): word for word in ("BAR", "DMA", "DSA", "IMS", "MSI", "PASID", "PCI", "QEMU", "VM", "WQ")}
CTRL_C = "Ctrl-C"
"""`RunResult.interrupted` of a run that the user ended."""

Count = Annotated[int, Meta(ge=0)]
Text = Annotated[str, Meta(min_length=1)]
Utc = Annotated[datetime.datetime, Meta(tz=True)]
File = TypeVar("File", bound=msgspec.Struct)
VerdictName = Literal["ISOLATED", "LEAKED", "NOT PROVEN"]


class ResultError(HostError):
    """A results file that cannot be read, or results that contradict themselves."""


def _about(text: str) -> Meta:
    return Meta(description=text)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was asked for and what it was run with."""

    guests: Annotated[Count, _about("guests asked for")]
    vectors: Annotated[Count, _about("vectors of each guest besides vector 0, each with an entry of the message store")]
    store: Annotated[Text, _about("organisation of the message store: array, table, queue or msix")]
    domain_scope: Annotated[Text, _about("device: one interrupt domain over the store; vm: one for each mdev, over its part")]
    portal: Annotated[Text, _about("trapped: each store goes to the device; mapped: it looks at memory")] = "trapped"
    delivery: Annotated[Text, _about("message: a memory write into the VM; eventfd: by the VMM")]
    accelerator: Annotated[Text, _about("tcg or kvm, as used")]
    accelerator_why: Annotated[str, _about("why this accelerator")]
    qemu_version: Annotated[str, _about("version of the QEMU used; empty: none was started")]
    qemu_origin: Annotated[str, _about("where this QEMU came from")]
    only: Annotated[tuple[str, ...], _about("patterns that scenarios were chosen by; empty: all of them")] = ()
    controls: Annotated[bool, _about("whether faults were planted")] = True
    mdev_type: Annotated[Text, _about("mdev type of the guests' devices")] = "dsa-1dwq-v1"
    rig: Annotated[Literal["agent", "linux"], _about("agent: bare-metal agents; linux: guests with Linux beside them")] = "agent"
    kernel: Annotated[str, _about("release of the Linux guests' kernel; empty: there was none")] = ""


class Guest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One guest."""

    index: Annotated[Count, _about("guest index, from 0")]
    sent: Annotated[Count, _about("interrupts that this guest's descriptors fired, by the ledger")]
    received: Annotated[Count, _about("interrupts that this guest's own handlers counted")]
    refused: Annotated[Count, _about("attempts of this guest that the device refused")]
    unexplained: Annotated[Count, _about("interrupts it saw that the ledger does not explain")]
    crashed: Annotated[str | None, _about("what happened to it; null: it lived")] = None


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One scenario: a promise, put to the test."""

    name: Annotated[Text, _about("name of the test")]
    promise: Annotated[Text, _about("the promise as a sentence, from the test's name")]
    outcome: Annotated[Literal["passed", "failed", "error", "skipped", "not_run"], _about("what became of it")]
    seconds: Annotated[float, Meta(ge=0), _about("duration in seconds")]
    message: Annotated[str, _about("why it failed or did not run; empty if it passed")] = ""


class Control(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One negative control: a fault planted on purpose, which the suite has to notice."""

    fault: Annotated[Text, _about("id of the fault")]
    planted: Annotated[Text, _about("what was planted")]
    outcome: Annotated[Literal["caught", "MISSED", "not_run"], _about("whether the suite noticed")]
    caught_by: Annotated[str, _about("the evidence that showed it; empty if nothing did")]
    seconds: Annotated[float, Meta(ge=0), _about("duration in seconds")]


class ConditionResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the six conditions of the verdict."""

    number: Annotated[int, Meta(ge=1, le=6), _about("1 to 6")]
    title: Annotated[Text, _about("the condition")]
    held: Annotated[bool | None, _about("null: it could not be judged")]
    evidence: Annotated[str, _about("what shows it")]


class Resource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named count that has to be the same after the run."""

    name: Annotated[Text, _about("what was counted")]
    before: Annotated[int | None, _about("before the run; null: not counted")]
    after: Annotated[int | None, _about("after the run; null: not counted")]


class Timing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A series of measurements."""

    name: Annotated[Text, _about("what was measured")]
    n: Annotated[int, Meta(ge=1), _about("number of measurements")]
    min: Annotated[float, _about("smallest")]
    p50: Annotated[float, _about("median")]
    p99: Annotated[float, _about("99th percentile, nearest rank")]
    max: Annotated[float, _about("largest")]
    unit: Annotated[Text, _about("unit of the four values")]


class TouchedRegister(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that guests did with a register or with bits that their device does not model."""

    register: Annotated[Text, _about("name in the specification, or the offset where it has none")]
    region: Annotated[Text, _about("BAR0, BAR2 or config")]
    offset: Annotated[Count, _about("in the region, in bytes")]
    what: Annotated[Text, _about("what was done with it")]
    guests: Annotated[tuple[Count, ...], _about("guests that did it")]
    count: Annotated[Count, _about("how often, all together")]


class Polled(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The longest time for which a guest read one register, always with the same value, and did nothing else."""

    guest: Annotated[Count, _about("guest index")]
    register: Annotated[Text, _about("name of the register")]
    value: Annotated[Count, _about("what it read")]
    meaning: Annotated[str, _about("the value in words; empty: it has none")]
    reads: Annotated[Count, _about("how often")]
    seconds: Annotated[float, Meta(ge=0), _about("for how long")]


class RunResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole run."""

    schema: Annotated[int, _about("version of this schema")] = SCHEMA_VERSION
    version: Annotated[Text, _about("version of vdsa")]
    command: Annotated[tuple[str, ...], _about("command line that repeats the run, seed included")]
    started: Annotated[Utc, _about("start, ISO 8601 in UTC")]
    finished: Annotated[Utc, _about("end, ISO 8601 in UTC")]
    seed: Annotated[int, _about("seed of everything random")]
    options: Annotated[Options, _about("what was asked for and used")]
    guests: Annotated[tuple[Guest, ...], _about("the guests, by index")]
    matrix: Annotated[
        tuple[tuple[Count, ...], ...],
        _about("interrupts delivered, `matrix[fired by][received by]`; a row and a column for each guest"),
    ]
    refusals: Annotated[dict[str, Count], _about("reason to number of refused attempts")]
    scenarios: Annotated[tuple[Scenario, ...], _about("scenarios in the order they were planned")]
    controls: Annotated[tuple[Control, ...], _about("negative controls")]
    conditions: Annotated[tuple[ConditionResult, ...], _about("the six conditions, in order")]
    resources: Annotated[tuple[Resource, ...], _about("counts before and after")]
    timings: Annotated[tuple[Timing, ...], _about("measured series")]
    verdict: Annotated[VerdictName, _about("what the run came to")]
    reason: Annotated[Text, _about("why, in one sentence")]
    interrupted: Annotated[str | None, _about("what ended the run early; null: it ran to its end")] = None
    touched: Annotated[tuple[TouchedRegister, ...], _about("what guests touched that is not modelled")] = ()
    touches_lost: Annotated[Count, _about("such accesses that a device had no place to record")] = 0
    polled: Annotated[tuple[Polled, ...], _about("guests that kept reading one register for two seconds or more")] = ()


PARTS: tuple[type[msgspec.Struct], ...] = (
    RunResult, Options, Guest, Scenario, Control, ConditionResult, Resource, Timing, TouchedRegister, Polled,
)  # fmt: skip


def encode(result: RunResult) -> bytes:
    """As JSON, indented, ending in a newline. Raises ResultError for results that contradict themselves."""
    check(result)
    return msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n"


def decode(raw: bytes) -> RunResult:
    """Reads what encode() wrote. Raises ResultError: not JSON, another schema version, or contradictory."""
    result = read_versioned(raw, RunResult, SCHEMA_VERSION, "a results file", "report.json of a run")
    check(result)
    return result


def read_versioned(raw: bytes, kind: type[File], version: int, what: str, expected: str) -> File:
    """A file of `kind` whose key "schema" is `version`. Raises ResultError, which calls it `what`."""
    try:
        head = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        found = msgspec.json.decode(bytes(head["schema"])) if "schema" in head else None
    except msgspec.MsgspecError as error:
        raise ResultError(f"not {what}: {error}; expected the {expected}") from error
    if found != version:
        raise ResultError(
            f"{what} of schema version {found!r}, this vdsa reads version {version}: show it with the vdsa that wrote it"
        )
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.MsgspecError as error:
        raise ResultError(f"{what} that is damaged: {error}") from error


def check(result: RunResult) -> None:
    """Raises ResultError if parts contradict each other, above all a verdict of ISOLATED without its conditions."""
    size = len(result.guests)
    if len(result.matrix) != size or any(len(row) != size for row in result.matrix):
        raise ResultError(f"the matrix does not have a row and a column for each of {size} guests")
    if [guest.index for guest in result.guests] != list(range(size)):
        raise ResultError("the guests are not numbered from 0 in order")
    if [condition.number for condition in result.conditions] != [1, 2, 3, 4, 5, 6]:
        raise ResultError("the six conditions are not all there, in order")
    if result.verdict == "ISOLATED":
        _check_isolated(result)


def _check_isolated(result: RunResult) -> None:
    contradictions = {
        "a condition does not hold": any(condition.held is not True for condition in result.conditions),
        "the run was interrupted": result.interrupted is not None,
        "a scenario did not pass": any(scenario.outcome != "passed" for scenario in result.scenarios),
        "no scenario ran": not result.scenarios,
        "a planted fault was not caught": any(control.outcome != "caught" for control in result.controls),
        "no fault was planted": not result.controls,
        "guests exchanged interrupts": bool(crossings(result)),
        "no interrupt was delivered": not any(map(any, result.matrix)),
        "a guest saw unexplained interrupts": any(guest.unexplained for guest in result.guests),
        "a guest crashed": any(guest.crashed is not None for guest in result.guests),
        "resources differ": any(resource.before != resource.after for resource in result.resources),
    }
    for what, true in contradictions.items():
        if true:
            raise ResultError(f"the results contradict themselves: the verdict is ISOLATED, but {what}")


def crossings(result: RunResult) -> list[tuple[int, int, int]]:
    """(fired by, received by, count) of every interrupt that left its guest, largest count first."""
    found = [
        (sender, receiver, count)
        for sender, row in enumerate(result.matrix)
        for receiver, count in enumerate(row)
        if count and sender != receiver
    ]
    return sorted(found, key=lambda crossing: (-crossing[2], crossing))


def timing(name: str, values: Iterable[float], unit: str) -> Timing:
    """A series summed up. Raises ValueError if it is empty."""
    ordered = sorted(values)
    return Timing(
        name=name,
        n=len(ordered),
        min=percentile(ordered, 0),
        p50=percentile(ordered, 0.5),
        p99=percentile(ordered, 0.99),
        max=percentile(ordered, 1),
        unit=unit,
    )


def promise(test_name: str) -> str:
    """The sentence in a test's name: test_forged_handle_is_refused[array-8] -> "Forged handle is refused (array-8)"."""
    base = test_name.rsplit("::", 1)[-1]
    match = re.fullmatch(r"(?:test_)?(?P<words>[^\[]+)(?:\[(?P<parameters>.*)\])?", base)
    if match is None:
        return test_name
    words = " ".join(_WRITTEN.get(word, word) for word in match["words"].split("_") if word) or base
    sentence = words[0].upper() + words[1:]
    return f"{sentence} ({match['parameters']})" if match["parameters"] else sentence
