"""The build of the core that has places for defects; it is made here and ships nowhere (core/fault.h)."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
import tempfile
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from device_model import build_core
from host_ctl.errors import HostError

MODULE = "_vdsa_planted"
HOLD_MESSAGES = 256
"""For Device.plant_fault: no defect, engines wait with interrupts that have been granted (enum planted_fault)."""


def planted_core(cache: Path) -> ModuleType:
    """The core with FAULT() places, built below `cache` or found there. HostError: the compiler failed, with its words."""
    folder = _folder(cache)
    found = _built(folder) or _build(cache, folder)
    spec = importlib.util.spec_from_file_location(MODULE, found)
    if spec is None or spec.loader is None:
        raise HostError(f"{found} is no extension module: remove {folder} and try again")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def is_built(cache: Path) -> bool:
    """Whether planted_core() will find what it would otherwise take some seconds to build."""
    return _built(_folder(cache)) is not None


def _folder(cache: Path) -> Path:
    """For these sources, this Python and this compiler."""
    sources = [*build_core.c_sources(), *build_core.c_sources(".h"), Path(build_core.__file__)]
    made_for = f"{sys.implementation.cache_tag} {sys.prefix} {sysconfig.get_config_var('CC')}".encode()
    digest = sha256(b"".join([made_for, *(path.read_bytes() for path in sources)])).hexdigest()[:16]
    return cache / f"planted-{digest}"


def _built(folder: Path) -> Path | None:
    return next(folder.glob(f"{MODULE}*.so"), None)


def _build(cache: Path, folder: Path) -> Path:
    """Under another name first: an interrupted build is never mistaken for a whole one."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="planted-building-", dir=cache) as scratch:
        try:
            made = Path(build_core.make_ffi(MODULE, planted=True).compile(tmpdir=scratch))
        except Exception as error:  # distutils and cffi raise many kinds
            raise HostError(f"the core with planted faults could not be built: {error}") from error
        folder.mkdir(exist_ok=True)
        target = folder / made.name
        made.replace(target)
    return target
