"""Operations for tests: where they are kept, how they are made, and a process that carries them out.

``python -m tests.integration.libs.operating URL LEASE_SECONDS`` claims operations and never ends one. It writes a line
for each attempt that it begins, then tells progress for each line that it reads, and says when it must not any more.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.empty_pb2 import Empty
from sutler.errors import Conflict
from sutler.ids import new_id
from sutler.operations import Execution, Operation, OperationRunner, State, records
from sutler.store import Database, open_database

AREA = "rule"
MIGRATIONS = {records.COMPONENT: records.MIGRATIONS}


def opened(url: str, **more: Any) -> AbstractAsyncContextManager[Database]:
    return open_database(url, name=AREA, migrations=MIGRATIONS, **more)


def operation(target: str = "rules/a", **fields: Any) -> Operation:
    defaults: dict[str, Any] = {"tenant": "default", "method": "ReplayEvents", "work": {"n": 1}}
    return Operation(**{"name": f"{AREA}Operations/{new_id()}", "target": target, **defaults, **fields})


async def inserted(database: Database, target: str = "rules/a", **fields: Any) -> Operation:
    return await database.write(lambda tx: records.insert(tx, operation(target, **fields)))


async def stored(database: Database, name: str, tenant: str = "default") -> Operation:
    return await database.read(lambda tx: records.get(tx, tenant, name))


def response() -> bytes:
    packed = AnyMessage()
    packed.Pack(Empty())
    return packed.SerializeToString()


async def succeed(execution: Execution) -> None:
    """Ends an operation well."""
    await execution.database.write(lambda tx: execution.end(tx, State.SUCCEEDED, response=response()))


@asynccontextmanager
async def runs(database: Database, execute: Callable[[Execution], Any], **more: Any) -> AsyncIterator[None]:
    """Carries operations out while the block runs; what ends the runner fails the test."""
    running = asyncio.create_task(OperationRunner(database, execute, area=AREA, **more).run())
    try:
        yield
        assert not running.done(), running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _unstoppable(work: Coroutine[Any, Any, Any]) -> Any:
    """Waits for something whoever cancels it, so that only the store can keep a late holder from writing."""
    working = asyncio.create_task(work)
    while not working.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({working})
    return working.result()


async def _main(url: str, lease_seconds: str) -> None:
    async def hang(execution: Execution) -> None:
        _say("began", execution.operation.name, execution.operation.attempt)
        try:
            while await _unstoppable(asyncio.to_thread(sys.stdin.readline)):
                await _unstoppable(execution.progress(50, "hanging"))
        except Conflict as error:
            _say("lost", error.reason)
            raise

    async with opened(url) as database:
        await OperationRunner(database, hang, area=AREA, lease_seconds=float(lease_seconds)).run()


def _say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
