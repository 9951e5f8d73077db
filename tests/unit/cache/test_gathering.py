"""Reads that share a command."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from sutler.errors import Unavailable

from services.cache.adapters.redis.gathering import FLIGHTS, MAX_KEYS, Gathered


class Server:
    """Answers each key with itself, and a key that begins with ``-`` with nothing."""

    def __init__(self) -> None:
        self.commands: list[int] = []
        self.under_way = self.most = 0
        self.down = False

    async def fetch(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        self.commands.append(len(keys))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        if self.down:
            raise Unavailable("down")
        return [None if key.startswith(b"-") else key for key in keys]


async def test_many_readers_share_few_commands_and_each_gets_its_own() -> None:
    server = Server()
    gathered = Gathered(server.fetch)
    wanted = [[b"%d" % number, b"-%d" % number] for number in range(200)]
    assert await asyncio.gather(*map(gathered.get, wanted)) == [[keys[0], None] for keys in wanted]
    assert sum(server.commands) == 400 and max(server.commands) == MAX_KEYS
    assert len(server.commands) < 10 and server.most == FLIGHTS


async def test_one_reader_may_bring_more_than_gather() -> None:
    server = Server()
    keys = [b"%d" % number for number in range(1000)]
    assert await Gathered(server.fetch).get(keys) == keys
    assert server.commands == [1000]


async def test_a_failure_reaches_all_who_wait_and_those_after_it_are_served() -> None:
    server = Server()
    gathered = Gathered(server.fetch)
    server.down = True
    found = await asyncio.gather(*(gathered.get([b"k"]) for _ in range(9)), return_exceptions=True)
    assert all(isinstance(one, Unavailable) for one in found)
    server.down = False
    assert await gathered.get([b"k"]) == [b"k"]


async def test_a_reader_that_goes_takes_nobody_with_it() -> None:
    gathered = Gathered(Server().fetch)
    readers = [asyncio.create_task(gathered.get([b"%d" % number])) for number in range(5)]
    await asyncio.sleep(0)
    readers[0].cancel()
    readers[3].cancel()
    with pytest.raises(asyncio.CancelledError):
        await readers[3]
    assert [await readers[number] for number in (1, 2, 4)] == [[b"1"], [b"2"], [b"4"]]
