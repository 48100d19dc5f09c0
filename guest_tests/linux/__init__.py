"""Linux guests: drivers that nobody here wrote, on the patched QEMU, with the same devices as the agents."""
