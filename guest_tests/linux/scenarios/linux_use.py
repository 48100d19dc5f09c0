"""Linux's own driver uses what it was given: copies by interrupt, configuration, errors."""

from __future__ import annotations

import asyncio

from guest_tests.linux.rig import LinuxRig

COPIES = 10_000


async def test_ten_thousand_copies_of_random_sizes_in_every_linux_guest(linux_rig: LinuxRig) -> None:
    """Each copy is verified and waited for by interrupt; /proc/interrupts says what the device's ledger says."""
    rig = linux_rig
    before = {victim.index: await victim.main.device.interrupts() for victim in rig.victims}
    sent = {victim.index: rig.sent_to(victim, 1) for victim in rig.victims}

    await asyncio.gather(*(rig.copy(victim, COPIES) for victim in rig.victims))

    for victim in rig.victims:
        after = await victim.main.device.interrupts()
        assert after[1] - before[victim.index][1] == COPIES
        assert rig.sent_to(victim, 1) - sent[victim.index] == COPIES
    await rig.check_victims(rig.victims, "ten thousand copies")
