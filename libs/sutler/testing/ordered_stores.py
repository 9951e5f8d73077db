"""What every ordered store must pass. For a store of one's own::

    class TestNotes(OrderedStoreTests):
        @pytest.fixture
        async def opens(self, tmp_path):
            return lambda: NotesStore(tmp_path / "notes.db")

Each call of what ``opens`` gives opens the same data once more, as another process would; a store that is not shared
sets ``shared = False`` and is opened once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from sutler.backends import OrderedStore
from sutler.testing.waiting import wait_until

KIB, MIB = 1024, 1024 * 1024
Opens = Callable[[], OrderedStore]


class OrderedStoreTests:
    """Tests of :class:`sutler.backends.OrderedStore`.

    Attributes:
        shared: Whether several processes can use the store at once.
    """

    shared = True

    @pytest.fixture
    async def store(self, opens: Opens) -> AsyncIterator[OrderedStore]:
        """A store without keys."""
        opened = opens()
        yield opened
        await opened.close()

    @pytest.fixture
    async def other(self, opens: Opens, store: OrderedStore) -> AsyncIterator[OrderedStore]:
        """The same data, as another process has them."""
        if not self.shared:
            pytest.skip("the store is not shared")
        opened = opens()
        yield opened
        await opened.close()

    async def test_values_come_in_the_order_of_their_keys(self, store: OrderedStore) -> None:
        assert list(await store.get([b"a"])) == [None]
        assert await store.commit((b"a", None), {b"a": b"1", b"b": b"2"})
        assert list(await store.get([b"b", b"x", b"a", b"b"])) == [b"2", None, b"1", b"2"]
        assert list(await store.get([])) == []

    async def test_any_bytes_are_keys_and_values(self, store: OrderedStore) -> None:
        odd = {
            b"\0": b"",
            b"\xff\xfe": b"\0\xff\n",
            "ключ/\N{GRINNING FACE}".encode(): b'{"a": 1}',
            b"x" * 4096: b"\\x",
        }
        assert await store.commit((b"\0", None), odd)
        assert list(await store.get(list(odd))) == list(odd.values())
        assert dict(await store.scan(b"", b"\xff\xff", 10)) == odd

    async def test_large_values_are_kept(self, store: OrderedStore) -> None:
        value = bytes(range(256)) * (8 * KIB)
        assert len(value) == 2 * MIB
        assert await store.commit((b"a", None), {b"a": value, b"b": value})
        assert list(await store.get([b"b"])) == [value]

    async def test_a_scan_has_bounds_an_order_and_a_limit(self, store: OrderedStore) -> None:
        names = [b"a", b"a\0", b"a/", b"a/1", b"a/10", b"a/2", b"a0", b"b", b"\xc3\xa9"]
        assert await store.commit((b"a", None), dict.fromkeys(names, b"v"))
        assert [key for key, _ in await store.scan(b"a/", b"a0", 10)] == [b"a/", b"a/1", b"a/10", b"a/2"]
        assert [key for key, _ in await store.scan(b"a/1\0", b"\xff", 3)] == [b"a/10", b"a/2", b"a0"]
        assert list(await store.scan(b"c", b"d", 10)) == []
        assert list(await store.scan(b"b", b"a", 10)) == []

    async def test_all_keys_are_found_page_by_page(self, store: OrderedStore) -> None:
        names = [f"{number:04}".encode() for number in range(1000)]
        assert await store.commit((b"none", None), {name: name * 100 for name in names})
        found: list[bytes] = []
        while page := await store.scan(found[-1] + b"\0" if found else b"", b"\xff", 64):
            assert all(value == key * 100 for key, value in page)
            found += [key for key, _ in page]
        assert found == names

    async def test_a_scan_of_large_values_gets_on(self, store: OrderedStore) -> None:
        for number in range(8):
            assert await store.commit((b"none", None), {b"%d" % number: b"x" * (2 * MIB)})
        found: list[bytes] = []
        while page := await store.scan(found[-1] + b"\0" if found else b"", b"\xff", 8):
            found += [key for key, _ in page]
        assert found == [b"%d" % number for number in range(8)]

    async def test_nothing_is_written_where_the_check_fails(self, store: OrderedStore) -> None:
        assert await store.commit((b"head", None), {b"head": b"1", b"a": b"1"})
        assert not await store.commit((b"head", None), {b"head": b"2", b"a": b"2", b"b": b"2"})
        assert not await store.commit((b"head", b"0"), {b"a": None, b"b": b"2"})
        assert list(await store.get([b"head", b"a", b"b"])) == [b"1", b"1", None]
        assert await store.commit((b"head", b"1"), {})
        assert not await store.commit((b"head", b"2"), {})

    async def test_keys_are_removed(self, store: OrderedStore) -> None:
        assert await store.commit((b"a", None), {b"a": b"1", b"b": b"2", b"c": b"3"})
        assert await store.commit((b"a", b"1"), {b"b": None, b"never": None, b"c": b"4"})
        assert list(await store.get([b"a", b"b", b"c"])) == [b"1", None, b"4"]
        assert [key for key, _ in await store.scan(b"", b"\xff", 10)] == [b"a", b"c"]
        assert await store.commit((b"b", None), {b"a": None, b"c": None})
        assert list(await store.scan(b"", b"\xff", 10)) == []

    async def test_many_writes_are_one_commit(self, store: OrderedStore) -> None:
        writes: dict[bytes, bytes | None] = {b"%05d" % number: b"v" for number in range(5000)}
        assert await store.commit((b"none", None), writes)
        assert all(value == b"v" for value in await store.get(list(writes)))

    async def test_no_change_is_lost_among_tasks(self, store: OrderedStore) -> None:
        await asyncio.gather(*(_count(store, 10) for _ in range(10)))
        assert list(await store.get([b"count"])) == [b"100"]

    async def test_no_change_is_lost_among_processes(self, store: OrderedStore, other: OrderedStore) -> None:
        await asyncio.gather(_count(store, 25), _count(other, 25))
        assert list(await store.get([b"count"])) == [b"50"]
        assert list(await other.get([b"count"])) == [b"50"]

    async def test_a_commit_is_seen_by_others_at_once(self, store: OrderedStore, other: OrderedStore) -> None:
        for number in range(20):
            value = b"%d" % number
            assert await store.commit((b"none", None), {b"a": value, b"b/%d" % number: value})
            assert list(await other.get([b"a"])) == [value]
            assert len(await other.scan(b"b/", b"b0", 100)) == number + 1

    async def test_commits_of_others_are_told(self, store: OrderedStore, other: OrderedStore) -> None:
        told = asyncio.Event()
        other.listen(told.set)

        async def changed() -> bool:
            await store.commit((b"none", None), {b"a": b"1"})
            return told.is_set()

        await wait_until(changed)

    async def test_data_outlive_the_store(self, opens: Opens) -> None:
        if not self.shared:
            pytest.skip("the store is not shared")
        first = opens()
        assert await first.commit((b"a", None), {b"a": b"1"})
        await first.close()
        second = opens()
        assert list(await second.get([b"a"])) == [b"1"]
        await second.close()

    async def test_a_store_that_works_is_healthy(self, store: OrderedStore) -> None:
        await store.health()


async def _count(store: OrderedStore, times: int) -> None:
    for _ in range(times):
        done = False
        while not done:
            [found] = await store.get([b"count"])
            done = await store.commit((b"count", found), {b"count": b"%d" % (int(found or b"0") + 1)})
            await asyncio.sleep(0)
