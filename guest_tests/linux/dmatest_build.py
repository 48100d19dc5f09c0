"""Builds dmatest.ko, which Debian's kernels leave out, from the kernel's own source against its own headers.

The tools of the headers are programs of the kernel's suite: they run with that suite's C library, which may be newer than this
machine's. The compiler is this machine's.
"""

from __future__ import annotations

import contextlib
import lzma
import os
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

from guest_tests.linux.libraries import find_loader, is_dynamic, library_path

SOURCE = "drivers/dma/dmatest.c"
_SECONDS = 300
_KINDS = (".real-lsb-64", ".real-x86")
_NEW_OPTION = "-fmin-function-alignment=16"


class ModuleBuildError(Exception):
    """dmatest.ko could not be built; the message has what the build said last."""


def extract_source(package: Path) -> bytes:
    """drivers/dma/dmatest.c out of a linux-source package, without unpacking the rest. ModuleBuildError: not in it."""
    with _outer_tar(package) as outer:
        for member in outer:
            if member.name.endswith(".tar.xz") and (packed := outer.extractfile(member)) is not None:
                return _find(lzma.LZMAFile(packed), package)
    raise ModuleBuildError(f"{package.name} holds no .tar.xz")


def build_dmatest(tree: Path, source: bytes, work: Path) -> bytes:
    """The module for the kernel whose headers are unpacked in `tree`. `work`: an empty folder. ModuleBuildError."""
    headers = _headers(tree)
    _point_into(tree, headers)
    _wrap_tools(tree)
    (work / "dmatest.c").write_bytes(source)
    (work / "Makefile").write_text("obj-m := dmatest.o\n")
    command = ["make", "-C", str(headers), f"M={work}", "CC=gcc", "CROSS_COMPILE=", *_settings(work), "modules"]
    done = _run(command)
    built = work / "dmatest.ko"
    if done.returncode != 0 or not built.is_file():
        raise ModuleBuildError(f"{shlex.join(command)} ended with {done.returncode}:\n{_tail(done.stdout)}")
    _run(["strip", "--strip-debug", str(built)])
    return built.read_bytes()


def require_tools() -> None:
    """ModuleBuildError: this machine has no make, gcc or strip."""
    missing = [tool for tool in ("make", "gcc", "strip") if shutil.which(tool) is None]
    if missing:
        raise ModuleBuildError(f"building a kernel module needs {', '.join(missing)}: install make, gcc and binutils")


def _settings(work: Path) -> list[str]:
    """Of the kernel's configuration, what only its own compiler and a whole vmlinux could do."""
    settings = ["CONFIG_DEBUG_INFO_BTF_MODULES=", "CONFIG_DEBUG_INFO_BTF="]
    knows = _run(["gcc", _NEW_OPTION, "-x", "c", "-c", "-o", str(work / "try.o"), os.devnull]).returncode == 0
    return settings if knows else [*settings, "CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT="]


def _headers(tree: Path) -> Path:
    found = sorted(tree.glob("usr/src/linux-headers-*-amd64"))
    if len(found) != 1:
        raise ModuleBuildError(f"one folder of headers was expected, the packages have {len(found)}")
    return found[0]


def _point_into(tree: Path, headers: Path) -> None:
    """The Makefile names the common headers by where they would be installed."""
    makefile = headers / "Makefile"
    text = makefile.read_text()
    makefile.write_text(text.replace("=/usr/src/", f"={tree}/usr/src/").replace(" /usr/src/", f" {tree}/usr/src/"))


def _wrap_tools(tree: Path) -> None:
    """Puts a script in the place of each program, which runs it with the suite's loader and libraries.

    Some programs choose among several, by kind of machine, that lie beside them: they are replaced by the one for ours.
    """
    for program in [path for path in tree.glob("usr/lib/linux-kbuild-*/**/*") if path.is_file() and is_dynamic(path)]:
        if any(program.name.endswith(kind) for kind in _KINDS):
            continue
        real = program.with_name(f"{program.name}.program")
        program.rename(real)
        chosen = next((one for kind in _KINDS if (one := program.with_name(program.name + kind)).exists()), real)
        words = [str(find_loader(tree)), "--inhibit-cache", "--library-path", library_path(tree), str(chosen)]
        program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        program.chmod(0o755)


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    try:
        return subprocess.run(
            command, env=environment | {"LC_ALL": "C"}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ModuleBuildError(f"{command[0]}: {error}") from error


def _tail(text: str) -> str:
    return "\n".join(text.splitlines()[-12:])


@contextlib.contextmanager
def _outer_tar(package: Path) -> Iterator[tarfile.TarFile]:
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as process:
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as outer:
                yield outer
        finally:
            process.kill()


def _find(unpacked: lzma.LZMAFile, package: Path) -> bytes:
    with tarfile.open(fileobj=unpacked, mode="r|") as inner:
        for member in inner:
            if member.name.endswith(f"/{SOURCE}") and (file := inner.extractfile(member)) is not None:
                return file.read()
    raise ModuleBuildError(f"{package.name} holds no {SOURCE}")
