"""For a plain pytest run of the whole tree: the fixtures that scenarios use, and a Ctrl-C that can be sent to children."""

import signal

pytest_plugins = ["guest_tests.pytest_rig"]

# A shell starts background jobs with SIGINT ignored, and children inherit that: runs that are to be interrupted would not be.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
