"""Fixtures that tests of several files share."""

from device_model.tests.protocol_rig import client, engine, launch, plain, plain_client, programs, server

__all__ = ["client", "engine", "launch", "plain", "plain_client", "programs", "server"]
