"""Debian's packages are taken from where they are signed, without a trace on the system; failures are told."""

import shutil
import subprocess
from pathlib import Path

import pytest

from qemu_patches import QemuUnavailable, apt, find_qemu
from qemu_patches.apt import AptError, PrivateApt
from qemu_patches.sources import read_sources

pytestmark = pytest.mark.skipif(bool(apt.missing_tools()), reason="needs apt")


@pytest.fixture
def unsigned(tmp_path: Path) -> str:
    """An archive that is right in all but its signature, which is missing."""
    architecture = subprocess.run(
        ["dpkg", "--print-architecture"], check=True, capture_output=True, text=True
    ).stdout.strip()
    for suite in ("trixie", "trixie-backports", "forky", "sid"):
        binary = tmp_path / "archive/dists" / suite / f"main/binary-{architecture}"
        binary.mkdir(parents=True)
        (binary / "Packages").write_text("")
        empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        (binary.parents[1] / "Release").write_text(
            f"Suite: {suite}\nCodename: {suite}\nArchitectures: {architecture}\nComponents: main\n"
            f"Date: Sat, 01 Nov 2025 00:00:00 UTC\nSHA256:\n {empty} 0 main/binary-{architecture}/Packages\n"
        )
    return f"file:{tmp_path}/archive"


def private_apt(tmp_path: Path, mirror: str) -> PrivateApt:
    folder = tmp_path / "private apt"
    folder.mkdir()
    keyring = next(keyring for keyring in apt.KEYRINGS if keyring.is_file())
    return PrivateApt(folder, mirror, ("sid",), keyring)


def test_unsigned_archive_is_refused(tmp_path: Path, unsigned: str) -> None:
    with pytest.raises(AptError, match="not signed"):
        private_apt(tmp_path, unsigned).update()


def test_hooks_of_the_machines_apt_are_not_run(tmp_path: Path, unsigned: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = f'"touch {tmp_path}/hooked";'
    settings = f"APT::Update::Pre-Invoke {{ {hook} }}\nAPT::Update::Post-Invoke {{ {hook} }}\n"
    (tmp_path / "machine.conf").write_text(settings)
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "machine.conf"))

    with pytest.raises(AptError):
        private_apt(tmp_path, unsigned).update()

    assert not (tmp_path / "hooked").exists()


def test_machines_source_lists_are_where_apt_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "machine.conf").write_text(f'Dir::Etc::sourcelist "{tmp_path}/own.list";\n')
    (tmp_path / "own.list").write_text("deb http://own.example/debian sid main\n")
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "machine.conf"))

    main_list, _ = apt.source_lists()

    assert [source.uri for source in read_sources(main_list, tmp_path / "none")] == ["http://own.example/debian"]


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that is empty, and a PATH with apt's programs and no QEMU."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("apt-get", "apt-config", "dpkg", "dpkg-deb"):
        (programs / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.delenv("QEMU", raising=False)
    return tmp_path / "cache"


def test_every_archive_that_failed_is_told_with_what_to_do(
    bare: Path, unsigned: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VDSA_DEBIAN_MIRROR", unsigned)

    with pytest.raises(QemuUnavailable) as refusal:
        find_qemu(cache=bare)

    told = str(refusal.value)
    assert all(text in told for text in ("trixie-backports at", "forky at", "sid at", "VDSA_DEBIAN_MIRROR", "set QEMU"))
    assert [entry.name for entry in (bare / "qemu").iterdir()] == ["lock"]


def test_password_of_a_mirror_is_not_told(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "machine.conf").write_text('Acquire::Retries "0";\n')
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "machine.conf"))
    monkeypatch.setenv("VDSA_DEBIAN_MIRROR", "http://user:secret@127.0.0.1:1/debian")
    told: list[str] = []

    with pytest.raises(QemuUnavailable) as refusal:
        find_qemu(cache=bare, progress=told.append)

    assert "127.0.0.1" in str(refusal.value)
    assert "secret" not in f"{told}{refusal.value}"


def test_machine_without_a_debian_mirror_is_told_what_to_do(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "own.list").write_text("deb http://archive.example/ubuntu noble main universe\n")
    (tmp_path / "machine.conf").write_text(
        f'Dir::Etc::sourcelist "{tmp_path}/own.list";\nDir::Etc::sourceparts "{tmp_path}/parts";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "machine.conf"))
    monkeypatch.delenv("VDSA_DEBIAN_MIRROR", raising=False)

    with pytest.raises(QemuUnavailable, match=r"none of this machine's apt sources .* Set VDSA_DEBIAN_MIRROR"):
        find_qemu(cache=bare)


def test_machine_without_apt_is_told_what_to_do(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(QemuUnavailable, match=r"lacks apt-get, apt-config.* set QEMU to the path"):
        find_qemu(cache=bare)
