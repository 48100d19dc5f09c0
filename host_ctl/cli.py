"""The command `vdsa`.

Exit status: 0 ISOLATED, 1 LEAKED, 2 usage, 3 NOT PROVEN, 130 ended by Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast, get_args

from host_ctl import comparison_file
from host_ctl.cli_common import (
    EXIT_CTRL_C,
    EXIT_USAGE,
    add_shown,
    exit_status,
    load_suite,
    lock,
    progress_mode,
    report,
    run_to_its_end,
    seed_of,
    tell,
)
from host_ctl.cli_compare import add_compare
from host_ctl.comparison import Comparison
from host_ctl.errors import HostError
from host_ctl.interrupts import FACTS, Scope, why_not
from host_ctl.options import (
    DOMAINS,
    MAX_GUESTS,
    MAX_VECTORS,
    RUN_TYPES,
    STORES,
    Accelerator,
    Delivery,
    KernelName,
    OptionsError,
    Portal,
    RigName,
    RunOptions,
)
from host_ctl.progress import Mode, Progress, printable
from host_ctl.report import write_html, write_reports
from host_ctl.report.comparison_summary import print_comparison
from host_ctl.report.summary import print_summary
from host_ctl.results import RunResult, check, decode
from host_ctl.types_list import types_as_json, types_as_text
from host_ctl.unfinished import unfinished_result, utc_now
from host_ctl.version import version

Suite = Callable[[RunOptions, Progress], RunResult]

_ABOUT = """\
Virtual Intel DSA devices for QEMU guests, and the proof by test that an interrupt reaches the guest that owns it and no
other."""


def _stores() -> str:
    """A line for each organisation, and what makes no sense."""
    lines = [
        f"  {facts.name:6} {facts.what}\n         owner: {facts.id_kind} {facts.id_place}\n         bound: {facts.bound}"
        for facts in FACTS.values()
    ]
    lines += [
        f"  {organisation.name.lower()} with --domain {scope} makes no sense: a function has one MSI-X table and one domain"
        for organisation in FACTS
        for scope in Scope
        if why_not(organisation, scope) is not None
    ]
    return "\n".join(lines)


_RUN_ABOUT = """\
Start guests, let every one of them fire its own interrupts and try to fire the others', plant faults to see that they
are noticed, and judge the run. The last line says ISOLATED, LEAKED or NOT PROVEN, and why."""
_RUN_EXAMPLES = f"""\
examples:
  vdsa run                                8 guests with 4 vectors each, and a report in build/report
  vdsa run --guests 64 --vectors 4        a larger run (at most {MAX_GUESTS} guests, {MAX_VECTORS} vectors each)
  vdsa run --seed 20260517                the same attacks in the same order as in that earlier run
  vdsa run --store table --domain vm      another store of interrupt messages, a domain for each guest
  vdsa run --rig linux --guests 4         Linux guests with its own driver, beside hostile agents
  vdsa run --only forged --no-controls    a quick look at some scenarios; proves nothing by itself

stores of interrupt messages (--store), and who hands out their entries (--domain):
{_stores()}
  --domain device: one interrupt domain for all; vm: one for each guest, over a part of the store that is its own.

exit status:
  0 ISOLATED    1 LEAKED    2 wrong usage    3 NOT PROVEN    130 ended by Ctrl-C (the report has what was reached)"""
_TYPES_ABOUT = """\
The mdev types: what each is, how many instances a host with a device of the usual size can have, and what each does not do."""
_EXAMPLES = """\
examples:
  vdsa run                                       judge a run with 8 guests
  vdsa compare                                   all stores and domains side by side, with and without faults
  vdsa types                                     which devices a guest can be given
  vdsa report show build/report/report.json      show its results again
  vdsa report html report.json -o report.html    make the HTML report from them

vdsa COMMAND --help tells more about a command."""


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    formatter = argparse.RawDescriptionHelpFormatter
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show where an error came from")
    parser = argparse.ArgumentParser("vdsa", description=_ABOUT, epilog=_EXAMPLES, formatter_class=formatter)
    parser.add_argument("--version", action="version", version=f"vdsa {version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    run = commands.add_parser(
        "run", help="run the suite and judge it", description=_RUN_ABOUT, epilog=_RUN_EXAMPLES,
        formatter_class=formatter, parents=[common],
    )  # fmt: skip
    _add_run_options(run)
    run.set_defaults(handler=_run, command="run")
    add_compare(commands, common)
    types = commands.add_parser(
        "types", help="list the mdev types", description=_TYPES_ABOUT, formatter_class=formatter, parents=[common]
    )
    types.add_argument("--json", action="store_true", help="as JSON")
    types.set_defaults(handler=_types)
    report = commands.add_parser("report", help="show the results of an earlier run", description="Results again.")
    forms = report.add_subparsers(title="forms", metavar="FORM", required=True)
    show = forms.add_parser("show", help="print the summary again", parents=[common])
    show.add_argument("file", type=Path, metavar="FILE", help="the report.json of a run, or the comparison.json of a comparison")
    show.set_defaults(handler=_report_show)
    html = forms.add_parser("html", help="make the HTML report again", parents=[common])
    html.add_argument("file", type=Path, metavar="FILE", help="the report.json of a run, or the comparison.json of a comparison")
    html.add_argument("-o", "--output", type=Path, metavar="OUT", required=True, help="the HTML file to write")
    html.set_defaults(handler=_report_html)
    return parser


def _add_run_options(run: argparse.ArgumentParser) -> None:
    default = RunOptions()
    what = run.add_argument_group("what to run")
    what.add_argument("--guests", type=int, default=default.guests, metavar="N", help="number of guests (%(default)s)")
    what.add_argument(
        "--vectors", type=int, default=default.vectors, metavar="N", help="vectors of each besides vector 0 (%(default)s)"
    )
    what.add_argument("--seed", type=int, metavar="S", help="repeat an earlier run (default: a new one)")
    what.add_argument(
        "--only", action="append", default=[], metavar="PATTERN",
        help="only scenarios with PATTERN in their name; may be repeated; such a run is NOT PROVEN",
    )  # fmt: skip
    what.add_argument("--no-controls", action="store_true", help="plant no faults; such a run is NOT PROVEN")
    what.add_argument(
        "--type", default=default.mdev_type, choices=RUN_TYPES,
        help="mdev type of the guests' devices; `vdsa types` tells about them (%(default)s)",
    )  # fmt: skip
    what.add_argument(
        "--store", default=default.store, choices=STORES,
        help="organisation of the device's store of interrupt messages, see below (%(default)s)",
    )  # fmt: skip
    what.add_argument(
        "--domain", default=default.domain, choices=DOMAINS,
        help="interrupt domains: one for the device, or one for each guest's mdev (%(default)s)",
    )  # fmt: skip
    what.add_argument(
        "--rig", choices=get_args(RigName), default=default.rig,
        help="agent: bare-metal agents; linux: N guests with Linux and its own idxd driver, beside three hostile agents "
        "(%(default)s; linux needs the patched QEMU: `make qemu-patched`)",
    )  # fmt: skip
    what.add_argument(
        "--kernel", choices=get_args(KernelName), default=default.kernel,
        help="the Linux guests' kernel: Debian 12's 6.1, Debian 13's 6.12, or the newest of its backports (%(default)s)",
    )  # fmt: skip
    how = run.add_argument_group("how to run it")
    how.add_argument(
        "--delivery", choices=get_args(Delivery), default=default.delivery,
        help="message: a memory write into the VM, any QEMU; eventfd: by the VMM, a patched one (%(default)s)",
    )  # fmt: skip
    how.add_argument(
        "--accel", choices=get_args(Accelerator), default=default.accelerator,
        help="auto takes KVM if a small guest boots with it, else TCG (%(default)s)",
    )  # fmt: skip
    how.add_argument(
        "--portal", choices=get_args(Portal), default=default.portal,
        help="trapped: each store goes to the device; mapped: it looks at memory; auto: mapped with KVM (%(default)s)",
    )  # fmt: skip
    shown = run.add_argument_group("what to show")
    shown.add_argument("--report", type=Path, default=default.report, metavar="DIR", help="report folder (%(default)s)")
    shown.add_argument(
        "--trace", nargs="?", const="", metavar="FILE",
        help="write every access of the guests to their devices, decoded, to FILE (trace.txt in the report folder); "
        "faults are planted untraced. VDSA_TRACE=1 traces to standard error, VDSA_TRACE=FILE appends to FILE",
    )  # fmt: skip
    add_shown(shown)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; answers with its exit status. Raises SystemExit(2) for a command line that cannot be parsed."""
    arguments = build_parser().parse_args(argv)
    try:
        return cast(int, arguments.handler(arguments))
    except OptionsError as error:
        for problem in error.problems:
            print(f"vdsa: {printable(problem)}", file=sys.stderr)
        print(f"vdsa {arguments.command} --help shows what can be run.", file=sys.stderr)
        return EXIT_USAGE
    except HostError as error:
        tell(error, arguments.debug)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_CTRL_C
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_USAGE


def _run(arguments: argparse.Namespace) -> int:
    options = RunOptions(
        guests=arguments.guests, vectors=arguments.vectors, seed=seed_of(arguments.seed),
        delivery=arguments.delivery, accelerator=arguments.accel, report=arguments.report,
        only=tuple(arguments.only), controls=not arguments.no_controls, mdev_type=arguments.type,
        trace=trace_file(arguments), store=arguments.store, domain=arguments.domain, portal=arguments.portal,
        rig=arguments.rig, kernel=arguments.kernel,
    )  # fmt: skip
    suite: Suite = load_suite("isolation")
    with lock(options.report):
        _empty_trace(options.trace)
        result = run_suite(suite, options, progress_mode(arguments), arguments.debug)
        return report(result, lambda it: write_reports(it, options.report), print_summary, arguments)


def trace_file(arguments: argparse.Namespace) -> Path | None:
    """--trace without a FILE writes beside the report."""
    if arguments.trace is None:
        return None
    return Path(arguments.trace) if arguments.trace else arguments.report / "trace.txt"


def _empty_trace(trace: Path | None) -> None:
    """What an earlier run wrote there is not taken for this one's."""
    if trace is None:
        return
    try:
        trace.write_text("")
    except OSError as error:
        raise HostError(f"cannot write the trace to {trace} ({error.strerror}): choose another file") from error


def run_suite(suite: Suite, options: RunOptions, mode: Mode = "auto", debug: bool = False) -> RunResult:
    """The results of `suite`; if it ends with an exception instead, results that say so and prove nothing."""
    started = utc_now()
    return run_to_its_end(
        lambda progress: suite(options, progress), check,
        lambda why: unfinished_result(options, started, why, version()), mode, debug,
    )  # fmt: skip


def _types(arguments: argparse.Namespace) -> int:
    print(types_as_json() if arguments.json else types_as_text())
    return 0


def _read(path: Path) -> RunResult | Comparison:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise HostError(f"cannot read {path} ({error.strerror}): give the report.json of a run") from error
    return comparison_file.decode(raw) if comparison_file.is_comparison(raw) else decode(raw)


def _report_show(arguments: argparse.Namespace) -> int:
    result = _read(arguments.file)
    if isinstance(result, Comparison):
        print_comparison(result)
    else:
        print_summary(result)
    return exit_status(result.verdict, result.interrupted)


def _report_html(arguments: argparse.Namespace) -> int:
    result = _read(arguments.file)
    write_html(result, arguments.output)
    return 0
