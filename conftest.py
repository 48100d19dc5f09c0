"""The fixtures that scenarios use, for a plain pytest run of the whole tree."""

pytest_plugins = ["guest_tests.pytest_rig"]
