"""The patched QEMU: found in the cache, or built there once for each version and each state of our patches.

FOLDER/lock                            held (flock) while one is built
FOLDER/<version>-<key>/                the binary and firmware; made under another name and renamed when it was seen to run
FOLDER/<version>-<key>/qemu.json       its manifest, written last
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from qemu_patches import build, recipe
from qemu_patches.binary import PROGRAM, QemuBinary, Version, version_text
from qemu_patches.capability import package_version
from qemu_patches.errors import QemuUnavailable
from qemu_patches.probe import ProbeError, probe
from qemu_patches.series import Series, SeriesError, apply, read_series
from qemu_patches.source import Source, nothing_served, own_source_name, sources
from qemu_patches.store import Store

NEEDED_BYTES = 1500 << 20
"""Source 400 MB, objects 200 MB, packages and lists 250 MB, and some room."""

_FORMAT = 1

Progress = Callable[[str], None]


class PatchedQemuMissing(QemuUnavailable):
    """There is no patched QEMU for our patches as they are now; the message says how to make one."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is true of a complete build. size: bytes of the binary. seconds: what the build took."""

    version: Version
    source: str
    capabilities: tuple[str, ...]
    already_there: tuple[str, ...]
    size: int
    seconds: float
    format: int = _FORMAT


def build_key(series: Series) -> str:
    """Twelve hexadecimal digits that change with the series and with the recipe."""
    return hashlib.sha256(f"{series.digest()}{recipe.text()}".encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class PatchedStore:
    """The patched part of the cache. `folder` is its own: no lock is shared with the stock QEMU."""

    folder: Path

    def find(self, key: str, source: str | None = None) -> QemuBinary | None:
        """The newest complete build under this key, from `source` if that is given. Runs nothing."""
        builds = [found for tree in self.folder.glob(f"*-{key}") if (found := _complete(tree, source)) is not None]
        return max(builds, key=lambda found: found.version, default=None)

    def make(self, series: Series, stock: Callable[[], QemuBinary], progress: Progress) -> QemuBinary:
        """Find a build, or make one. stock: gets the QEMU whose firmware is used. Raises QemuUnavailable."""
        key, source = build_key(series), own_source_name()
        lock = Store(self.folder)
        with lock.locked(lambda: progress(f"waiting for another build that is busy in {self.folder}")):
            found = self.find(key, source)
            if found is not None:
                return found
            build.require_packages(progress)
            _require_space(self.folder)
            firmware = build.firmware_folders(stock())
            with lock.unfinished() as work:
                return self._build(series, key, firmware, work, progress)

    def _build(self, series: Series, key: str, firmware: list[Path], work: Path, progress: Progress) -> QemuBinary:
        begin = time.monotonic()
        source, had = _patched_source(series, work, progress)
        made = work / "made"
        made.mkdir()
        package = package_version(key, series.capabilities)
        build.compile_qemu(source.tree, work, package, made / PROGRAM, progress)
        build.copy_firmware(firmware, made / "firmware")
        qemu = _binary(made, source.version, series.capabilities)
        _prove(qemu)
        manifest = Manifest(
            version=source.version,
            source=source.name,
            capabilities=tuple(sorted(series.capabilities)),
            already_there=had,
            size=(made / PROGRAM).stat().st_size,
            seconds=round(time.monotonic() - begin, 1),
        )
        (made / "qemu.json").write_text(json.dumps(asdict(manifest), indent=2) + "\n")
        home = self.folder / f"{version_text(source.version)}-{key}"
        if home.exists():
            home.rename(work / "replaced")
        made.rename(home)
        progress(f"built QEMU {version_text(source.version)} from {source.name} in {manifest.seconds:.0f} s")
        return _binary(home, source.version, series.capabilities)


def make_patched(cache: Path, stock: Callable[[], QemuBinary], progress: Progress) -> QemuBinary:
    """The patched QEMU below the folder `cache`, built if it is not there. Raises QemuUnavailable."""
    return PatchedStore(cache / "qemu-patched").make(read_series(), stock, progress)


def find_patched(cache: Path) -> QemuBinary:
    """The patched QEMU below the folder `cache`. Runs nothing. Raises PatchedQemuMissing."""
    found = PatchedStore(cache / "qemu-patched").find(build_key(read_series()))
    if found is None:
        raise PatchedQemuMissing(
            "there is no patched QEMU for the patches of this checkout: `make qemu-patched` builds one in about 5 minutes"
        )
    return found


def _patched_source(series: Series, work: Path, progress: Progress) -> tuple[Source, tuple[str, ...]]:
    """The first source that the series fits, with the series on it, and the patches it has had before."""
    failures: list[str] = []
    for source in sources(work, progress, failures):
        progress(f"applying {len(series.patches)} patches to QEMU {version_text(source.version)}")
        try:
            had = apply(series, source.tree)
        except SeriesError as error:
            failures.append(f"{source.name}: {error}")
            continue
        return source, tuple(patch.file.name for patch in had)
    if own_source_name() is not None:
        raise SeriesError("; ".join(failures))
    raise nothing_served(failures)


def _complete(tree: Path, source: str | None) -> QemuBinary | None:
    try:
        manifest = Manifest(**json.loads((tree / "qemu.json").read_text()))
        size = (tree / PROGRAM).stat().st_size
    except (OSError, ValueError, TypeError):
        return None
    if manifest.format != _FORMAT or manifest.size != size or source not in (None, manifest.source):
        return None
    major, minor, micro = manifest.version
    return _binary(tree, (major, minor, micro), frozenset(manifest.capabilities))


def _binary(tree: Path, version: Version, able: frozenset[str]) -> QemuBinary:
    # A folder without modules: QEMU would else look for them where an installed QEMU of another version has its own.
    env = {"QEMU_MODULE_DIR": str(tree)}
    return QemuBinary((str(tree / PROGRAM), "-L", str(tree / "firmware")), env, version, "patched", able)


def _prove(qemu: QemuBinary) -> None:
    try:
        answers = probe(qemu.argv, qemu.env)
    except ProbeError as error:
        raise build.BuildFailed(f"the QEMU that was built {error}") from error
    lacking = answers.shortcoming()
    if lacking is not None or answers.capabilities != qemu.capabilities:
        told = lacking or f"says it can do {sorted(answers.capabilities)}, not {sorted(qemu.capabilities)}"
        raise build.BuildFailed(f"the QEMU that was built {told}")


def _require_space(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        raise QemuUnavailable(
            f"building QEMU needs {NEEDED_BYTES >> 20} MB and {folder} has {free >> 20} MB left. "
            "Make room, or set VDSA_CACHE to a folder elsewhere."
        )


def own_patched() -> str | None:
    """$QEMU_PATCHED: a patched QEMU of yours, for the tests that need one."""
    return os.environ.get("QEMU_PATCHED") or None
