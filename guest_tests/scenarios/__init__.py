"""The scenarios: each a promise about interrupts, put to the test on running guests. They know the rig and nothing below it."""
