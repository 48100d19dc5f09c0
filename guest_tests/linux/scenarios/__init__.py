"""What Linux with its own driver has to bear; run by `vdsa run --rig linux`."""
