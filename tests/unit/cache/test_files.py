from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from services.cache.adapters.filesystem import FilesystemBlobs, writing
from services.cache.entries import Blob
from services.cache.faults import DamagedError

MIB = 1 << 20


@pytest.fixture
def blobs(tmp_path: Path) -> Any:
    opened = FilesystemBlobs(tmp_path / "blobs", 2)
    yield opened
    opened.close()


async def whole(blobs: FilesystemBlobs, blob: Blob) -> bytes:
    return b"".join([data async for data in blobs.read(blob, 0, 0)])


async def test_a_file_is_durable_before_anybody_hears_of_it(
    blobs: FilesystemBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL loses no page cache, so only the order of the calls shows what a loss of power would leave."""
    done: list[tuple[str, str]] = []
    fsync, rename = os.fsync, os.rename

    def path_of(descriptor: int) -> str:
        return str(Path(os.readlink(f"/proc/self/fd/{descriptor}")).relative_to(tmp_path / "blobs"))

    def recorded_fsync(descriptor: int) -> None:
        fsync(descriptor)
        done.append(("fsync", path_of(descriptor)))

    def recorded_rename(source: Path, target: Path) -> None:
        rename(source, target)
        done.append(("rename", str(target.relative_to(tmp_path / "blobs"))))

    monkeypatch.setattr(writing.os, "fsync", recorded_fsync)
    monkeypatch.setattr(writing.os, "rename", recorded_rename)
    draft = await blobs.store("red", b"x" * 100)
    locator = Path(draft.blob.locator)
    [temporary] = [path for what, path in done if path.startswith("incoming/")]
    assert done == [
        ("fsync", temporary),
        ("fsync", "."),
        ("fsync", str(locator.parent.parent)),
        ("rename", str(locator)),
        ("fsync", str(locator.parent)),
    ]


async def test_a_blob_is_named_after_its_bytes_and_nothing_else(blobs: FilesystemBlobs, tmp_path: Path) -> None:
    data = b"../../etc/passwd"
    one = (await blobs.store("../red", data)).blob
    two = (await blobs.store("../red", data)).blob
    other = (await blobs.store("blue", data)).blob
    digest = hashlib.sha256(data).hexdigest()
    assert {one.sha256, two.sha256, other.sha256} == {digest}
    assert len({one.locator, two.locator, other.locator}) == 3
    for blob in (one, two, other):
        tenant, shard, name = blob.locator.split("/")
        assert (len(tenant), shard, name[:65]) == (32, digest[:2], f"{digest}.")
        assert (tmp_path / "blobs" / blob.locator).is_file()
    assert one.locator.split("/")[0] == two.locator.split("/")[0] != other.locator.split("/")[0]


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB, 3 * MIB - 5])
async def test_what_is_written_in_pieces_is_read_in_chunks(blobs: FilesystemBlobs, size: int) -> None:
    data = os.urandom(size)
    async with blobs.writer("red") as writer:
        for start in range(0, size, 300_000):
            await writer.write(data[start : start + 300_000])
        assert writer.sha256 == hashlib.sha256(data).hexdigest()
        blob = (await writer.finish()).blob
    assert (blob.size, bool(blob.chunks)) == (size, size > MIB)
    assert await whole(blobs, blob) == data
    for offset, limit in ((0, 1), (size // 2, 0), (MIB - 3, 7)):
        read = b"".join([part async for part in blobs.read(blob, offset, limit)])
        assert read == data[offset : offset + limit if limit else None]
    if size <= MIB:
        assert await blobs.load(blob) == data


async def test_a_swapped_file_is_noticed(blobs: FilesystemBlobs, tmp_path: Path) -> None:
    """Another blob of the same size has right checksums of its own, but they are not those that were stored."""
    for size in (1000, 2 * MIB):
        mine = (await blobs.store("red", os.urandom(size))).blob
        other = (await blobs.store("red", os.urandom(size))).blob
        (tmp_path / "blobs" / other.locator).replace(tmp_path / "blobs" / mine.locator)
        with pytest.raises(DamagedError) as caught:
            await whole(blobs, mine)
        assert caught.value.cause == "checksum"


async def test_what_is_not_finished_leaves_nothing(blobs: FilesystemBlobs, tmp_path: Path) -> None:
    async with blobs.writer("red") as writer:
        await writer.write(b"x" * 100)
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


async def test_a_file_that_is_deleted_can_be_read_to_its_end(blobs: FilesystemBlobs) -> None:
    data = os.urandom(3 * MIB)
    blob = (await blobs.store("red", data)).blob
    reading = blobs.read(blob, 0, 0)
    first = await anext(reading)
    await blobs.delete(blob.locator)
    await blobs.delete(blob.locator)
    assert first + b"".join([part async for part in reading]) == data
    with pytest.raises(DamagedError) as caught:
        await whole(blobs, blob)
    assert caught.value.cause == "missing"
