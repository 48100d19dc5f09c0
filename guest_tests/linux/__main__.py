"""`make linux-guests`: a run with Linux guests for each kernel, store and domain, one after the other, and what came of each.

A kernel whose packages cannot be had is reported as skipped, with the reason; nothing counts as passed that did not run. Exit
status: 0 all that ran were ISOLATED, and at least one ran; 1 otherwise.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from guest_tests.linux.image import make_image
from guest_tests.linux.kernels import KERNELS
from guest_tests.linux.packages import KernelUnavailable
from host_ctl.comparison import Combination
from host_ctl.comparison_options import CompareOptions
from host_ctl.options import DEFAULT_DOMAIN, DEFAULT_STORE, STORES, KernelName, OptionsError
from qemu_patches.store import default_folder

REPORTS = Path("build/linux")


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of a kernel with a store and a domain. passed: None if it did not run."""

    kernel: str
    combination: str
    passed: bool | None
    what: str


def main() -> int:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(prog="make linux-guests", description=__doc__)
    parser.add_argument("kernels", nargs="*", metavar="KERNEL", help=f"of {', '.join(KERNELS)} (all)")
    parser.add_argument("--guests", type=int, default=4, help="Linux guests of each run (%(default)s)")
    parser.add_argument("--store", action="append", default=[], help=f"message store, of {', '.join(STORES)}; may be repeated")
    parser.add_argument("--domain", action="append", default=[], help="scope of domain, device or vm; may be repeated")
    parser.add_argument("--all", action="store_true", help="every store with every domain; without, and without the two above: "
                        f"{DEFAULT_STORE} and {DEFAULT_DOMAIN}")  # fmt: skip
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.kernels) - set(get_args(KernelName)))
    if unknown:
        parser.error(f"no kernel {', '.join(unknown)}: there are {', '.join(KERNELS)}")
    try:
        combinations = chosen(arguments.store, arguments.domain, everything=arguments.all)
    except OptionsError as error:
        parser.error(str(error))
    ended = [one for name in arguments.kernels or KERNELS for one in run_kernel(name, arguments.guests, combinations)]
    print("\nLinux guests:")
    for one in ended:
        print(f"  {one.kernel:<10} {one.combination:<14} {one.what}")
    return 0 if all(one.passed is not False for one in ended) and any(one.passed for one in ended) else 1


def chosen(stores: Sequence[str], domains: Sequence[str], *, everything: bool) -> Sequence[Combination]:
    """The combinations that make sense of those asked for. OptionsError: none does, or there is no such store or domain."""
    if everything and (stores or domains):
        raise OptionsError(("--all leaves nothing to choose with --store and --domain: give one or the other",))
    if not (stores or domains or everything):
        stores, domains = [DEFAULT_STORE], [DEFAULT_DOMAIN]
    return CompareOptions(stores=tuple(stores), domains=tuple(domains)).combinations


def run_kernel(name: str, guests: int, combinations: Sequence[Combination]) -> list[Ended]:
    """One kernel: its image, then the runs."""
    print(f"\n==== Linux {name} ====", flush=True)
    try:
        image = make_image(KERNELS[name], default_folder(), lambda line: print(f"  {line}", flush=True))
    except KernelUnavailable as error:
        return [Ended(name, "", None, f"skipped: {error}")]
    return [run(name, image.release, guests, combination) for combination in combinations]


def run(name: str, release: str, guests: int, combination: Combination) -> Ended:
    """One run."""
    print(f"\n---- Linux {name}, {combination} ----", flush=True)
    report = REPORTS / name / f"{combination.store}-{combination.domain}"
    began = time.monotonic()
    command = [sys.executable, "-m", "host_ctl", "run", "--rig", "linux", "--kernel", name, "--guests", str(guests)]
    command += ["--store", combination.store, "--domain", combination.domain, "--report", str(report)]
    # What make may have been told for its other ways in: Linux takes the patched one by itself.
    environment = {key: value for key, value in os.environ.items() if key != "QEMU" or value not in ("", "patched")}
    done = subprocess.run(command, env=environment, check=False)
    verdict = {0: "ISOLATED", 1: "LEAKED", 3: "NOT PROVEN"}.get(done.returncode, f"ended with {done.returncode}")
    seconds = time.monotonic() - began
    return Ended(name, str(combination), done.returncode == 0, f"{verdict}: {release}, {seconds:.0f} s, {report}/report.html")


sys.exit(main())
