"""One run of the suite as pytest sees it: what it was asked for, what it has reached, and the fixtures that scenarios use."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from guest_tests.agent_build import AgentImage, build_agent
from guest_tests.controls import ControlRun
from guest_tests.diagnosis import Diagnosis
from guest_tests.guests import boots
from guest_tests.linux.image import LinuxImage, make_image
from guest_tests.linux.kernels import KERNELS
from guest_tests.linux.packages import KernelUnavailable
from guest_tests.member import Member
from guest_tests.planted import Fault
from guest_tests.rig import Rig, Timings
from host_ctl.accelerator import AcceleratorChoice, choose_accelerator
from host_ctl.account import LedgerAccount
from host_ctl.account_summary import AccountSummary
from host_ctl.errors import HostError
from host_ctl.options import RunOptions
from host_ctl.progress import Progress
from host_ctl.run_folder import RunFolder
from host_ctl.verdict import Outcome, Vector, Window
from qemu_patches import QemuBinary, find_qemu
from qemu_patches.capability import EVENTFD, MOVDIR64B
from qemu_patches.patched import find_patched
from qemu_patches.store import default_folder


def open_resources() -> dict[str, int]:
    """File descriptors, mappings of guest RAM and child processes of this process; not those that nothing leads to any more."""
    gc.collect()
    return {
        "file descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "guest RAM mappings": Path("/proc/self/maps").read_text().count("/memfd:"),
        "child processes": _child_processes(),
    }


def _child_processes() -> int:
    """By the parent that each process names; processes may end while they are being looked at."""
    count = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            count += stat.read_text().rpartition(")")[2].split()[1] == str(os.getpid())
    return count


@dataclass(slots=True)
class Seen:
    """What the unfaulted part of a run has shown, frozen before any fault is planted."""

    due: dict[Vector, int]
    guest_counts: dict[Vector, int]
    strays: dict[int, int]
    account: AccountSummary
    windows: tuple[Window, ...]
    timings: Timings
    crashed: dict[int, str]
    sent: dict[int, tuple[int, int]]
    diagnosis: Diagnosis = field(default_factory=Diagnosis)

    @classmethod
    def nothing(cls) -> Seen:
        """Of a run that ended before its guests were up."""
        return cls({}, {}, {}, LedgerAccount().summary(lambda mdev: None), (), Timings(), {}, {})


@dataclass(slots=True)
class ScenarioRun:
    """One scenario that has been run."""

    outcome: Outcome
    seconds: float
    message: str = ""


@dataclass(slots=True)
class Session:
    """Shared by the runner and the fixtures; filled as the run goes, so that what was reached is there whenever it ends."""

    options: RunOptions
    progress: Progress
    folder: RunFolder
    qemu: QemuBinary
    image: AgentImage
    accelerator: AcceleratorChoice
    linux: LinuxImage | None = None
    """What guests with Linux are booted from, if the run has some."""
    planned: list[str] = field(default_factory=list)
    planned_controls: list[Fault] = field(default_factory=list)
    scenarios: dict[str, ScenarioRun] = field(default_factory=dict)
    controls: dict[str, ControlRun] = field(default_factory=dict)
    audit_before: dict[str, int] = field(default_factory=dict)
    audit_after: dict[str, int] = field(default_factory=dict)
    sent: dict[int, tuple[int, int]] = field(default_factory=dict)
    seen: Seen | None = None
    interrupted: str | None = None
    members: list[Member] = field(default_factory=list)
    """Guests that have been started."""
    resources_before: dict[str, int] = field(default_factory=open_resources)
    resources_after: dict[str, int] | None = None
    """Of this process; None: not counted yet."""
    began: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0
    """How long the unfaulted part took."""
    place: Path = field(init=False)
    """Where its mdevs' sockets are, and its ledger."""

    def __post_init__(self) -> None:
        self.place = self.folder.path

    def hangs(self) -> str:
        """Guests that keep reading one register now, for the message of what was waiting for them; empty: none does."""
        words = [f"guest {member.index} {hint}" for member in self.members if (hint := member.keeps_reading())]
        return "; ".join(words)

    def freeze(self, rig: Rig) -> None:
        """Takes down what the unfaulted part has shown. Later calls change nothing."""
        if self.seen is not None:
            return
        members = rig.everybody
        self.seconds = time.perf_counter() - self.began
        rig.diagnose_present()
        self.seen = Seen(
            due=dict(rig.record.due),
            guest_counts=rig.record.guest_counts(),
            strays={member.index: rig.record.strays(member) for member in members},
            account=rig.record.summary(),
            windows=tuple(rig.record.windows),
            timings=rig.timings,
            crashed={m.index: problem for m in members if (problem := m.problem()) is not None},
            sent=self.sent,
            diagnosis=rig.diagnosis,
        )


def _require_delivery(options: RunOptions, qemu: QemuBinary) -> None:
    if options.delivery == "eventfd" and not qemu.capabilities >= EVENTFD:
        raise HostError(
            "--delivery eventfd needs a QEMU that survives the unplug of a device whose MSI-X it manages; "
            "no stock QEMU up to 11.1 does: use --delivery message, "
            "or `make qemu-patched` and then QEMU=patched"
        )


def _find_qemu(options: RunOptions, progress: Progress) -> QemuBinary:
    """For Linux the patched one, unless $QEMU names one. Raises QemuUnavailable, HostError."""
    if not options.linux:
        return find_qemu(progress=progress.note)
    qemu = find_qemu(progress=progress.note) if os.environ.get("QEMU") else find_patched(default_folder())
    if MOVDIR64B not in qemu.capabilities:
        raise HostError(
            "--rig linux needs a QEMU with MOVDIR64B under TCG, without which Linux's idxd does not load: "
            "`make qemu-patched`, and leave QEMU unset"
        )
    return qemu


def _linux_image(options: RunOptions, progress: Progress) -> LinuxImage | None:
    if not options.linux:
        return None
    try:
        image = make_image(KERNELS[options.kernel], default_folder(), progress.note)
    except KernelUnavailable as error:
        raise HostError(str(error)) from error
    progress.note(f"Linux {image.release}: {', '.join(image.packages[:1])}")
    return image


def open_session(options: RunOptions, progress: Progress) -> Session:
    """Finds a QEMU, builds the agent, chooses the accelerator. Raises HostError, QemuUnavailable, AgentBuildError."""
    progress.phase("Preparing")
    qemu = _find_qemu(options, progress)
    _require_delivery(options, qemu)
    linux = _linux_image(options, progress)
    image = build_agent(default_folder() / "agent")
    folder = RunFolder()
    try:
        accelerator = asyncio.run(
            choose_accelerator(
                "tcg" if options.linux else options.accelerator,
                lambda name: boots(name, image, qemu, folder.path),
                qemu=" ".join(map(str, qemu.version)),
            )
        )
    except BaseException:
        folder.close()
        raise
    progress.note(f"QEMU {'.'.join(map(str, qemu.version))} ({qemu.origin}); {accelerator.why}")
    return Session(options, progress, folder, qemu, image, accelerator, linux)
