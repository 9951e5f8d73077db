"""Reads that are under way: who misses what another call reads already waits for that."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from services.erp.records import Record

LINGER_SECONDS = 1.0
"""How long a read is found after its end, by calls that began before it: they looked into the caches, and missed."""


@dataclass(slots=True, eq=False)
class Flight:
    """The read of one record.

    Attributes:
        answer: The record, or None if it does not exist; cancelled if the call that reads it was.
        end_time: When it ended, by the event loop's clock.
    """

    answer: asyncio.Future[Record | None] = field(default_factory=asyncio.Future)
    end_time: float = math.inf


class Flights:
    """The reads of this process by connection and by the key under which caches keep the answer."""

    def __init__(self) -> None:
        self._flying: dict[str, dict[str, Flight]] = {}

    def find(self, uid: str, keys: Sequence[str], began: float) -> dict[str, asyncio.Future[Record | None]]:
        """Returns the reads for which a call may wait that began at a time of the event loop's clock, by key."""
        flying = self._flying.get(uid, {})
        return {key: flying[key].answer for key in keys if key in flying and began < flying[key].end_time}

    @contextmanager
    def begin(self, uid: str, keys: Sequence[str]) -> Iterator[dict[str, Record | None]]:
        """Lets others wait for the reads of keys; yields where the answers go. What the block raises, they get too."""
        loop = asyncio.get_running_loop()
        flights = {key: Flight() for key in keys}
        self._flying.setdefault(uid, {}).update(flights)
        answers: dict[str, Record | None] = {}
        try:
            yield answers
        except Exception as error:
            for flight in flights.values():
                flight.answer.set_exception(error)
                flight.answer.exception()
            self._forget(uid, flights)
            raise
        finally:
            for key, flight in flights.items():
                flight.end_time = loop.time()
                if not flight.answer.done():
                    flight.answer.set_result(answers[key]) if key in answers else flight.answer.cancel()
            loop.call_later(LINGER_SECONDS, self._forget, uid, flights)

    def drop(self, uid: str) -> None:
        """Lets nobody wait any more for what is read now: something has changed since it was asked for."""
        self._flying.pop(uid, None)

    def _forget(self, uid: str, flights: Mapping[str, Flight]) -> None:
        flying = self._flying.get(uid, {})
        for key, flight in flights.items():
            if flying.get(key) is flight:
                del flying[key]
        if not flying:
            self._flying.pop(uid, None)
