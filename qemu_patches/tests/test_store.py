"""What lies in the cache is a complete QEMU or is not taken for one, whoever was interrupted or runs beside."""

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qemu_patches import QemuUnavailable
from qemu_patches.store import Stamp, Store, default_folder

LIBRARIES = "usr/lib/x86_64-linux-gnu"
CONTENT = b"a binary"
STAMP = Stamp((11, 1, 3), "1:11.1.3+ds-1", LIBRARIES, len(CONTENT))
SECONDS = 60

INTERRUPTED = """
import sys
from pathlib import Path
from qemu_patches.store import Store

store = Store(Path(sys.argv[1]))
with store.locked(lambda: None), store.unfinished() as work:
    (work / "tree").mkdir()
    (work / "tree" / "qemu.json").write_text("{}")
    print("half done", flush=True)
    sys.stdin.read()
"""


def unpacked(work: Path) -> Path:
    tree = work / "tree"
    for folder in ("usr/bin", LIBRARIES):
        (tree / folder).mkdir(parents=True)
    (tree / "usr/bin/qemu-system-x86_64").write_bytes(CONTENT)
    (tree / LIBRARIES / "ld-linux-x86-64.so.2").write_bytes(b"a loader")
    return tree


def adopt(store: Store) -> None:
    with store.locked(lambda: None), store.unfinished() as work:
        store.adopt(unpacked(work), STAMP)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "qemu")


def test_adopted_qemu_is_found_and_nothing_else_is_left(store: Store) -> None:
    adopt(store)

    found = store.find()

    assert found is not None
    assert (found.version, found.origin, found.argv[0]) == (
        (11, 1, 3),
        "cache",
        str(store.stock / LIBRARIES / "ld-linux-x86-64.so.2"),
    )
    assert sorted(entry.name for entry in store.folder.iterdir()) == ["lock", "stock"]


def test_cache_that_was_moved_is_still_found(store: Store, tmp_path: Path) -> None:
    adopt(store)
    store.folder.rename(tmp_path / "elsewhere")

    found = Store(tmp_path / "elsewhere").find()

    assert found is not None
    assert all(str(store.folder) not in word for word in found.argv)


@pytest.mark.parametrize("lost", ["qemu.json", "usr/bin/qemu-system-x86_64", f"{LIBRARIES}/ld-linux-x86-64.so.2"])
def test_qemu_that_lacks_a_part_is_not_taken_for_one(lost: str, store: Store) -> None:
    adopt(store)
    (store.stock / lost).unlink()

    assert store.find() is None


def test_truncated_qemu_is_not_taken_for_one(store: Store) -> None:
    adopt(store)
    (store.stock / "usr/bin/qemu-system-x86_64").write_bytes(CONTENT[:-1])

    assert store.find() is None


@pytest.mark.parametrize("spoilt", ["", "[]", "{}", '{"version": [11, 1, 3], "unheard": 1}'])
def test_spoilt_stamp_is_not_believed(spoilt: str, store: Store) -> None:
    adopt(store)
    (store.stock / "qemu.json").write_text(spoilt)

    assert store.find() is None


def test_broken_qemu_is_replaced(store: Store) -> None:
    adopt(store)
    (store.stock / "usr/bin/qemu-system-x86_64").unlink()

    adopt(store)

    assert store.find() is not None


def test_interrupted_unpack_is_not_taken_for_a_qemu_and_is_cleared_away(store: Store) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(store.folder)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root) as interrupted:
        assert interrupted.stdout is not None
        interrupted.stdout.readline()
        interrupted.send_signal(signal.SIGKILL)
        interrupted.wait(SECONDS)
    left = [entry.name for entry in store.folder.iterdir() if entry.is_dir()]

    found = store.find()
    adopt(store)

    assert len(left) == 1
    assert found is None
    assert sorted(entry.name for entry in store.folder.iterdir()) == ["lock", "stock"]


def test_second_run_waits_for_the_first_and_takes_what_it_unpacked(store: Store) -> None:
    waits = threading.Event()

    def second() -> object:
        with store.locked(waits.set):
            return store.find()

    with ThreadPoolExecutor(1) as pool:
        with store.locked(lambda: None), store.unfinished() as work:
            outcome = pool.submit(second)
            waited = waits.wait(SECONDS)
            store.adopt(unpacked(work), STAMP)
        found = outcome.result(SECONDS)

    assert waited
    assert found is not None


def test_failed_unpack_leaves_nothing(store: Store) -> None:
    with pytest.raises(RuntimeError), store.locked(lambda: None), store.unfinished() as work:
        unpacked(work)
        raise RuntimeError

    assert [entry.name for entry in store.folder.iterdir()] == ["lock"]


def test_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(QemuUnavailable, match="Set VDSA_CACHE"), Store(tmp_path / "file" / "qemu").locked(lambda: None):
        pass


def test_cache_lies_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("VDSA_CACHE", raising=False)
    by_xdg = default_folder()
    monkeypatch.setenv("VDSA_CACHE", str(tmp_path / "own"))
    by_own = default_folder()

    assert (by_xdg, by_own) == (tmp_path / "xdg" / "vdsa", tmp_path / "own")
