"""What the specification leaves to the device, and where the device departs from it: each with its section.

A choice is legal. A departure is not: it stands here so that the machines can go on past it, and goes when the device is
corrected.
The model takes both the specification's answer and the departure's wherever it can say so without repeating the device.
"""

from __future__ import annotations

GUEST_RELEASES_BY_HANDLE = True
"""Choice. Release Interrupt Handle names a table index (9.2.12); Linux names the handle. What is no index of the table is
looked for among live handles."""

RELEASE_CLEARS_PENDING = True
"""Choice. The specification does not say what becomes of Pending of an entry whose handle is released."""

RECORD_ADDRESS_TRANSLATED_LAST = True
"""Departure (5.4): a record address that cannot be translated discards the descriptor; here the operation has been done by
then, and a success without Request Completion Record never looks at the address."""

DRAINING_QUEUE_TAKES_COMMANDS = True
"""Departure (table 5-8, 0x32): a guest's Disable, Drain and Abort WQ are taken while its queue is draining, that is, not
Enabled. Only the host can bring that about."""

BUS_MASTER_OFF_HALTS = False
"""Departure (5.7, 5.8.2): clearing Bus Master Enable while enabled brings no Halt state and no SWERROR 0x51."""

USER_INTERRUPTS_GATED = False
"""Departure (table 5-4): Request Completion Interrupt with GENCFG[12] = 0, WQ PASID Enable = 1 and Priv = 0 is not refused."""

MOVE_FLAGS = 1 << 8 | 1 << 9 | 1 << 10
"""Cache Control 1, Address 1 and 2 TC Selector. Departure (table 5-3): Strict Ordering, bit 13, is refused."""
