"""The suite behind `vdsa run`: pytest runs the scenarios and the negative controls, the verdict is made of what they saw."""

from __future__ import annotations

import datetime
import resource
from collections.abc import Sequence
from pathlib import Path

import pytest

from guest_tests import pytest_rig
from guest_tests.agent_build import AgentBuildError
from guest_tests.agent_elf import AgentElfError
from guest_tests.evidence import discard_evidence, keep_evidence
from guest_tests.outcome import make_result
from guest_tests.planted import FAULTS, Fault
from guest_tests.session import ScenarioRun, Session, open_resources, open_session
from host_ctl.ctrl_c import CtrlC
from host_ctl.errors import HostError
from host_ctl.options import RunOptions
from host_ctl.progress import Progress
from host_ctl.results import CTRL_C, RunResult
from host_ctl.unfinished import utc_now
from host_ctl.verdict import Outcome
from host_ctl.version import version
from qemu_patches import QemuUnavailable

HERE = Path(__file__).resolve().parent
SCENARIOS = HERE / "scenarios"
CONTROL = "test_planted_fault_is_noticed"
_SETTINGS = (
    "asyncio_mode=auto",
    "asyncio_default_fixture_loop_scope=session",
    "asyncio_default_test_loop_scope=session",
    "timeout=600",
)


def run(options: RunOptions, progress: Progress) -> RunResult:
    """Runs everything and returns the results, whatever happens to the scenarios.

    Raises HostError where nothing can be run at all: no QEMU, no compiler, no memfd.
    """
    started = utc_now()
    allow_many_files()
    with CtrlC() as ctrl_c:
        return _run(options, progress, ctrl_c, started)


def _run(options: RunOptions, progress: Progress, ctrl_c: CtrlC, started: datetime.datetime) -> RunResult:
    try:
        session = open_session(options, progress)
    except (QemuUnavailable, AgentBuildError, AgentElfError) as error:
        raise HostError(str(error)) from error
    try:
        places = [SCENARIOS, *([HERE / "negative_controls"] if session.options.controls else [])]
        if session.options.linux:  # by their names: a plain pytest run, which has no Linux guests, does not collect them
            places[1:1] = sorted((HERE / "linux" / "scenarios").glob("linux_*.py"))
        run_pytest(places, Watcher(session, ctrl_c))
        if ctrl_c.pressed:
            session.interrupted = CTRL_C
        result = make_result(session, version(), started, open_resources())
        _leave_evidence(session, result)
    finally:
        session.folder.close()
    return result


def allow_many_files() -> None:
    """A guest takes nine descriptors of this process; the usual soft limit of 1,024 ends at about a hundred guests."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _leave_evidence(session: Session, result: RunResult) -> None:
    report = session.options.report
    if result.verdict == "ISOLATED":
        discard_evidence(report)
    else:
        kept = keep_evidence(session.folder.path, report, session.seen.crashed if session.seen else {})
        session.progress.note(f"ledger, QEMU's logs and fault reports: {kept}")


def run_pytest(places: Sequence[Path], watcher: Watcher) -> None:
    """pytest in this process, on these files and folders; what it comes to is what the watcher takes down."""
    settings = [word for setting in _SETTINGS for word in ("-o", setting)]
    plugins = ["-p", "no:terminal", "-p", "no:cacheprovider", "-p", "guest_tests.pytest_rig"]
    arguments = [*plugins, "--capture=no", "--rootdir", str(HERE)]
    pytest.main([*arguments, "-c", "/dev/null", *settings, *map(str, places)], plugins=[watcher])


class Watcher:
    """pytest plugin: hands the session over, tells the progress, and takes down what became of each scenario."""

    def __init__(self, session: Session, ctrl_c: CtrlC) -> None:
        self._session = session
        self._ctrl_c = ctrl_c
        self._faults: dict[str, Fault] = {fault.id: fault for fault in FAULTS}

    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[pytest_rig.SESSION] = self._session

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        session = self._session
        only = session.options.only
        chosen = [item for item in items if not only or _is_control(item) or any(word in item.name for word in only)]
        if session.options.shares_nothing:
            chosen = self._without_shared(chosen)
        chosen = [item for item in chosen if self._is_possible(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen
        session.planned = [item.name for item in chosen if not _is_control(item)]
        session.planned_controls = [f for item in chosen if (f := self._fault(item.name)) is not None]

    def _is_possible(self, item: pytest.Item) -> bool:
        """What this combination of store and domain does not have cannot be wrong."""
        fault, options = self._fault(item.name), self._session.options
        return fault is None or not fault.why_not(options.organisation, options.scope)

    def _without_shared(self, items: Sequence[pytest.Item]) -> list[pytest.Item]:
        kept = [item for item in items if item.get_closest_marker("shared") is None]
        self._session.progress.note(
            f"{len(items) - len(kept)} scenarios about what mdevs share are left out: "
            f"an mdev of type {self._session.options.mdev_type} shares nothing"
        )
        return kept

    def of(self, nodeid: str) -> tuple[Session, str]:
        """The session that a test belongs to, and its name there."""
        return self._session, nodeid.rpartition("::")[2]

    def shown(self, nodeid: str) -> str:
        """A test as the progress names it."""
        return self.of(nodeid)[1]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._session.progress.started(self.shown(nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A scenario's outcome is that of its call, or of the set-up or clean-up that kept it from having one."""
        if self._ctrl_c.pressed:
            pytest.exit(CTRL_C)
        if report.when == "call" or report.outcome != "passed":
            session, name = self.of(report.nodeid)
            outcome = _outcome(report)
            message = _message(report)
            if outcome is not Outcome.PASSED and (hangs := session.hangs()) and hangs not in message:
                message += f"\n{hangs}"
            session.scenarios[name] = ScenarioRun(outcome, report.duration, message)
            word = self.word(session, name, outcome)
            self._session.progress.finished(self.shown(report.nodeid), word, report.duration)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Also called for pytest.exit(), whose reason is in the session already."""
        if self._session.interrupted is None:
            self._session.interrupted = CTRL_C if excinfo.errisinstance(KeyboardInterrupt) else str(excinfo.value)

    def pytest_internalerror(self, excrepr: object) -> None:
        self._session.interrupted = f"internal error: {str(excrepr).splitlines()[-1]}"

    def _fault(self, name: str) -> Fault | None:
        return self._faults.get(name.partition("[")[2].rstrip("]")) if name.startswith(CONTROL) else None

    def word(self, session: Session, name: str, outcome: Outcome) -> str:
        """What the progress calls the outcome of a test."""
        if self._fault(name) is None:
            return outcome
        return {Outcome.PASSED: "caught", Outcome.FAILED: "MISSED"}.get(outcome, outcome)


def _is_control(item: pytest.Item) -> bool:
    return "negative_controls" in item.path.parts


def _outcome(report: pytest.TestReport) -> Outcome:
    if report.skipped:
        return Outcome.SKIPPED
    if report.passed:
        return Outcome.PASSED
    return Outcome.FAILED if report.when == "call" else Outcome.ERROR


def _message(report: pytest.TestReport) -> str:
    if report.passed:
        return ""
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash is not None else report.longrepr)


__all__: Sequence[str] = ("run",)
