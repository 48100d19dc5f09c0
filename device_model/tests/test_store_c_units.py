"""C programs over message stores and host memory by themselves, under sanitizers, in one thread and in several."""

from __future__ import annotations

import subprocess

import pytest

from device_model.build_core import HERE
from device_model.tests.protocol_rig import ASAN, C_TESTS, TSAN, build_c

KINDS = ("store", "store_array", "store_table", "store_queue", "store_msix")
STORES = (*KINDS, "slot_store", "slots", "flights", "msix", "msix_table")
CORE = [HERE / "core" / f"{name}.c" for name in (*STORES, "ledger", "tally")]
PARTS = [C_TESTS / "store_rig.c", HERE / "platform" / "host_memory.c", *CORE]
ALLOCATIONS = ("-Wl,--wrap=calloc", "-Wl,--wrap=realloc")


@pytest.mark.parametrize(
    ("name", "flags", "tests"),
    [
        ("test_store", ASAN, 23),
        ("test_store_faults", (*ASAN, "-DVDSA_PLANTED_FAULTS"), 2),
        ("test_host_memory", (*ASAN, *ALLOCATIONS), 10),
        ("test_host_memory", (*TSAN, *ALLOCATIONS), 10),
        ("test_store_threads", ASAN, 6),
        ("test_store_threads", TSAN, 6),
    ],
    ids=["store-address", "faults-address", "host_memory-address", "host_memory-thread", "threads-address", "threads-thread"],
)
def test_c_unit_tests_of_stores_pass_under_sanitizers(name: str, flags: tuple[str, ...], tests: int) -> None:
    program = build_c(f"{name}-{flags[0][12:18]}", [C_TESTS / f"{name}.c", *PARTS], flags)
    done = subprocess.run([program], capture_output=True, text=True, check=False, timeout=250)

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == tests, done.stdout
