"""What commands that run a suite have in common: the lock of the report folder, errors told, exit status, progress."""

from __future__ import annotations

import argparse
import importlib.metadata
import secrets
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from host_ctl.comparison import Comparison
from host_ctl.errors import HostError
from host_ctl.options import OptionsError
from host_ctl.progress import Mode, Progress, open_progress, printable
from host_ctl.results import CTRL_C, RunResult, VerdictName
from host_ctl.run_folder import RunLock

Result = TypeVar("Result", RunResult, Comparison)

EXIT_USAGE = 2
EXIT_CTRL_C = 130
_EXIT: dict[VerdictName, int] = {"ISOLATED": 0, "LEAKED": 1, "NOT PROVEN": 3}


def exit_status(verdict: VerdictName, interrupted: str | None) -> int:
    """0 ISOLATED, 1 LEAKED, 3 NOT PROVEN, 130 ended by Ctrl-C."""
    return EXIT_CTRL_C if interrupted == CTRL_C else _EXIT[verdict]


def tell(error: BaseException, debug: bool) -> None:
    """An error on standard error, in its own words; debug: and where it came from."""
    if debug:
        traceback.print_exception(error)
    lines = str(error).splitlines() or [type(error).__name__]
    print("vdsa: " + "\n      ".join(map(printable, lines)), file=sys.stderr)


def lock(folder: Path) -> RunLock:
    """Raises HostError before anything is started, where the report could not be written after it."""
    try:
        return RunLock(folder)
    except OSError as error:
        raise HostError(f"cannot write the report to {folder} ({error.strerror}): choose a folder of yours") from error


def add_shown(group: argparse._ArgumentGroup) -> None:
    """--plain and --quiet."""
    mode = group.add_mutually_exclusive_group()
    mode.add_argument("--plain", action="store_true", help="one line for each step, as when not on a terminal")
    mode.add_argument("--quiet", action="store_true", help="only the last line: the verdict")


def progress_mode(arguments: argparse.Namespace) -> Mode:
    """What add_shown() has parsed."""
    return "quiet" if arguments.quiet else "plain" if arguments.plain else "auto"


def seed_of(given: int | None) -> int:
    """A new seed is short enough to be typed."""
    return secrets.randbits(32) if given is None else given


def report(
    result: Result, write: Callable[[Result], Sequence[Path]], show: Callable[[Result], None],
    arguments: argparse.Namespace,
) -> int:  # fmt: skip
    """Writes the report, shows what --quiet leaves of the results, and answers with the exit status."""
    try:
        print(f"report: {', '.join(map(str, write(result)))}", file=sys.stderr)
    except HostError as error:
        tell(error, arguments.debug)
        result = _unreported(result)
    if arguments.quiet:
        print(f"{result.verdict}: {printable(result.reason)}")
    else:
        show(result)
    return exit_status(result.verdict, result.interrupted)


def _unreported(result: Result) -> Result:
    """Isolation that nobody can look up is not proven; any other verdict stays as it is."""
    if result.verdict != "ISOLATED":
        return result
    reason = f"the report could not be written; without it: {result.reason}"
    return msgspec.structs.replace(result, verdict="NOT PROVEN", reason=reason)


def load_suite(name: str) -> Callable[..., Any]:
    """A suite of the entry points `vdsa.suites`. Raises HostError if it is not installed."""
    try:
        entry = importlib.metadata.entry_points(group="vdsa.suites")[name]
    except KeyError:
        raise HostError(f"the {name} suite is not installed: run `pip install .` in the source folder") from None
    try:
        loaded: Callable[..., Any] = entry.load()
    except (ImportError, AttributeError) as error:
        raise HostError(f"the {name} suite {entry.value} cannot be loaded ({error}): install vdsa anew") from error
    return loaded


def run_to_its_end(
    suite: Callable[[Progress], Result], check: Callable[[Result], None], unfinished: Callable[[str], Result],
    mode: Mode, debug: bool,
) -> Result:  # fmt: skip
    """The results of `suite`; if it ends with an exception instead, or with results that `check` refuses, `unfinished` ones.

    Raises OptionsError as the suite does.
    """
    try:
        with open_progress(mode) as progress:
            result = suite(progress)
        check(result)
        return result
    except KeyboardInterrupt:
        return unfinished(CTRL_C)
    except OptionsError:  # nothing was run
        raise
    except HostError as error:
        tell(error, debug)
        return unfinished(str(error))
    except Exception as error:  # a bug of ours: the report has to say so all the same
        what = f"internal error: {type(error).__name__}: {error}"
        tell(RuntimeError(f"{what} (--debug shows where)") if not debug else error, debug)
        return unfinished(what)
