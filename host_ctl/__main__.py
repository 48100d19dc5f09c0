"""`python -m host_ctl` is the command `vdsa`."""

import sys

from host_ctl.cli import main

sys.exit(main())
