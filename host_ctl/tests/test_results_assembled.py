"""Results say what was judged: the same counts, the same verdict, and nothing that contradicts it."""

from __future__ import annotations

from dataclasses import replace

from host_ctl.assemble import assemble
from host_ctl.results import Options, RunResult, decode, encode
from host_ctl.tests.report_samples import START, good_evidence, good_result, scenario
from host_ctl.verdict import Evidence, judge


def assembled(evidence: Evidence) -> RunResult:
    options: Options = good_result().options
    return assemble(
        evidence, judge(evidence), options=options, command=("vdsa", "run"), seed=7, version="0.1.0", started=START,
        scenarios=[scenario("test_a"), scenario("test_b")], controls=good_result().controls,
    )  # fmt: skip


def test_isolated_evidence_becomes_isolated_results() -> None:
    result = assembled(good_evidence())

    assert decode(encode(result)) == result
    assert (result.verdict, result.matrix) == ("ISOLATED", ((4, 0, 0), (0, 4, 0), (0, 0, 4)))
    assert [(guest.sent, guest.received, guest.refused) for guest in result.guests] == [(4, 4, 1)] * 3
    assert (result.refusals, result.timings[-1].n, result.timings[-1].p50) == ({"pasid": 3}, 12, 4.0)


def test_leak_is_in_the_results_of_the_guest_that_saw_it() -> None:
    good = good_evidence()
    result = assembled(replace(good, guest_counts={**good.guest_counts, (1, 2): 5}))

    assert result.verdict == "LEAKED"
    assert [guest.unexplained for guest in result.guests] == [0, 3, 0]


def test_crash_and_uncounted_resource_are_in_the_results() -> None:
    result = assembled(replace(good_evidence(), crashed={2: "signal 11"}, resources_after={"fds": 12}))

    assert result.verdict == "NOT PROVEN"
    assert result.guests[2].crashed == "signal 11"
    assert [(one.name, one.before, one.after) for one in result.resources] == [("fds", 12, 12), ("slots", 0, None)]
