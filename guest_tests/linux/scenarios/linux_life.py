"""Linux's driver comes and goes, the device does, and the guest itself; the neighbours notice nothing."""

from __future__ import annotations

from guest_tests.linux.rig import LinuxRig
from guest_tests.linux.victim import SECOND

SOME_COPIES = 100
CYCLES = 3


async def test_queue_and_device_are_disabled_and_enabled_again(linux_rig: LinuxRig) -> None:
    rig = linux_rig
    victim, *others = rig.some_victims()

    async with rig.copying(others, "Linux disables and enables"):
        for _ in range(CYCLES):
            await victim.enable_again()
            await rig.copy(victim, SOME_COPIES, renewed=True)

    await rig.check_victims([victim], "disabled and enabled")


async def test_driver_is_unbound_and_bound_again(linux_rig: LinuxRig) -> None:
    rig = linux_rig
    victim, *others = rig.some_victims()

    async with rig.copying(others, "Linux unbinds and binds"):
        for _ in range(CYCLES):
            await victim.rebind()
            await rig.copy(victim, SOME_COPIES, renewed=True)

    await rig.check_victims([victim], "unbound and bound")


async def test_module_is_unloaded_and_loaded_again(linux_rig: LinuxRig) -> None:
    rig = linux_rig
    victim, *others = rig.some_victims()

    async with rig.copying(others, "Linux loads its module"):
        await victim.reload_module()
        await rig.copy(victim, SOME_COPIES, renewed=True)

    await rig.check_victims([victim], "module loaded anew")


async def test_vdsa_comes_and_goes_in_a_guest_that_copies_with_another(linux_rig: LinuxRig) -> None:
    """All guests copy on, with exact counts. The one that comes and goes has no client: no driver would survive that."""
    rig = linux_rig
    victim, *_ = rig.some_victims()

    async with rig.copying(rig.victims, "second vDSA of a Linux guest comes and goes"):
        for _ in range(CYCLES):
            await rig.plug_linux(victim, SECOND, first_copies=0)
            await rig.unplug_linux(victim, SECOND)


async def test_only_vdsa_of_a_guest_goes_and_comes_while_the_others_copy(linux_rig: LinuxRig) -> None:
    rig = linux_rig
    victim, *others = rig.some_victims()

    async with rig.copying(others, "Linux guest loses its vDSA and gets another"):
        for _ in range(CYCLES):
            await rig.unplug_linux(victim)
            await rig.plug_linux(victim)

    await rig.check_victims([victim], "unplugged and plugged")


async def test_guest_is_reset_and_comes_back(linux_rig: LinuxRig) -> None:
    rig = linux_rig
    victim, *others = rig.some_victims()

    async with rig.copying(others, "Linux is reset"):
        await rig.reset(victim)
        await rig.copy(victim, SOME_COPIES, renewed=True)

    await rig.check_victims([victim], "reset")


async def test_guest_reboots_and_comes_back(linux_rig: LinuxRig) -> None:
    rig = linux_rig
    victim, *others = rig.some_victims()

    async with rig.copying(others, "Linux reboots"):
        await rig.reboot(victim)
        await rig.copy(victim, SOME_COPIES, renewed=True)

    await rig.check_victims([victim], "rebooted")


