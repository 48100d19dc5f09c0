"""The extension module built once more with the address and undefined behaviour sanitizers, and Python run so that they work."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

from device_model import build_core
from device_model.tests.core_rig import CORE_VARIABLE

MODULE = "_vdsa_sanitized"
ROOT = Path(build_core.__file__).resolve().parents[1]
CACHE = ROOT / "build"
FLAGS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-O1")

# Python and what it loads keep memory at their end. Only the frames next to an allocation are recorded, so that what our
# own code allocates, which is called by Python too, is not taken for theirs.
_NOT_OURS = ("/bin/python", "libpython", "lib-dynload", "site-packages", "libffi", "ld-linux", "libcrypto")
SUPPRESSIONS = "".join(f"leak:{name}\n" for name in _NOT_OURS)
FRAMES = 3


def sanitized_core() -> Path:
    """The module's path, below CACHE; built unless it was already made of the same sources. RuntimeError: the build failed."""
    files = [*build_core.c_sources(), *build_core.c_sources(".h"), Path(build_core.__file__)]
    digest = sha256(repr(FLAGS).encode() + b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
    folder = CACHE / f"sanitized-{digest}"
    return next(folder.glob(f"{MODULE}*.so"), None) or _build(folder)


def _build(folder: Path) -> Path:
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sanitized-building-", dir=CACHE) as scratch:
        code = (
            "import sys; from device_model.build_core import make_ffi; "
            "print(make_ffi(sys.argv[1], flags=sys.argv[3:]).compile(tmpdir=sys.argv[2]))"
        )
        command = [sys.executable, "-c", code, MODULE, scratch, *FLAGS]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode != 0:
            raise RuntimeError(f"the sanitized core could not be built:\n{done.stdout}{done.stderr}")
        made = Path(done.stdout.splitlines()[-1])
        folder.mkdir(exist_ok=True)
        return made.replace(folder / made.name)


TOOL_DIED = "LeakSanitizer has encountered a fatal error"
"""What it says when it crashes itself while it looks at the other threads: neither a finding nor none."""
TRIES = 3


def run_python(arguments: list[str], folder: Path, *, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Python with the sanitized core as the core under test; `folder` is for files. A finding: the status is not 0.

    Once more, up to TRIES in all, if it was the leak sanitizer that died.
    """
    done = _run_once(arguments, folder, timeout_s)
    for _ in range(TRIES - 1):
        if TOOL_DIED in done.stderr:
            done = _run_once(arguments, folder, timeout_s)
    return done


def _run_once(arguments: list[str], folder: Path, timeout_s: float) -> subprocess.CompletedProcess[str]:
    suppressions = folder / "leaks.txt"
    suppressions.write_text(SUPPRESSIONS)
    runtime = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    environment = os.environ | {
        CORE_VARIABLE: str(sanitized_core()),
        "LD_PRELOAD": runtime.stdout.strip(),
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": f"detect_leaks=1:malloc_context_size={FRAMES}:abort_on_error=0",
        "LSAN_OPTIONS": f"suppressions={suppressions}:print_suppressions=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=timeout_s)
