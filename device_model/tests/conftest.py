"""Fixtures that tests of several files share."""

from device_model.tests.batch_rig import guest, machine, victim
from device_model.tests.protocol_rig import client, engine, launch, plain, plain_client, programs, server

__all__ = [
    "client",
    "engine",
    "guest",
    "launch",
    "machine",
    "plain",
    "plain_client",
    "programs",
    "server",
    "victim",
]
