"""A rig with guests of its own, which end with the test: where the guests of the session, which have mdevs, cannot be used."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from guest_tests.guests import running_guests
from guest_tests.rig import Rig, make_host
from guest_tests.session import Session


@asynccontextmanager
async def own_rig(
    session: Session, *, guests: int = 2, vectors: int = 3, eventfd: bool = False, mapped_portal: bool = False
) -> AsyncIterator[Rig]:
    """Guests under TCG, each with an mdev."""
    folder = Path(tempfile.mkdtemp(dir=session.folder.path))
    host = await asyncio.to_thread(make_host, guests, vectors)
    try:
        async with running_guests(guests, session.image, session.qemu, folder, accelerator="tcg") as members:
            rig = Rig(host, members, folder, vectors=vectors, seed=3, eventfd=eventfd, mapped_portal=mapped_portal)
            for member in members:
                await rig.plug(member)
            yield rig
    finally:
        await asyncio.to_thread(host.close)
