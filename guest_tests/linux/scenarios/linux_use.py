"""Linux's own driver uses what it was given: copies by interrupt, configuration by accel-config, errors."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from guest_tests.descriptors import Flag, Opcode, descriptor
from guest_tests.linux.idxd import Names
from guest_tests.linux.rig import LinuxRig
from guest_tests.linux.victim import PORT, SECOND, Victim
from host_ctl.options import RUN_TYPES

COPIES = 10_000
SOME_COPIES = 200
_LATENCY_COPIES = 500
_BAD_OPCODE = 0x3F


async def test_ten_thousand_copies_of_random_sizes_in_every_linux_guest(linux_rig: LinuxRig) -> None:
    """Each copy is verified and waited for by interrupt; /proc/interrupts says what the device's ledger says."""
    rig = linux_rig
    await asyncio.gather(*(victim.renew() for victim in rig.victims))
    before = {victim.index: await victim.main.device.interrupts() for victim in rig.victims}
    sent = {victim.index: rig.sent_to(victim, 1) for victim in rig.victims}

    await asyncio.gather(*(rig.copy(victim, COPIES, renewed=True) for victim in rig.victims))

    for victim in rig.victims:
        after = await victim.main.device.interrupts()
        assert after[1] - before[victim.index][1] == COPIES
        assert rig.sent_to(victim, 1) - sent[victim.index] == COPIES
    await rig.check_victims(rig.victims, "ten thousand copies")


@pytest.mark.parametrize("mdev_type", RUN_TYPES)
async def test_second_vdsa_of_a_linux_guest_is_probed_and_used_beside_the_first(
    linux_rig: LinuxRig, mdev_type: str
) -> None:
    """Of any type: all its queues copy at once; each vector gets what the ledger sent to it."""
    rig = linux_rig
    victim = rig.random.choice(rig.victims)
    first_before = await victim.main.device.interrupts()

    plugged = await rig.plug_linux(victim, SECOND, mdev_type)
    await rig.copy(victim, SOME_COPIES, SECOND)
    await victim.enable_again(SECOND)
    before, sent_before = await plugged.device.interrupts(), rig.sent_into(plugged.mdev)
    await rig.copy(victim, SOME_COPIES, SECOND, renewed=True)
    after, sent_after = await plugged.device.interrupts(), rig.sent_into(plugged.mdev)
    first_after = await victim.main.device.interrupts()
    await rig.unplug_linux(victim, SECOND)

    queues = range(1, 1 + plugged.wqs)
    assert {vector: after[vector] - before[vector] for vector in queues} == dict.fromkeys(queues, SOME_COPIES)
    assert {vector: sent_after[vector] - sent_before[vector] for vector in queues} == dict.fromkeys(queues, SOME_COPIES)
    assert first_after == first_before
    await rig.check_victims([victim], "two vDSAs")


async def test_accel_config_lists_configures_and_enables(linux_rig: LinuxRig) -> None:
    """Debian's accel-config sees the limits of the device, and what it saved it can load again into a device like it."""
    rig = linux_rig
    victim = rig.random.choice(rig.victims)
    plugged = await rig.plug_linux(victim, SECOND, "dsa-1dwq-cfg-v1")
    device, names = plugged.device, plugged.names

    listed = await device.listed(names)
    saved = [_essential(one) for one in await device.saved_configuration() if one["dev"] == names.dsa]
    await device.disable(names)
    disabled = [await device.attribute(part, "state") for part in (names.dsa, names.wq(0))]
    await device.load_configuration(saved, enable=True)
    again = await device.listed(names)
    await rig.copy(victim, SOME_COPIES, SECOND, renewed=True)
    await rig.unplug_linux(victim, SECOND)

    assert _limits(listed) == (1, 1, 1, 64, 2 << 20, 32, "enabled")
    assert _queue(listed, names) == {"mode": "dedicated", "size": 16, "type": "kernel", "state": "enabled"}
    assert disabled == ["disabled", "disabled"]
    assert _limits(again) == _limits(listed)
    assert _queue(again, names) == _queue(listed, names)


_ESSENTIAL = {
    "dev", "groups", "grouped_workqueues", "grouped_engines", "group_id", "mode", "size", "priority", "type", "name",
    "driver_name", "threshold", "max_batch_size", "max_transfer_size",
}  # fmt: skip


def _essential(saved: Any) -> Any:
    """accel-config also saves settings that the device lacks (read buffers, block on fault), and fails when it loads them."""
    if isinstance(saved, list):
        return [_essential(one) for one in saved]
    if not isinstance(saved, dict):
        return saved
    return {name: _essential(value) for name, value in saved.items() if name in _ESSENTIAL}


def _limits(listed: dict[str, Any]) -> tuple[Any, ...]:
    names = "max_work_queues", "max_engines", "max_groups", "work_queue_size", "max_transfer_size", "max_batch_size", "state"
    return tuple(listed[name] for name in names)


def _queue(listed: dict[str, Any], names: Names) -> dict[str, Any]:
    (wq,) = (wq for group in listed["groups"] for wq in group["grouped_workqueues"] if wq["dev"] == names.wq(0))
    return {name: wq[name] for name in ("mode", "size", "type", "state")}


async def test_error_of_a_descriptor_without_a_record_is_reported_by_the_driver(linux_rig: LinuxRig) -> None:
    """An operation that does not exist, stored to the portal beside the driver's own: SWERROR or event log."""
    rig = linux_rig
    victim = rig.random.choice(rig.victims)
    bad = descriptor(Opcode.NOOP, flags=Flag(0))
    bad = bad[:7] + bytes([_BAD_OPCODE]) + bad[8:]

    await _store(victim, bad)
    await victim.linux.run("until dmesg | grep -E 'err\\[0\\]|Device error'; do sleep 0.02; done")
    reported = await victim.reported_errors()
    await rig.copy(victim, SOME_COPIES)

    assert reported == [(0x10, _BAD_OPCODE)]
    await rig.check_victims([victim], "error")


async def _store(victim: Victim, raw: bytes) -> None:
    """Eight stores of 8 bytes, ascending, to a slot of the limited portal that the driver is far from."""
    device = victim.main.device
    words = [int.from_bytes(raw[at : at + 8], "little") for at in range(0, 64, 8)]
    lines = [f"devmem $((base + {0x1FC0 + 8 * i})) 64 {word:#x}" for i, word in enumerate(words)]
    await victim.linux.run("\n".join(["set -e", f"base=$(sed -n 's/ .*//;3p' {device.pci}/resource)", *lines]))


async def test_round_trips_of_dmatest_and_of_an_agent_in_one_run(linux_rig: LinuxRig) -> None:
    """Copies of 64 bytes, one after the other, each by interrupt, through a portal that traps and through one that is mapped; the
    agents' round trips are measured all along.
    """
    rig = linux_rig
    victim = rig.random.choice(rig.victims)
    await rig.plug_linux(victim, SECOND, mapped_portal=not victim.main.mapped_portal)

    intervals = [await rig.time_copies(victim, _LATENCY_COPIES, port) for port in (PORT, SECOND)]
    await rig.unplug_linux(victim, SECOND)

    assert [len(times) for times in intervals] == [_LATENCY_COPIES - 1] * 2
    await rig.check_victims([victim], "round trips")


