"""What a QEMU can do is read off its --version, and what it cannot do is not believed of it."""

import pytest

from qemu_patches.capability import (
    DMA_COUNT64,
    EVENTFD,
    KNOWN,
    MOVDIR64B,
    MSIX_UNPLUG,
    capabilities,
    package_version,
)
from qemu_patches.probe import Probe, parse_version


def able(printed: str) -> frozenset[str]:
    return capabilities(parse_version(printed), printed)


def test_stock_qemu_can_only_do_what_its_version_tells() -> None:
    assert able("QEMU emulator version 11.1.3 (Debian 1:11.1.3+ds-1~bpo13+1)\n") == {DMA_COUNT64}
    assert able("QEMU emulator version 10.2.2 (Debian 1:10.2.2+ds-1)\n") == frozenset()


def test_patched_qemu_tells_itself() -> None:
    printed = f"QEMU emulator version 10.2.2 ({package_version('0123abcd', KNOWN)})\nCopyright\n"

    assert able(printed) == KNOWN


def test_qemu_with_an_older_series_can_do_what_that_gave() -> None:
    printed = f"QEMU emulator version 10.2.2 ({package_version('0123abcd', frozenset({DMA_COUNT64, MSIX_UNPLUG}))})\n"

    assert able(printed) == {DMA_COUNT64, MSIX_UNPLUG}
    assert not able(printed) >= EVENTFD


@pytest.mark.parametrize(
    "told",
    [
        "(vdsa-0123abcd+flying)",
        "(vdsa-0123abcd+MOVDIR64B)",
        "(vdsa-0123abcd movdir64b)",
        "(other-0123abcd+movdir64b)",
        "vdsa-0123abcd+movdir64b",
    ],
)
def test_words_that_are_not_ours_are_not_believed(told: str) -> None:
    assert MOVDIR64B not in able(f"QEMU emulator version 10.2.2 {told}\n")


def test_older_qemu_with_the_right_count_will_do() -> None:
    assert Probe((10, 2, 2), has_client=True, capabilities=frozenset({DMA_COUNT64})).shortcoming() is None
    assert Probe((10, 2, 2), has_client=True, capabilities=KNOWN - {DMA_COUNT64}).shortcoming() is not None
