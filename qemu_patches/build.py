"""Compiling QEMU: what the machine needs for it, the environment with meson, configure, ninja, strip."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from qemu_patches import recipe
from qemu_patches.binary import PROGRAM, QemuBinary
from qemu_patches.errors import QemuUnavailable

_SHORT_SECONDS = 60.0
_INSTALL_SECONDS = 900.0
_CONFIGURE_SECONDS = 600.0
_COMPILE_SECONDS = 3600.0
_TAIL_LINES = 25
_STEP = re.compile(r"\[(\d+)/(\d+)\]")

Progress = Callable[[str], None]


class BuildFailed(QemuUnavailable):
    """QEMU could not be built; the message holds the command and the end of what it printed."""


class PackagesMissing(QemuUnavailable):
    """Only root can install what a build needs; the message names the packages."""


def require_packages(progress: Progress) -> None:
    """Have what a build needs, installed by apt-get if we are root. Raises PackagesMissing, BuildFailed."""
    missing = missing_packages()
    if not missing:
        return
    install = ["apt-get", "-q", "install", "-y", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise PackagesMissing(
            f"building QEMU needs packages that are missing here, and only root can install them. Ask for: "
            f"apt-get install {' '.join(missing)} (those are Debian's names)"
        )
    progress(f"installing {' '.join(missing)}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    _run(["apt-get", "-q", "update"], Path("/"), _INSTALL_SECONDS, quiet, must_succeed=False)
    _run(install, Path("/"), _INSTALL_SECONDS, quiet)
    if still := missing_packages():
        raise BuildFailed(f"apt-get has installed {' '.join(still)}, and what they bring is still not found")


def missing_packages() -> list[str]:
    """Debian's names of the packages that a build would lack."""
    return [package for package, brings in recipe.PACKAGES.items() if brings and not _is_there(brings)]


def _is_there(brings: str) -> bool:
    if brings not in recipe.PKG_CONFIG_MODULES:
        return shutil.which(brings) is not None
    if shutil.which("pkg-config") is None:
        return False
    return subprocess.run(["pkg-config", "--exists", brings], timeout=_SHORT_SECONDS, check=False).returncode == 0


def firmware_folders(stock: QemuBinary) -> list[Path]:
    """Where a stock QEMU has its firmware, as it says itself. Raises BuildFailed."""
    printed = _run([*stock.argv, "-L", "help"], Path("/"), _SHORT_SECONDS, stock.env)
    folders = [Path(line) for line in printed.splitlines() if line.startswith("/") and Path(line).is_dir()]
    return [*folders, *(Path("/usr/share", name) for name in ("seabios", "qemu"))]


def copy_firmware(folders: list[Path], target: Path) -> None:
    """Copy the firmware of the recipe out of the first folder that has each file. Raises BuildFailed."""
    target.mkdir()
    for name in recipe.FIRMWARE:
        found = next((folder / name for folder in folders if (folder / name).is_file()), None)
        if found is None:
            raise BuildFailed(f"the stock QEMU has no {name} in {', '.join(map(str, folders))}")
        shutil.copyfile(found, target / name)


def compile_qemu(tree: Path, work: Path, package: str, binary: Path, progress: Progress) -> None:
    """Configure and compile `tree` in a folder of `work`, and put the stripped program at `binary`. Raises BuildFailed."""
    devices = "".join(f"CONFIG_{name}=y\n" for name in recipe.DEVICES)
    (tree / "configs/devices/x86_64-softmmu/vdsa.mak").write_text(devices)
    tools = _python_tools(work / "tools", progress)
    path = {"PATH": f"{tools / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}", "LC_ALL": "C"}
    objects = work / "objects"
    objects.mkdir()
    jobs = str(len(os.sched_getaffinity(0)))
    progress("configuring")
    configure = [str(tree / "configure"), f"--python={tools / 'bin/python3'}", *recipe.CONFIGURE]
    _run([*configure, f"--with-pkgversion={package}"], objects, _CONFIGURE_SECONDS, path)
    progress(f"compiling with {jobs} jobs: some minutes")
    _ninja(["nice", "-n", "5", "ninja", "-j", jobs, PROGRAM], objects, path, progress)
    _run(["strip", "-o", str(binary), str(objects / PROGRAM)], objects, _SHORT_SECONDS, path)


def _ninja(command: list[str], folder: Path, env: Mapping[str, str], progress: Progress) -> None:
    """Run ninja, telling each tenth of the way. Raises BuildFailed."""
    told, tail = 0, deque[str](maxlen=_TAIL_LINES)
    with _group(command, folder, env) as running:
        watchdog = threading.Timer(_COMPILE_SECONDS, running.kill)
        watchdog.start()
        try:
            assert running.stdout is not None
            for line in running.stdout:
                tail.append(line.rstrip())
                tenths = _tenths(line)
                if tenths > told:
                    told = tenths
                    progress(f"compiling: {told}0 %")
        finally:
            watchdog.cancel()
    if running.returncode != 0:
        raise BuildFailed(_not_built(command, running.returncode, tail))


def _tenths(line: str) -> int:
    """How far ninja is, 0 to 10, by a line that begins like [12/345]."""
    found = _STEP.match(line)
    return int(found[1]) * 10 // max(1, int(found[2])) if found else 0


def _not_built(command: list[str], status: int, lines: Iterable[str]) -> str:
    told = "\n".join(f"  {line}" for line in lines)
    return f"QEMU was not built: {shlex.join(command)} ended with status {status}:\n{told}"


def _python_tools(folder: Path, progress: Progress) -> Path:
    progress(f"getting {' and '.join(recipe.PYTHON_TOOLS)} from the Python package index")
    _run([sys.executable, "-m", "venv", str(folder)], folder.parent, _INSTALL_SECONDS)
    pip = [str(folder / "bin/python3"), "-m", "pip", "--disable-pip-version-check", "-q", "install", "--no-input"]
    _run([*pip, *recipe.PYTHON_TOOLS], folder.parent, _INSTALL_SECONDS)
    return folder


def _dies_with_us() -> tuple[str, ...]:
    """Words before a command that the kernel is to end with this process, however that ends."""
    return ("setpriv", "--pdeathsig", "TERM", "--") if shutil.which("setpriv") else ()


def _run(
    command: list[str],
    folder: Path,
    seconds: float,
    env: Mapping[str, str] | None = None,
    *,
    must_succeed: bool = True,
) -> str:
    """What a command printed. Raises BuildFailed."""
    with _group(command, folder, env or {}) as running:
        try:
            printed, _ = running.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            raise BuildFailed(f"{command[0]} did not end within {seconds:g} s") from error
    if running.returncode != 0 and must_succeed:
        raise BuildFailed(_not_built(command, running.returncode, printed.strip().splitlines()[-_TAIL_LINES:]))
    return printed


@contextlib.contextmanager
def _group(command: list[str], folder: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A command in a process group of its own, all of which is killed if what is done with it ends in an exception.

    So Ctrl-C leaves no compiler that writes into a folder that is being removed.
    """
    try:
        running = subprocess.Popen(
            [*_dies_with_us(), *command], cwd=folder, env={**os.environ, **env}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise BuildFailed(f"{command[0]} does not run: {error.strerror}") from error
    with running:
        try:
            yield running
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            raise
