"""Run folders are private, short, and gone; report folders have one writer."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from host_ctl.errors import AnotherRun, HostError, SocketPathTooLong
from host_ctl.run_folder import RunFolder, RunLock, check_socket_path, remove_leftovers, start_time
from host_ctl.tests.real_qemu import open_fds

ROOT = Path(__file__).resolve().parents[2]
OWNER = """
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from host_ctl.run_folder import RunFolder, RunLock
folder = RunFolder(Path(sys.argv[1]))
lock = RunLock(Path(sys.argv[2]))
folder.log_path("left").write_text("x")
print(folder.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder with a short path, as pytest's own are too deep for sockets."""
    with tempfile.TemporaryDirectory(prefix="vt-", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture
def owner(base: Path) -> Iterator[subprocess.Popen[str]]:
    command = (sys.executable, "-c", OWNER, str(base), str(base / "report"))
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_folder_is_for_its_owner_only(base: Path) -> None:
    with RunFolder(base) as run:
        assert stat.S_IMODE(run.path.stat().st_mode) == 0o700


def test_folder_is_removed_with_all_in_it_and_close_may_be_repeated(base: Path) -> None:
    before = open_fds()
    run = RunFolder(base)
    run.log_path("guest").write_text("words")
    run.close()
    run.close()
    assert list(base.iterdir()) == []
    assert open_fds() == before


def test_two_folders_of_one_process_are_apart(base: Path) -> None:
    with RunFolder(base) as one, RunFolder(base) as other:
        assert one.path != other.path
        assert one.path.is_dir()


def test_folder_goes_when_python_exits_without_closing_it(owner: subprocess.Popen[str], base: Path) -> None:
    path = Path(owner.stdout.readline().strip())  # type: ignore[union-attr]
    assert path.is_dir()
    owner.communicate()
    assert not path.exists()


def test_folder_of_a_killed_run_is_removed_by_the_next(owner: subprocess.Popen[str], base: Path) -> None:
    path = Path(owner.stdout.readline().strip())  # type: ignore[union-attr]
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert path.is_dir()
    with RunFolder(base):
        assert not path.exists()


def test_folder_of_a_live_run_is_left_alone(owner: subprocess.Popen[str], base: Path) -> None:
    path = Path(owner.stdout.readline().strip())  # type: ignore[union-attr]
    with RunFolder(base):
        assert path.is_dir()


def test_live_run_of_another_pid_namespace_is_known_by_its_lock(base: Path) -> None:
    with RunFolder(base) as run:
        foreign = run.path.rename(base / "vdsa-999999999-1-abcd")
        assert remove_leftovers(base) == []
        foreign.rename(run.path)


def test_reused_pid_does_not_keep_a_dead_runs_folder(base: Path) -> None:
    (base / f"vdsa-{os.getpid()}-1-abcd").mkdir()
    assert len(remove_leftovers(base)) == 1


def test_link_with_a_leftovers_name_is_not_followed(base: Path) -> None:
    precious = base / "precious"
    precious.mkdir()
    (base / "vdsa-999999999-1-abcd").symlink_to(precious)
    assert remove_leftovers(base) == []
    assert precious.is_dir()


def test_folder_with_another_name_is_not_touched(base: Path) -> None:
    (base / "vdsa-old").mkdir()
    assert remove_leftovers(base) == []


def test_socket_path_of_107_bytes_passes_and_of_108_is_refused() -> None:
    assert check_socket_path(Path("/" + "x" * 106))
    with pytest.raises(SocketPathTooLong, match="XDG_RUNTIME_DIR"):
        check_socket_path(Path("/" + "x" * 107))


def test_socket_path_is_counted_in_bytes() -> None:
    with pytest.raises(SocketPathTooLong):
        check_socket_path(Path("/" + "é" * 54))


def test_base_that_is_too_deep_for_sockets_is_refused_at_once(base: Path) -> None:
    deep = base / ("d" * 80)
    deep.mkdir()
    with pytest.raises(SocketPathTooLong):
        RunFolder(deep)
    assert list(deep.iterdir()) == []


def test_runtime_folder_that_is_too_deep_is_passed_over(monkeypatch: pytest.MonkeyPatch, base: Path) -> None:
    deep = base / ("d" * 80)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    with RunFolder() as run:
        assert run.path.parent == Path("/tmp")


def test_runtime_folder_is_used_where_there_is_one(monkeypatch: pytest.MonkeyPatch, base: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    with RunFolder() as run:
        assert run.path.parent == base


def test_missing_base_is_a_clear_error(base: Path) -> None:
    with pytest.raises(HostError, match="XDG_RUNTIME_DIR"):
        RunFolder(base / "none")


@pytest.mark.parametrize("name", ["", "a/b", "..", "."])
def test_name_that_leaves_the_folder_is_refused(name: str, base: Path) -> None:
    with RunFolder(base) as run, pytest.raises(ValueError, match="file name"):
        run.socket_path(name)


def test_second_run_in_one_folder_is_told_who_holds_it(owner: subprocess.Popen[str], base: Path) -> None:
    owner.stdout.readline()  # type: ignore[union-attr]
    with pytest.raises(AnotherRun, match=rf"pid {owner.pid}, started 20\d\d-"):
        RunLock(base / "report")


def test_lock_of_a_killed_run_is_free(owner: subprocess.Popen[str], base: Path) -> None:
    owner.stdout.readline()  # type: ignore[union-attr]
    owner.kill()
    owner.wait()
    RunLock(base / "report").close()


def test_refused_lock_leaks_no_descriptor_and_the_holder_keeps_it(base: Path) -> None:
    with RunLock(base):
        before = open_fds()
        with pytest.raises(AnotherRun):
            RunLock(base)
        with pytest.raises(AnotherRun):
            RunLock(base)
        assert open_fds() == before


def test_start_time_of_nobody_is_none() -> None:
    assert start_time(999999999) is None
    assert start_time(os.getpid()) is not None
