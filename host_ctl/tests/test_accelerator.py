"""KVM is taken only where a guest was seen to boot with it, and finding out never holds a run up."""

import asyncio
import json
from pathlib import Path

import pytest

from host_ctl.accelerator import AcceleratorChoice, choose_accelerator

LIMIT_S = 20.0


class Probe:
    """A boot attempt with a given outcome, which counts its calls."""

    def __init__(self, outcome: bool | Exception) -> None:
        self.outcome = outcome
        self.asked: list[str] = []

    async def __call__(self, name: str) -> bool:
        self.asked.append(name)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture
def kvm(tmp_path: Path) -> Path:
    device = tmp_path / "kvm"
    device.touch()
    return device


async def test_kvm_is_taken_when_a_guest_boots_with_it(kvm: Path, tmp_path: Path) -> None:
    probe = Probe(True)
    choice = await choose_accelerator("auto", probe, kvm=kvm, cache_folder=tmp_path)
    assert choice == AcceleratorChoice("kvm", "KVM: a guest booted with it")
    assert probe.asked == ["kvm"]


async def test_guest_that_does_not_boot_means_tcg(kvm: Path, tmp_path: Path) -> None:
    choice = await choose_accelerator("auto", Probe(False), kvm=kvm, cache_folder=tmp_path)
    assert choice == AcceleratorChoice("tcg", "TCG: a guest does not boot with KVM")


async def test_probe_that_fails_means_tcg_and_says_why_in_one_line(kvm: Path, tmp_path: Path) -> None:
    choice = await choose_accelerator("auto", Probe(OSError("no ioctl\nmore")), kvm=kvm, cache_folder=tmp_path)
    assert choice == AcceleratorChoice("tcg", "TCG: KVM failed: no ioctl")


async def test_probe_that_hangs_and_resists_its_end_is_not_waited_for(kvm: Path, tmp_path: Path) -> None:
    release, cancelled = asyncio.Event(), asyncio.Event()

    async def hangs(_name: str) -> bool:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
            await release.wait()
        return True

    async with asyncio.timeout(LIMIT_S):
        choice = await choose_accelerator("auto", hangs, kvm=kvm, cache_folder=tmp_path, limit_s=0.05)
    assert choice == AcceleratorChoice("tcg", "TCG: a guest did not boot with KVM within 0.05 s")
    await asyncio.wait_for(cancelled.wait(), LIMIT_S)
    release.set()


async def test_machine_without_kvm_is_not_probed(tmp_path: Path) -> None:
    probe = Probe(True)
    choice = await choose_accelerator("auto", probe, kvm=tmp_path / "none", cache_folder=tmp_path)
    assert choice.name == "tcg"
    assert choice.why.endswith("is not there")
    assert probe.asked == []


@pytest.mark.parametrize("wanted", ["tcg", "kvm"])
async def test_explicit_wish_overrides_probe_and_cache(wanted: str, kvm: Path, tmp_path: Path) -> None:
    await choose_accelerator("auto", Probe(wanted == "tcg"), kvm=kvm, cache_folder=tmp_path)
    probe = Probe(False)
    assert (await choose_accelerator(wanted, probe, kvm=kvm, cache_folder=tmp_path)).name == wanted
    assert probe.asked == []


async def test_second_run_does_not_probe_again(kvm: Path, tmp_path: Path) -> None:
    first = await choose_accelerator("auto", Probe(True), kvm=kvm, cache_folder=tmp_path)
    probe = Probe(False)
    assert await choose_accelerator("auto", probe, kvm=kvm, cache_folder=tmp_path) == first
    assert probe.asked == []


async def test_another_qemu_is_probed_anew(kvm: Path, tmp_path: Path) -> None:
    await choose_accelerator("auto", Probe(True), qemu="11.1.3", kvm=kvm, cache_folder=tmp_path)
    assert (await choose_accelerator("auto", Probe(False), qemu="11.2.0", kvm=kvm, cache_folder=tmp_path)).name == "tcg"


async def test_machine_that_booted_again_is_probed_anew(kvm: Path, tmp_path: Path) -> None:
    await choose_accelerator("auto", Probe(True), kvm=kvm, cache_folder=tmp_path)
    kept = tmp_path / "accelerator.json"
    content = json.loads(kept.read_text())
    content["stamp"]["boot"] = "an earlier one"
    kept.write_text(json.dumps(content))
    assert (await choose_accelerator("auto", Probe(False), kvm=kvm, cache_folder=tmp_path)).name == "tcg"


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"stamp": 1}', '{"stamp": {}, "choice": []}'])
async def test_spoilt_cache_costs_a_probe_only(content: str, kvm: Path, tmp_path: Path) -> None:
    (tmp_path / "accelerator.json").write_text(content)
    assert (await choose_accelerator("auto", Probe(True), kvm=kvm, cache_folder=tmp_path)).name == "kvm"


async def test_cache_that_cannot_be_written_is_no_error(kvm: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    choice = await choose_accelerator("auto", Probe(True), kvm=kvm, cache_folder=tmp_path / "file" / "below")
    assert choice.name == "kvm"


async def test_unknown_wish_is_refused() -> None:
    with pytest.raises(ValueError, match="auto, tcg, kvm"):
        await choose_accelerator("hvf", Probe(True))
