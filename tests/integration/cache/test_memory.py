"""Values of any size pass through in bounded memory: seen from outside, on a process of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import connect
from sutler.testing import ServiceProcess

from tests.integration.cache.calls import Shelf

MIB = 1 << 20
SIZE = 256 * MIB
BOUND = 64 * MIB


def memory(pid: int, what: str) -> int:
    """A figure of a process's memory, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{what}:"))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("way", [pb.Cache.COMPRESSION_NONE, pb.Cache.COMPRESSION_ZSTD])
async def test_a_large_value_takes_little_memory(tmp_path: Path, way: pb.Cache.Compression.ValueType) -> None:
    block = os.urandom(MIB // 2) + bytes(MIB // 2)

    async def large() -> AsyncIterator[pb.WriteBlobRequest]:
        yield pb.WriteBlobRequest(header=pb.WriteBlobHeader(cache="caches/c", key="large"))
        for number in range(SIZE // MIB):
            yield pb.WriteBlobRequest(data=number.to_bytes(4) + block[4:])
        yield pb.WriteBlobRequest(trailer=pb.WriteBlobTrailer(size_bytes=SIZE))

    data = f"sqlite:///{tmp_path}/cache.db"
    with ServiceProcess("services.cache", "SUTLER_CACHE_", folder=tmp_path, data=data, log_level="warning") as server:
        await server.serving()
        async with connect(server.address) as client:
            await client.cache.CreateCache(pb.CreateCacheRequest(cache_id="c", cache=pb.Cache(compression=way)))
            shelf = Shelf(client, "caches/c")
            await shelf.write("small", block, block)
            await shelf.read("small")
            before = memory(server.pid, "VmRSS")
            await client.cache.WriteBlob(large())
            written = memory(server.pid, "VmHWM")
            size = 0
            async for message in client.cache.ReadBlob(pb.ReadBlobRequest(cache="caches/c", key="large")):
                size += len(message.data)
            read = memory(server.pid, "VmHWM")
    assert size == SIZE
    assert written - before < BOUND
    assert read - before < BOUND
