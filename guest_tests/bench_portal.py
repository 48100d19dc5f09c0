"""What descriptors cost on their way through a trapped portal, and what a device costs that nobody uses: our own client, no VM.

The client is this process, the socket real. What it sends is made beforehand, so that its own part is one system call a chunk.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from device_model.config import DeviceConfig
from device_model.vfio_user_client import VfioUserClient
from device_model.vfio_user_protocol import REGION_ACCESS, Command, Flags, message
from host_ctl.host import Host

BAR0, BAR2, CONFIG = 0, 2, 7
PORTAL = 0x1000
PCI_COMMAND, MEMORY_AND_MASTER = 0x04, 0x6
CMD, CMDSTATUS, ENABLE_DEVICE, ENABLE_WQ = 0xA0, 0xA8, 1, 6
NO_OP, RECORD_VALID_AND_REQUESTED = 0, 0xC
CHUNK, SAMPLES, WARM_UP = 32, 500, 20
"""Descriptors sent at once, fewer than the work queue holds; how many times; how many before that."""
RECORD = 0x1000
TIMEOUT_S = 10.0


def _no_op(record: int) -> bytes:
    flags = RECORD_VALID_AND_REQUESTED if record else 0
    return bytes(4) + (flags | NO_OP << 24).to_bytes(4, "little") + record.to_bytes(8, "little") + bytes(48)


def _stores(descriptor: bytes, size: int) -> bytes:
    """Posted messages of one descriptor, stored in pieces of `size` bytes: 8 as by a CPU without MOVDIR64B, or 64."""
    pieces = (
        REGION_ACCESS.pack(PORTAL + at, BAR2, size) + descriptor[at : at + size]
        for at in range(0, len(descriptor), size)
    )
    return b"".join(message(Command.REGION_WRITE, piece, message_id=1, flags=Flags.NO_REPLY) for piece in pieces)


def _start(client: VfioUserClient) -> None:
    client.region_write(CONFIG, PCI_COMMAND, MEMORY_AND_MASTER.to_bytes(2, "little"))
    for command in (ENABLE_DEVICE, ENABLE_WQ):
        client.region_write(BAR0, CMD, (command << 20).to_bytes(4, "little"))
        status = int.from_bytes(client.region_read(BAR0, CMDSTATUS, 4), "little")
        if status:
            raise RuntimeError(f"command {command}: CMDSTATUS {status:#x}, the device cannot be measured")


def _chunk_us(client: VfioUserClient, stores: bytes, memory: Any) -> float:
    """Until the last of them has its completion record: descriptors of one queue end in order."""
    memory[RECORD] = 0
    begin = time.perf_counter_ns()
    client.send_raw(stores)
    while memory[RECORD] == 0:
        if time.perf_counter_ns() - begin > TIMEOUT_S * 1e9:
            raise RuntimeError(f"no completion record after {TIMEOUT_S:.0f} s: descriptors were lost")
        time.sleep(0)
    return (time.perf_counter_ns() - begin) / 1e3


def _rate(client: VfioUserClient, memory: Any, size: int) -> dict[str, float]:
    stores = b"".join(_stores(_no_op(0), size) for _ in range(CHUNK - 1)) + _stores(_no_op(RECORD), size)
    times = sorted([_chunk_us(client, stores, memory) / CHUNK for _ in range(WARM_UP + SAMPLES)][WARM_UP:])
    return {
        "per_s": 1e6 * len(times) / sum(times),
        "p50_us": times[len(times) // 2],
        "p99_us": times[len(times) * 99 // 100],
    }


def _idle_ms(seconds: float) -> float:
    """CPU time of all threads of this process, while the caller's sleeps too."""
    begin = time.process_time_ns()
    time.sleep(seconds)
    return (time.process_time_ns() - begin) / 1e6


def measure_portal(folder: Path) -> dict[str, Any]:
    """No-ops by 8-byte and by 64-byte stores, and CPU milliseconds a second of a device whose engines sleep."""
    host = Host(DeviceConfig(num_wqs=1, total_wq_size=64, num_ims=256))
    try:
        mdev = host.create("dsa-1dwq-v1", 1, folder)
        with VfioUserClient.connect(mdev.socket) as client:
            memory = client.dma_map(0, 0x10000).memory
            _start(client)
            rates = {f"{size}-byte stores": _rate(client, memory, size) for size in (8, 64)}
            return {"no_ops": rates, "idle_cpu_ms_per_s": _idle_ms(1.0)}
    finally:
        host.close()
