"""The one writer of a process: takes whatever changes wait, and commits them together."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import deque
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

CROWD = 3
"""After so many changes in one batch, the next one waits until there are as many again."""

GATHER_SECONDS = 0.03
"""For how long it waits for them at most. A commit costs as much as some three changes of a resource, so with many
callers small batches would keep them all waiting; who calls alone never waits."""

LULL_SECONDS = 0.004
"""When for so long no other came, it waits no more: those who made the last batch do something else now."""

LOOP_SECONDS = 0.01
"""For how long at a time changes run on the event loop."""


@dataclass(slots=True, eq=False)
class Waiting(Change):
    """A change whose caller waits.

    Attributes:
        future: What the caller awaits; belongs to its loop.
        quick: Whether it may run on the event loop.
    """

    future: asyncio.Future[Any]
    quick: bool


class Writer:
    """Takes changes from any event loop, in their order, and answers each when it is durable, or has failed.

    Every batch is committed in a thread, because the disk takes its time. Its changes run there too, or on the event
    loop if they are quick and the engine allows it: in a thread each statement would hand the interpreter's lock to
    the loop and wait for it again, which costs more than the statement (measured on SQLite: three times the rate).

    Args:
        batches: Commits changes.
        committed: Called after each commit, from the thread.
        max_waiting: How many changes may wait.
        name: Whose database it is, for the thread's name.
        inline: Whether quick changes may run on the event loop.
    """

    def __init__(
        self, batches: Batches, committed: Callable[[], None], max_waiting: int, name: str, *, inline: bool = False
    ) -> None:
        self.changes = 0
        self.failures = 0
        self._batches = batches
        self._committed = committed
        self._max_waiting = max_waiting
        self._inline = inline
        self._waiting: deque[Waiting] = deque()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._crowd = 0
        self._gathered = threading.Event()
        self._busy = True
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._main, name=f"{name}-writer", daemon=True)

    @property
    def waiting(self) -> int:
        """How many changes wait now."""
        return len(self._waiting)

    def start(self) -> None:
        """Starts the thread."""
        self._jobs.put(self._go_on)
        self._thread.start()

    def submit(self, fn: Callable[[Transaction], T], *, quick: bool = False) -> asyncio.Future[T]:
        """Puts a change in line; it will be run whatever becomes of the future.

        Raises:
            Exhausted: If too many changes wait (OVERLOADED).
            Unavailable: If the store is closed (SHUTTING_DOWN).
        """
        if len(self._waiting) >= self._max_waiting:
            raise Exhausted(
                f"{self._max_waiting} changes wait for the database already; try again",
                reason="OVERLOADED",
                metadata={"queue": "writes", "limit": str(self._max_waiting)},
                retry_after=RETRY_AFTER,
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        change = Waiting(fn, copy_context(), future, quick and self._inline)
        with self._lock:
            if self._closed:
                raise Unavailable("the database is closed: the server is stopping", reason="SHUTTING_DOWN")
            self._waiting.append(change)
            if len(self._waiting) == self._crowd:
                self._gathered.set()
            if not self._busy:
                self._busy = True
                if change.quick and not self._crowd:
                    loop.call_soon(self._run_on_loop)
                else:
                    self._jobs.put(self._begin)
        return future

    def close(self) -> None:
        """Runs what waits, then ends the thread. Blocks."""
        with self._lock:
            self._closed = True
            if not self._busy:
                self._jobs.put(None)
        self._thread.join()

    def _main(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
        self._batches.close()

    def _go_on(self) -> None:
        """Has the next batch run, where its first change may; ends the thread if it is the last."""
        with self._lock:
            first = self._waiting[0] if self._waiting else None
            self._busy = first is not None
            if first is None:
                if self._closed:
                    self._jobs.put(None)
                return
        self._begin()

    def _begin(self) -> None:
        """Has a batch run, when as many changes wait as were in the last one."""
        self._gather()
        first = self._waiting[0]
        if first.quick:
            try:
                first.future.get_loop().call_soon_threadsafe(self._run_on_loop)
                return
            except RuntimeError:  # that loop is closed, but the change must happen
                pass
        self._jobs.put(self._run_in_thread)

    def _gather(self) -> None:
        self._gathered.clear()
        ends = time.monotonic() + GATHER_SECONDS
        came = 0
        while came < len(self._waiting) < self._crowd and not self._closed and time.monotonic() < ends:
            came = len(self._waiting)
            self._gathered.wait(LULL_SECONDS)

    def _run_on_loop(self) -> None:
        if not self._batches.try_begin():
            self._jobs.put(self._run_in_thread)
            return
        batch: list[Change] = [self._waiting.popleft()]
        if self._guarded(batch, lambda: self._batches.fill(batch, self._next_quick, LOOP_SECONDS)):
            self._jobs.put(lambda: self._end(batch, lambda: self._batches.finish(batch)))
        else:
            self._jobs.put(lambda: self._settle(batch))

    def _run_in_thread(self) -> None:
        batch: list[Change] = [self._waiting.popleft()]
        self._end(batch, lambda: self._batches.run(batch, self._next))

    def _end(self, batch: list[Change], step: Callable[[], None]) -> None:
        """Takes the step that commits a batch, and answers its callers."""
        before = self._batches.commits
        self._guarded(batch, step)
        if self._batches.commits != before:
            self._committed()
        self._settle(batch)

    def _guarded(self, batch: Iterable[Change], step: Callable[[], None]) -> bool:
        """Takes a step and returns whether it could: a fault of the store must not leave callers waiting for ever."""
        try:
            step()
        except BaseException as error:
            log.exception("store.writer_failed")
            for change in batch:
                change.error = change.error or error
            self._batches.close()
            return False
        return True

    def _next(self) -> Waiting | None:
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def _next_quick(self) -> Waiting | None:
        return self._waiting.popleft() if self._waiting and self._waiting[0].quick else None

    def _settle(self, batch: list[Change]) -> None:
        """Hands results over, one call for each event loop, and goes on."""
        loops: dict[asyncio.AbstractEventLoop, list[Waiting]] = {}
        for change in batch:
            assert isinstance(change, Waiting)
            self.changes += 1
            self.failures += change.error is not None
            loops.setdefault(change.future.get_loop(), []).append(change)
        for loop, settled in loops.items():
            with suppress(RuntimeError):  # a loop that is closed has nobody left to answer
                loop.call_soon_threadsafe(_resolve, settled)
        self._crowd = len(batch) if len(batch) >= CROWD else 0
        self._go_on()


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
