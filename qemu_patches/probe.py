"""What a QEMU says about itself: its version, and whether it has the vfio-user client."""

import os
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qemu_patches.binary import CLIENT_DEVICE, MINIMUM_VERSION, Version, version_text
from qemu_patches.capability import DMA_COUNT64, capabilities

PROBE_SECONDS = 30.0

_VERSION = re.compile(r"^QEMU emulator version (\d+)\.(\d+)(?:\.(\d+))?", re.MULTILINE)


class ProbeError(Exception):
    """The program could not be run, or does not answer as a QEMU does."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The answers of one QEMU."""

    version: Version
    has_client: bool
    capabilities: frozenset[str] = frozenset()

    def shortcoming(self) -> str | None:
        """What keeps this QEMU from being used, or None if nothing does."""
        if self.version < MINIMUM_VERSION and DMA_COUNT64 not in self.capabilities:
            return f"is QEMU {version_text(self.version)}, and {version_text(MINIMUM_VERSION)} or later is needed"
        if not self.has_client:
            return f"is QEMU {version_text(self.version)} built without the device {CLIENT_DEVICE}"
        return None


def parse_version(text: str) -> Version:
    """The version in what `qemu --version` printed.

    Raises ProbeError if there is none. A missing third number counts as 0.
    """
    found = _VERSION.search(text)
    if found is None:
        first = text.strip().splitlines()[0][:80] if text.strip() else ""
        raise ProbeError(f"does not answer --version as a QEMU system emulator does (it printed {first!r})")
    major, minor, micro = found.groups(default="0")
    return int(major), int(minor), int(micro)


def probe(argv: Sequence[str], env: Mapping[str, str], *, seconds: float = PROBE_SECONDS) -> Probe:
    """Run a QEMU twice, for its version and for the options of its vfio-user client.

    `-device help` lists nothing in some builds, so the device is asked for by name.
    Raises ProbeError if it does not run, does not end within `seconds`, or is no QEMU.
    """
    status, output = _run([*argv, "--version"], env, seconds)
    if status != 0:
        raise ProbeError(f"ends with status {status} when asked for its --version: {_last_line(output)}")
    version = parse_version(output)
    able = capabilities(version, output)
    status, output = _run([*argv, "-device", f"{CLIENT_DEVICE},help"], env, seconds)
    return Probe(version, has_client=status == 0 and f"{CLIENT_DEVICE} options" in output, capabilities=able)


def _run(command: list[str], env: Mapping[str, str], seconds: float) -> tuple[int, str]:
    try:
        ended = subprocess.run(
            command,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )
    except OSError as error:
        raise ProbeError(f"does not run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise ProbeError(f"does not end within {seconds:g} s: {shlex.join(command)}") from error
    return ended.returncode, ended.stdout.decode(errors="replace")


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:200] if lines else "(it printed nothing)"
