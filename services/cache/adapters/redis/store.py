"""An ordered store in Redis: values in a hash, their order in a sorted set, commits by a script."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from typing import Any
from uuid import uuid4

from redis.commands.core import AsyncScript
from sutler.backends import OrderedStore
from sutler.backends.ordered import Check
from sutler.errors import Exhausted

from services.cache.adapters.redis import scripts
from services.cache.adapters.redis.connecting import client_of
from services.cache.adapters.redis.failures import damaged, told
from services.cache.adapters.redis.gathering import Gathered, Values
from services.cache.adapters.redis.listening import end, listen
from services.cache.adapters.redis.options import RedisOptions
from services.cache.adapters.redis.server import check_server, parsed, survives_restart
from services.cache.adapters.redis.shielding import Shield
from services.cache.adapters.redis.turns import Turns

COMMITS = 8
SCANS = 8
"""How many are under way at once, each on a connection of its own."""

MAX_SCAN_BYTES = 4 * 1024 * 1024


class RedisStore(OrderedStore):
    """Keeps everything under keys that begin with ``{prefix}``, so that one node of a cluster has all of it.

    A command that gets no answer is repeated; of a commit, Redis knows by its turn whether it was made.

    Args:
        options: Where Redis is.
    """

    def __init__(self, options: RedisOptions) -> None:
        tag = f"{{{options.prefix}}}"
        self._process = uuid4().hex
        self._values, self._order, self._channel = f"{tag}:values", f"{tag}:order", f"{tag}:changed"
        self._made = f"{tag}:turns:{self._process}"
        self._client = client_of(options)
        self._scan = self._client.register_script(scripts.SCAN)
        self._commit = self._client.register_script(scripts.COMMIT)
        self._commit_when_full = self._client.register_script(scripts.COMMIT_WHEN_FULL)
        self._info = self._client.register_script(scripts.INFO)
        self._turns = Turns(COMMITS)
        self._gathered = Gathered(self._fetch)
        self._shield = Shield()
        self._scans = asyncio.Semaphore(SCANS)
        self._checked = False
        self._listeners: list[asyncio.Task[None]] = []

    async def get(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """Returns the values of keys, as of one moment."""
        if not keys:
            return ()
        await self._check()
        return await self._gathered.get(keys)

    async def scan(self, first: bytes, end: bytes, limit: int) -> Sequence[tuple[bytes, bytes]]:
        """Returns keys and values in order, as of one moment; none after the one that reaches 4 MiB."""
        await self._check()
        arguments = (b"[" + first, b"(" + end, limit, MAX_SCAN_BYTES)
        async with self._scans:
            found = await self._run(self._scan, (self._order, self._values), arguments)
        if None in found:
            raise damaged()
        return list(zip(found[::2], found[1::2], strict=True))

    async def commit(self, check: Check, writes: Mapping[bytes, bytes | None]) -> bool:
        """Makes writes, if a key still has its value; the answer is true also if the first one was lost.

        Raises:
            Exhausted: If the memory is full and the writes do not free what they take.
            Unavailable: If no try was answered; then they may have been made.
        """
        await self._check()
        return await self._shield.run(self._make(check, writes))

    async def health(self) -> None:
        """Returns if Redis answers.

        Raises:
            Unavailable: Also if it is older than version 7, or would drop keys when its memory is full.
        """
        check_server(await self._server())

    async def durable(self) -> bool:
        """Returns whether the server keeps what it has over a restart."""
        return survives_restart(await self._server())

    async def close(self) -> None:
        """Ends all connections."""
        for listener in self._listeners:
            await end(listener)
        await self._shield.finish()
        await self._client.aclose()

    def listen(self, changed: Callable[[], None]) -> None:
        """Has ``changed`` called after commits of other processes, and after a break of the connection."""
        hearing = listen(self._client, self._channel, self._process, changed)
        self._listeners.append(asyncio.create_task(hearing, context=Context()))

    async def _make(self, check: Check, writes: Mapping[bytes, bytes | None]) -> bool:
        key, value = check
        puts = [part for name, given in writes.items() if given is not None for part in (name, given)]
        removals = [name for name, given in writes.items() if given is None]
        async with self._turns.next() as (slot, number):
            turn: list[str | bytes | int] = [slot, number, key, int(value is not None), value or b""]
            arguments = [*turn, self._channel, self._process, len(puts) // 2, *puts, *removals]
            keys = (self._values, self._order, self._made)
            try:
                made = await _answer(self._commit, keys, arguments)
            except Exhausted:
                made = await _answer(self._commit_when_full, keys, arguments)
        return bool(made)

    async def _fetch(self, keys: Sequence[bytes]) -> Values:
        with told():
            values: Values = await self._client.execute_command("HMGET", self._values, *keys)
        return values

    async def _check(self) -> None:
        """Looks at the server before the first use, so that none is used that could lose keys."""
        if not self._checked:
            await self.health()
            self._checked = True

    async def _server(self) -> Mapping[str, str]:
        return parsed(await self._run(self._info, (self._values,), ()))

    async def _run(self, script: AsyncScript, keys: Sequence[str], arguments: Sequence[bytes | int]) -> Any:
        return await self._shield.run(_answer(script, keys, arguments))


async def _answer(script: AsyncScript, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> Any:
    with told():
        return await script(keys, arguments)
