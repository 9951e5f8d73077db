"""Watches: batches of changes from a log, with tokens to resume from, checkpoints and an honest end.

A watch reads a log by position, so that a slow reader costs no memory: flow control holds it, and if the log was
compacted past its position meanwhile, it ends with READER_TOO_SLOW. Those that keep up share a tail of the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from google.rpc.status_pb2 import Status

from sutler.context import current
from sutler.errors import Exhausted, Invalid, OutOfRange, invalid
from sutler.incidents import known
from sutler.status import to_status
from sutler.tails import Log, Missed, Signal, Tail, stopping
from sutler.tokens import TokenSealer

T = TypeVar("T")
S = TypeVar("S")

CHECKPOINT_SECONDS = 5.0
"""How long a watch is silent at the most."""


@dataclass(frozen=True, slots=True)
class Batch(Generic[T]):
    """What one message of a watch says.

    Attributes:
        changes: What changed, in order; empty for a checkpoint.
        resume_token: Resuming from it gives everything after this batch.
        replaying: Whether more of what exists is still to come, in a watch that begins with that.
    """

    changes: Sequence[T]
    resume_token: str
    replaying: bool = False


def token_invalid() -> Invalid:
    """Returns what a watch ends with whose resume token is of no such watch, or none at all."""
    return invalid(
        "resume_token",
        "was not made by this server for this watch; watch anew without it",
        reason="RESUME_TOKEN_INVALID",
    )


@dataclass(frozen=True, slots=True)
class Watcher:
    """Makes watches over the logs of one service.

    Attributes:
        sealer: Authenticates resume tokens.
        shutdown: Ends every watch with UNAVAILABLE when set.
    """

    sealer: TokenSealer
    shutdown: asyncio.Event
    _tails: dict[Hashable, Tail[Any]] = field(default_factory=dict, init=False, repr=False, compare=False)

    async def watch(
        self, log: Log[T], signal: Signal, *, name: str, resume_token: str, see: Callable[[T], S | None]
    ) -> AsyncIterator[Batch[S]]:
        """Yields batches for ever; the first, a checkpoint or changes, comes at once.

        Args:
            log: What to read.
            signal: Tells of changes.
            name: The kind of watch and its tenant; tokens of another are refused.
            resume_token: Where to begin; after the newest change if empty.
            see: Makes of a change what to send; None if the watch does not see it.

        Raises:
            Invalid: If the token is not one of this watch.
            OutOfRange: If it is older than what is kept, or newer than all there is because the store was restored;
                ``oldest`` in the metadata is a token that is neither.
            Exhausted: If the reader was so slow that changes it had not read are no longer kept.
            Unavailable: If the server stops.
        """
        position, newest = await self._begin(log, name, resume_token)
        with self._following(log, signal, newest) as tail:
            seconds = 0.0
            while True:
                try:
                    found, position = await self._next(tail, position, see, seconds)
                except Missed as missed:
                    first = seconds == 0.0  # deleted since the token was checked: no reader could have been faster
                    raise self._too_old(name, missed.oldest) if first else self.too_slow(name, missed) from missed
                yield Batch(found, self.token(name, position))
                seconds = CHECKPOINT_SECONDS

    def token(self, name: str, position: int) -> str:
        """Returns the token of a watch for a position in its log."""
        return self.sealer.seal("watch", name, position)

    def position(self, name: str, resume_token: str) -> int:
        """Returns the position in its log for which :meth:`token` made a token.

        Raises:
            Invalid: If the token is not one of this watch.
        """
        try:
            position = self.sealer.open("watch", name, resume_token)
        except ValueError as error:
            raise token_invalid() from error
        assert isinstance(position, int)
        return position

    def too_slow(self, name: str, missed: Missed) -> Exhausted:
        """Returns what a watch ends with when its position is no longer kept."""
        return Exhausted(
            "the watch was read too slowly and has missed changes; list everything again",
            reason="READER_TOO_SLOW",
            metadata={"oldest": self.token(name, missed.oldest)},
        )

    async def check(self, log: Log[T], name: str, position: int) -> int:
        """Returns the position of the newest entry if all entries after another one are kept.

        Raises:
            OutOfRange: If they are not, or there was never such a position because the store was restored.
        """
        oldest, newest = await log.bounds()
        if not oldest <= position <= newest:  # newer: the store was put back to an earlier state
            raise self._too_old(name, oldest)
        return newest

    def _too_old(self, name: str, oldest: int) -> OutOfRange:
        return OutOfRange(
            "resume_token is not of what is kept now; list everything again, then watch from the oldest token",
            metadata={"oldest": self.token(name, oldest)},
        )

    async def _begin(self, log: Log[T], name: str, resume_token: str) -> tuple[int, int]:
        """Returns the position to begin at, and that of the newest entry."""
        if not resume_token:
            _, newest = await log.bounds()
            return newest, newest
        position = self.position(name, resume_token)
        return position, await self.check(log, name, position)

    @contextmanager
    def _following(self, log: Log[T], signal: Signal, newest: int) -> Iterator[Tail[T]]:
        """Gives the tail of a log, which lasts as long as somebody follows it."""
        tail: Tail[T] | None = self._tails.get(log.identity)
        if tail is None or tail.failure is not None:
            tail = self._tails[log.identity] = Tail(log, signal, self.shutdown, newest)
        tail.watches += 1
        try:
            yield tail
        finally:
            tail.watches -= 1
            if not tail.watches:
                tail.close()
                if self._tails.get(log.identity) is tail:
                    del self._tails[log.identity]

    async def _next(
        self, tail: Tail[T], position: int, see: Callable[[T], S | None], seconds: float
    ) -> tuple[list[S], int]:
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        while True:
            if self.shutdown.is_set():
                raise stopping()
            entries, position = await tail.after(position)
            found = [seen for _, change in entries if (seen := see(change)) is not None]
            if found or loop.time() >= ends:
                return found, position
            if entries:
                await asyncio.sleep(0)
            else:
                await tail.wait(position, ends - loop.time())


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
