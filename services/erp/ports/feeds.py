"""What the domain needs of the store for feeds. Every method raises Unavailable if the store does not answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sutler.events import Event
from sutler.tails import Signal

from services.erp.feed.model import Change, Cursor, Feed, Observation, Touch


class FeedStore(Protocol):
    """Feeds: what they know, and how far they have read."""

    async def all(self) -> list[Feed]:
        """Returns all feeds of all tenants."""
        ...

    async def version(self) -> int:
        """Returns a number that changes whenever a feed begins, changes or goes: so that nobody reads all in vain."""
        ...

    async def get(self, uid: str) -> Feed | None:
        """Returns a feed; None if it is gone."""
        ...

    async def ensure(self, feed: Feed, observations: Sequence[Observation]) -> Feed:
        """Stores a watch's feed unless one of its uid is there, keeps it alive, and returns the one that is there."""
        ...

    async def keep_alive(self, uid: str, until: float) -> None:
        """Keeps a watch's feed until a time in epoch seconds."""
        ...

    async def observations(self, uid: str, ids: Sequence[int]) -> dict[int, Observation]:
        """Returns what a feed knows of records."""
        ...

    async def known_times(self, uid: str, after_id: int, limit: int) -> dict[int, float]:
        """Returns when records that a feed knows last changed, by id and in the order of ids."""
        ...

    async def left_over(self, uid: str, generation: int, limit: int) -> list[int]:
        """Returns ids of records that the last baseline has not seen."""
        ...

    async def commit(self, feed: Feed, step: Step, fence: int) -> None:
        """Stores what a step of reading has found: observations, changes, events, and the cursor.

        Raises:
            Conflict: If another process polls now (LEASE_LOST), or the feed has changed or gone (FEED_CHANGED).
        """
        ...

    async def failed(self, feed: Feed, error: bytes, fence: int) -> None:
        """Notes why the ERP cannot be read; empty for that it can."""
        ...

    async def touched(self, feed: Feed, limit: int) -> list[Touch]:
        """Returns writes through the gateway that a feed has not looked at yet, in order."""
        ...

    async def latest_touch(self) -> int:
        """Returns the number of the last write through the gateway."""
        ...

    async def count(self, uid: str) -> int:
        """Returns how many records a feed knows."""
        ...

    async def log_bounds(self, uid: str) -> tuple[int, int]:
        """Returns the position before the oldest kept change of a watch's feed, and that of the newest."""
        ...

    async def log_after(self, uid: str, position: int, limit: int) -> list[tuple[int, Change]]:
        """Returns changes of a watch's feed after a position, in order: at most 3 MiB as stored, but at least one."""
        ...

    @property
    def signal(self) -> Signal:
        """Wakes those who wait for commits."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one step of reading has found, to be stored together.

    Attributes:
        cursor: How far the feed has read now.
        observed: What is known of records now.
        gone: Records that are no longer known.
        changes: What a watch shows.
        events: What a subscription tells.
        read: Whether the ERP was read with success.
    """

    cursor: Cursor
    observed: Sequence[Observation] = ()
    gone: Sequence[int] = ()
    changes: Sequence[Change] = ()
    events: Sequence[Event] = ()
    read: bool = True
