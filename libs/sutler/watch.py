"""Watches: batches of changes from a log, with tokens to resume from, checkpoints and an honest end.

A watch reads a log by position, so that a slow reader costs no memory: flow control holds it, and if the log was
compacted past its position meanwhile, it ends with READER_TOO_SLOW.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from google.rpc.status_pb2 import Status

from sutler.context import current
from sutler.errors import Exhausted, OutOfRange, Unavailable, invalid
from sutler.incidents import known
from sutler.status import to_status
from sutler.tokens import TokenSealer

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

BATCH_SECONDS = 0.1
"""How old a change may be when it is sent: changes within this time share a message."""

CHECKPOINT_SECONDS = 5.0
"""How long a watch is silent at the most."""

MAX_BATCH = 500


@dataclass(frozen=True, slots=True)
class Batch(Generic[T]):
    """What one message of a watch says.

    Attributes:
        changes: What changed, in order; empty for a checkpoint.
        resume_token: Resuming from it gives everything after this batch.
    """

    changes: Sequence[T]
    resume_token: str


class Log(Protocol[T_co]):
    """A log of changes that is numbered in commit order."""

    async def bounds(self) -> tuple[int, int]:
        """Returns the position before the oldest kept entry, and that of the newest one."""
        ...

    async def after(self, position: int, limit: int) -> Sequence[tuple[int, T_co]]:
        """Returns entries after a position, in order, each with its own: at most ``limit``, and not more than go into
        one message of 3 MiB, but at least one if there is one."""
        ...


class Signal(Protocol):
    """Wakes those who wait for changes."""

    @property
    def generation(self) -> int:
        """Grows with every change; read it before looking, so that no wake-up is lost."""
        ...

    async def wait(self, timeout: float | None = None, since: int | None = None) -> int:
        """Returns when there was a change after generation ``since``, or after ``timeout`` seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Watcher:
    """Makes watches over the logs of one service.

    Attributes:
        sealer: Authenticates resume tokens.
        shutdown: Ends every watch with UNAVAILABLE when set.
    """

    sealer: TokenSealer
    shutdown: asyncio.Event

    async def watch(
        self, log: Log[T], signal: Signal, *, name: str, resume_token: str, matches: Callable[[T], bool]
    ) -> AsyncIterator[Batch[T]]:
        """Yields batches for ever; the first, a checkpoint or changes, comes at once.

        Args:
            log: What to read.
            signal: Wakes the watch after changes.
            name: The kind of watch and its tenant; tokens of another are refused.
            resume_token: Where to begin; after the newest change if empty.
            matches: Which changes to send.

        Raises:
            Invalid: If the token is not one of this watch.
            OutOfRange: If it is older than what is kept, or newer than all there is because the store was restored;
                ``oldest`` in the metadata is a token that is neither.
            Exhausted: If the reader was so slow that changes it had not read are no longer kept.
            Unavailable: If the server stops.
        """
        position = await self._begin(log, name, resume_token)
        first = True
        while True:
            entries, position = await self._next(log, signal, name, position, matches, first)
            yield Batch(entries, self._token(name, position))
            first = False

    async def _begin(self, log: Log[T], name: str, resume_token: str) -> int:
        oldest, newest = await log.bounds()
        if not resume_token:
            return newest
        try:
            position = self.sealer.open("watch", name, resume_token)
        except ValueError as error:
            raise invalid("resume_token", "is not one of this watch", reason="RESUME_TOKEN_INVALID") from error
        assert isinstance(position, int)
        if not oldest <= position <= newest:  # newer: the store was put back to an earlier state
            raise OutOfRange(
                "resume_token is not of what is kept now; list everything again, then watch from the oldest token",
                metadata={"oldest": self._token(name, oldest)},
            )
        return position

    async def _next(
        self, log: Log[T], signal: Signal, name: str, position: int, matches: Callable[[T], bool], first: bool
    ) -> tuple[list[T], int]:
        loop = asyncio.get_running_loop()
        ends = loop.time() + (0 if first else CHECKPOINT_SECONDS)
        while True:
            if self.shutdown.is_set():
                raise Unavailable("the server is stopping; resume elsewhere", reason="SHUTTING_DOWN")
            seen = signal.generation
            entries = await log.after(position, MAX_BATCH)
            if entries and entries[0][0] > position + 1:
                await self._check_kept(log, name, position)
            found = [change for _, change in entries if matches(change)]
            position = entries[-1][0] if entries else position
            if found or loop.time() >= ends:
                return found, position
            if entries:
                await asyncio.sleep(0)
            else:
                left = ends - loop.time()
                await changed(signal, self.shutdown, seconds=left, since=seen, gather=min(BATCH_SECONDS, left) / 2)

    async def _check_kept(self, log: Log[T], name: str, position: int) -> None:
        oldest, _ = await log.bounds()
        if position < oldest:
            raise Exhausted(
                "the watch was read too slowly and has missed changes; list everything again",
                reason="READER_TOO_SLOW",
                metadata={"oldest": self._token(name, oldest)},
            )

    def _token(self, name: str, position: int) -> str:
        return self.sealer.seal("watch", name, position)


async def changed(signal: Signal, shutdown: asyncio.Event, *, seconds: float, since: int, gather: float = 0.0) -> None:
    """Waits for a change, for the shutdown, or until the time is over.

    Args:
        signal: Tells of changes.
        shutdown: Ends the wait at once.
        seconds: How long to wait.
        since: The generation that the caller knew before it looked.
        gather: For how long the changes that follow the first one may join it.
    """
    stopping = asyncio.create_task(shutdown.wait())
    changing = asyncio.create_task(signal.wait(seconds, since=since))
    try:
        await asyncio.wait((stopping, changing), return_when=asyncio.FIRST_COMPLETED)
        if gather and not stopping.done():
            await asyncio.wait((stopping,), timeout=gather)
    finally:
        stopping.cancel()
        changing.cancel()


async def with_final_status(area: str, responses: AsyncIterator[T], last: Callable[[Status], T]) -> AsyncIterator[T]:
    """Yields the responses of a watch and, before it fails in the middle, one that holds the status.

    A REST reader sees an error after the first message as a normal end; this message tells the difference. An error
    before the first message is seen as one, so nothing is sent then.

    Args:
        area: The API, for the error domain.
        responses: The responses.
        last: Makes the response that carries only the status.
    """
    begun = False
    try:
        async for response in responses:
            begun = True
            yield response
    except Exception as error:
        call = current()
        told = known(error, call)
        if begun:
            yield last(to_status(told, f"{area}.sutler.dev", call.correlation_id))
        if told is error:
            raise
        raise told from error
