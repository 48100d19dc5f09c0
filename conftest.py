"""For a plain pytest run of the whole tree: the fixtures that scenarios use, hypothesis that tries the same each time, and a
Ctrl-C that can be sent to children."""

import os
import signal

import pytest
from hypothesis import settings

# Test modules import these before they name them as plugins.
pytest.register_assert_rewrite("guest_tests.tests", "host_ctl.tests")

pytest_plugins = ["guest_tests.pytest_rig"]

# A change passes or fails by what it is, not by luck or by how busy the machine is; `make nightly` draws anew.
settings.register_profile("the same each time", derandomize=True, print_blob=True, deadline=None)
if "VDSA_EXAMPLES" not in os.environ:
    settings.load_profile("the same each time")

# A shell starts background jobs with SIGINT ignored, and children inherit that: runs that are to be interrupted would not be.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
