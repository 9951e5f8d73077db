from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import xxhash

from services.cache.adapters.filesystem import FilesystemBytes, FilesystemOptions, writing
from services.cache.adapters.objects import ObjectBlobs
from services.cache.caches import Compression
from services.cache.entries import Blob, checksum
from services.cache.faults import DamagedError

MIB = 1 << 20
NONE, ZSTD, LZ4 = Compression.NONE, Compression.ZSTD, Compression.LZ4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
async def blobs(folder: Path) -> AsyncIterator[ObjectBlobs]:
    store = FilesystemBytes(FilesystemOptions(folder=folder, threads=2))
    yield ObjectBlobs(store)
    await store.close()


def text(size: int) -> bytes:
    """Bytes that get smaller, but of which no two pieces are equal."""
    lines = b"".join(b"line %d of some text\n" % number for number in range(size // 20 + 1))
    return lines[:size]


async def written(blobs: ObjectBlobs, data: bytes, compression: Compression = NONE, step: int = 300_000) -> Blob:
    async with blobs.writer("red", compression) as writer:
        for start in range(0, len(data), step):
            await writer.write(data[start : start + step])
        assert await writer.sha256() == hashlib.sha256(data).hexdigest()
        return (await writer.finish()).blob


async def whole(blobs: ObjectBlobs, blob: Blob, offset: int = 0, limit: int = 0) -> bytes:
    return b"".join([data async for data in blobs.read(blob, offset, limit)])


async def damage(blobs: ObjectBlobs, blob: Blob) -> str:
    with pytest.raises(DamagedError) as caught:
        await whole(blobs, blob)
    return caught.value.cause


async def test_a_file_is_durable_before_anybody_hears_of_it(
    blobs: ObjectBlobs, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL loses no page cache, so only the order of the calls shows what a loss of power would leave."""
    done: list[tuple[str, str]] = []
    fsync, rename = os.fsync, os.rename

    def path_of(descriptor: int) -> str:
        return str(Path(os.readlink(f"/proc/self/fd/{descriptor}")).relative_to(folder))

    def recorded_fsync(descriptor: int) -> None:
        fsync(descriptor)
        done.append(("fsync", path_of(descriptor)))

    def recorded_rename(source: Path, target: Path) -> None:
        rename(source, target)
        done.append(("rename", str(target.relative_to(folder))))

    monkeypatch.setattr(writing.os, "fsync", recorded_fsync)
    monkeypatch.setattr(writing.os, "rename", recorded_rename)
    draft = await blobs.store("red", b"x" * 100, NONE)
    locator = Path(draft.blob.locator)
    [temporary] = [path for what, path in done if path.startswith("incoming/")]
    assert done == [
        ("fsync", temporary),
        ("fsync", "."),
        ("fsync", str(locator.parent.parent)),
        ("rename", str(locator)),
        ("fsync", str(locator.parent)),
    ]


async def test_nothing_that_a_caller_chose_is_part_of_a_name(blobs: ObjectBlobs, folder: Path) -> None:
    data = b"../../etc/passwd"
    one = (await blobs.store("../red", data, NONE)).blob
    two = (await blobs.store("../red", data, NONE)).blob
    other = (await blobs.store("blue", data, NONE)).blob
    assert {one.sha256, two.sha256, other.sha256} == {hashlib.sha256(data).hexdigest()}
    assert len({one.locator, two.locator, other.locator}) == 3
    for blob in (one, two, other):
        tenant, shard, name = blob.locator.split("/")
        assert (len(tenant), shard, len(name)) == (32, name[:2], 32)
        assert (folder / blob.locator).is_file()
    assert one.locator.split("/")[0] == two.locator.split("/")[0] != other.locator.split("/")[0]


@pytest.mark.parametrize("compression", [NONE, ZSTD, LZ4])
@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB, 3 * MIB - 5])
async def test_what_is_written_in_pieces_is_read_from_any_place(
    blobs: ObjectBlobs, folder: Path, size: int, compression: Compression
) -> None:
    data = text(size)
    for step in (300_000, MIB):
        blob = await written(blobs, data, compression, step)
        assert (blob.size, blob.checksum, bool(blob.chunks)) == (size, checksum(data), size > MIB)
        assert blob.packing == (compression if size > 1 else NONE)
        assert (blob.stored_size < size // 2) if blob.packing is not NONE else (blob.stored_size == size)
        assert blob.stored_size <= (folder / blob.locator).stat().st_size <= blob.stored_size + 3 * 20
        assert await whole(blobs, blob) == data
        for offset, limit in ((0, 1), (size // 2, 0), (MIB - 3, 7), (size, 0), (2, 3 * MIB)):
            assert await whole(blobs, blob, offset, limit) == data[offset : offset + limit if limit else None]
        if size <= MIB:
            assert await blobs.load(blob) == data


async def test_chunks_are_packed_only_where_that_makes_them_smaller(blobs: ObjectBlobs) -> None:
    noise = os.urandom(2 * MIB)
    assert (await written(blobs, noise, ZSTD)).packing is NONE
    mixed = noise[:MIB] + text(MIB) + noise[MIB:]
    blob = await written(blobs, mixed, ZSTD)
    assert blob.packing is ZSTD
    assert 2 * MIB < blob.stored_size < 2.5 * MIB
    assert await whole(blobs, blob) == mixed
    assert await whole(blobs, blob, MIB + 5, MIB) == mixed[MIB + 5 : 2 * MIB + 5]


async def test_many_small_chunks_of_one_piece(blobs: ObjectBlobs) -> None:
    data = bytes(9 * MIB) + b"end"
    blob = await written(blobs, data, ZSTD, MIB)
    assert blob.stored_size < 10_000
    assert await whole(blobs, blob) == data


@pytest.mark.parametrize("size", [1000, 2 * MIB])
async def test_files_of_before_packing_are_read(blobs: ObjectBlobs, folder: Path, size: int) -> None:
    """What the first release wrote: the value, then the xxh3-128 of each of its chunks, if they are several."""
    data = os.urandom(size)
    digests = b"".join(xxhash.xxh3_128_digest(data[start : start + MIB]) for start in range(0, size, MIB))
    digests = digests if size > MIB else b""
    sha256 = hashlib.sha256(data).hexdigest()
    locator = f"{'a' * 32}/{sha256[:2]}/{sha256}.0123456789ab"
    (folder / locator).parent.mkdir(parents=True)
    (folder / locator).write_bytes(data + digests)
    blob = Blob(sha256, size, checksum(data), checksum(digests) if digests else "", locator, stored_size=size)
    assert await whole(blobs, blob) == data


@pytest.mark.parametrize("compression", [NONE, ZSTD, LZ4])
@pytest.mark.parametrize("size", [1000, 2 * MIB])
async def test_a_swapped_file_is_noticed(blobs: ObjectBlobs, folder: Path, size: int, compression: Compression) -> None:
    """Another blob has right checksums of its own, but they are not those that were stored."""
    mine, other = os.urandom(500), os.urandom(500)
    one = await written(blobs, (mine * (size // 500 + 1))[:size], compression)
    two = await written(blobs, (other * (size // 500 + 1))[:size], compression)
    (folder / two.locator).replace(folder / one.locator)
    assert await damage(blobs, one) in ("checksum", "size", "packing")
    assert one.stored_size != two.stored_size or await damage(blobs, one) == "checksum"


@pytest.mark.parametrize("compression", [NONE, ZSTD, LZ4])
@pytest.mark.parametrize("size", [100_000, 2 * MIB + 5])
async def test_no_spoilt_byte_gets_through(
    blobs: ObjectBlobs, folder: Path, size: int, compression: Compression
) -> None:
    blob = await written(blobs, text(size), compression)
    path = folder / blob.locator
    right = path.read_bytes()
    for place in {0, len(right) // 3, len(right) - 1, *range(7, len(right), len(right) // 5)}:
        path.write_bytes(right[:place] + bytes([right[place] ^ 1]) + right[place + 1 :])
        assert await damage(blobs, blob) in ("checksum", "packing", "size")
    for length in (0, 1, len(right) // 2, len(right) - 1):
        path.write_bytes(right[:length])
        assert await damage(blobs, blob) == "size"
    path.write_bytes(right + b"x")
    assert await damage(blobs, blob) == "size"
    path.unlink()
    assert await damage(blobs, blob) == "missing"


async def test_what_is_not_finished_leaves_nothing(blobs: ObjectBlobs, folder: Path) -> None:
    for pieces in (1, 4, 12):
        async with blobs.writer("red", NONE) as writer:
            for _ in range(pieces):
                await writer.write(bytes(MIB))
        assert [path for path in folder.rglob("*") if path.is_file()] == []


async def test_a_file_that_is_deleted_can_be_read_to_its_end(blobs: ObjectBlobs) -> None:
    data = os.urandom(3 * MIB)
    blob = await written(blobs, data)
    reading = blobs.read(blob, 0, 0)
    first = await anext(reading)
    await blobs.delete(blob.locator)
    await blobs.delete(blob.locator)
    assert first + b"".join([part async for part in reading]) == data
    assert await damage(blobs, blob) == "missing"
