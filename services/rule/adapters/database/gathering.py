"""Reads for many callers in one transaction."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from sutler.errors import NotFound, SutlerError
from sutler.store import Database, Transaction

T = TypeVar("T")

MAX_GATHERED = 100
"""How many callers share one transaction."""

Read = Callable[[Transaction], T]


class Gathering(Generic[T]):
    """Makes the reads that are asked for in one turn of the event loop in one transaction.

    To hand a read to a thread and to begin a transaction takes longer than a short read itself.

    Args:
        database: What is read.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[Read[T], asyncio.Future[T]]] = []
        self._reading: set[asyncio.Task[None]] = set()

    async def read(self, fn: Read[T]) -> T:
        """Returns what ``fn`` returns.

        Raises:
            NotFound: If ``fn`` raises it, for this caller alone.
            SutlerError: If the store cannot be used.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._begin)
        self._waiting.append((fn, future))
        return await future

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, []
        for at in range(0, len(waiting), MAX_GATHERED):
            task = asyncio.create_task(self._answer(waiting[at : at + MAX_GATHERED]))
            self._reading.add(task)
            task.add_done_callback(self._reading.discard)

    async def _answer(self, waiting: Sequence[tuple[Read[T], asyncio.Future[T]]]) -> None:
        found: Sequence[T | Exception]
        try:
            found = await self._database.read(lambda tx: [_outcome(tx, fn) for fn, _ in waiting])
        except Exception as error:
            # Each its own copy: raising adds to its traceback.
            found = [copy.copy(error) if isinstance(error, SutlerError) else error for _ in waiting]
        for (_, future), outcome in zip(waiting, found, strict=True):
            if future.done():
                continue
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)


def _outcome(tx: Transaction, fn: Read[T]) -> T | Exception:
    """Returns what a read gives, or how it fails alone; what the store cannot do concerns all."""
    try:
        return fn(tx)
    except NotFound as error:
        return error
    except SutlerError:
        raise
    except Exception as error:
        return error
