"""Which accelerator the guests run with: KVM where a guest has been seen to boot with it, TCG everywhere else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from qemu_patches.store import default_folder

PROBE_LIMIT_S = 3.0
"""A guest that has not booted by then never will: TCG, which is slower, needs a tenth of that."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_WANTED = ("auto", "tcg", "kvm")

Boots = Callable[[str], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class AcceleratorChoice:
    """`name` for QEMU's -accel ("tcg" or "kvm"), and one line that says why."""

    name: str
    why: str


async def choose_accelerator(
    wanted: str,
    boots: Boots,
    *,
    qemu: str = "",
    kvm: Path = Path("/dev/kvm"),
    cache_folder: Path | None = None,
    limit_s: float = PROBE_LIMIT_S,
) -> AcceleratorChoice:
    """The accelerator for `wanted` ("auto", "tcg", "kvm").

    "tcg" and "kvm" are taken as said. "auto" asks `boots("kvm")`, which boots a small guest and tells whether it came
    up; it is given `limit_s` seconds and then cancelled without being waited for, as a QEMU that hangs in the kernel
    may take its time to die. The answer is kept in `cache_folder` (default: vdsa in XDG_CACHE_HOME) until the machine
    boots again; `qemu` names the binary it holds for. Raises ValueError for another `wanted`.
    """
    if wanted not in _WANTED:
        raise ValueError(f"accelerator {wanted!r}: it can be {', '.join(_WANTED)}")
    if wanted != "auto":
        return AcceleratorChoice(wanted, f"{wanted.upper()}: asked for")
    missing = _missing(kvm)
    if missing:
        return AcceleratorChoice("tcg", f"TCG: {kvm} {missing}")
    kept = (cache_folder or default_folder()) / "accelerator.json"
    stamp = {"boot": _boot_id(), "qemu": qemu, "device": str(kvm)}
    known = _recall(kept, stamp)
    if known is not None:
        return known
    choice = await _probe(boots, limit_s)
    _remember(kept, stamp, choice)
    return choice


def _missing(kvm: Path) -> str:
    if os.access(kvm, os.R_OK | os.W_OK):
        return ""
    return "may not be opened by this user" if kvm.exists() else "is not there"


def _boot_id() -> str:
    return _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""


async def _probe(boots: Boots, limit_s: float) -> AcceleratorChoice:
    probe = asyncio.ensure_future(boots("kvm"))
    probe.add_done_callback(_look_at)
    try:
        done, _ = await asyncio.wait({probe}, timeout=limit_s)
    except asyncio.CancelledError:
        probe.cancel()
        raise
    if not done:
        probe.cancel()
        return AcceleratorChoice("tcg", f"TCG: a guest did not boot with KVM within {limit_s:g} s")
    error = None if probe.cancelled() else probe.exception()
    if error is not None:
        return AcceleratorChoice("tcg", f"TCG: KVM failed: {(str(error) or repr(error)).splitlines()[0]}")
    if probe.cancelled() or not probe.result():
        return AcceleratorChoice("tcg", "TCG: a guest does not boot with KVM")
    return AcceleratorChoice("kvm", "KVM: a guest booted with it")


def _look_at(probe: asyncio.Future[bool]) -> None:
    """Takes notice of the outcome of a probe that nobody waits for, so that asyncio does not complain of it."""
    if not probe.cancelled():
        probe.exception()


def _recall(kept: Path, stamp: dict[str, str]) -> AcceleratorChoice | None:
    try:
        content = json.loads(kept.read_text())
        if content["stamp"] == stamp and content["choice"]["name"] in ("tcg", "kvm"):
            return AcceleratorChoice(content["choice"]["name"], str(content["choice"]["why"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _remember(kept: Path, stamp: dict[str, str], choice: AcceleratorChoice) -> None:
    """Keeps the answer for the next run; a cache that cannot be written costs that run a probe, no more."""
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=kept.parent, delete=False) as new:
            json.dump({"stamp": stamp, "choice": asdict(choice)}, new)
        Path(new.name).replace(kept)
