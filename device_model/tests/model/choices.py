"""What the specification leaves to the device, and what it has chosen: each with its section.

A departure would stand here too, so that the machines can go on past it, until the device is corrected. None is known.
"""

from __future__ import annotations

GUEST_RELEASES_BY_HANDLE = True
"""Choice. Release Interrupt Handle names a table index (9.2.12); Linux names the handle. What is no index of the table is
looked for among live handles."""

RELEASE_CLEARS_PENDING = True
"""Choice. The specification does not say what becomes of Pending of an entry whose handle is released."""

RESERVED_INTERRUPT_IS_NOT_SENT = True
"""Choice. A completion interrupt that may not be asked for (table 5-4) is an invalid flag; whether it is sent to tell of that,
with a handle that is good, is not said."""
