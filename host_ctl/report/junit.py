"""Results as JUnit XML, the form that continuous integration reads."""

from __future__ import annotations

import datetime
import re
import xml.etree.ElementTree as ET

from host_ctl.results import RunResult

_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped."""


def render_junit(result: RunResult) -> bytes:
    """testsuites/testsuite/testcase with three suites: scenarios, controls, verdict.

    A control that was MISSED and a verdict other than ISOLATED are failures; what did not run when it should have, and
    a suite with nothing in it, are errors: a run that ran nothing is never green.
    """
    return document([_scenarios(result), _controls(result), _verdict(result)], result.started)


def document(suites: list[ET.Element], started: datetime.datetime) -> bytes:
    """Suites with their counts, as a file."""
    root = ET.Element("testsuites", name="vdsa")
    totals = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for suite in suites:
        _count(suite, started)
        root.append(suite)
        totals = {key: total + int(suite.get(key, "0")) for key, total in totals.items()}
    for key, total in totals.items():
        root.set(key, str(total))
    root.set("time", f"{sum(float(suite.get('time', '0')) for suite in suites):.3f}")
    ET.indent(root)
    whole: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return whole + b"\n"


def _text(value: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", value)


def new_suite(name: str) -> ET.Element:
    """A suite without cases."""
    return ET.Element("testsuite", name=f"vdsa.{name}")


def new_case(suite: ET.Element, name: str, seconds: float) -> ET.Element:
    """Adds a case to a suite; without a mark it passed."""
    return ET.SubElement(
        suite, "testcase", classname=suite.get("name", "vdsa"), name=_text(name), time=f"{seconds:.3f}"
    )


def mark(case: ET.Element, tag: str, message: str) -> None:
    """tag: failure, error or skipped."""
    first, _, _ = message.partition("\n")
    ET.SubElement(case, tag, message=_text(first)).text = _text(message)


def nothing_ran(suite: ET.Element, message: str) -> None:
    """Adds a case that says so."""
    mark(new_case(suite, "at least one ran", 0.0), "error", message)


def _scenarios(result: RunResult) -> ET.Element:
    suite = new_suite("scenarios")
    tags = {"failed": "failure", "error": "error", "not_run": "error", "skipped": "skipped"}
    for scenario in result.scenarios:
        case = new_case(suite, scenario.name, scenario.seconds)
        tag = tags.get(scenario.outcome)
        if tag:
            mark(case, tag, scenario.message or scenario.outcome.replace("_", " "))
    if all(scenario.outcome in ("skipped", "not_run") for scenario in result.scenarios):
        nothing_ran(suite, "no scenario ran")
    return suite


def _controls(result: RunResult) -> ET.Element:
    suite = new_suite("controls")
    for control in result.controls:
        case = new_case(suite, control.fault, control.seconds)
        if control.outcome == "MISSED":
            mark(case, "failure", f"nobody noticed: {control.planted}")
        elif control.outcome == "not_run":
            mark(case, "error", f"not tried: {control.planted}")
    if all(control.outcome == "not_run" for control in result.controls):
        nothing_ran(suite, "no fault was planted")
    return suite


def _verdict(result: RunResult) -> ET.Element:
    suite = new_suite("verdict")
    for condition in result.conditions:
        case = new_case(suite, f"{condition.number}. {condition.title}", 0.0)
        if condition.held is not True:
            mark(case, "failure" if condition.held is False else "error", condition.evidence or "not judged")
    case = new_case(suite, "The run is ISOLATED", (result.finished - result.started).total_seconds())
    if result.verdict != "ISOLATED":
        mark(case, "failure", f"{result.verdict}: {result.reason}")
    return suite


def _count(suite: ET.Element, started: datetime.datetime) -> None:
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(key, str(sum(case.find(tag) is not None for case in cases)))
    suite.set("time", f"{sum(float(case.get('time', '0')) for case in cases):.3f}")
    suite.set("timestamp", started.strftime("%Y-%m-%dT%H:%M:%S"))
