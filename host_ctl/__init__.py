"""The host: PASIDs, interrupt domains, mdevs, QEMU processes, the verdict and its reports, and the command `vdsa`."""
