"""results files: what is written is read again, other versions and contradictions are refused, the document is true."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_ctl.report.schema_doc import render_schema_doc
from host_ctl.results import ResultError, RunResult, crossings, decode, encode, promise, timing
from host_ctl.samples import Samples, percentile
from host_ctl.tests.report_samples import good_result, leaked_result, scenario

DOCUMENT = Path(__file__).parents[2] / "docs" / "report-schema.md"


def edited(**changes: Any) -> bytes:
    return json.dumps(json.loads(encode(good_result())) | changes).encode()


@pytest.mark.parametrize("result", [good_result(), leaked_result(), good_result(40)], ids=["good", "leaked", "large"])
def test_results_are_read_as_they_were_written(result: RunResult) -> None:
    assert decode(encode(result)) == result


def test_times_are_iso_8601_in_utc() -> None:
    assert json.loads(encode(good_result()))["started"] == "2026-05-17T08:30:00Z"


@pytest.mark.parametrize("version", [0, 1, "2", None])
def test_other_schema_version_is_refused_by_name(version: object) -> None:
    with pytest.raises(ResultError, match=f"schema version {version!r}, this vdsa reads version 2"):
        decode(edited(schema=version))


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff", b"3"])
def test_what_is_no_results_file_is_refused(raw: bytes) -> None:
    with pytest.raises(ResultError, match="not a results file"):
        decode(raw)


@pytest.mark.parametrize(
    "changes", [{"verdict": "FINE"}, {"seed": "x"}, {"surprise": 1}, {"matrix": [[-1]]}, {"reason": ""}]
)
def test_damaged_results_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ResultError, match="damaged"):
        decode(edited(**changes))


@given(st.binary(max_size=200))
def test_any_bytes_are_results_or_refused_with_a_reason(raw: bytes) -> None:
    with pytest.raises(ResultError):
        decode(raw)


@pytest.mark.parametrize(
    "changes",
    [
        {"conditions": msgspec.structs.replace(good_result().conditions[3], held=None)},
        {"interrupted": "Ctrl-C"},
        {"scenarios": ()},
        {"scenarios": (scenario("test_a", "skipped"),)},
        {"controls": ()},
        {"controls": (msgspec.structs.replace(good_result().controls[0], outcome="MISSED"),)},
        {"matrix": leaked_result().matrix},
        {"matrix": ((0,) * 3,) * 3},
        {"guests": tuple(msgspec.structs.replace(guest, unexplained=1) for guest in good_result().guests)},
        {"guests": tuple(msgspec.structs.replace(guest, crashed="") for guest in good_result().guests)},
        {"resources": (msgspec.structs.replace(good_result().resources[0], after=1),)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_isolated_beside_what_forbids_it_is_refused(changes: dict[str, Any]) -> None:
    good = good_result().conditions
    one = changes.get("conditions", good[3])

    with pytest.raises(ResultError, match="contradict"):
        encode(good_result(**(changes | {"conditions": (*good[:3], one, *good[4:])})))


@pytest.mark.parametrize("changes", [{"matrix": ((1,),)}, {"conditions": ()}, {"guests": good_result().guests[::-1]}])
def test_parts_that_do_not_fit_each_other_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ResultError):
        encode(good_result(**changes))


def test_crossings_name_every_interrupt_that_left_its_guest() -> None:
    assert crossings(leaked_result()) == [(0, 2, 5)]
    assert crossings(good_result()) == []


def test_document_describes_the_structs_as_they_are() -> None:
    assert DOCUMENT.read_text() == render_schema_doc()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("test_forged_handle_is_refused", "Forged handle is refused"),
        ("guest_tests/x.py::test_pasid_is_checked[array-8]", "PASID is checked (array-8)"),
        ("plain", "Plain"),
        ("test_", "Test"),
    ],
)
def test_promise_is_the_sentence_in_the_name(name: str, sentence: str) -> None:
    assert promise(name) == sentence


@given(st.text(min_size=1))
def test_promise_is_never_empty(name: str) -> None:
    assert promise(name)


def test_timing_has_nearest_rank_percentiles() -> None:
    series = timing("wait", [float(value) for value in range(100, 0, -1)], "ms")

    assert (series.n, series.min, series.p50, series.p99, series.max) == (100, 1, 50, 99, 100)


def test_percentile_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        percentile([], 0.5)


def test_samples_keep_their_bound_and_exact_extremes() -> None:
    samples = Samples(limit=64)
    for value in range(10_000):
        samples.add(value)

    assert (samples.n, samples.smallest, samples.largest) == (10_000, 0, 9_999)
    assert len(samples.values()) < 64
    assert abs(percentile(samples.values(), 0.5) - 5_000) < 500


def test_results_are_values() -> None:
    with pytest.raises((AttributeError, dataclasses.FrozenInstanceError)):
        good_result().seed = 3  # type: ignore[misc]
