"""$QEMU is the one that is used, or the reason why not is told."""

from collections.abc import Callable
from pathlib import Path

import pytest

from qemu_patches import QemuUnavailable, find_qemu

Script = Callable[[str], str]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Make an executable shell script and return its path."""

    def make(body: str) -> str:
        file = tmp_path / "my qemu"
        file.write_text(f"#!/bin/sh\n{body}\n")
        file.chmod(0o755)
        return str(file)

    return make


def answering(version: str, device: str) -> str:
    return f'case "$1" in --version) echo "QEMU emulator version {version}" ;; -device) {device} ;; esac'


HAS_CLIENT = 'echo "vfio-user-pci options:"'
LACKS_CLIENT = "echo \"'vfio-user-pci' is not a valid device model name\" >&2; exit 1"


def test_own_qemu_is_used_as_it_is_named(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    path = script(answering("11.1.0", HAS_CLIENT))
    monkeypatch.setenv("QEMU", path)

    qemu = find_qemu()

    assert (qemu.argv, qemu.version, qemu.origin) == ((path,), (11, 1, 0), "$QEMU")


def test_own_qemu_may_be_a_command_with_arguments(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    path = script(f"shift\n{answering('11.2.1', HAS_CLIENT)}")
    monkeypatch.setenv("QEMU", f"'{path}' -nodefaults")

    assert find_qemu().argv == (path, "-nodefaults")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (answering("10.2.2", HAS_CLIENT), r"is QEMU 10\.2\.2, and 11\.1\.0 or later is needed"),
        (answering("11.1.3", LACKS_CLIENT), r"is QEMU 11\.1\.3 built without the device vfio-user-pci"),
        ("echo hello", r"does not answer --version as a QEMU .* \(it printed 'hello'\)"),
        ("echo no such library >&2; exit 127", r"ends with status 127 .* no such library"),
    ],
)
def test_own_qemu_that_will_not_do_is_refused(
    body: str, reason: str, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QEMU", script(body))

    with pytest.raises(QemuUnavailable, match=rf"^\$QEMU \(.*my qemu\) {reason}.* Set QEMU to another"):
        find_qemu()


def test_own_qemu_that_is_missing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QEMU", str(tmp_path / "nowhere"))

    with pytest.raises(QemuUnavailable, match=r"nowhere\) does not exist"):
        find_qemu()


def test_own_qemu_that_is_not_executable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "qemu"
    file.write_text("#!/bin/sh\n")
    monkeypatch.setenv("QEMU", str(file))

    with pytest.raises(QemuUnavailable, match="is not executable"):
        find_qemu()


def test_own_qemu_that_is_no_program_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "qemu"
    file.write_bytes(b"\x7fELF and no more")
    file.chmod(0o755)
    monkeypatch.setenv("QEMU", str(file))

    with pytest.raises(QemuUnavailable, match="does not run: Exec format error"):
        find_qemu()


@pytest.mark.parametrize("named", ["'unclosed", "' '"])
def test_own_qemu_that_is_no_command_is_refused(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QEMU", named)

    with pytest.raises(QemuUnavailable, match=r"cannot be split|does not exist"):
        find_qemu()
