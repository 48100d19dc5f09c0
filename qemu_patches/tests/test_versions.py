"""Versions, as QEMU prints them and as Debian's packages carry them."""

import pytest

from qemu_patches.apt import Planned, parse_plan, upstream_version
from qemu_patches.probe import Probe, ProbeError, parse_version


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("QEMU emulator version 11.1.3 (Debian 1:11.1.3+ds-1~bpo13+1)\nCopyright (c)\n", (11, 1, 3)),
        ("QEMU emulator version 10.2.50 (v10.2.0-1234-gabcdef)\n", (10, 2, 50)),
        ("QEMU emulator version 11.1\n", (11, 1, 0)),
        ("warning: something\nQEMU emulator version 7.2.17\n", (7, 2, 17)),
    ],
)
def test_version_is_read(printed: str, version: tuple[int, int, int]) -> None:
    assert parse_version(printed) == version


@pytest.mark.parametrize("printed", ["", "qemu-img version 11.1.3\n", "GNU bash, version 5.2.15\n"])
def test_other_programs_version_is_refused(printed: str) -> None:
    with pytest.raises(ProbeError, match="as a QEMU system emulator does"):
        parse_version(printed)


@pytest.mark.parametrize("version", [(11, 1, 0), (11, 1, 3), (12, 0, 0)])
def test_new_enough_qemu_with_the_client_has_no_shortcoming(version: tuple[int, int, int]) -> None:
    assert Probe(version, has_client=True).shortcoming() is None


@pytest.mark.parametrize("version", [(11, 0, 92), (10, 2, 2), (7, 2, 17)])
def test_older_qemu_is_too_old_though_it_has_the_client(version: tuple[int, int, int]) -> None:
    assert "11.1.0 or later is needed" in str(Probe(version, has_client=True).shortcoming())


@pytest.mark.parametrize(
    ("package_version", "version"),
    [
        ("1:11.1.3+ds-1~bpo13+1", (11, 1, 3)),
        ("1:10.0.2+ds-2+deb13u1", (10, 0, 2)),
        ("11.2~rc1", (11, 2, 0)),
        ("", (0, 0, 0)),
    ],
)
def test_package_version_is_read(package_version: str, version: tuple[int, int, int]) -> None:
    assert upstream_version(package_version) == version


def test_plan_of_a_download_is_read() -> None:
    printed = (
        "'http://a.example/debian/pool/main/q/qemu/qemu-system-x86_11.1.3%2bds-1_amd64.deb'"
        " qemu-system-x86_1%3a11.1.3+ds-1_amd64.deb 10400000 SHA256:00ff\n"
        "'http://a.example/debian/pool/main/l/lib_1_amd64.deb' lib_1_amd64.deb 5 MD5Sum:00\n"
    )

    assert parse_plan(printed) == [
        Planned("qemu-system-x86", "1:11.1.3+ds-1", 10_400_000),
        Planned("lib", "1", 5),
    ]
