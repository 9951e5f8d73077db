from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sutler.backends import ByteStore
from sutler.errors import Code, Exhausted
from sutler.testing.byte_stores import MIB, ByteStoreTests, new_name, put

from services.cache.adapters.filesystem import FilesystemBytes, FilesystemOptions
from services.cache.adapters.memory_bytes import MemoryBytes, MemoryOptions
from services.cache.adapters.s3 import s3_bytes
from tests.conformance.cache.s3_server import new_bucket


class TestFiles(ByteStoreTests):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[FilesystemBytes]:
        store = FilesystemBytes(FilesystemOptions(folder=tmp_path / "blobs", threads=2))
        yield store
        await store.close()


class TestMemory(ByteStoreTests):
    @pytest.fixture
    async def store(self) -> MemoryBytes:
        return MemoryBytes(MemoryOptions())


class TestS3(ByteStoreTests):
    many = 600

    @pytest.fixture
    async def store(self, s3_url: str) -> AsyncIterator[ByteStore]:
        store = s3_bytes(new_bucket(s3_url))
        yield store
        await store.close()


async def test_full_memory_is_told_and_room_comes_back() -> None:
    store, kept = MemoryBytes(MemoryOptions(max_bytes=3 * MIB)), new_name()
    await put(store, kept, bytes(MIB))
    for _ in range(3):
        with pytest.raises(Exhausted) as caught:
            await put(store, new_name(), *[bytes(MIB)] * 3)
        assert (caught.value.code, caught.value.reason) == (Code.RESOURCE_EXHAUSTED, "STORAGE_FULL")
    await put(store, new_name(), bytes(2 * MIB))
    with pytest.raises(Exhausted):
        await put(store, new_name(), b"x")
    await store.delete(kept)
    await put(store, new_name(), b"x")
