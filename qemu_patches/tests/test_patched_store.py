"""A patched QEMU is found when it is complete and of these patches; what cannot be built says why, and what to do."""

import json
import os
import select
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qemu_patches import QemuBinary, QemuUnavailable, apt, build, build_patched, find_qemu
from qemu_patches.build import BuildFailed, PackagesMissing
from qemu_patches.capability import KNOWN
from qemu_patches.patched import PatchedQemuMissing, PatchedStore, build_key
from qemu_patches.series import read_series
from qemu_patches.source import SourceUnavailable, tree_version
from qemu_patches.store import Store

SECONDS = 60
CONTENT = b"a binary"


def no_stock() -> QemuBinary:
    raise AssertionError("a build was begun")


def adopt(store: PatchedStore, key: str, version: tuple[int, int, int] = (10, 2, 2), source: str = "Debian") -> Path:
    home = store.folder / f"{'.'.join(map(str, version))}-{key}"
    home.mkdir(parents=True)
    (home / "qemu-system-x86_64").write_bytes(CONTENT)
    manifest = {
        "version": version, "source": source, "capabilities": sorted(KNOWN), "already_there": [],
        "size": len(CONTENT), "seconds": 200.0, "format": 1,
    }  # fmt: skip
    (home / "qemu.json").write_text(json.dumps(manifest))
    return home


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PatchedStore:
    monkeypatch.delenv("QEMU_SRC", raising=False)
    return PatchedStore(tmp_path / "qemu-patched")


def test_build_of_these_patches_is_found_and_says_what_it_can_do(store: PatchedStore) -> None:
    home = adopt(store, "0123456789ab")

    found = store.find("0123456789ab")

    assert found is not None
    assert (found.argv[0], found.version, found.origin) == (str(home / "qemu-system-x86_64"), (10, 2, 2), "patched")
    assert found.capabilities == KNOWN


def test_build_of_other_patches_is_not_taken(store: PatchedStore) -> None:
    adopt(store, "0123456789ab")

    assert store.find("ba9876543210") is None


def test_newest_of_several_is_taken(store: PatchedStore) -> None:
    adopt(store, "0123456789ab", (10, 2, 2))
    adopt(store, "0123456789ab", (11, 1, 3))

    found = store.find("0123456789ab")

    assert found is not None
    assert found.version == (11, 1, 3)


def test_build_of_another_source_than_the_one_asked_for_is_not_taken(store: PatchedStore) -> None:
    adopt(store, "0123456789ab", source="Debian")

    assert store.find("0123456789ab", "/my/qemu") is None
    assert store.find("0123456789ab", "Debian") is not None


@pytest.mark.parametrize("spoilt", ["", "[]", "{}", '{"version": [1, 2, 3], "unheard": 1}'])
def test_spoilt_manifest_is_not_believed(spoilt: str, store: PatchedStore) -> None:
    (adopt(store, "0123456789ab") / "qemu.json").write_text(spoilt)

    assert store.find("0123456789ab") is None


def test_truncated_binary_is_not_taken(store: PatchedStore) -> None:
    (adopt(store, "0123456789ab") / "qemu-system-x86_64").write_bytes(CONTENT[:-1])

    assert store.find("0123456789ab") is None


def test_second_build_waits_for_the_first_and_takes_what_it_made(store: PatchedStore) -> None:
    series, waits = read_series(), threading.Event()

    def second() -> QemuBinary:
        return store.make(series, no_stock, lambda line: waits.set())

    with ThreadPoolExecutor(1) as pool:
        with Store(store.folder).locked(lambda: None):
            outcome = pool.submit(second)
            waited = waits.wait(SECONDS)
            adopt(store, build_key(series))
        found = outcome.result(SECONDS)

    assert waited
    assert found.origin == "patched"


def test_patched_qemu_that_was_not_built_is_one_clear_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QEMU", "patched")

    with pytest.raises(PatchedQemuMissing, match="`make qemu-patched` builds one"):
        find_qemu(cache=tmp_path)


def test_qemu_patched_is_the_one_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = adopt(PatchedStore(tmp_path / "qemu-patched"), build_key(read_series()))
    monkeypatch.setenv("QEMU", "patched")

    assert find_qemu(cache=tmp_path).argv == (str(home / "qemu-system-x86_64"), "-L", str(home / "firmware"))


def test_missing_packages_are_named_to_those_who_cannot_install_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(PackagesMissing, match=r"apt-get install gcc patch pkg-config .* libglib2\.0-dev zlib1g-dev"):
        build.require_packages(lambda line: None)


def test_compiler_that_fails_shows_the_end_of_what_it_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    script = tmp_path / "ninja"
    script.write_text("#!/bin/sh\necho '[1/10] one'\necho '[5/10] two'\necho 'x.c:3: error: no'\nexit 1\n")
    script.chmod(0o755)

    with pytest.raises(BuildFailed, match=r"(?s)ended with status 1.*x\.c:3: error: no"):
        build._ninja([str(script)], tmp_path, {}, said.append)

    assert said == ["compiling: 10 %", "compiling: 50 %"]


def test_interrupted_build_leaves_no_process_that_goes_on_writing(tmp_path: Path) -> None:
    script = tmp_path / "ninja"
    script.write_text("#!/bin/sh\nsleep 600 &\necho $! >child\necho '[5/10] two'\nwait\n")
    script.chmod(0o755)

    children: list[int] = []

    def ctrl_c(line: str) -> None:
        children.append(os.pidfd_open(int((tmp_path / "child").read_text())))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build._ninja([str(script)], tmp_path, {}, ctrl_c)

    ended, _, _ = select.select(children, [], [], SECONDS)
    os.close(children[0])
    assert ended == children


@pytest.mark.parametrize(
    ("version", "reason"), [("10.0.13\n", r"10\.0\.13; our patches are for 10\.2\.0 on"), ("", "is no QEMU source")]
)
def test_source_that_will_not_do_is_refused(version: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "configure").touch()
    (tmp_path / "VERSION").write_text(version)

    with pytest.raises(SourceUnavailable, match=reason):
        tree_version(tmp_path)


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache for a build on a machine that has all it takes; nothing is really built."""
    monkeypatch.setattr(build, "missing_packages", list)
    monkeypatch.setattr(build, "firmware_folders", lambda stock: [])
    monkeypatch.setattr("qemu_patches.find._found", lambda cache, progress: None)
    return tmp_path / "cache"


def test_own_source_that_does_not_exist_is_told(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QEMU_SRC", str(ready / "nowhere"))

    with pytest.raises(SourceUnavailable, match=r"nowhere\) does not exist"):
        build_patched(cache=ready)

    assert [entry.name for entry in (ready / "qemu-patched").iterdir()] == ["lock"]


@pytest.mark.skipif(bool(apt.missing_tools()), reason="needs apt")
def test_mirror_that_does_not_serve_the_source_is_told(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QEMU_SRC", raising=False)
    monkeypatch.setenv("VDSA_DEBIAN_MIRROR", f"file:{ready}/nothing")

    with pytest.raises(SourceUnavailable, match=r"(?s)no source of QEMU .* could be had .*Set QEMU_SRC to a source"):
        build_patched(cache=ready)


def test_source_that_our_patches_do_not_fit_is_told(
    ready: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "qemu"
    own.mkdir()
    (own / "configure").touch()
    (own / "VERSION").write_text("12.0.0\n")
    monkeypatch.setenv("QEMU_SRC", str(own))

    with pytest.raises(QemuUnavailable, match=r"qemu: 0001-.*\.patch does not fit this QEMU"):
        build_patched(cache=ready)


def test_source_versions_are_tried_newest_first() -> None:
    printed = "Package: qemu\nVersion: 1:10.2.2+ds-1\n\nVersion: 1:11.1.3+ds-1\n\nVersion: 1:11.1.2+ds-3\n"

    assert apt.parse_source_versions(printed) == ["1:11.1.3+ds-1", "1:11.1.2+ds-3", "1:10.2.2+ds-1"]
