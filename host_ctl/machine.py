"""What a measurement was made on."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path


def machine() -> str:
    """`2 x AMD EPYC 7B13, Linux 6.12.1, Python 3.11.2`; the number is that of processors that this process may use."""
    usable = len(os.sched_getaffinity(0))
    return f"{usable} x {_processor()}, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip():
                return value.strip()
    return platform.machine()
