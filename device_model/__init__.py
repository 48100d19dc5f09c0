"""The hardware: a C core behind cffi emulates an IDXD-like device; a vfio-user transport serves it to QEMU."""
