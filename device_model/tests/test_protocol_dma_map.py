"""DMA_MAP and DMA_UNMAP: what is refused, and that nothing of a map is left behind."""

from __future__ import annotations

import errno
import os

import pytest

from device_model import vfio_user_protocol as proto
from device_model.tests.protocol_rig import ServerProcess, pipe_end, refusal
from device_model.vfio_user_client import VfioUserClient, create_memfd
from device_model.vfio_user_protocol import Command

PAGE = 4096



def map_payload(iova: int, size: int, *, offset: int = 0, flags: int = 3, argsz: int = 32) -> bytes:
    return proto.DMA_MAP.pack(argsz, flags, offset, iova, size)


def unmap_payload(iova: int, size: int, *, flags: int = 0, argsz: int = 24) -> bytes:
    return proto.DMA_UNMAP.pack(argsz, flags, iova, size)


@pytest.mark.parametrize(
    "payload",
    [
        map_payload(0, 0),
        map_payload(1, PAGE),
        map_payload(0, PAGE - 1),
        map_payload(0, PAGE, offset=1),
        map_payload(0xFFFFFFFFFFFFF000, 2 * PAGE),
        map_payload(PAGE, 0xFFFFFFFFFFFFF000),
        map_payload(0, PAGE, offset=0xFFFFFFFFFFFFF000),
        map_payload(0, PAGE, offset=0x7FFFFFFFFFFFF000),
        map_payload(0, PAGE, flags=0),
        map_payload(0, PAGE, flags=7),
        map_payload(0, PAGE, argsz=31),
        map_payload(0, PAGE)[:-1],
        map_payload(0, PAGE) + b"\0",
    ],
)
def test_bad_dma_maps_are_refused(server: ServerProcess, client: VfioUserClient, payload: bytes) -> None:
    fd = create_memfd(PAGE)
    before = server.usage()
    errors = {refusal(client, Command.DMA_MAP, payload, [fd]), refusal(client, Command.DMA_MAP, payload)}
    os.close(fd)

    assert errors == {errno.EINVAL}
    assert server.usage() == before
    assert server.stats()["mappings"] == 0


def test_map_over_another_is_refused_and_the_first_stays(server: ServerProcess, client: VfioUserClient) -> None:
    client.dma_map(0, 4 * PAGE)

    errors = {refusal(client, Command.DMA_MAP, map_payload(at * PAGE, PAGE)) for at in range(4)}

    assert errors == {errno.EEXIST}
    assert server.stats()["mapped_bytes"] == 4 * PAGE


def test_file_shorter_than_its_map_is_refused(server: ServerProcess, client: VfioUserClient) -> None:
    fd = create_memfd(2 * PAGE)
    before = server.usage()
    errors = [
        refusal(client, Command.DMA_MAP, map_payload(0, 3 * PAGE), [fd]),
        refusal(client, Command.DMA_MAP, map_payload(0, PAGE, offset=2 * PAGE), [fd]),
    ]
    os.close(fd)

    assert errors == [errno.EINVAL, errno.EINVAL]
    assert server.usage() == before


def test_descriptor_that_is_no_memory_is_refused(server: ServerProcess, client: VfioUserClient) -> None:
    before = server.usage()
    with pipe_end() as fd:
        error = refusal(client, Command.DMA_MAP, map_payload(0, PAGE), [fd])

    assert error == errno.EINVAL
    assert server.usage() == before


def test_two_descriptors_for_one_map_are_refused_and_closed(server: ServerProcess, client: VfioUserClient) -> None:
    fd = create_memfd(PAGE)
    before = server.usage()
    error = refusal(client, Command.DMA_MAP, map_payload(0, PAGE), [fd, fd])
    os.close(fd)

    assert error == errno.EINVAL
    assert server.usage() == before


def test_unmap_frees_the_memory_and_tells_how_much(server: ServerProcess, client: VfioUserClient) -> None:
    before = server.usage()
    for at in range(8):
        client.dma_map(at * 16 * PAGE, PAGE)
    held = server.usage()

    one = client.dma_unmap(0, PAGE)
    many = client.dma_unmap(0, 1 << 63)
    nothing = client.dma_unmap(0, PAGE)

    assert held.mappings == before.mappings + 8
    assert held.fds == before.fds
    assert (one, many, nothing) == (PAGE, 7 * PAGE, 0)
    assert server.usage() == before


def test_unmap_all_takes_everything(server: ServerProcess, client: VfioUserClient) -> None:
    before = server.usage()
    client.dma_map(0, PAGE)
    client.dma_map(PAGE, PAGE, sealed=False)
    client.dma_map(1 << 40, PAGE, by_fd=False)

    assert client.dma_unmap(0, 0, flags=proto.DMA_UNMAP_ALL) == 3 * PAGE
    assert server.usage() == before


@pytest.mark.parametrize(
    "payload",
    [
        unmap_payload(0, 0),
        unmap_payload(0, PAGE),
        unmap_payload(PAGE, PAGE),
        unmap_payload(PAGE, 1 << 40),
        unmap_payload(0xFFFFFFFFFFFFF000, 2 * PAGE),
        unmap_payload(0, 2 * PAGE, flags=1),
        unmap_payload(0, 2 * PAGE, flags=proto.DMA_UNMAP_ALL),
        unmap_payload(0, 2 * PAGE, argsz=23),
        unmap_payload(0, 2 * PAGE)[:-1],
    ],
    ids=["none", "first-half", "second-half", "open-end", "overflow", "dirty-bitmap", "all-of-some", "argsz", "cut"],
)
def test_bad_unmaps_are_refused(server: ServerProcess, client: VfioUserClient, payload: bytes) -> None:
    client.dma_map(0, 2 * PAGE)

    assert refusal(client, Command.DMA_UNMAP, payload) == errno.EINVAL
    assert server.stats()["mappings"] == 1


def test_seabios_like_rounds_of_unmap_and_map_leave_nothing(server: ServerProcess, client: VfioUserClient) -> None:
    fd = create_memfd(64 * PAGE)
    before = server.usage()
    for _ in range(200):
        client.dma_map_fd(0, 16 * PAGE, fd)
        client.dma_map_fd(16 * PAGE, 48 * PAGE, fd, offset=16 * PAGE)
        client.dma_unmap(0, 16 * PAGE)
        client.dma_unmap(16 * PAGE, 48 * PAGE)
    os.close(fd)

    assert server.usage() == before
