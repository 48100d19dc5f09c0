"""The command `vdsa compare`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from host_ctl.cli_common import add_shown, load_suite, lock, progress_mode, report, run_to_its_end, seed_of
from host_ctl.comparison import Comparison
from host_ctl.comparison_file import check
from host_ctl.comparison_options import ALL, CompareOptions
from host_ctl.comparison_unfinished import unfinished_comparison
from host_ctl.options import DOMAINS, STORES, Accelerator, Delivery
from host_ctl.progress import Progress
from host_ctl.report import write_comparison
from host_ctl.report.comparison_summary import print_comparison
from host_ctl.unfinished import utc_now

Suite = Callable[[CompareOptions, Progress], Comparison]

_ABOUT = f"""\
Every organisation of the message store with every scope of interrupt domain that makes sense, side by side:
{", ".join(map(str, ALL))}.
Guests are started once. In each combination they get mdevs of a fresh device, run the whole suite of scenarios, and give them
back. Then come its cells of the containment table: attacks by a guest, mistakes of the host and defects of the hardware, one at
a time, each with what came of it and whether the suite noticed. Last, without guests, capacity and cost. `vdsa run --help`
tells what the stores and domains are."""
_EXAMPLES = """\
examples:
  vdsa compare                                     all of it, and a report in build/comparison
  vdsa compare --guests 8 --no-faults --no-costs   the scenarios in all combinations; such a comparison is NOT PROVEN
  vdsa compare --store table --store queue         some columns only; the verdict is about those
  vdsa compare --row twice --no-costs              some rows only; such a comparison is NOT PROVEN

exit status:
  0 ISOLATED     in every combination every scenario passed and nothing leaked, no attack harmed another VM, every cell was
                 determined, every planted fault that is possible was noticed, and nothing that was asked for is missing
  1 LEAKED       without a fault, an interrupt or an effect of a refused attempt reached another VM
  2 wrong usage    3 NOT PROVEN    130 ended by Ctrl-C (the report has what was reached)"""


def add_compare(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the command to the parser."""
    compare = commands.add_parser(
        "compare", help="compare all stores and domains, with and without faults", description=_ABOUT, epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter, parents=[common],
    )  # fmt: skip
    _add_options(compare)
    compare.set_defaults(handler=_compare, command="compare")


def _add_options(compare: argparse.ArgumentParser) -> None:
    default = CompareOptions()
    what = compare.add_argument_group("what to compare")
    what.add_argument(
        "--store", action="append", default=[], metavar="STORE",
        help=f"only this store: {', '.join(STORES)}; may be repeated (default: all)",
    )  # fmt: skip
    what.add_argument(
        "--domain", action="append", default=[], metavar="SCOPE",
        help=f"only this scope of interrupt domain: {', '.join(DOMAINS)}; may be repeated (default: both)",
    )  # fmt: skip
    what.add_argument("--guests", type=int, default=default.guests, metavar="N", help="number of guests (%(default)s)")
    what.add_argument(
        "--vectors", type=int, default=default.vectors, metavar="N", help="vectors of each besides vector 0 (%(default)s)"
    )
    what.add_argument("--seed", type=int, metavar="S", help="repeat an earlier comparison (default: a new one)")
    left = compare.add_argument_group("what to leave out")
    left.add_argument("--no-faults", action="store_true", help="no containment table; such a comparison is NOT PROVEN")
    left.add_argument("--no-costs", action="store_true", help="no capacity and cost")
    left.add_argument(
        "--only", action="append", default=[], metavar="PATTERN",
        help="only scenarios with PATTERN in their name; may be repeated; such a comparison is NOT PROVEN",
    )  # fmt: skip
    left.add_argument(
        "--row", action="append", default=[], metavar="PATTERN",
        help="only rows of the containment table with PATTERN in their name; may be repeated; NOT PROVEN as well",
    )  # fmt: skip
    how = compare.add_argument_group("how to run it")
    how.add_argument(
        "--delivery", choices=get_args(Delivery), default=default.delivery,
        help="message: a memory write into the VM, any QEMU; eventfd: by the VMM, a patched one (%(default)s)",
    )  # fmt: skip
    how.add_argument(
        "--accel", choices=get_args(Accelerator), default=default.accelerator,
        help="auto takes KVM if a small guest boots with it, else TCG (%(default)s)",
    )  # fmt: skip
    shown = compare.add_argument_group("what to show")
    shown.add_argument("--report", type=Path, default=default.report, metavar="DIR", help="report folder (%(default)s)")
    add_shown(shown)


def _compare(arguments: argparse.Namespace) -> int:
    options = CompareOptions(
        guests=arguments.guests, vectors=arguments.vectors, seed=seed_of(arguments.seed),
        stores=tuple(arguments.store), domains=tuple(arguments.domain), only=tuple(arguments.only), rows=tuple(arguments.row),
        faults=not arguments.no_faults, costs=not arguments.no_costs, delivery=arguments.delivery,
        accelerator=arguments.accel, report=arguments.report,
    )  # fmt: skip
    suite: Suite = load_suite("comparison")
    with lock(options.report):
        started = utc_now()
        comparison = run_to_its_end(
            lambda progress: suite(options, progress), check,
            lambda why: unfinished_comparison(options, started, why), progress_mode(arguments), arguments.debug,
        )  # fmt: skip
        return report(comparison, lambda it: write_comparison(it, options.report), print_comparison, arguments)
