"""The one writer of a process: a thread that takes whatever changes wait and commits them together."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from sutler.errors import Exhausted, Unavailable
from sutler.store.batch import Batches, Change
from sutler.store.failures import RETRY_AFTER
from sutler.store.transaction import Transaction

log = structlog.get_logger("sutler.store")

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Waiting(Change):
    """A change whose caller waits.

    Attributes:
        future: What the caller awaits; belongs to its loop.
    """

    future: asyncio.Future[Any]


class Writer:
    """Takes changes from any event loop and answers each when it is durable, or has failed.

    Args:
        batches: Commits them.
        committed: Called after each commit, from the writer's thread.
        max_waiting: How many changes may wait.
        name: Whose database it is, for the thread's name.
    """

    def __init__(self, batches: Batches, committed: Callable[[], None], max_waiting: int, name: str) -> None:
        self.changes = 0
        self.failures = 0
        self._batches = batches
        self._committed = committed
        self._max_waiting = max_waiting
        self._queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._main, name=f"{name}-writer", daemon=True)

    @property
    def waiting(self) -> int:
        """How many changes wait now."""
        return self._queue.qsize()

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def submit(self, fn: Callable[[Transaction], T]) -> asyncio.Future[T]:
        """Puts a change in line; it will be run whatever becomes of the future.

        Raises:
            Exhausted: If too many changes wait (OVERLOADED).
            Unavailable: If the store is closed (SHUTTING_DOWN).
        """
        if self._queue.qsize() >= self._max_waiting:
            raise Exhausted(
                f"{self._max_waiting} changes wait for the database already; try again",
                reason="OVERLOADED",
                metadata={"queue": "writes", "limit": str(self._max_waiting)},
                retry_after=RETRY_AFTER,
            )
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        change = Waiting(fn, copy_context(), future)
        with self._lock:
            if self._closed:
                raise Unavailable("the database is closed: the server is stopping", reason="SHUTTING_DOWN")
            self._queue.put(change)
        return future

    def close(self) -> None:
        """Runs what waits, then ends the thread. Blocks."""
        with self._lock:
            self._closed = True
            self._queue.put(None)
        self._thread.join()

    def _main(self) -> None:
        while (first := self._queue.get()) is not None:
            taken = [first]
            before = self._batches.commits
            try:
                self._batches.run(first, lambda taken=taken: self._next(taken))  # type: ignore[misc]
            except BaseException as error:  # a fault of the store itself must not leave callers waiting for ever
                log.exception("store.writer_failed")
                for change in taken:
                    change.error = change.error or error
                self._batches.close()
            self.changes += len(taken)
            self.failures += sum(change.error is not None for change in taken)
            if self._batches.commits != before:
                self._committed()
            _settle(taken)
        self._batches.close()

    def _next(self, taken: list[Waiting]) -> Waiting | None:
        try:
            change = self._queue.get_nowait()
        except queue.Empty:
            return None
        if change is None:
            self._queue.put(None)
            return None
        taken.append(change)
        return change


def _settle(changes: Iterable[Waiting]) -> None:
    """Hands results over: one call for each event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[Waiting]] = {}
    for change in changes:
        loops.setdefault(change.future.get_loop(), []).append(change)
    for loop, settled in loops.items():
        with suppress(RuntimeError):  # a loop that is closed has nobody left to answer
            loop.call_soon_threadsafe(_resolve, settled)


def _resolve(changes: Iterable[Waiting]) -> None:
    for change in changes:
        if change.future.done():
            if change.error is not None:
                log.warning("store.abandoned_change_failed", error=str(change.error))
        elif change.error is None:
            change.future.set_result(change.result)
        elif isinstance(change.error, StopIteration):  # a future does not take it
            change.future.set_exception(RuntimeError("the change raised StopIteration"))
        else:
            change.future.set_exception(change.error)
