"""`make linux-guests`: a run with Linux guests for each kernel, one after the other, and what came of each.

A kernel whose packages cannot be had is reported as skipped, with the reason; nothing counts as passed that did not run. Exit
status: 0 all that ran were ISOLATED, and at least one ran; 1 otherwise.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from guest_tests.linux.image import make_image
from guest_tests.linux.kernels import KERNELS
from guest_tests.linux.packages import KernelUnavailable
from host_ctl.options import KernelName
from qemu_patches.store import default_folder

REPORTS = Path("build/linux")


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of a kernel. passed: None if it did not run."""

    kernel: str
    passed: bool | None
    what: str


def main() -> int:
    """Runs the kernels that were asked for."""
    parser = argparse.ArgumentParser(prog="make linux-guests", description=__doc__)
    parser.add_argument("kernels", nargs="*", metavar="KERNEL", help=f"of {', '.join(KERNELS)} (all)")
    parser.add_argument("--guests", type=int, default=4, help="Linux guests of each run (%(default)s)")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.kernels) - set(get_args(KernelName)))
    if unknown:
        parser.error(f"no kernel {', '.join(unknown)}: there are {', '.join(KERNELS)}")
    ended = [run(name, arguments.guests) for name in arguments.kernels or KERNELS]
    print("\nLinux guests:")
    for one in ended:
        print(f"  {one.kernel:<10} {one.what}")
    return 0 if all(one.passed is not False for one in ended) and any(one.passed for one in ended) else 1


def run(name: str, guests: int) -> Ended:
    """One kernel: its image, then the run."""
    print(f"\n==== Linux {name} ====", flush=True)
    try:
        image = make_image(KERNELS[name], default_folder(), lambda line: print(f"  {line}", flush=True))
    except KernelUnavailable as error:
        return Ended(name, None, f"skipped: {error}")
    began = time.monotonic()
    command = [sys.executable, "-m", "host_ctl", "run", "--rig", "linux", "--kernel", name, "--guests", str(guests)]
    # What make may have been told for its other ways in: Linux takes the patched one by itself.
    environment = {key: value for key, value in os.environ.items() if key != "QEMU" or value not in ("", "patched")}
    done = subprocess.run([*command, "--report", str(REPORTS / name)], env=environment, check=False)
    verdict = {0: "ISOLATED", 1: "LEAKED", 3: "NOT PROVEN"}.get(done.returncode, f"ended with {done.returncode}")
    seconds = time.monotonic() - began
    return Ended(name, done.returncode == 0, f"{verdict}: {image.release}, {seconds:.0f} s, {REPORTS / name}/report.html")


sys.exit(main())
