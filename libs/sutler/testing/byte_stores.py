"""What every byte store must do: tests for those who bring one of their own.

::

    class TestMine(ByteStoreTests):
        @pytest.fixture
        async def store(self):
            yield MyStore()

The tests are coroutines: run them with pytest-asyncio in its ``auto`` mode. All of them may use one store that others
use meanwhile, for each takes names of its own.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from uuid import uuid4

import pytest

from sutler.backends import ByteStore
from sutler.testing.waiting import wait_until

MIB = 1 << 20


class ByteStoreTests:
    """The suite. A subclass has a fixture ``store``.

    Attributes:
        many: How many objects are more than one page or group of the store's lists.
        large: The bytes of an object that is written in several parts.
    """

    many = 1100
    large = 20 * MIB

    @pytest.fixture
    async def store(self) -> ByteStore:
        """The store under test."""
        raise NotImplementedError("a subclass makes the store")

    async def test_what_was_written_in_pieces_is_read_from_any_place(self, store: ByteStore) -> None:
        """Reads are exact, short at the end, and empty behind it."""
        name, data = new_name(), os.urandom(5000)
        await put(store, name, data[:1], data[1:3000], data[3000:])
        for offset, length in ((0, 5000), (0, 1), (2999, 2), (1, 4999), (4990, 100), (0, 10_000)):
            assert await store.read(name, offset, length) == data[offset : offset + length]
        assert await store.read(name, 5000, 10) == b""
        assert await store.read(name, 9000, 10) == b""

    async def test_streams_give_what_reads_give(self, store: ByteStore) -> None:
        """They come in pieces of at most 1 MiB, whatever their size."""
        name, data = new_name(), os.urandom(3 * MIB + 7)
        await put(store, name, data)
        for offset, length in ((0, len(data)), (5, 10), (MIB - 1, 2 * MIB), (3 * MIB, 100), (0, 9 * MIB)):
            pieces = [piece async for piece in store.stream(name, offset, length)]
            assert b"".join(pieces) == data[offset : offset + length]
            assert all(0 < len(piece) <= MIB for piece in pieces)
        assert [piece async for piece in store.stream(name, len(data), 10)] == []

    async def test_an_empty_object_is_there(self, store: ByteStore) -> None:
        """It has no bytes, but it is not missing."""
        name = new_name()
        await put(store, name)
        assert await store.read(name, 0, 10) == b""
        assert [piece async for piece in store.stream(name, 0, 10)] == []

    async def test_what_is_not_there_is_told_apart(self, store: ByteStore) -> None:
        """None of a read, no piece of a stream, no error of a delete."""
        name = new_name()
        assert await store.read(name, 0, 10) is None
        assert [piece async for piece in store.stream(name, 0, 10)] == []
        await store.delete(name)

    async def test_long_names(self, store: ByteStore) -> None:
        """Names of 200 characters, with folders and points, are all different."""
        folder = f"{uuid4().hex}/a.b/{'0z' * 60}"
        names = [f"{folder}/{letter}".ljust(200, "x") for letter in "ab"]
        for name in names:
            await put(store, name, name[-190:].encode())
        for name in names:
            assert len(name) == 200
            assert await store.read(name, 0, 300) == name[-190:].encode()

    async def test_nothing_is_seen_before_it_is_finished(self, store: ByteStore) -> None:
        """Neither by its name nor in the list."""
        name = new_name()
        async with store.writer(name) as writer:
            for _ in range(3):
                await writer.write(bytes(MIB))
            assert await store.read(name, 0, 1) is None
            assert name not in await older(store)
            await store.tidy()
            await writer.finish()
        assert await store.read(name, 3 * MIB - 1, 5) == b"\0"

    @pytest.mark.parametrize("pieces", [0, 1, 20])
    async def test_what_is_not_finished_leaves_nothing(self, store: ByteStore, pieces: int) -> None:
        """Whether the block ends by itself or by an error."""
        names = [new_name(), new_name()]
        async with store.writer(names[0]) as writer:
            for _ in range(pieces):
                await writer.write(bytes(MIB))
        with pytest.raises(KeyError):
            await break_off(store, names[1], pieces)
        for name in names:
            assert await store.read(name, 0, 1) is None
        assert not set(names) & await older(store)

    async def test_a_large_object_is_whole(self, store: ByteStore) -> None:
        """Also where it is stored in several parts."""
        name, block = new_name(), os.urandom(MIB + 1)
        count = self.large // len(block) + 1
        await put(store, name, *[block] * count)
        assert await store.read(name, self.large - 5, 5) == (block * count)[self.large - 5 : self.large]
        async with aclosing(store.stream(name, 0, len(block) * count + 5)) as pieces:
            assert b"".join([piece async for piece in pieces]) == block * count

    async def test_a_stream_outlives_its_object(self, store: ByteStore) -> None:
        """What was begun is read to its end."""
        name, data = new_name(), os.urandom(5 * MIB)
        await put(store, name, data)
        async with aclosing(store.stream(name, 0, len(data))) as pieces:
            read = await anext(pieces)
            await store.delete(name)
            read += b"".join([piece async for piece in pieces])
        assert read == data
        assert await store.read(name, 0, 1) is None

    async def test_a_stream_may_be_left(self, store: ByteStore) -> None:
        """As often as one likes."""
        name = new_name()
        await put(store, name, bytes(3 * MIB))
        for _ in range(30):
            async with aclosing(store.stream(name, 0, 3 * MIB)) as pieces:
                assert await anext(pieces)
        assert await store.read(name, 0, 1) == b"\0"

    async def test_what_was_deleted_is_gone(self, store: ByteStore) -> None:
        """And may be deleted again."""
        name = new_name()
        await put(store, name, b"x")
        await store.delete(name)
        await store.delete(name)
        assert await store.read(name, 0, 1) is None
        assert name not in await older(store)

    async def test_the_list_tells_what_is_old_enough(self, store: ByteStore) -> None:
        """An object gets older from the moment when it was finished."""
        name = new_name()
        await put(store, name, b"x")
        assert name not in await older(store, 3600)

        async def listed() -> bool:
            return name in await older(store)

        await wait_until(listed)

    async def test_long_lists_come_in_groups(self, store: ByteStore) -> None:
        """Nothing is left out, and nothing comes twice."""
        folder = uuid4().hex
        names = [f"{folder}/{number % 7:02}/{number}" for number in range(self.many)]
        for start in range(0, self.many, 50):
            await asyncio.gather(*(put(store, name, b"x") for name in names[start : start + 50]))

        async def found() -> list[str]:
            groups = [group async for group in store.older(0)]
            assert all(0 < len(group) <= 500 for group in groups)
            return sorted(name for group in groups for name in group if name.startswith(folder))

        async def complete() -> bool:
            return await found() == sorted(names)

        await wait_until(complete, 30)

    async def test_many_at_once(self, store: ByteStore) -> None:
        """Tasks do not disturb each other."""

        async def one(number: int) -> None:
            name, data = new_name(), bytes([number]) * 100_000
            await put(store, name, data[:50_000], data[50_000:])
            assert await store.read(name, 10, 99_000) == data[:99_000]
            await store.delete(name)

        await asyncio.gather(*map(one, range(40)))

    async def test_a_name_that_several_write_has_what_one_of_them_wrote(self, store: ByteStore) -> None:
        """As a whole; so two that mark a store as theirs find out whose it is."""
        name, marks = new_name(), [letter * 64 for letter in (b"a", b"b", b"c")]
        await asyncio.gather(*(put(store, name, mark) for mark in marks))
        assert await store.read(name, 0, 100) in marks
        await store.delete(name)
        assert await store.read(name, 0, 100) is None
        await put(store, name, b"d")
        assert await store.read(name, 0, 100) == b"d"

    async def test_it_is_well(self, store: ByteStore) -> None:
        """A store that can be used says so."""
        await store.health()


def new_name() -> str:
    """Returns a name that nobody has used."""
    name = uuid4().hex
    return f"{name[:8]}/{name[8:10]}/{name[10:]}"


async def put(store: ByteStore, name: str, *pieces: bytes) -> None:
    """Makes an object."""
    async with store.writer(name) as writer:
        for piece in pieces:
            await writer.write(piece)
        await writer.finish()


async def break_off(store: ByteStore, name: str, pieces: int) -> None:
    """Begins an object and fails with a KeyError."""
    async with store.writer(name) as writer:
        for _ in range(pieces):
            await writer.write(bytes(MIB))
        raise KeyError(name)


async def older(store: ByteStore, seconds: float = 0) -> set[str]:
    """Returns the names of all objects of an age."""
    return {name async for group in store.older(seconds) for name in group}
