"""Gets the packages that a Linux guest is made of, from a Debian suite that need not be this machine's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from guest_tests.linux.kernels import PROGRAMS, Kernel
from qemu_patches import apt
from qemu_patches.apt import AptError, Planned, PrivateApt
from qemu_patches.errors import QemuUnavailable
from qemu_patches.stock import debian_keyring, debian_mirrors_here, public_address

_KERNEL = re.compile(r"linux-(image|binary|modules)-\d")
_HEADERS = re.compile(r"linux-(headers|kbuild)-\d")
_KBUILD = re.compile(r"linux-kbuild-\d")
_SERIES = re.compile(r"(\d+\.\d+)")

Progress = Callable[[str], None]


class KernelUnavailable(Exception):  # noqa: N818
    """A kernel's packages cannot be had here; the message says why."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Packages of one kernel: alone: by themselves; whole: with all they depend on. source: that of the kernel."""

    alone: tuple[Planned, ...]
    whole: tuple[str, ...]
    source: Planned

    @property
    def version(self) -> str:
        """Version of the kernel's package."""
        return self.source.version

    def names(self) -> list[str]:
        """name=version of the packages that decide what the image is."""
        return [f"{one.package}={one.version}" for one in (*self.alone, self.source)]


@dataclass(frozen=True, slots=True)
class Archive:
    """A mirror's suite whose lists have been fetched, and what it has of a kernel."""

    apt: PrivateApt
    wanted: Wanted

    def unpack(self, tree: Path) -> None:
        """All packages but the source, into `tree`. AptError."""
        files = {path.name: path for path in self.apt.download(*self.wanted.whole)}
        files |= {path.name: path for path in self.apt.fetch(*(_exact(one) for one in self.wanted.alone))}
        tree.mkdir()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda path: apt.unpack(path, tree), files.values()))

    def source(self) -> Path:
        """The package with the kernel's source. AptError."""
        return self.apt.fetch(_exact(self.wanted.source))[0]


def open_archive(kernel: Kernel, folder: Path, progress: Progress) -> Archive:
    """The first mirror that serves the kernel; apt's state is kept in `folder`. KernelUnavailable: none does."""
    failures = []
    try:
        mirrors, keyring = debian_mirrors_here(), debian_keyring()
    except QemuUnavailable as error:
        raise KernelUnavailable(f"Linux {kernel.name}: {error}") from error
    missing = apt.missing_tools()
    if missing:
        raise KernelUnavailable(f"Linux {kernel.name}: this machine lacks {', '.join(missing)}")
    for number, mirror in enumerate(mirrors):
        state = folder / f"apt-{number}"
        state.mkdir(parents=True, exist_ok=True)
        private = PrivateApt(state, mirror, kernel.suites, keyring)
        progress(f"reading the package lists of Debian {kernel.suites[-1]} at {public_address(mirror)}")
        try:
            private.update()
            return Archive(private, _wanted(private))
        except AptError as error:
            failures.append(f"{kernel.suites[-1]} at {public_address(mirror)}: {error}")
    raise KernelUnavailable(f"Linux {kernel.name} ({kernel.why}) cannot be had: {'; '.join(failures)}")


def _wanted(private: PrivateApt) -> Wanted:
    kernel = [one for one in private.plan("linux-image-amd64") if _KERNEL.match(one.package)]
    headers = [one for one in private.plan("linux-headers-amd64") if _HEADERS.match(one.package)]
    image = next((one for one in kernel if one.package.startswith("linux-image-")), None)
    kbuild = next((one.package for one in headers if _KBUILD.match(one.package)), None)
    if image is None or kbuild is None:
        raise AptError("it has no linux-image-amd64 or no linux-headers-amd64 to build modules with")
    version = image.version
    others = sorted({one.version for one in (*kernel, *headers)} - {version})
    if others:
        raise AptError(f"its kernel is {version}, its headers or modules are {', '.join(others)}: no module can be built")
    return Wanted((*kernel, *_without(headers, kbuild)), (kbuild, *PROGRAMS), _source(private, version))


def _without(headers: list[Planned], kbuild: str) -> Iterator[Planned]:
    return (one for one in headers if one.package != kbuild)


def _source(private: PrivateApt, version: str) -> Planned:
    series = _SERIES.match(version)
    name = f"linux-source-{series[1] if series else version}"
    planned = [one for one in private.plan(f"{name}={version}") if one.package == name]
    if not planned:
        raise AptError(f"it has no {name} of version {version}")
    return planned[0]


def _exact(one: Planned) -> str:
    return f"{one.package}={one.version}"
