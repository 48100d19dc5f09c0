"""Which kernels are tried, and which packages of Debian they are made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel of Debian. suites: as PrivateApt wants them, the last is the one the kernel is of. why: what it stands for."""

    name: str
    suites: tuple[str, ...]
    why: str


KERNELS = {
    kernel.name: kernel
    for kernel in (
        Kernel("6.1", ("bookworm",), "Debian 12's"),
        Kernel("6.12", ("trixie",), "Debian 13's"),
        Kernel("backports", ("trixie", "trixie-backports"), "the newest that Debian 13 can have"),
    )
}
"""By the name that --kernel takes."""

PROGRAMS = ("busybox-static", "accel-config")
"""Packages with what the guest runs."""
