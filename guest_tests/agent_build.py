"""Builds the bare-metal agent: its ELF and the 64 KiB of firmware that jump to it. Needs gcc and binutils only."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from guest_tests.agent_elf import check_agent

SOURCES = Path(__file__).parent / "agent"

_COMMON = ("-g", "-Wall", "-Wextra", "-Werror", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none")
_AGENT = (
    "-std=c17",
    "-O2",
    "-mgeneral-regs-only",
    "-mno-red-zone",
    "-ffreestanding",
    "-fno-pic",
    "-fno-stack-protector",
    "-fcf-protection=none",
    "-fno-asynchronous-unwind-tables",
    "-fno-eliminate-unused-debug-types",
    "-Wl,-z,max-page-size=4096",
)
_STUB = ("-Wl,--oformat=binary", "-Wl,-Ttext=0xffff0000", "-Wl,--entry=stub")
STUB_SIZE = 0x10000


class AgentBuildError(Exception):
    """The agent could not be built; the message holds the command and the compiler's output."""


@dataclass(frozen=True, slots=True)
class AgentImage:
    """What a guest is started with: `-kernel elf -bios stub`."""

    elf: Path
    stub: Path


def build_agent(out: Path, cc: str = "gcc") -> AgentImage:
    """Compiles the agent below `out`, or finds it there: a build is named by a hash of sources, compiler and flags.

    Safe to be called by several processes at once: a build appears as a whole or not at all.
    Raises AgentBuildError (compiler missing or failing), AgentElfError (the result would not run as an agent).
    """
    out = out.resolve()
    folder = out / f"agent-{_fingerprint(cc)}"
    image = AgentImage(folder / "agent.elf", folder / "stub.bin")
    if image.elf.exists() and image.stub.exists():
        return image
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="agent-building-", dir=out) as scratch:
        made = Path(scratch) / "image"
        made.mkdir()
        _compile(made, cc)
        _publish(made, folder)
    return image


def _fingerprint(cc: str) -> str:
    digest = hashlib.sha256(repr((_COMMON, _AGENT, _STUB, _compiler_identity(cc))).encode())
    for source in sorted(SOURCES.iterdir()):
        digest.update(f"{source.name}\0".encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _compiler_identity(cc: str) -> tuple[str, int, int]:
    """Where the compiler is, its size and its time: asking it for its version would take longer than all the rest."""
    program = shutil.which(cc)
    if program is None:
        raise AgentBuildError(f"the compiler {cc!r} does not exist. Install gcc and binutils.")
    status = Path(program).stat()
    return os.path.realpath(program), status.st_size, status.st_mtime_ns


def _compile(folder: Path, cc: str) -> None:
    script = folder / "agent.ld"
    elf, stub = folder / "agent.elf", folder / "stub.bin"
    # Relative names below the sources' folder: the debug information then does not depend on where a checkout lies.
    code = sorted(path.name for path in SOURCES.glob("*.c"))
    _run([cc, "-E", "-P", "-x", "c", "-I.", "agent.ld.in", "-o", str(script)])
    remap = f"-ffile-prefix-map={SOURCES}=guest_tests/agent"
    _run([cc, *_COMMON, *_AGENT, remap, f"-Wl,-T,{script}", *code, "boot.S", "isr.S", "-o", str(elf)])
    _run([cc, *_COMMON, *_STUB, "stub.S", "-o", str(stub)])
    if stub.stat().st_size != STUB_SIZE:
        raise AgentBuildError(f"the firmware has {stub.stat().st_size} bytes instead of {STUB_SIZE}: look at stub.S")
    check_agent(elf)


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, cwd=SOURCES, capture_output=True, text=True, check=False)
    except OSError as error:
        raise AgentBuildError(f"cannot run {command[0]}: {error}. Install gcc and binutils.") from error
    if done.returncode != 0:
        raise AgentBuildError(f"{' '.join(command)} failed with {done.returncode}:\n{done.stderr or done.stdout}")


def _publish(made: Path, folder: Path) -> None:
    try:
        made.rename(folder)
    except OSError:
        # Another process was first with the same content; anything else is an error.
        if not (folder / "agent.elf").exists():
            raise
